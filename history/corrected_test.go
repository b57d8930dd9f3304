package history

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"meshd/crdt"
)

const correctionA, correctionB = "00000000000000aa", "00000000000000bb"

// listed returns all that a source answers for a selection, by owner and series.
func listed(t *rapid.T, src Source, sel Selection) map[string]string {
	out := map[string]string{}
	if err := src.Curves(context.Background(), sel, func(c *Curve) error {
		var text strings.Builder
		end := int64(0)
		for _, p := range c.Points {
			if p.Window.Start < end {
				t.Fatalf("%s: window %v overlaps the one before", c.Series, p.Window)
			}
			end = p.Window.End()
			fmt.Fprintf(&text, "%d/%d=%s-%s ", (p.Window.Start-base)/1000, p.Window.Width/1000, p.Value.P, p.Value.N)
		}
		key := c.Owner.Region + "/" + c.Owner.Node + " " + c.Series.String()
		if out[key] != "" {
			t.Fatalf("%s comes twice", key)
		}
		out[key] = text.String()
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return out
}

// TestCorrectedCurvesAreThoseOfTheRightRule: a history of what a wrong rule counted, with sides, answers as one of what the right rule counts; and as
// long as no correction counts, as if there were no sides.
func TestCorrectedCurvesAreThoseOfTheRightRule(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		kind := rapid.SampledFrom([]crdt.Kind{crdt.KindCounter, crdt.KindUpDown}).Draw(r, "kind")
		series := func(i int) *crdt.Series {
			return &crdt.Series{Name: "clicks", Kind: kind, Labels: []crdt.Label{{Name: "ad", Value: fmt.Sprint(i)}}}
		}
		total := crdt.Origin{Class: crdt.ClassRegion, Region: nodeA1.Region, Node: "hub", Inc: crdt.Incarnation{9}}
		wrong, right, sided := newSums(), newSums(), newSums()
		for range rapid.IntRange(1, 25).Draw(r, "events") {
			at := base + rapid.Int64Range(0, 2*hour/ten-1).Draw(r, "at")*ten
			from := rapid.SampledFrom([]crdt.Origin{nodeA1, nodeB}).Draw(r, "node")
			v := crdt.Value{Kind: kind, P: crdt.FixedFromUint(rapid.Uint64Range(1, 9).Draw(r, "amount"))}
			if kind == crdt.KindUpDown && rapid.Bool().Draw(r, "down") {
				v.P, v.N = v.N, v.P
			}
			was, is := rapid.IntRange(0, 2).Draw(r, "counted as"), rapid.IntRange(0, 3).Draw(r, "should have been")
			wrong.add(from, total, series(was), at, v)
			right.add(from, total, series(is), at, v)
			if was != is {
				hub := nodeB // which writes what stands beside
				sided.add(hub, total, series(was).Beside(crdt.Side{ID: correctionA, Minus: true, Node: from.Node}), at, v)
				sided.add(hub, total, series(is).Beside(crdt.Side{ID: correctionA, Node: from.Node}), at, v)
				sided.add(hub, total, series(is).Beside(crdt.Side{ID: correctionB, Node: from.Node}), at, v) // of one that does not count
			}
		}
		have, want, plain := open(t, newFakeKV()), open(t, newFakeKV()), open(t, newFakeKV())
		wrong.into(t, have)
		sided.into(t, have)
		right.into(t, want)
		wrong.into(t, plain)
		if rapid.Bool().Draw(r, "folded") {
			if err := have.Fold(context.Background()); err != nil {
				r.Fatal(err)
			}
		}
		sel := Selection{
			From: base, To: base + 2*hour, ByNode: rapid.Bool().Draw(r, "by node"),
			Width: rapid.SampledFrom([]int64{0, minute, hour}).Draw(r, "width"),
		}
		if rapid.Bool().Draw(r, "one") {
			sel.Equal = []crdt.Label{{Name: "ad", Value: "1"}}
			sel.Match = func(s *crdt.Series) bool { return s.Get("ad") == "1" }
		}
		before := &crdt.Corrections{Number: 1}
		if d := cmp.Diff(listed(r, plain, sel), listed(r, Correct(have, before), sel)); d != "" {
			r.Fatalf("nothing counts yet (-want +got):\n%s", d)
		}
		counts := &crdt.Corrections{Number: 2, IDs: []string{correctionA}}
		if d := cmp.Diff(listed(r, want, sel), listed(r, Correct(have, counts), sel)); d != "" {
			r.Fatalf("with the correction (-want +got):\n%s", d)
		}
		names := func(src Source) []string {
			seen := map[string]bool{}
			if err := src.Series(context.Background(), sel, func(s *crdt.Series) error {
				if seen[s.String()] {
					r.Fatalf("%s comes twice", s)
				}
				seen[s.String()] = true
				return nil
			}); err != nil {
				r.Fatal(err)
			}
			return slices.Sorted(maps.Keys(seen))
		}
		got := names(Correct(have, counts))
		for _, s := range names(want) {
			if !slices.Contains(got, s) {
				r.Fatalf("%s is not among %v", s, got)
			}
		}
		if n, err := Uncovered(context.Background(), have, correctionA, base, base+2*hour); n != 0 || err != nil {
			r.Fatalf("%d windows uncovered, %v", n, err)
		}
	})
}

func TestWhatIsCorrectedMayLack(t *testing.T) {
	s := open(t, newFakeKV())
	series := &crdt.Series{Name: "clicks", Kind: crdt.KindCounter}
	apply(t, s, nodeA1, counts(series, ten, base, base+2*ten))
	apply(t, s, nodeA1, counts(series.Beside(crdt.Side{ID: correctionA, Minus: true, Node: "n"}), ten, base+ten, base+4*ten))
	total := crdt.Origin{Class: crdt.ClassRegion, Region: nodeA1.Region, Node: "hub"}
	apply(t, s, total, counts(series, ten, base, base+2*ten), counts(series.Beside(crdt.Side{ID: correctionA, Minus: true, Node: "n"}), ten, base+ten, base+4*ten))
	if n, err := Uncovered(t.Context(), s, correctionA, base, base+hour); n != 2 || err != nil {
		t.Errorf("%d windows uncovered, %v, want 2", n, err)
	}
	if n, err := Uncovered(t.Context(), s, correctionA, base+2*ten+1, base+hour); n != 2 || err != nil {
		t.Errorf("%d windows uncovered of events from within the first of them, %v, want 2", n, err)
	}
	labels := []string{}
	index := Correct(s, &crdt.Corrections{IDs: []string{correctionA}}).(Searcher)
	if err := index.Labels(t.Context(), func(name string) error {
		labels = append(labels, name)
		return nil
	}); err != nil || len(labels) != 0 {
		t.Errorf("labels %v, %v", labels, err)
	}
	if err := index.Values(t.Context(), crdt.CorrectionLabel, func(v string) error { return fmt.Errorf("the value %q", v) }); err != nil {
		t.Error(err)
	}
	if Correct(s, nil) != Source(s) {
		t.Error("a history without sides is not the history itself")
	}
}

// sums are windows as nodes and their hub would publish them: of all widths, absolute.
type sums struct{ cells map[sumKey]*Cell }

type sumKey struct {
	from   crdt.Origin
	series string
	window crdt.Window
}

func newSums() *sums { return &sums{map[sumKey]*Cell{}} }

func (s *sums) add(from, total crdt.Origin, series *crdt.Series, at int64, v crdt.Value) {
	for _, o := range []crdt.Origin{from, total} {
		for _, width := range []int64{ten, minute, hour} {
			k := sumKey{o, string(series.AppendKey(nil)), crdt.WindowAt(at, width)}
			c := s.cells[k]
			if c == nil {
				c = &Cell{Series: series, Window: k.window, Value: crdt.Bottom(v.Kind)}
				s.cells[k] = c
			}
			if err := c.Value.Combine(&v); err != nil {
				panic(err) // single digits
			}
		}
	}
}

func (s *sums) into(t testing.TB, to *Store) {
	by := map[crdt.Origin][]Cell{}
	for k, c := range s.cells {
		by[k.from] = append(by[k.from], *c)
	}
	for o, cells := range by {
		slices.SortFunc(cells, func(a, b Cell) int {
			if a.Window.Width != b.Window.Width {
				return int(a.Window.Width - b.Window.Width)
			}
			return int(a.Window.Start - b.Window.Start)
		})
		apply(t, to, o, cells)
	}
}
