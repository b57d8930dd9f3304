package bench

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"meshd/cmd/meshd/internal/cluster"
	"meshd/crdt"
	"meshd/gossip"
	"meshd/internal/bridge"
	"meshd/internal/pki"
	"meshd/node"
)

// crowd is a hub in a process of its own and many edges in this one, over real sockets with certificates. The edges keep
// nothing on disk: what they cost is not what is measured.
type crowd struct {
	mesh   *mesh
	hub    cluster.Node
	edges  []*crowdEdge
	series int
	metric string
	batch  []node.Item // what an edge counts at once: one in each series

	counted atomic.Int64 // increments that were accepted
	end     context.CancelFunc
	all     sync.WaitGroup
}

type crowdEdge struct {
	node   *node.Node
	gossip *gossip.Gossip
}

// forgetful is a disk that keeps nothing.
type forgetful struct{}

func (forgetful) Commit([]node.Op) error                           { return nil }
func (forgetful) Scan([]byte, func(key, value []byte) error) error { return nil }
func (forgetful) Free() (free, reserve, used uint64)               { return 1 << 40, 1 << 30, 0 }

// startCrowd starts the hub and n edges that count in the same series, and waits until all have a session. The caller must
// stop it, unless there is an error.
func (r *run) startCrowd(ctx context.Context, n, series int, flush time.Duration, link gossip.Link) (*crowd, error) {
	m, err := r.startMesh(ctx, cluster.Layout{
		Regions: twoRegions.Regions[:1], Hubs: 1, MeshPort: twoRegions.MeshPort, StatsDPort: twoRegions.StatsDPort,
	}, "--flush", flush.String(), "--memory", "1GiB")
	if err != nil {
		return nil, err
	}
	edgesCtx, end := context.WithCancel(context.WithoutCancel(ctx))
	c := &crowd{mesh: m, hub: m.role("hub")[0], series: series, metric: "bench.crowd", end: end}
	for i := range series {
		c.batch = append(c.batch, node.Item{
			Series: &crdt.Series{Name: c.metric, Kind: crdt.KindCounter, Labels: []crdt.Label{{Name: "path", Value: fmt.Sprintf("/item/%d", i)}}},
			Inc:    crdt.Value{Kind: crdt.KindCounter, P: crdt.FixedFromUint(1)},
		})
	}
	began := time.Now()
	for i := range n {
		e, err := c.start(edgesCtx, r.dir, fmt.Sprintf("crowd-%d", i), flush, link)
		if err != nil {
			c.stop()
			return nil, err
		}
		c.edges = append(c.edges, e)
	}
	if err := c.await(ctx, time.Minute, func(e *crowdEdge) bool { return len(e.gossip.Peers()) > 0 }); err != nil {
		c.stop()
		return nil, fmt.Errorf("sessions of %d edges: %w", n, err)
	}
	r.say("%d edges have a session after %.1f s", n, time.Since(began).Seconds())
	return c, nil
}

func (c *crowd) start(ctx context.Context, dir, name string, flush time.Duration, link gossip.Link) (*crowdEdge, error) {
	certs := filepath.Join(dir, "certificates")
	cert, key, err := pki.Issue(certs, pki.Name{Mesh: "bench", Region: c.hub.Region, Node: name, Role: "edge"}, 0)
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
	core := node.CoreConfig{Region: c.hub.Region, Node: name, Role: node.RoleEdge, Inc: node.NewIncarnation(), Flush: flush.Milliseconds()}
	rand.Read(core.Nonce[:])
	log := slog.New(slog.DiscardHandler)
	b := &bridge.Bridge{}
	if b.Node, err = node.New(node.Config{Mesh: "bench", Core: core, Store: forgetful{}, Transport: b, Logger: log}); err == nil {
		b.Gossip, err = gossip.New(gossip.Config{
			Mesh: "bench", Region: c.hub.Region, Node: name, Role: gossip.Edge, Inc: core.Inc, Nonce: core.Nonce,
			Conn: udp, Link: link, Join: []string{c.hub.Mesh}, TLS: identity, Handler: b, Logger: log,
		})
	}
	if err != nil {
		return nil, errors.Join(err, udp.Close())
	}
	c.all.Go(func() { _ = b.Node.Run(ctx) })
	c.all.Go(func() { _ = b.Gossip.Run(ctx) })
	return &crowdEdge{b.Node, b.Gossip}, nil
}

func (c *crowd) stop() {
	c.end()
	c.all.Wait()
	c.mesh.Stop()
}

// each calls f for every edge, as many at a time as there are processors, and returns its errors.
func (c *crowd) each(f func(e *crowdEdge) error) error {
	work := make(chan *crowdEdge)
	errs := make([]error, runtime.GOMAXPROCS(0))
	var all sync.WaitGroup
	for i := range errs {
		all.Go(func() {
			for e := range work {
				errs[i] = errors.Join(errs[i], f(e))
			}
		})
	}
	for _, e := range c.edges {
		work <- e
	}
	close(work)
	all.Wait()
	return errors.Join(errs...)
}

// count makes every edge count one in each series.
func (c *crowd) count(ctx context.Context) error {
	return c.each(func(e *crowdEdge) error {
		r := e.node.Submit(ctx, &node.Batch{Items: c.batch})
		c.counted.Add(int64(r.Accepted))
		return r.Err
	})
}

// await waits until ok of every edge.
func (c *crowd) await(ctx context.Context, within time.Duration, ok func(e *crowdEdge) bool) error {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	for i := 0; i < len(c.edges); {
		if ok(c.edges[i]) {
			i++
			continue
		}
		if err := pause(ctx, 20*time.Millisecond); err != nil {
			return fmt.Errorf("%d of %d after %s: %w", i, len(c.edges), within, err)
		}
	}
	return nil
}

// total is what an edge answers for all that the crowd counts.
func (c *crowd) total(ctx context.Context, e *crowdEdge) (int64, error) {
	t, err := e.node.Totals(ctx, node.Select{Match: func(s *crdt.Series) bool { return s.Name == c.metric }})
	if err != nil {
		return 0, err
	}
	var sum crdt.Fixed
	for i := range t.Rows {
		sum, _ = sum.Add(t.Rows[i].Value.P)
	}
	return int64(sum.Float64()), nil
}
