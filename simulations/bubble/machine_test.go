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
	"meshd/node"
)

// machine is a place with an address and a disk, on which one process after the other runs.
type machine struct {
	m            *mesh
	name, region string
	hub          bool
	addr, dir    string
	client       string                 // of its clients in the ledger; empty: its name
	change       func(*gossip.Config)   // of the next processes; may be nil
	core         func(*node.CoreConfig) // the same
	heard        func(msg []byte)       // called with what comes from peers; may be nil
	papers       string                 // folder of its certificate, key and authorities; empty: none yet
	next         bool                   // the next processes are of a build that is one protocol version ahead
	full         atomic.Bool            // its disk
	keeps        bool                   // the next processes keep windows, and answer over HTTP

	proc atomic.Pointer[process] // nil: off
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
	past     *past // nil: it keeps no windows
	registry *prometheus.Registry

	mute chan struct{} // held by whoever blocks messages on their way into the node

	stopTakeover, stopNode, stopGossip context.CancelFunc
	takeoverDone, nodeDone, gossipDone chan error

	reading sync.Mutex // reads of one process are checked in their order
	seen    view       // the last one
}

// disk is the store of a process that can be killed: from then on nothing it does succeeds any more. What a commit under
// way wrote is there, but nobody is told.
type disk struct {
	bridge.Disk
	dead atomic.Bool
	last atomic.Bool // the next commit is the last
}

// reader is the way of messages into a node, which block closes.
type reader struct {
	*bridge.Bridge
	p *process
}

func (r reader) Message(id uint64, msg []byte) {
	r.p.mute <- struct{}{}
	<-r.p.mute
	if r.p.h.heard != nil {
		r.p.h.heard(msg)
	}
	r.Bridge.Message(id, msg)
}

// block lets messages of peers wait until release is called.
func (p *process) block() (release func()) {
	p.mute <- struct{}{}
	return sync.OnceFunc(func() { <-p.mute })
}

var errKilled = errors.New("process was killed")

func (d *disk) Commit(ops []node.Op) error {
	if d.dead.Load() {
		return errKilled
	}
	err := d.Disk.Commit(ops)
	if d.last.Load() {
		d.dead.Store(true)
	}
	if err == nil && d.dead.Load() {
		return errKilled
	}
	return err
}

func (h *machine) start() {
	h.m.t.Helper()
	if h.proc.Load() != nil {
		h.m.t.Fatalf("%s runs already", h.name)
	}
	p, err := h.open()
	if err != nil {
		h.m.t.Fatalf("start %s: %v", h.name, err)
	}
	p.run()
	h.proc.Store(p)
}

func (h *machine) open() (p *process, err error) {
	p = &process{h: h, inc: node.NewIncarnation(), registry: prometheus.NewRegistry(), seen: view{}, mute: make(chan struct{}, 1)}
	log := h.m.logger(h.name)
	if p.conn, err = h.m.net.Listen(h.addr); err != nil {
		return nil, err
	}
	if p.store, err = buffer.Open(buffer.Config{
		Dir: h.dir, Mesh: meshName, Region: h.region, Node: h.name, MemoryBytes: 32 << 20, Logger: log, Registerer: p.registry, FreeSpace: h.space,
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
	if h.core != nil {
		h.core(&core)
	}
	b := &bridge.Bridge{}
	var transport node.Transport = b
	if h.next {
		transport = nextBuild{b}
	}
	if h.hub {
		transport = crossing{transport, h.m}
	}
	nodeCfg := node.Config{Mesh: meshName, Core: core, Store: p.disk, Transport: transport, Logger: log, Registerer: p.registry}
	if h.keeps {
		if p.past, err = p.openPast(&nodeCfg); err != nil {
			return nil, err
		}
	}
	if p.node, err = node.New(nodeCfg); err != nil {
		return nil, err
	}
	cfg := gossip.Config{
		Mesh: meshName, Region: h.region, Node: h.name, Role: gossip.Role(role), Inc: core.Inc, Nonce: core.Nonce,
		Conn: p.conn, Join: h.m.hubs(h.name), Insecure: true, Handler: reader{b, p}, Logger: log, Registerer: p.registry,
	}
	if h.m.authority != "" {
		cfg.Insecure = false
		if cfg.TLS, err = h.identity(); err != nil {
			return nil, err
		}
	}
	if h.next {
		cfg.Versions = nextVersions
	}
	if p.past != nil {
		if cfg.Asked, err = p.openHTTP(b); err != nil {
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

// space stands for the file system under the data directory.
func (h *machine) space(string) (free, total uint64, err error) {
	if h.full.Load() {
		return 0, 1 << 40, nil
	}
	return 1 << 39, 1 << 40, nil
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
	p.stopTakeover, p.takeoverDone = func() {}, make(chan error, 1)
	if p.past != nil && p.past.takeover != nil {
		p.stopTakeover, p.takeoverDone = actor(p.past.takeover.Run)
	} else {
		p.takeoverDone <- nil
	}
}

// end ends the parts in cmd/meshd's order.
func (p *process) end() error {
	p.stopTakeover()
	err := <-p.takeoverDone
	p.stopNode()
	err = errors.Join(err, <-p.nodeDone)
	p.stopGossip()
	err = errors.Join(err, <-p.gossipDone)
	if p.past != nil {
		p.past.store.Close()
	}
	return errors.Join(err, p.store.Close())
}

// stop turns the machine off as an operator does. What it acknowledged stays.
func (h *machine) stop() {
	h.m.t.Helper()
	p := h.proc.Swap(nil)
	if p == nil {
		return
	}
	if err := p.end(); err != nil {
		h.m.t.Errorf("stop %s: %v", h.name, err)
	}
}

// kill ends the process without a goodbye: no packet leaves from now on and the disk keeps what it holds at this
// instant, memtable logs and half a compaction included. What is left of the process ends in the background.
func (h *machine) kill() {
	h.m.t.Helper()
	p := h.proc.Swap(nil)
	p.disk.dead.Store(true)
	_ = p.conn.Close()
	h.dir = h.copyDisk()
	h.m.dying.Go(func() { _ = p.end() }) // its socket is gone: an error of gossip's is right
}

// copyDisk returns a copy of the machine's disk as it is while no file operation is under way.
func (h *machine) copyDisk() (dir string) {
	h.m.t.Helper()
	synctest.Wait()
	dir = h.m.t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(h.dir)); err != nil {
		h.m.t.Fatal(err)
	}
	return dir
}

func (h *machine) restart() { h.m.t.Helper(); h.stop(); h.start() }

// peers returns the names of the nodes it has sessions with, sorted.
func (h *machine) peers() (names []string) {
	for _, p := range h.proc.Load().gossip.Peers() {
		names = append(names, p.Node)
	}
	slices.Sort(names)
	return names
}

func (h *machine) status() *node.Status {
	h.m.t.Helper()
	st, err := h.proc.Load().node.Status(context.Background())
	if err != nil {
		h.m.t.Fatalf("status of %s: %v", h.name, err)
	}
	return st
}
