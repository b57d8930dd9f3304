package gossip

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"meshd/gossip/memnet"
)

// recorder is a Handler that remembers everything and answers "ping X" with "pong X".
type recorder struct {
	g *Gossip

	mu       sync.Mutex
	peers    map[uint64]Peer
	names    map[uint64]string // also of those that are gone
	got      map[string][]string
	bytes    map[string]int
	members  []Member
	downs    []error
	lastDown time.Time
	lastUp   time.Time
	block    chan struct{} // if set, Message waits for it
}

func newRecorder() *recorder {
	return &recorder{peers: map[uint64]Peer{}, names: map[uint64]string{}, got: map[string][]string{}, bytes: map[string]int{}}
}

func (r *recorder) PeerUp(p Peer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.peers[p.ID], r.names[p.ID], r.lastUp = p, p.Node, time.Now()
}

func (r *recorder) PeerDown(id uint64, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.peers, id)
	r.downs, r.lastDown = append(r.downs, err), time.Now()
}

func (r *recorder) Message(id uint64, msg []byte) {
	r.mu.Lock()
	block := r.block
	r.mu.Unlock()
	if block != nil {
		<-block
	}
	r.mu.Lock()
	name := r.names[id]
	r.bytes[name] += len(msg)
	if len(msg) < 100 {
		r.got[name] = append(r.got[name], string(msg))
	}
	r.mu.Unlock()
	if text, ok := strings.CutPrefix(string(msg[:min(len(msg), 100)]), "ping "); ok {
		r.g.Send(id, false, []byte("pong "+text))
	}
}

func (r *recorder) Members(m []Member) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.members = m
}

// ended returns why sessions ended.
func (r *recorder) ended() []error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.downs)
}

// up returns the names of the peers, sorted.
func (r *recorder) up() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var names []string
	for _, p := range r.peers {
		names = append(names, p.Node)
	}
	slices.Sort(names)
	return names
}

func (r *recorder) id(node string) uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	for id, p := range r.peers {
		if p.Node == node {
			return id
		}
	}
	return 0
}

func (r *recorder) alive() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var names []string
	for _, m := range r.members {
		if m.Status == Alive {
			names = append(names, m.Node)
		}
	}
	return names
}

// node is one running Gossip in a test.
type node struct {
	*Gossip
	*recorder
	addr string
	reg  *prometheus.Registry
	stop func() // ends it and waits
}

// mesh starts nodes on one in-memory network.
type mesh struct {
	t     *testing.T
	net   *memnet.Network
	nodes map[string]*node
	last  int
}

func newMesh(t *testing.T) *mesh {
	m := &mesh{t: t, net: memnet.New(1), nodes: map[string]*node{}}
	m.net.SetDefault(memnet.Link{Delay: 5 * time.Millisecond})
	return m
}

// config is of a node named REGION-x, a hub if x starts with h.
func (m *mesh) config(name string, join ...string) Config {
	region, rest, _ := strings.Cut(name, "-")
	cfg := Config{Mesh: "test", Region: region, Node: name, Role: Edge, Insecure: true, Join: join, Logger: slog.New(slog.DiscardHandler)}
	if strings.HasPrefix(rest, "h") {
		cfg.Role = Hub
	}
	_, _ = rand.Read(cfg.Inc[:])
	_, _ = rand.Read(cfg.Nonce[:])
	return cfg
}

func (m *mesh) start(cfg Config) *node {
	m.t.Helper()
	m.last++
	n := &node{recorder: newRecorder(), addr: fmt.Sprintf("10.0.0.%d:8946", m.last), reg: prometheus.NewRegistry()}
	if cfg.Conn == nil && cfg.Listen == "" {
		conn, err := m.net.Listen(n.addr)
		if err != nil {
			m.t.Fatal(err)
		}
		cfg.Conn = conn
	}
	cfg.Handler, cfg.Registerer = n.recorder, n.reg
	g, err := New(cfg)
	if err != nil {
		m.t.Fatal(err)
	}
	n.addr = g.LocalAddr().String()
	n.Gossip, n.g = g, g
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := g.Run(ctx); err != nil {
			m.t.Errorf("%s: %v", cfg.Node, err)
		}
	}()
	n.stop = sync.OnceFunc(func() { cancel(); <-done })
	key := cfg.Node
	for m.nodes[key] != nil {
		key += "'"
	}
	m.nodes[key] = n
	return n
}

func (m *mesh) stop() {
	var wg sync.WaitGroup
	for _, n := range m.nodes {
		wg.Go(n.stop)
	}
	wg.Wait()
	time.Sleep(serfLinger) // the bubble then reports every goroutine that is left
}

func (m *mesh) addrs(names ...string) []string {
	var out []string
	for _, name := range names {
		out = append(out, m.nodes[name].addr)
	}
	return out
}

// until waits in steps of virtual time until ok, and returns how long that took.
func (m *mesh) until(what string, within time.Duration, ok func() bool) time.Duration {
	m.t.Helper()
	start := time.Now()
	for !ok() {
		if time.Since(start) > within {
			for name, n := range m.nodes {
				m.t.Logf("%s: peers %v, alive %v, downs %v", name, n.up(), n.alive(), n.ended())
			}
			m.t.Fatalf("not within %v: %s", within, what)
		}
		time.Sleep(10 * time.Millisecond)
		synctest.Wait()
	}
	return time.Since(start)
}

func (n *node) received(from, text string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Contains(n.got[from], text)
}

// metric sums a counter over the labels that match.
func (n *node) metric(t *testing.T, name string, label ...string) float64 {
	t.Helper()
	families, err := n.reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	sum := 0.0
	for _, f := range families {
		if f.GetName() != "meshd_gossip_"+name {
			continue
		}
		for _, m := range f.GetMetric() {
			if len(label) == 0 || m.GetLabel()[0].GetValue() == label[0] {
				sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	return sum
}

var lossy = memnet.Link{Delay: 20 * time.Millisecond, Jitter: 20 * time.Millisecond, Loss: 0.02}
