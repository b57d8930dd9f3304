package bench

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"time"

	"github.com/spf13/pflag"

	"meshd/crdt"
	"meshd/node"
)

const (
	wireBar      = 8  // bytes of UDP payload per changed counter
	heartbeatBar = 16 // bytes of the largest message on an idle session
	maxLifetime  = 1_000_000_000
	maxIncrement = 1000
)

// wire counts the bytes between an edge and its hub.
type wire struct {
	series, changed, flushes int
	idle                     time.Duration
	seed                     uint64
}

func wireBench() Bench {
	return Bench{
		Name: "wire", Summary: "bytes of UDP payload per changed counter, and on an idle session",
		bind: func(fs *pflag.FlagSet) job {
			w := &wire{}
			fs.IntVar(&w.series, "series", 10_000, "`number` of counters")
			fs.IntVar(&w.changed, "changed", 1000, "`number` of random counters that change in a flush")
			fs.IntVar(&w.flushes, "flushes", 100, "`number` of flushes")
			fs.DurationVar(&w.idle, "idle", 20*time.Second, "`time` to watch the idle session")
			fs.Uint64Var(&w.seed, "seed", 1, "`number` that values and choices come from")
			return w
		},
		quick: map[string]string{"flushes": "5", "idle": "3s"},
	}
}

func (w *wire) check() error {
	if w.series < 1 || w.changed < 1 || w.changed > w.series || w.flushes < 1 || w.idle < time.Second {
		return errors.New("--series, --changed and --flushes must be at least 1, --changed at most --series, --idle at least 1s")
	}
	return nil
}

type wireDetail struct {
	Changes int `json:"changes"` // counters that changed, of all flushes
	// Up is from the edge to the hub, Down what comes back: acknowledgements, and the region's totals with what of them
	// is the edge's own.
	Up   wireDirection `json:"up"`
	Down wireDirection `json:"down"`
	// LimitRelative is what an exact coder needs that may send increments to a peer known to have all before.
	LimitRelative float64  `json:"limit_of_increments"`
	Idle          wireIdle `json:"idle"`
}

type wireDirection struct {
	UDPBytes  float64 `json:"udp_payload_bytes_per_change"`
	Datagrams int64   `json:"datagrams"`
	Messages  float64 `json:"message_bytes_per_change"`
	Frames    float64 `json:"frame_message_bytes_per_change"` // frames and pushes alone
}

type wireIdle struct {
	Seconds       float64          `json:"seconds"`
	UpPerSecond   float64          `json:"udp_up_bytes_per_second"`
	DownPerSec    float64          `json:"udp_down_bytes_per_second"`
	Datagrams     int64            `json:"datagrams"`
	Messages      map[string]int64 `json:"messages"` // by type, both directions
	Largest       int              `json:"largest_message_bytes"`
	LargestBar    int              `json:"largest_message_bar_bytes"`
	LargestOf     string           `json:"largest_message_type"`
	Cells         uint64           `json:"cells"` // that travelled: must be none
	LargestPacket int64            `json:"largest_datagram_bytes"`
}

func (w *wire) measure(ctx context.Context, r *run) (*Report, error) {
	p, err := newPair(ctx, r.dir)
	if err != nil {
		return nil, err
	}
	defer p.stop()
	random := rand.New(rand.NewPCG(w.seed, 5))
	series := make([]*crdt.Series, w.series)
	first := &node.Batch{}
	for i := range series {
		series[i] = &crdt.Series{
			Name: "bench.requests", Kind: crdt.KindCounter,
			Labels: []crdt.Label{{Name: "path", Value: fmt.Sprintf("/item/%d", i)}},
		}
		first.Items = append(first.Items, item(series[i], random.Uint64N(maxLifetime)))
	}
	r.say("%d series with lifetimes below %d", w.series, maxLifetime)
	if err := p.count(ctx, first); err != nil {
		return nil, err
	}
	if err := p.quiet(ctx); err != nil { // definitions, and their way back, are not part of the figure
		return nil, err
	}
	up, down := p.edge.meter.read(), p.hub.meter.read()
	for range w.flushes {
		b := &node.Batch{}
		for _, i := range random.Perm(w.series)[:w.changed] {
			b.Items = append(b.Items, item(series[i], 1+random.Uint64N(maxIncrement)))
		}
		if err := p.count(ctx, b); err != nil {
			return nil, err
		}
	}
	if err := p.settle(ctx); err != nil {
		return nil, err
	}
	up, down = p.edge.meter.read().since(up), p.hub.meter.read().since(down)
	d := wireDetail{Changes: w.flushes * w.changed}
	d.Up, d.Down = up.per(d.Changes), down.per(d.Changes)
	r.say("%.2f bytes per changed counter; now %s of nothing", d.Up.UDPBytes, w.idle)
	if err := p.quiet(ctx); err != nil {
		return nil, err
	}
	if d.Idle, err = p.idle(ctx, w.idle); err != nil {
		return nil, err
	}
	return w.report(d), nil
}

func item(s *crdt.Series, amount uint64) node.Item {
	return node.Item{Series: s, Inc: crdt.Value{Kind: crdt.KindCounter, P: crdt.FixedFromUint(amount)}}
}

func (w *wire) report(d wireDetail) *Report {
	which := choiceBits(w.series, w.changed) / float64(w.changed)
	d.LimitRelative = round((which+math.Log2(maxIncrement))/8, 2)
	absolute := (which + math.Log2(maxLifetime)) / 8
	rep := newReport(
		Quantity{d.Up.UDPBytes, "bytes", fmt.Sprintf("UDP payload from edge to hub per changed counter, %d of %d a flush", w.changed, w.series)}, wireBar,
		Quantity{round(absolute, 2), "bytes", "information in which counters changed and their absolute values"}, d)
	rep.miss(d.Idle.Largest > heartbeatBar)
	if d.Idle.Cells > 0 {
		rep.wrong("%d cells travelled on an idle session", d.Idle.Cells)
	}
	return rep
}

// choiceBits is log2 of the ways to choose k of n.
func choiceBits(n, k int) float64 {
	lg := func(x int) float64 { v, _ := math.Lgamma(float64(x) + 1); return v }
	return (lg(n) - lg(k) - lg(n-k)) / math.Ln2
}
