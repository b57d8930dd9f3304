package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"time"

	"github.com/spf13/pflag"

	"meshd/crdt"
	wirefmt "meshd/internal/wire"
	"meshd/node"
)

// coldBarBytes is what a cold incarnation may take in a hub's memory.
const coldBarBytes = 64

// churn measures what incarnations that are over cost: in the memory of hubs, between them, and at an edge.
type churn struct {
	incarnations, nodes int
	span                time.Duration
	seed                uint64
}

func churnBench() Bench {
	return Bench{
		Name: "churn", Summary: "what incarnations that are over cost in memory, at hubs with a sibling and at an edge",
		bind: func(fs *pflag.FlagSet) job {
			b := &churn{}
			fs.IntVar(&b.incarnations, "incarnations", 1_000_000, "`number` of cold incarnations of the region")
			fs.IntVar(&b.nodes, "nodes", 5000, "`number` of nodes that they are of")
			fs.DurationVar(&b.span, "span", 2*time.Minute, "virtual `time` that two hubs and an edge are connected")
			fs.Uint64Var(&b.seed, "seed", 1, "`number` that incarnations come from")
			return b
		},
		quick: map[string]string{"incarnations": "20000", "nodes": "100", "span": "10s"},
	}
}

func (b *churn) check() error {
	if b.incarnations < 1 || b.nodes < 1 || b.span < time.Second {
		return errors.New("--incarnations and --nodes must be at least 1, --span at least 1s")
	}
	return nil
}

type churnDetail struct {
	IndexBytes   float64 `json:"index_bytes_each"`            // of one hub alone
	SessionBytes float64 `json:"hub_with_sibling_bytes_each"` // after the span
	StartSeconds float64 `json:"start_seconds"`               // to read the index of all from memory
	// Bytes that a hub got from its sibling and an edge from its hubs over the span, with cold incarnations and without.
	HubToHub       int64 `json:"hub_to_hub_bytes"`
	HubToHubNone   int64 `json:"hub_to_hub_bytes_without"`
	HubToEdge      int64 `json:"hub_to_edge_bytes"`
	HubToEdgeNone  int64 `json:"hub_to_edge_bytes_without"`
	EdgeHeap       int64 `json:"edge_heap_bytes"`
	EdgeHeapNone   int64 `json:"edge_heap_bytes_without"`
	ColdAtTheEdge  int   `json:"cold_at_edge"`
	ColdAtEachHub  []int `json:"cold_at_hubs"`
	LoadedFromDisk int   `json:"loaded_from_disk"`
}

func (b *churn) measure(ctx context.Context, r *run) (*Report, error) {
	var d churnDetail
	r.say("a region without cold incarnations")
	none, err := b.region(ctx, 0)
	if err != nil {
		return nil, err
	}
	r.say("%d cold incarnations at two hubs", b.incarnations)
	full, err := b.region(ctx, b.incarnations)
	if err != nil {
		return nil, err
	}
	n := float64(b.incarnations)
	d.IndexBytes = round((float64(full.alone)-float64(none.alone))/n, 1)
	d.SessionBytes = round((float64(full.hubs)-float64(none.hubs))/(2*n), 1)
	d.StartSeconds = round(full.start.Seconds(), 2)
	d.HubToHub, d.HubToHubNone = full.toHub, none.toHub
	d.HubToEdge, d.HubToEdgeNone = full.toEdge, none.toEdge
	d.EdgeHeap, d.EdgeHeapNone = full.edge, none.edge
	d.ColdAtEachHub, d.ColdAtTheEdge, d.LoadedFromDisk = full.cold[:2], full.cold[2], full.loads
	rep := newReport(
		Quantity{max(d.IndexBytes, d.SessionBytes), "bytes", fmt.Sprintf("of a hub's heap for each of %d cold incarnations, with a session to a sibling that has them too; %d at an edge", b.incarnations, d.ColdAtTheEdge)},
		coldBarBytes,
		Quantity{float64(len(crdt.Incarnation{})), "bytes", "an incarnation's name, which is random"}, d)
	for i, cold := range d.ColdAtEachHub {
		if cold != b.incarnations {
			rep.wrong("hub %d has %d cold incarnations of %d", i, cold, b.incarnations)
		}
	}
	if d.ColdAtTheEdge != 0 || d.LoadedFromDisk != 0 {
		rep.wrong("%d cold incarnations at an edge, %d loaded for nothing", d.ColdAtTheEdge, d.LoadedFromDisk)
	}
	return rep, nil
}

// churned is what a region of two hubs and an edge looked like.
type churned struct {
	alone, hubs, edge int64 // heap of one hub; of both with their sessions; of the edge
	toHub, toEdge     int64 // bytes of messages
	start             time.Duration
	cold              []int
	loads             int
}

func (b *churn) region(ctx context.Context, incarnations int) (*churned, error) {
	out := &churned{}
	before := heap()
	began := time.Now()
	one, err := b.start("hub-1", node.RoleHub, incarnations)
	if err != nil {
		return nil, err
	}
	out.start = time.Since(began)
	out.alone = heap() - before
	two, err := b.start("hub-2", node.RoleHub, incarnations)
	if err != nil {
		return nil, err
	}
	l := &local{cores: []*localCore{one, two}}
	if err := l.pass(ctx, b.span); err != nil {
		return nil, err
	}
	out.hubs = heap() - before
	before = heap()
	edge, err := b.start("edge-1", node.RoleEdge, 0)
	if err != nil {
		return nil, err
	}
	l.cores = append(l.cores, edge)
	if err := l.pass(ctx, b.span); err != nil {
		return nil, err
	}
	out.edge = heap() - before
	for _, c := range l.cores {
		out.cold = append(out.cold, len(c.core.Cold()))
		out.loads += c.loads
	}
	out.toHub, out.toEdge = two.received, edge.received
	return out, nil
}

// heap returns the bytes of live objects.
func heap() int64 {
	runtime.GC()
	runtime.GC() // finalizers of the first
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// start returns a node whose disk knows cold incarnations: their index records, which are all that a start reads of them.
func (b *churn) start(name string, role node.Role, incarnations int) (*localCore, error) {
	random := rand.New(rand.NewPCG(b.seed, 8))
	incs := make([]crdt.Incarnation, incarnations)
	for i := range incs {
		for j := range incs[i] {
			incs[i][j] = byte(random.Uint32())
		}
	}
	slices.SortFunc(incs, func(a, b crdt.Incarnation) int { return bytes.Compare(a[:], b[:]) })
	cfg := node.CoreConfig{Region: "churn", Node: name, Role: role}
	copy(cfg.Inc[:], name)
	copy(cfg.Nonce[:], name)
	core, err := node.NewCore(cfg)
	if err != nil {
		return nil, err
	}
	c := &localCore{core: core, info: node.PeerInfo{Region: cfg.Region, Node: name, Role: role, Inc: cfg.Inc}}
	return c, core.Recover(coldDisk{incs, b.nodes}, node.Time{Mono: localStart, Wall: localStart})
}

// coldDisk is a store with nothing but the progress of cold incarnations.
type coldDisk struct {
	incs  []crdt.Incarnation
	nodes int
}

// Scan implements node.Reader.
func (d coldDisk) Scan(prefix []byte, f func(key, value []byte) error) error {
	if string(prefix) != "p/" {
		return nil
	}
	for i, inc := range d.incs {
		p := wirefmt.StoredProgress{
			Origin: crdt.Origin{Class: crdt.ClassNode, Region: "churn", Node: fmt.Sprintf("edge-%d", 2+i%d.nodes), Inc: inc}, Cold: true,
		}
		n := uint64(1 + i%100_000)
		p.Progress[crdt.StreamLifetime] = crdt.Progress{Cursor: n, Owed: n, Covered: n}
		value, err := wirefmt.AppendStoredProgress(nil, &p)
		if err != nil {
			return err
		}
		if err := f(append([]byte("p/\x01"), inc[:]...), value); err != nil {
			return err
		}
	}
	return nil
}
