package bubble

import (
	"context"
	"crypto/rand"
	"errors"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"testing/synctest"

	"github.com/prometheus/client_golang/prometheus"

	"meshd/buffer"
	"meshd/crdt"
	"meshd/gossip"
	"meshd/gossip/memnet"
	"meshd/internal/bridge"
	"meshd/internal/pki"
	"meshd/node"
)

// machine is a place with an address and a disk, on which one process after the other runs.
type machine struct {
	m            *mesh
	name, region string
	hub          bool
	addr, dir    string
	change       func(*gossip.Config) // of the next processes; may be nil

	mu   sync.Mutex // held around proc by load and the test
	proc *process   // nil: off
}

// process is one life of a node: the parts of it, joined as cmd/meshd joins them.
type process struct {
	h        *machine
	inc      crdt.Incarnation
	conn     *memnet.Conn
	store    *buffer.Store
	disk     *disk
	node     *node.Node
	gossip   *gossip.Gossip
	registry *prometheus.Registry

	stopNode, stopGossip context.CancelFunc
	nodeDone, gossipDone chan error

	reading sync.Mutex // reads of one process are checked in their order
	seen    view       // the last one
}

// disk is the store of a process that can be killed: from then on nothing it does succeeds any more, and what a commit
// under way wrote may or may not be there, but nobody is told.
type disk struct {
	bridge.Disk
	dead atomic.Bool
}

var errKilled = errors.New("process was killed")

func (d *disk) Commit(ops []node.Op) error {
	if d.dead.Load() {
		return errKilled
	}
	if err := d.Disk.Commit(ops); err != nil || !d.dead.Load() {
		return err
	}
	return errKilled
}

func (h *machine) start() {
	h.m.t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.proc != nil {
		h.m.t.Fatalf("%s runs already", h.name)
	}
	p, err := h.open()
	if err != nil {
		h.m.t.Fatalf("start %s: %v", h.name, err)
	}
	p.run()
	h.proc = p
}

func (h *machine) open() (p *process, err error) {
	p = &process{h: h, inc: node.NewIncarnation(), registry: prometheus.NewRegistry(), seen: view{}}
	log := h.m.logger(h.name)
	if p.conn, err = h.m.net.Listen(h.addr); err != nil {
		return nil, err
	}
	if p.store, err = buffer.Open(buffer.Config{
		Dir: h.dir, Mesh: meshName, Region: h.region, Node: h.name, MemoryBytes: 32 << 20, ReserveBytes: 1, Logger: log, Registerer: p.registry,
	}); err != nil {
		return nil, err
	}
	p.disk = &disk{Disk: bridge.Disk{Store: p.store}}
	role := node.RoleEdge
	if h.hub {
		role = node.RoleHub
	}
	core := node.CoreConfig{Region: h.region, Node: h.name, Role: role, Inc: p.inc}
	_, _ = rand.Read(core.Nonce[:])
	b := &bridge.Bridge{}
	if p.node, err = node.New(node.Config{
		Mesh: meshName, Core: core, Store: p.disk, Transport: b, Logger: log, Registerer: p.registry,
	}); err != nil {
		return nil, err
	}
	cfg := gossip.Config{
		Mesh: meshName, Region: h.region, Node: h.name, Role: gossip.Role(role), Inc: core.Inc, Nonce: core.Nonce,
		Conn: p.conn, Join: h.m.hubs(h.name), Insecure: true, Handler: b, Logger: log, Registerer: p.registry,
	}
	if h.m.authority != "" {
		cfg.Insecure = false
		if cfg.TLS, err = h.identity(role); err != nil {
			return nil, err
		}
	}
	if h.change != nil {
		h.change(&cfg)
	}
	if p.gossip, err = gossip.New(cfg); err != nil {
		return nil, err
	}
	b.Node, b.Gossip = p.node, p.gossip
	return p, nil
}

func (h *machine) identity(role node.Role) (*pki.Identity, error) {
	cert, key, err := pki.Issue(h.m.authority, pki.Name{Region: h.region, Node: h.name, Role: string(role)})
	if err != nil {
		return nil, err
	}
	return pki.Load(h.m.authority+"/"+pki.CAFile, cert, key)
}

func (p *process) run() {
	actor := func(run func(context.Context) error) (context.CancelFunc, chan error) {
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error, 1)
		go func() { done <- run(ctx) }()
		return cancel, done
	}
	p.stopGossip, p.gossipDone = actor(p.gossip.Run)
	p.stopNode, p.nodeDone = actor(p.node.Run)
}

// end ends the parts in cmd/meshd's order.
func (p *process) end() error {
	p.stopNode()
	err := <-p.nodeDone
	p.stopGossip()
	return errors.Join(err, <-p.gossipDone, p.store.Close())
}

// stop turns the machine off as an operator does. What it acknowledged stays.
func (h *machine) stop() {
	h.m.t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.proc == nil {
		return
	}
	if err := h.proc.end(); err != nil {
		h.m.t.Errorf("stop %s: %v", h.name, err)
	}
	h.proc = nil
}

// kill ends the process without a goodbye: no packet leaves from now on and the disk keeps what it holds at this
// instant, memtable logs and half a compaction included.
func (h *machine) kill() {
	h.m.t.Helper()
	p := h.proc // load may wait for an answer under mu that the dead process no longer gives
	p.disk.dead.Store(true)
	_ = p.conn.Close()
	synctest.Wait() // no file operation is under way
	left := h.m.t.TempDir()
	if err := os.CopyFS(left, os.DirFS(h.dir)); err != nil {
		h.m.t.Fatal(err)
	}
	h.dir = left
	_ = p.end() // the socket is gone: an error of gossip's is right
	h.mu.Lock()
	defer h.mu.Unlock()
	h.proc = nil
}

func (h *machine) restart() { h.m.t.Helper(); h.stop(); h.start() }

// peers returns the names of the nodes it has sessions with, sorted.
func (h *machine) peers() (names []string) {
	for _, p := range h.proc.gossip.Peers() {
		names = append(names, p.Node)
	}
	slices.Sort(names)
	return names
}

func (h *machine) status() *node.Status {
	h.m.t.Helper()
	st, err := h.proc.node.Status(context.Background())
	if err != nil {
		h.m.t.Fatalf("status of %s: %v", h.name, err)
	}
	return st
}
