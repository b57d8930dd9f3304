package bench

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"time"

	"github.com/spf13/pflag"

	"meshd/crdt"
	"meshd/node"
)

// looks is how many edges are looked at.
const looks = 50

// edgesBar is how much more an edge may receive and keep in the large region than in the small one.
const edgesBar = 1.1

// edges measures whether what one edge receives and keeps grows with the number of edges of its region.
type edges struct {
	few, many, series int
	span              time.Duration
	seed              uint64
}

func edgesBench() Bench {
	return Bench{
		Name: "edges", Summary: "what an edge receives and keeps in memory in a region of few edges and of many",
		bind: func(fs *pflag.FlagSet) job {
			b := &edges{}
			fs.IntVar(&b.few, "few", 100, "`number` of edges of the small region")
			fs.IntVar(&b.many, "many", 5000, "`number` of edges of the large region")
			fs.IntVar(&b.series, "series", 20, "`number` of series that every edge counts, the same ones")
			fs.DurationVar(&b.span, "span", time.Minute, "virtual `time` that is measured, after half of it to begin with")
			fs.Uint64Var(&b.seed, "seed", 1, "`number` that amounts come from")
			return b
		},
		quick: map[string]string{"few": "5", "many": "50", "span": "10s", "series": "5"},
	}
}

func (b *edges) check() error {
	if b.few < 1 || b.many < b.few || b.series < 1 || b.span < 2*time.Second {
		return errors.New("--few and --series must be at least 1, --many at least --few, --span at least 2s")
	}
	return nil
}

type edgesDetail struct {
	Few  edgeUse `json:"few"`
	Many edgeUse `json:"many"`
}

type edgeUse struct {
	Edges         int     `json:"edges"`
	ReceivedBytes int64   `json:"received_bytes"` // messages, over the span
	HeapBytes     int64   `json:"heap_bytes"`     // of its core, after the span
	Seconds       float64 `json:"seconds"`        // that the run took
}

func (b *edges) measure(ctx context.Context, r *run) (*Report, error) {
	var d edgesDetail
	var err error
	if d.Few, err = b.region(ctx, r, b.few); err != nil {
		return nil, err
	}
	if d.Many, err = b.region(ctx, r, b.many); err != nil {
		return nil, err
	}
	received := float64(d.Many.ReceivedBytes) / float64(d.Few.ReceivedBytes)
	kept := float64(d.Many.HeapBytes) / float64(d.Few.HeapBytes)
	rep := newReport(
		Quantity{round(max(received, kept), 3), "x", fmt.Sprintf("of what an edge receives (%.3f x) or keeps (%.3f x) among %d edges, compared with among %d", received, kept, b.many, b.few)},
		edgesBar, Quantity{1, "x", "nothing of it depends on the other edges"}, d)
	return rep, nil
}

// region runs two hubs and edges that all count every second, and looks at some of them: what one received in the span, and
// what of memory is its own once all others are gone.
func (b *edges) region(ctx context.Context, r *run, n int) (use edgeUse, err error) {
	r.say("a region of %d edges", n)
	began := time.Now()
	l := &local{now: localStart}
	random := rand.New(rand.NewPCG(b.seed, 9))
	for i := range n + 2 {
		if err := l.addTo("edges", i, i < 2, random); err != nil {
			return use, err
		}
	}
	if err := b.count(ctx, l, random, b.span/2); err != nil {
		return use, err
	}
	some := l.cores[len(l.cores)-min(n, looks):]
	came := receivedBy(some)
	if err := b.count(ctx, l, random, b.span); err != nil {
		return use, err
	}
	use = edgeUse{Edges: n, ReceivedBytes: (receivedBy(some) - came) / int64(len(some)), Seconds: round(time.Since(began).Seconds(), 1)}
	cores := make([]*node.Core, len(some))
	for i, c := range some {
		cores[i] = c.core
	}
	with := heap()
	runtime.KeepAlive(cores)
	clear(cores)
	use.HeapBytes = (with - heap()) / int64(len(cores))
	return use, nil
}

func receivedBy(cores []*localCore) (bytes int64) {
	for _, c := range cores {
		bytes += c.received
	}
	return bytes
}

// count lets time pass in which every edge counts once a second.
func (b *edges) count(ctx context.Context, l *local, random *rand.Rand, span time.Duration) error {
	for end := l.now + span.Milliseconds(); l.now < end; {
		for _, c := range l.cores {
			if c.info.Role == node.RoleEdge {
				l.step(c, node.Submit{Batch: b.batch(random)})
			}
		}
		if err := l.pass(ctx, time.Second); err != nil {
			return err
		}
	}
	return nil
}

// batch is what an edge counts in a second.
func (b *edges) batch(random *rand.Rand) *node.Batch {
	batch := &node.Batch{}
	for i := range b.series {
		batch.Items = append(batch.Items, node.Item{
			Series: &crdt.Series{Name: "bench.edges", Kind: crdt.KindCounter, Labels: []crdt.Label{{Name: "path", Value: fmt.Sprintf("/item/%d", i)}}},
			Inc:    crdt.Value{Kind: crdt.KindCounter, P: crdt.FixedFromUint(1 + random.Uint64N(maxIncrement))},
		})
	}
	return batch
}
