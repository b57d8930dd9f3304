package bench

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"sync"
	"time"

	"meshd/buffer"
	"meshd/gossip"
	"meshd/internal/bridge"
	"meshd/internal/pki"
	"meshd/node"
)

// pair is an edge and its hub in this process, over a real socket, certificates and disks.
type pair struct {
	edge, hub *member
	all       sync.WaitGroup
	end       context.CancelFunc
}

// member is one node of a pair.
type member struct {
	node  *node.Node
	meter *meter
	store *buffer.Store
}

const pairMesh, pairRegion = "bench", "east"

// newPair starts both and waits until they have a session. The caller must stop it, unless there is an error.
func newPair(ctx context.Context, dir string) (*pair, error) {
	certs := filepath.Join(dir, "certificates")
	if err := pki.Init(certs, pairMesh, 0); err != nil {
		return nil, err
	}
	ctx, end := context.WithCancel(ctx)
	p := &pair{end: end}
	var err error
	if p.hub, err = p.start(ctx, dir, certs, gossip.Hub, nil); err == nil {
		p.edge, err = p.start(ctx, dir, certs, gossip.Edge, []string{p.hub.meter.conn.LocalAddr().String()})
	}
	if err == nil {
		err = p.quiet(ctx)
	}
	if err != nil {
		p.stop()
		return nil, err
	}
	return p, nil
}

func (p *pair) start(ctx context.Context, dir, certs string, role gossip.Role, join []string) (_ *member, err error) {
	name := string(role)
	cert, key, err := pki.Issue(certs, pki.Name{Mesh: pairMesh, Region: pairRegion, Node: name, Role: name}, 0)
	if err != nil {
		return nil, err
	}
	identity, err := pki.Load(filepath.Join(certs, pki.CAFile), cert, key)
	if err != nil {
		return nil, err
	}
	udp, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	m := &member{meter: newMeter(udp)}
	defer func() {
		if err != nil {
			err = errors.Join(err, m.release())
		}
	}()
	if m.store, err = buffer.Open(buffer.Config{
		Dir: filepath.Join(dir, "data", name), Mesh: pairMesh, Region: pairRegion, Node: name,
	}); err != nil {
		return nil, err
	}
	core := node.CoreConfig{Region: pairRegion, Node: name, Role: node.Role(role), Inc: node.NewIncarnation()}
	rand.Read(core.Nonce[:])
	log := slog.New(slog.DiscardHandler)
	if m.node, err = node.New(node.Config{
		Mesh: pairMesh, Core: core, Store: bridge.Disk{Store: m.store}, Transport: m.meter, Logger: log,
	}); err != nil {
		return nil, err
	}
	g, err := gossip.New(gossip.Config{
		Mesh: pairMesh, Region: pairRegion, Node: name, Role: role, Inc: core.Inc, Nonce: core.Nonce,
		Conn: m.meter.conn, Join: join, TLS: identity, Handler: m.meter, Logger: log,
	})
	if err != nil {
		return nil, err
	}
	m.meter.Bridge = bridge.Bridge{Node: m.node, Gossip: g}
	p.all.Go(func() {
		nodeCtx, endNode := context.WithCancel(context.WithoutCancel(ctx))
		var inner sync.WaitGroup
		inner.Go(func() { _ = m.node.Run(nodeCtx) })
		_ = g.Run(ctx) // says goodbye while the node still listens
		endNode()
		inner.Wait()
	})
	return m, nil
}

// release closes what a member holds that nobody else closes.
func (m *member) release() error {
	if m.store == nil {
		return m.meter.conn.Close()
	}
	return errors.Join(m.store.Close(), m.meter.conn.Close())
}

// stop ends both and waits.
func (p *pair) stop() {
	p.end()
	p.all.Wait()
	for _, m := range []*member{p.edge, p.hub} {
		if m != nil {
			_ = m.release() // everything was acknowledged or is not wanted any more
		}
	}
}

// count counts a batch at the edge and waits until the hub has acknowledged it: one flush.
func (p *pair) count(ctx context.Context, b *node.Batch) error {
	res := p.edge.node.Submit(ctx, b)
	if res.Err != nil {
		return res.Err
	}
	if res.Accepted != len(b.Items) {
		return fmt.Errorf("%d of %d items counted, the first refusal: %v", res.Accepted, len(b.Items), res.Rejected)
	}
	return p.settle(ctx)
}

const (
	pairEvery  = 5 * time.Millisecond
	pairWithin = 30 * time.Second
)

// settle waits until the hub has acknowledged all that the edge wrote.
func (p *pair) settle(ctx context.Context) error {
	for deadline := time.Now().Add(pairWithin); ; {
		st, err := p.edge.node.Status(ctx)
		if err != nil {
			return err
		}
		if len(st.Peers) > 0 && st.Peers[0].Behind == 0 {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("the hub did not acknowledge everything within %s", pairWithin)
		}
		if err := pause(ctx, pairEvery); err != nil {
			return err
		}
	}
}

// quiet waits until the session is up, everything is acknowledged and what follows has come and gone.
func (p *pair) quiet(ctx context.Context) error {
	const comparisons = 3 * time.Second
	if err := p.settle(ctx); err != nil {
		return err
	}
	return pause(ctx, comparisons)
}

// idle watches a session on which nothing is to be said.
func (p *pair) idle(ctx context.Context, d time.Duration) (wireIdle, error) {
	cells := func() (sum uint64, err error) {
		for _, m := range []*member{p.edge, p.hub} {
			st, err := m.node.Status(ctx)
			if err != nil {
				return 0, err
			}
			sum += st.Counters["CellsOut"]
		}
		return sum, nil
	}
	before, err := cells()
	if err != nil {
		return wireIdle{}, err
	}
	p.edge.meter.forgetLargest()
	p.hub.meter.forgetLargest()
	up, down, began := p.edge.meter.read(), p.hub.meter.read(), time.Now()
	if err := pause(ctx, d); err != nil {
		return wireIdle{}, err
	}
	seconds := time.Since(began).Seconds()
	up, down = p.edge.meter.read().since(up), p.hub.meter.read().since(down)
	after, err := cells()
	if err != nil {
		return wireIdle{}, err
	}
	out := wireIdle{
		Seconds: round(seconds, 1), UpPerSecond: round(float64(up.udpBytes)/seconds, 1), DownPerSec: round(float64(down.udpBytes)/seconds, 1),
		Datagrams: up.datagrams + down.datagrams, Messages: make(map[string]int64), LargestBar: heartbeatBar, Cells: after - before,
		LargestPacket: max(up.largestPacket, down.largestPacket),
	}
	for _, m := range []*reading{&up, &down} {
		for typ, k := range m.messages {
			if k.count > 0 {
				out.Messages[typeName(typ)] += k.count
			}
			if k.count > 0 && k.largest > out.Largest {
				out.Largest, out.LargestOf = k.largest, typeName(typ)
			}
		}
	}
	return out, nil
}
