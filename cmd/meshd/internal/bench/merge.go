package bench

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/spf13/pflag"

	"meshd/crdt"
	wirefmt "meshd/internal/wire"
	"meshd/reconcile"
)

// merge measures how many cells one core joins in a second, from the bytes of frames to a region's totals.
type merge struct {
	series, changed, frames int
	rounds                  int
	seed                    uint64
}

func mergeBench() Bench {
	return Bench{
		Name: "merge", Summary: "cells joined a second by one core, from frame bytes to a region's totals",
		bind: func(fs *pflag.FlagSet) job {
			m := &merge{}
			fs.IntVar(&m.series, "series", 10_000, "`number` of series of the origin")
			fs.IntVar(&m.changed, "changed", 1000, "`number` of cells in a frame")
			fs.IntVar(&m.frames, "frames", 100, "`number` of frames in a round")
			fs.IntVar(&m.rounds, "rounds", 20, "`number` of rounds, of which the fastest counts: others use this machine too")
			fs.Uint64Var(&m.seed, "seed", 1, "`number` that values and choices come from")
			return m
		},
		quick: map[string]string{"rounds": "2", "frames": "10", "series": "1000", "changed": "100"},
	}
}

func (b *merge) check() error {
	if b.series < 1 || b.changed < 1 || b.changed > b.series || b.frames < 1 || b.rounds < 1 {
		return errors.New("--series, --changed, --frames and --rounds must be at least 1, --changed at most --series")
	}
	return nil
}

type mergeDetail struct {
	Counters      mergeRate `json:"counters"`
	Distributions mergeRate `json:"distributions"`
	// ParseOnly is the part of reading the same frames of counters.
	ParseOnly float64 `json:"parse_only_cells_per_second"`
}

type mergeRate struct {
	CellsPerSecond float64 `json:"cells_per_second"`
	BytesPerCell   float64 `json:"frame_bytes_per_cell"`
	PartsPerCell   float64 `json:"parts_per_cell,omitempty"` // changed buckets
}

func (b *merge) measure(ctx context.Context, r *run) (*Report, error) {
	var d mergeDetail
	counters, err := b.script("edge", crdt.Incarnation{1}, crdt.KindCounter, b.series, b.changed)
	if err != nil {
		return nil, err
	}
	distributions, err := b.script("edge", crdt.Incarnation{1}, crdt.KindDistribution, max(1, b.series/10), max(1, b.changed/10))
	if err != nil {
		return nil, err
	}
	if d.Counters, err = b.time(ctx, counters); err != nil {
		return nil, err
	}
	if d.Distributions, err = b.time(ctx, distributions); err != nil {
		return nil, err
	}
	d.Distributions.PartsPerCell = samplesPerCell
	if d.ParseOnly, err = b.parseOnly(ctx, counters); err != nil {
		return nil, err
	}
	limit := b.bareLoop(ctx)
	rep := newReport(
		Quantity{d.Counters.CellsPerSecond, "cells/s", fmt.Sprintf("counters joined by one core from frames of %d; distributions: %.0f cells/s", b.changed, d.Distributions.CellsPerSecond)},
		-1, Quantity{limit, "cells/s", "the same choice of cells, max and add of 128-bit numbers in an array"}, d)
	return rep, ctx.Err()
}

// script is what one origin sends: a frame with the definitions, then frames of changes.
type script struct {
	origin crdt.Origin
	first  []byte
	frames [][]byte
	cells  int
	bytes  int
	kind   crdt.Kind
	total  crdt.Value // of all series, in the end
}

// samplesPerCell is how many samples a distribution gains between two frames: most fall into buckets of their own.
const samplesPerCell = 20

// script writes the frames that the origin of a node would, by the rules that its node follows: values move by Next and Join.
func (b *merge) script(node string, inc crdt.Incarnation, kind crdt.Kind, series, changed int) (*script, error) {
	random := rand.New(rand.NewPCG(b.seed, 7))
	s := &script{
		origin: crdt.Origin{Class: crdt.ClassNode, Region: pairRegion, Node: node, Inc: inc}, kind: kind,
		total: crdt.Value{Kind: kind},
	}
	cells := make([]crdt.Value, series)
	write := func(seq uint64, refs []int, defs bool) ([]byte, error) {
		f := &wirefmt.Frame{Origin: s.origin, From: seq - 1, To: seq, Head: seq}
		for _, ref := range refs {
			cells[ref].Kind = kind
			inc, err := increment(kind, random)
			if err != nil {
				return nil, err
			}
			next, err := cells[ref].Next(&inc)
			if err != nil {
				return nil, err
			}
			if _, err := cells[ref].Join(&next, seq, &s.total, seq); err != nil {
				return nil, err
			}
			if defs {
				f.Defs = append(f.Defs, wirefmt.Def{Ref: uint32(ref), Seq: seq, Series: crdt.Series{
					Name: "bench.merge", Kind: kind, Labels: []crdt.Label{{Name: "path", Value: fmt.Sprintf("/item/%d", ref)}},
				}})
			}
			f.Cells = append(f.Cells, wirefmt.Cell{Ref: uint32(ref), Seq: seq, Value: next})
		}
		f.Sort()
		return wirefmt.AppendFrame(nil, f)
	}
	all := make([]int, series)
	for i := range all {
		all[i] = i
	}
	var err error
	if s.first, err = write(1, all, true); err != nil {
		return nil, err
	}
	for k := range b.frames {
		refs := random.Perm(series)[:changed]
		slices.Sort(refs)
		raw, err := write(uint64(k)+2, refs, false)
		if err != nil {
			return nil, err
		}
		s.frames = append(s.frames, raw)
		s.cells += changed
		s.bytes += len(raw)
	}
	return s, nil
}

func increment(kind crdt.Kind, random *rand.Rand) (crdt.Value, error) {
	if kind == crdt.KindCounter {
		return crdt.Value{Kind: kind, P: crdt.FixedFromUint(1 + random.Uint64N(maxIncrement))}, nil
	}
	d := new(crdt.Distribution)
	for range samplesPerCell {
		if err := d.Observe(20+random.ExpFloat64()*40, 1); err != nil {
			return crdt.Value{}, err
		}
	}
	return crdt.Value{Kind: kind, X: d}, nil
}

// time joins the script as a hub does, into an empty region each round.
func (b *merge) time(ctx context.Context, s *script) (mergeRate, error) {
	best := time.Duration(1 << 62)
	for range b.rounds {
		if ctx.Err() != nil {
			return mergeRate{}, ctx.Err()
		}
		total := crdt.Origin{Class: crdt.ClassRegion, Region: pairRegion, Node: "hub", Inc: crdt.Incarnation{2}}
		g := reconcile.NewRegion(total, reconcile.NewCatalog())
		if err := join(g, s.first); err != nil {
			return mergeRate{}, err
		}
		started := time.Now()
		for _, raw := range s.frames {
			if err := join(g, raw); err != nil {
				return mergeRate{}, err
			}
		}
		best = min(best, time.Since(started))
		if err := sameTotal(g, s); err != nil {
			return mergeRate{}, err
		}
	}
	return mergeRate{
		CellsPerSecond: round(float64(s.cells)/best.Seconds(), 0), BytesPerCell: round(float64(s.bytes)/float64(s.cells), 2),
	}, nil
}

func join(g *reconcile.Region, raw []byte) error {
	f, err := wirefmt.ParseFrame(raw)
	if err != nil {
		return err
	}
	if err := g.Replica(f.Origin).Check(f); err != nil {
		return err
	}
	_, err = g.Apply(f)
	g.Total.Close()
	return err
}

// sameTotal compares the region's totals with what the writer counted: a fast merge must be a right one.
func sameTotal(g *reconcile.Region, s *script) error {
	sum := crdt.Value{Kind: s.kind}
	var err error
	g.Total.Each(func(_ reconcile.SeriesID, v *crdt.Value, _ uint64) { err = errors.Join(err, sum.Combine(v)) })
	if err != nil {
		return err
	}
	if got, want := sum.AppendBinary(nil), s.total.AppendBinary(nil); !slices.Equal(got, want) {
		return fmt.Errorf("the totals of %v differ from what was written", s.kind)
	}
	return nil
}

func (b *merge) parseOnly(ctx context.Context, s *script) (float64, error) {
	best := time.Duration(1 << 62)
	for range b.rounds {
		if ctx.Err() != nil {
			return 0, ctx.Err()
		}
		started := time.Now()
		for _, raw := range s.frames {
			if _, err := wirefmt.ParseFrame(raw); err != nil {
				return 0, err
			}
		}
		best = min(best, time.Since(started))
	}
	return round(float64(s.cells)/best.Seconds(), 0), nil
}

// bareLoop is what joining costs if nothing is parsed, looked up or checked.
func (b *merge) bareLoop(ctx context.Context) float64 {
	random := rand.New(rand.NewPCG(b.seed, 7))
	cells, totals := make([]crdt.Fixed, b.series), make([]crdt.Fixed, b.series)
	refs := make([][]int, b.frames)
	for k := range refs {
		refs[k] = random.Perm(b.series)[:b.changed]
		slices.Sort(refs[k])
	}
	best := time.Duration(1 << 62)
	var to uint64
	for range b.rounds {
		if ctx.Err() != nil {
			break
		}
		started := time.Now()
		for _, frame := range refs {
			to += maxIncrement
			v := crdt.FixedFromUint(to)
			for _, ref := range frame {
				if cells[ref].Less(v) {
					totals[ref], _ = totals[ref].Add(v.Sub(cells[ref]))
					cells[ref] = v
				}
			}
		}
		best = min(best, time.Since(started))
	}
	return round(float64(b.frames*b.changed)/best.Seconds(), 0)
}
