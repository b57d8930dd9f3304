package crdt

import (
	"fmt"
	"maps"
	"testing"

	"pgregory.net/rapid"
)

// subject is what the law tests need to know of a kind.
type subject struct {
	kind Kind
	// inc draws an increment of the writer inc. Domains are small, so that cells collide.
	inc func(t *rapid.T, inc Incarnation) State
	// content returns what makes two states equal, compared with reflect.DeepEqual, independently of AppendBinary.
	content func(x State) any
	// additive: copies of different origins are summed by Combine and by the running sum.
	additive bool
}

var subjects = []subject{
	{kind: KindCounter, additive: true},
	{kind: KindUpDown, additive: true},
	{
		kind: KindGauge,
		inc: func(t *rapid.T, _ Incarnation) State {
			return &Gauge{Time: drawHLC(t), Value: drawFloat(t), Adjust: rapid.Bool().Draw(t, "adjust")}
		},
		content: func(x State) any { return *x.(*Gauge) },
	},
	{
		kind: KindRollup,
		inc: func(t *rapid.T, _ Incarnation) State {
			r := RollupOf(rapid.SliceOfN(rapid.Custom(func(t *rapid.T) *Gauge {
				return &Gauge{Time: drawHLC(t), Value: drawFloat(t)}
			}), 0, 3).Draw(t, "gauges"))
			r.Stamp, r.Expected = drawHLC(t), uint32(rapid.IntRange(0, 3).Draw(t, "expected"))
			return r
		},
		content: func(x State) any {
			r := *x.(*Rollup)
			r.stamp = 0
			return r
		},
	},
	{
		kind:     KindDistribution,
		additive: true,
		inc: func(t *rapid.T, _ Incarnation) State {
			d := new(Distribution)
			for range rapid.IntRange(1, 4).Draw(t, "samples") {
				v := drawFloat(t)
				if err := d.Observe(v, rapid.Uint64Range(0, 3).Draw(t, "weight")); err != nil {
					t.Fatalf("observe %v: %v", v, err)
				}
			}
			return d
		},
		content: func(x State) any {
			d := *x.(*Distribution)
			d.stamp = 0
			return []any{bucketCounts(d.positive), bucketCounts(d.negative), d.zero, d.sumPos, d.sumNeg, d.ranged, d.least, d.greatest, d.count}
		},
	},
	{
		kind: KindUnique,
		inc: func(t *rapid.T, _ Incarnation) State {
			u := new(Unique)
			for range rapid.IntRange(1, 3).Draw(t, "hashes") {
				// 16 neighbouring registers, any rank; or one in a thousand, which soon needs the dense form.
				u.InsertHash(rapid.Uint64Range(0, 15).Draw(t, "register")<<50 | 1<<rapid.IntRange(0, 49).Draw(t, "rank"))
			}
			if rapid.IntRange(0, 7).Draw(t, "many") == 0 {
				for i := range uint64(rapid.IntRange(0, 2_000).Draw(t, "registers")) {
					u.InsertHash(i * 0x9e3779b97f4a7c15)
				}
			}
			return u
		},
		content: func(x State) any {
			ranks := make(map[uint16]uint8)
			x.(*Unique).each(func(index uint16, rank uint8) { ranks[index] = rank })
			return ranks
		},
	},
	{
		kind: KindSet,
		inc: func(t *rapid.T, inc Incarnation) State {
			elems := rapid.SliceOfN(rapid.SampledFrom([]string{"", "a", "b", "c"}), 0, 2)
			return &Set{Inc: inc, Adds: elems.Draw(t, "adds"), Removes: elems.Draw(t, "removes")}
		},
		content: func(x State) any {
			dots := make(map[Dot]addition)
			for d, a := range x.(*Set).dots {
				a.stamp = 0
				dots[d] = a
			}
			return dots
		},
	},
	{
		kind: KindObserved,
		inc: func(t *rapid.T, _ Incarnation) State {
			o := new(Observed)
			for range rapid.IntRange(1, 2).Draw(t, "samples") {
				err := o.Put(Sample{
					Source: rapid.SampledFrom([]string{"", "x", "y"}).Draw(t, "source"),
					Start:  rapid.Int64Range(-1, 1).Draw(t, "start"),
					Time:   rapid.Int64Range(-2, 2).Draw(t, "time"),
					Value:  drawAmount(t, "value"),
				})
				if err != nil {
					t.Fatalf("put: %v", err)
				}
			}
			return o
		},
		content: func(x State) any {
			runs := make(map[run]count)
			for _, r := range x.(*Observed).runs {
				runs[r.run] = r.value
			}
			return runs
		},
	},
	{
		kind: KindHistogram,
		inc: func(t *rapid.T, _ Incarnation) State {
			h := new(Histograms)
			for range rapid.IntRange(1, 2).Draw(t, "snapshots") {
				d := new(Distribution)
				for range rapid.IntRange(0, 3).Draw(t, "samples") {
					if err := d.Observe(rapid.Float64Range(-10, 10).Draw(t, "sample"), 1); err != nil {
						t.Fatal(err)
					}
				}
				source := rapid.SampledFrom([]string{"", "x", "y"}).Draw(t, "source")
				if err := h.Put(source, rapid.Int64Range(-1, 1).Draw(t, "start"), d); err != nil {
					t.Fatal(err)
				}
			}
			return h
		},
		content: func(x State) any {
			runs := make(map[run]string)
			for _, r := range x.(*Histograms).runs {
				runs[r.run] = string(r.value.d.AppendBinary(nil))
			}
			return runs
		},
	},
}

func bucketCounts(bs buckets) map[bucketKey]uint64 {
	out := make(map[bucketKey]uint64)
	for _, b := range bs {
		out[b.key] = b.count
	}
	return out
}

func drawHLC(t *rapid.T) HLC {
	return HLCFrom(rapid.Int64Range(1, 4).Draw(t, "ms"), rapid.Uint16Range(0, 1).Draw(t, "logical"))
}

func drawFloat(t *rapid.T) float64 {
	return rapid.OneOf(rapid.SampledFrom([]float64{0, 1, -1, 0.5, 3}), rapid.Float64Range(-1e9, 1e9)).Draw(t, "float")
}

func drawAmount(t *rapid.T, name string) Fixed {
	return rapid.OneOf(
		rapid.Map(rapid.Uint64Range(0, 3), FixedFromUint),
		rapid.Custom(func(t *rapid.T) Fixed {
			return Fixed{Hi: rapid.Uint64Range(0, 1<<40).Draw(t, "hi"), Lo: rapid.Uint64().Draw(t, "lo")}
		}),
	).Draw(t, name)
}

func incarnation(n int) Incarnation { return Incarnation{0: byte(n), 15: 1} }

// drawInc draws an increment of the writer inc.
func (s *subject) drawInc(t *rapid.T, inc Incarnation) *Value {
	switch s.kind {
	case KindCounter:
		return &Value{Kind: s.kind, P: drawAmount(t, "p")}
	case KindUpDown:
		return &Value{Kind: s.kind, P: drawAmount(t, "p"), N: drawAmount(t, "n")}
	default:
		return &Value{Kind: s.kind, X: s.inc(t, inc)}
	}
}

// drawValue draws an element of the kind's lattice: the join of what a few writers wrote, so that two draws are
// seldom comparable.
func (s *subject) drawValue(t *rapid.T, name string) *Value {
	v := Bottom(s.kind)
	for i := range rapid.IntRange(0, 2).Draw(t, name+" writers") {
		w := newWriter(s, rapid.IntRange(0, 2).Draw(t, "writer"))
		w.head = uint64(rapid.IntRange(0, 1).Draw(t, "head"))
		for range rapid.IntRange(0, 3).Draw(t, fmt.Sprintf("%s writes %d", name, i)) {
			w.write(t)
		}
		mustJoin(t, &v, &w.cell, 0)
	}
	return &v
}

func (s *subject) contents(v *Value) any {
	if s.content == nil {
		return [2]Fixed{v.P, v.N}
	}
	x := v.X
	if x == nil {
		x = NewState(v.Kind)
	}
	return s.content(x)
}

// writer is the single writer of one cell.
type writer struct {
	s    *subject
	inc  Incarnation
	cell Value
	head uint64
	seq  uint64 // of the cell's last change
}

func newWriter(s *subject, n int) *writer {
	return &writer{s: s, inc: incarnation(n), cell: Bottom(s.kind)}
}

func (w *writer) write(t *rapid.T) {
	d, err := w.cell.Next(w.s.drawInc(t, w.inc))
	if err != nil {
		t.Fatalf("next: %v", err)
	}
	w.head++
	if mustJoin(t, &w.cell, &d, w.head) {
		w.seq = w.head
	}
}

// failer is what *rapid.T and *testing.T share.
type failer interface {
	Helper()
	Fatalf(format string, args ...any)
}

// mustJoin joins with stamp, or with the stamp that d carries if it is 0.
func mustJoin(t failer, v, d *Value, stamp uint64) bool {
	t.Helper()
	rose, err := v.Join(d, stamp, nil, 0)
	if err != nil {
		t.Fatalf("join: %v", err)
	}
	return rose
}

func joined(t failer, a, b *Value) *Value {
	t.Helper()
	out := a.Clone()
	mustJoin(t, &out, b, 0)
	return &out
}

func bytesOf(v *Value) string { return string(v.AppendBinary(nil)) }

// atMost reports whether a is below or equal to b.
func atMost(t failer, a, b *Value) bool { return bytesOf(joined(t, a, b)) == bytesOf(b) }

// forEachKind runs a property for every kind of subjects that keep accepts (nil accepts all).
func forEachKind(t *testing.T, keep func(*subject) bool, property func(t *rapid.T, s *subject)) {
	for i := range subjects {
		s := &subjects[i]
		if keep != nil && !keep(s) {
			continue
		}
		t.Run(s.kind.String(), func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) { property(t, s) })
		})
	}
}

func TestEveryKindHasItsLawsTested(t *testing.T) {
	tested := make(map[Kind]bool)
	for _, s := range subjects {
		tested[s.kind] = true
	}
	want := make(map[Kind]bool)
	for k := KindCounter; k.Valid(); k++ {
		want[k] = true
	}
	if !maps.Equal(tested, want) {
		t.Fatalf("tested %v, want %v", tested, want)
	}
}
