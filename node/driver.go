package node

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"meshd/crdt"
)

const (
	// waitingCalls bounds the calls that wait for the core: each is a request's batch or a read, and the core takes
	// microseconds for most. More callers than that wait in their own goroutines.
	waitingCalls = 256
	// waitingMessages bounds the messages of all peers that wait for the core. A session's reader waits when it is
	// full, which pushes back on that peer by QUIC's flow control.
	waitingMessages = 256
	// messagesInHand bounds the bytes of messages that are parsed or wait for the core: sixteen frames of the usual
	// size, which keep all cores parsing and take about 80 MB parsed.
	messagesInHand = 4 << 20
	// readMeter is how often the line's meter is read: often enough that a burst is charged soon after it.
	readMeter = 5 * time.Second
)

// Store is the disk as the driver needs it. *buffer.Store satisfies it through a small adapter in cmd.
type Store interface {
	Reader
	// Commit writes ops atomically and returns when they are synced, or an error and nothing is written. An error
	// that wraps ErrFull says that the disk's reserve is reached.
	Commit(ops []Op) error
	// Free returns the free bytes of the disk, the reserve that is kept, and the bytes that the store takes.
	Free() (free, reserve, used uint64)
}

// Transport sends messages. Events come the other way, through the methods PeerUp, PeerDown and Message of Node.
type Transport interface {
	// Send queues msg, which nobody changes from then on, and reports whether there was room. It never blocks.
	Send(peer uint64, bulk bool, msg []byte) bool
	// Room tells how much Send would take now. It never blocks.
	Room(peer uint64, bulk bool) Room
	// Disconnect ends a session; the transport dials again by its own rules.
	Disconnect(peer uint64, reason string)
	// RTT returns the round trip time of a session and the offset of the peer's clock; zeros if unknown.
	Link(peer uint64) (rtt, offset time.Duration, addr string)
}

// Config is what a node is made of. Store and Transport are required.
type Config struct {
	Mesh, Version string // for status only
	Core          CoreConfig
	Store         Store
	Transport     Transport
	Logger        *slog.Logger          // nil = slog.Default()
	Registerer    prometheus.Registerer // nil = metrics are kept but not registered
	History       History               // nil = no windows are kept
	Meter         func() uint64         // bytes that the line carried since the process began, both ways; nil = nobody counts
}

// NewIncarnation draws the identity of a process.
func NewIncarnation() (inc crdt.Incarnation) {
	rand.Read(inc[:]) // never fails: it ends the process instead
	return inc
}

// Node is a running node. All methods are safe for concurrent use.
type Node struct {
	cfg     Config
	core    *Core
	started time.Time

	calls    chan func(*Output)
	messages chan delivery
	results  chan Event
	commits  chan *Persist
	loads    chan func() Event
	stopping chan struct{}
	done     chan struct{}
	gate     gate
	dog      watchdog

	mu      sync.Mutex
	waiting map[uint64]chan Result
	fatal   error // set by the loop
	nextID  uint64
	full    bool
}

// New recovers the node's state from its store and returns it, stopped. A node whose state cannot be read is an
// error: starting empty would hide what the disk holds.
func New(cfg Config) (*Node, error) {
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	cfg.withHistory()
	core, err := NewCore(cfg.Core)
	if err != nil {
		return nil, err
	}
	start := time.Now()
	if err := core.Recover(cfg.Store, Time{Mono: start.UnixMilli(), Wall: start.UnixMilli()}); err != nil {
		return nil, err
	}
	n := &Node{
		cfg: cfg, core: core, started: start,
		calls: make(chan func(*Output), waitingCalls), messages: make(chan delivery, waitingMessages),
		results: make(chan Event, 1), commits: make(chan *Persist, 1), loads: make(chan func() Event, coldBatch),
		stopping: make(chan struct{}), done: make(chan struct{}), waiting: map[uint64]chan Result{},
		gate: gate{limit: messagesInHand}, dog: watchdog{log: cfg.Logger},
	}
	if err := n.replayHistory(); err != nil {
		return nil, err
	}
	if cfg.Registerer != nil {
		if err := cfg.Registerer.Register(&collector{n}); err != nil {
			return nil, fmt.Errorf("node: register metrics: %w", err)
		}
	}
	cfg.Logger.Info("recovered", "series", core.cat.Len(), "took", time.Since(start).Round(time.Millisecond))
	return n, nil
}

// Run works until ctx ends, and returns when its goroutines have ended and every accepted batch is answered. An error
// that wraps ErrForked says that the process must start again.
func (n *Node) Run(ctx context.Context) error {
	defer close(n.done)
	var wg sync.WaitGroup
	wg.Go(n.committer)
	wg.Go(n.loader)
	watched, unwatch := context.WithCancel(context.WithoutCancel(ctx))
	wg.Go(func() { n.dog.run(watched) })
	n.loop(ctx)
	unwatch()
	close(n.stopping)
	close(n.commits)
	close(n.loads)
	wg.Wait()
	n.mu.Lock()
	defer n.mu.Unlock()
	for id, ch := range n.waiting {
		ch <- Result{Err: ErrClosed}
		delete(n.waiting, id)
	}
	return n.fatal
}

// now reads both clocks. The monotonic one counts from the wall time of the start, so that it reads like a time.
func (n *Node) now() Time {
	now := time.Now()
	return Time{Mono: n.started.UnixMilli() + now.Sub(n.started).Milliseconds(), Wall: now.UnixMilli()}
}

func (n *Node) wakeAt(t *time.Timer, mono int64) {
	t.Reset(max(0, time.Duration(mono-n.now().Mono)*time.Millisecond))
}

// committer is the only goroutine that writes: one persist at a time, as the core asks.
// It logs when commits begin to fail and when they work again, not each one: a full disk refuses ten a second.
func (n *Node) committer() {
	failing := false
	for p := range n.commits {
		err := n.cfg.Store.Commit(p.Ops)
		switch {
		case err != nil && !failing:
			n.cfg.Logger.Error("commits fail: writes are refused, reads and gossip go on", "err", err)
		case err == nil && failing:
			n.cfg.Logger.Info("commits work again")
		}
		failing = err != nil
		n.results <- Persisted{Token: p.Token, Err: err}
	}
}

// loader reads what the core wants from disk.
func (n *Node) loader() {
	for read := range n.loads {
		select {
		case n.messages <- delivery{in: read()}:
		case <-n.stopping:
		}
	}
}

// load reads a cold origin.
func (n *Node) load(o crdt.Origin) Event {
	in := Loaded{Origin: o}
	in.Snapshot, in.Err = ReadCold(n.cfg.Store, o)
	return in
}

// loop is the only goroutine that touches the core. A persist that runs is waited for at the end, so that what it
// made durable is answered.
func (n *Node) loop(ctx context.Context) {
	out := Output{Room: n.cfg.Transport.Room}
	if n.cfg.History != nil {
		out.Full = n.cfg.History.Full
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	var pendingLoads []func() Event
	var meter <-chan time.Time
	if n.cfg.Meter != nil {
		t := time.NewTicker(readMeter)
		defer t.Stop()
		meter = t.C
	}
	busy := false
	ctx, end := context.WithCancel(ctx)
	defer end()
	act := func() {
		if out.Fatal != nil {
			n.fatal = out.Fatal
			end()
		}
		n.wakeAt(timer, out.Wake)
		n.publish(out.Published) // before what reads it
		pendingLoads = append(pendingLoads, n.reads(&out)...)
		busy = n.act(&out) || busy
	}
	step := func(in Event) {
		n.dog.begin()
		n.core.Step(n.now(), in, &out)
		n.dog.end()
		act()
	}
	for {
		for len(pendingLoads) > 0 {
			select {
			case n.loads <- pendingLoads[0]:
				pendingLoads = pendingLoads[1:]
				continue
			default:
			}
			break
		}
		messages := n.messages
		if n.core.Congested() {
			messages = nil
		}
		select {
		case <-ctx.Done():
			for busy { // whoever was promised an answer gets it
				busy = false
				step(<-n.results)
			}
			n.core.giveUp(&out)
			n.act(&out)
			return
		case <-timer.C:
			step(Tick{})
		case <-meter:
			step(Used{Bytes: n.cfg.Meter()})
		case in := <-n.results:
			busy = false
			step(in)
		case f := <-n.calls:
			n.dog.begin()
			f(&out)
			n.dog.end()
			act()
		case d := <-messages:
			step(d.in)
			n.gate.leave(d.bytes)
		}
	}
}

// act does what a step wants done and reports whether a persist was started. A message that finds no room ends its
// session: what was sent is unknown then, and a new session resumes from what the peer names.
func (n *Node) act(out *Output) (persisting bool) {
	for _, s := range out.Sends {
		if !n.cfg.Transport.Send(s.Peer, s.Bulk, s.Msg) {
			n.cfg.Transport.Disconnect(s.Peer, "does not keep up: its send queue is full")
		}
	}
	for _, c := range out.Close {
		n.cfg.Transport.Disconnect(c.Peer, c.Reason)
	}
	for _, r := range out.Replies {
		n.reply(r)
	}
	if out.Persist != nil {
		n.commits <- out.Persist // never waits: at most one is outstanding
		out.Persist, persisting = nil, true
	}
	out.reset()
	return persisting
}

func (n *Node) reply(r Reply) {
	n.mu.Lock()
	ch := n.waiting[r.ID]
	delete(n.waiting, r.ID)
	n.full = errors.Is(r.Result.Err, ErrFull)
	n.mu.Unlock()
	if ch != nil {
		ch <- r.Result
	}
}
