package gossip

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quic-go/quic-go"
)

// Gossip is one node's end of the mesh.
type Gossip struct {
	cfg       Config
	log       *slog.Logger
	self      identity
	timing    timing
	metrics   *metrics
	conn      net.PacketConn
	advertise string
	transport *quic.Transport
	serverTLS *tls.Config
	clientTLS *tls.Config
	tracked   tracked
	suspect   chan struct{} // cap 1: guard should look again
	pardons   atomic.Uint64 // how often this node's certificate was replaced
	keys      *keyring
	book      *book
	pool      *pool // nil on edges that are not reachable; set before the listener opens
	sessions  sessions
	lastID    atomic.Uint64 // of sessions
	queued    atomic.Int64  // bytes in all send queues
	wake      chan struct{} // cap 1: plan should look again
	quiet     quiet
	closing   sync.Once

	membersMu sync.Mutex
	members   []Member

	goMu    sync.Mutex
	wg      sync.WaitGroup
	stopped bool
}

// New opens the socket and checks cfg. Nothing is accepted before Run. A Gossip that is not run must be closed.
func New(cfg Config) (*Gossip, error) {
	if err := cfg.validate(); err != nil {
		return nil, fmt.Errorf("gossip: %w", err)
	}
	g := &Gossip{cfg: cfg.withDefaults(), keys: newKeyring(), wake: make(chan struct{}, 1), suspect: make(chan struct{}, 1)}
	g.log = g.cfg.Logger.With("component", "gossip")
	g.self = identity{g.cfg.Region, g.cfg.Node, g.cfg.Inc, g.cfg.Nonce}
	g.timing = timings[g.cfg.Link]
	g.book = newBook(g.self, &g.cfg)
	g.sessions.byID, g.sessions.byWho = make(map[uint64]*session), make(map[identity]*session)
	g.metrics = newMetrics(g)
	var err error
	if g.serverTLS, g.clientTLS, err = g.tlsConfigs(); err != nil {
		return nil, fmt.Errorf("gossip: %w", err)
	}
	if g.conn, err = g.openSocket(); err != nil {
		return nil, fmt.Errorf("gossip: %w", err)
	}
	if g.advertise, err = g.advertised(); err == nil && g.cfg.Registerer != nil {
		err = g.metrics.register(g.cfg.Registerer)
	}
	if err != nil {
		return nil, fmt.Errorf("gossip: %w", errors.Join(err, g.conn.Close()))
	}
	g.transport = &quic.Transport{
		Conn:   g.conn,
		Tracer: &dropRecorder{g.metrics.packetsDropped.WithLabelValues("quic_queue_full")},
	}
	return g, nil
}

// Run works until ctx ends, says goodbye to the peers, waits for every goroutine it started and returns nil, or the
// error that made it stop early. That takes less than 2 s once the Handler has returned. It may be called once. (A probe of
// Serf's that is under way cannot be stopped and ends by itself after at most serfLinger; it does nothing any more.)
func (g *Gossip) Run(ctx context.Context) error {
	// What still runs while Serf says goodbye is bound to this context, not to ctx.
	work, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	if g.cfg.Reachable {
		if _, err := newPool(work, g); err != nil {
			return errors.Join(fmt.Errorf("gossip: %w", err), g.Close())
		}
	}
	ln, err := g.transport.Listen(g.serverTLS, listenConfig())
	if err != nil {
		if g.pool != nil {
			g.pool.stop()
		}
		return errors.Join(fmt.Errorf("gossip: %w", err), g.Close())
	}
	failed := make(chan error, 1)
	g.spawn(func() { failed <- g.accept(work, ln) })
	g.spawn(func() { g.plan(work) })
	g.spawn(func() { g.rejoin(work) })
	if g.cfg.TLS != nil {
		g.spawn(func() { g.guard(work) })
	}
	if g.cfg.Role == Edge {
		g.spawn(func() { g.probe(work) })
	}
	if g.pool != nil {
		g.spawn(func() { g.pool.transport.readPackets(work) })
		g.spawn(func() { g.pool.watch(work) })
		g.spawn(func() { g.pool.join(work) })
	}
	select {
	case <-ctx.Done():
	case err = <-failed:
		err = fmt.Errorf("gossip: socket: %w", err)
	}
	if g.pool != nil {
		g.pool.stop()
	}
	stop()
	g.endSessions(errBye)
	_ = ln.Close()
	g.halt()
	return errors.Join(err, g.Close())
}

// halt waits for every goroutine; none starts after it was called.
func (g *Gossip) halt() {
	g.goMu.Lock()
	g.stopped = true
	g.goMu.Unlock()
	_ = g.transport.Close() // ends what waits for a peer
	g.wg.Wait()
}

// spawn starts a goroutine that Run waits for. All of the package's start here or in session.spawn.
func (g *Gossip) spawn(f func()) {
	g.goMu.Lock()
	defer g.goMu.Unlock()
	if !g.stopped {
		g.wg.Go(f)
	}
}

// Close releases the socket and the metrics of a Gossip that was never run. After Run it does nothing.
func (g *Gossip) Close() error {
	var err error
	g.closing.Do(func() {
		err = errors.Join(g.transport.Close(), g.conn.Close())
		if g.cfg.Registerer != nil {
			g.metrics.unregister(g.cfg.Registerer)
		}
	})
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// Send queues msg, which it owns from then on, for a peer and reports whether there was room. It never blocks. False
// means that the session is gone, its queue is full, or msg is empty or longer than MaxMessage: it will not arrive, and
// a metric counts it.
func (g *Gossip) Send(peer uint64, bulk bool, msg []byte) bool {
	s := g.sessionByID(peer)
	if s != nil && len(msg) > 0 && len(msg) <= MaxMessage && s.send(bulk, msg) {
		return true
	}
	class := classNormal
	if bulk {
		class = classBulk
	}
	g.metrics.sendDrops.WithLabelValues(class).Inc()
	return false
}

// Room is how much Send takes for one peer and class now, in bytes; each message costs 64 more.
type Room struct {
	Peer  int  // left of the peer's queue
	All   int  // left of what all queues may hold together
	Empty bool // the peer's queue is empty: it takes any one message that All has room for
}

// Room returns what Send would take for a peer now; nothing if the session is gone.
func (g *Gossip) Room(peer uint64, bulk bool) Room {
	s := g.sessionByID(peer)
	switch {
	case s == nil:
		return Room{}
	case bulk:
		return s.bulk.room()
	default:
		return s.normal.room()
	}
}

// Peers returns the sessions that are up, ordered by region, node and ID.
func (g *Gossip) Peers() []Peer {
	all := g.allSessions()
	peers := make([]Peer, len(all))
	for i, s := range all {
		peers[i] = s.peer()
	}
	return peers
}

// Members returns the membership as last reported to the handler. The caller owns the slice.
func (g *Gossip) Members() []Member {
	g.membersMu.Lock()
	defer g.membersMu.Unlock()
	return slices.Clone(g.members)
}

// LocalAddr is the address of the socket.
func (g *Gossip) LocalAddr() net.Addr { return g.conn.LocalAddr() }

// nudge wakes plan.
func (g *Gossip) nudge() {
	select {
	case g.wake <- struct{}{}:
	default:
	}
}

// setMembers reports members if they differ from the last ones. Called from one goroutine only.
func (g *Gossip) setMembers(members []Member) {
	g.membersMu.Lock()
	same := slices.Equal(g.members, members)
	g.members = members
	g.membersMu.Unlock()
	if !same {
		g.cfg.Handler.Members(slices.Clone(members))
	}
}

// meet remembers a hub that asked for hubs: it wants to join, and of two hubs the one before must dial.
func (g *Gossip) meet(p *preface) {
	if Role(p.Role) == Hub && p.Advertise != "" {
		if g.book.learn(time.Now(), true, hub{Region: p.Region, Node: p.Node, Addr: p.Advertise, Inc: p.Inc}) {
			g.nudge()
		}
	}
}

// hubs is what a node answers to a join.
func (g *Gossip) hubs(region string) []hub {
	list := g.book.list(time.Now(), region, maxHubs-1)
	if g.cfg.Role == Hub {
		list = append(list, hub{Region: g.cfg.Region, Node: g.cfg.Node, Addr: g.advertise, Inc: g.cfg.Inc})
	}
	return list
}
