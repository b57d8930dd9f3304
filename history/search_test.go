package history

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"meshd/crdt"
)

// searchable is a store with series of a few names and labels, of nodes and of regions, some of which went.
func searchable(t *rapid.T) *Store {
	s, err := Open(Config{KV: newFakeKV(), Now: clock})
	if err != nil {
		t.Fatal(err)
	}
	drawLabel := func(name string) crdt.Label {
		return crdt.Label{Name: name, Value: rapid.SampledFrom([]string{"a", "b", "ab", "ba", "c"}).Draw(t, name)}
	}
	for i := range rapid.IntRange(1, 40).Draw(t, "series") {
		series := &crdt.Series{Kind: crdt.KindCounter, Name: rapid.SampledFrom([]string{"m", "n", "mn"}).Draw(t, "metric")}
		for _, name := range []string{"host", "path"} {
			if rapid.Bool().Draw(t, "has "+name) {
				series.Labels = append(series.Labels, drawLabel(name))
			}
		}
		from := rapid.SampledFrom([]crdt.Origin{nodeA1, nodeB, hub1, hub2}).Draw(t, "owner")
		if err := s.Apply(uint64(i+1), from, counts(series, ten, base, base+ten)); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// Whatever the index looks up is what walking over all series finds.
func TestTheIndexFindsWhatAWalkFinds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := searchable(t)
		suffix := func(end string) func(string) bool { return func(v string) bool { return strings.HasSuffix(v, end) } }
		sel := Selection{ByNode: rapid.Bool().Draw(t, "by node")}
		for _, name := range []string{"host", "path"} {
			switch rapid.IntRange(0, 3).Draw(t, "condition on "+name) {
			case 1:
				sel.Equal = append(sel.Equal, crdt.Label{Name: name, Value: rapid.SampledFrom([]string{"", "a", "x"}).Draw(t, "value")})
			case 2:
				sel.Where = append(sel.Where, LabelTest{name, suffix(rapid.SampledFrom([]string{"a", "b", "x"}).Draw(t, "end"))})
			}
		}
		if rapid.Bool().Draw(t, "by name") {
			sel.Names = suffix("n")
		}
		want, got := []string{}, []string{}
		for _, e := range s.tables.byID {
			if slices.ContainsFunc(e.pairs, sel.owns) && sel.Wants(e.series) {
				want = append(want, e.series.String())
			}
		}
		if err := s.Series(context.Background(), sel, func(x *crdt.Series) error { got = append(got, x.String()); return nil }); err != nil {
			t.Fatal(err)
		}
		slices.Sort(want)
		slices.Sort(got)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatal(diff)
		}
	})
}

func TestValuesAreThoseOfSeriesInUse(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := searchable(t)
		labels := map[string]map[string]bool{"": {}, "host": {}, "path": {}}
		if err := s.Series(context.Background(), Selection{}, func(x *crdt.Series) error {
			labels[""][x.Name] = true
			for _, l := range x.Labels {
				labels[l.Name][l.Value] = true
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		names := map[string]bool{}
		for label, want := range labels {
			got := map[string]bool{}
			if err := s.Values(context.Background(), label, func(v string) error { got[v] = true; return nil }); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Fatalf("values of %q: %s", label, diff)
			}
			if label != "" && len(want) > 0 {
				names[label] = true
			}
		}
		got := map[string]bool{}
		if err := s.Labels(context.Background(), func(name string) error { got[name] = true; return nil }); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(names, got); diff != "" {
			t.Fatal(diff)
		}
	})
}

func TestSearchesOfTheIndexEndEarly(t *testing.T) {
	s := open(t, newFakeKV())
	apply(t, s, hub1, counts(&crdt.Series{Name: "m", Kind: crdt.KindCounter, Labels: []crdt.Label{{Name: "host", Value: "a"}}}, ten, base, base+ten))
	enough := errors.New("enough")
	stop := func(string) error { return enough }
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for name, search := range map[string]func(context.Context, func(string) error) error{
		"values": func(ctx context.Context, f func(string) error) error { return s.Values(ctx, "host", f) },
		"labels": s.Labels,
	} {
		if err := search(t.Context(), stop); !errors.Is(err, enough) {
			t.Errorf("%s: %v, want the error of f", name, err)
		}
		if err := search(ended, func(string) error { return nil }); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v, want the end of the context", name, err)
		}
	}
}

// A read that wants the newest samples only finds the same ones as a read of everything, in memory, in chunks, and in both.
func TestNewestAreThoseOfAWholeRead(t *testing.T) {
	for seed := range uint64(5) {
		s := open(t, newFakeKV())
		w := newWorld(t, seed, 300)
		for i, a := range w.log {
			if err := s.Apply(a.tag, a.from, a.cells); err != nil {
				t.Fatal(err)
			}
			if i == 200 {
				if err := s.Fold(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
		}
		gauges := func(newest bool) (out []string) {
			for _, byNode := range []bool{false, true} {
				for _, width := range []int64{0, minute, hour} {
					sel := Selection{
						ByNode: byNode, Width: width, From: now.Add(-20 * time.Hour).UnixMilli(), To: now.UnixMilli(), Newest: newest,
						Match: func(s *crdt.Series) bool { return s.Kind == crdt.KindGauge },
					}
					if err := s.Curves(t.Context(), sel, func(c *Curve) error {
						for _, p := range c.Points {
							r := p.Value.X.(*crdt.Rollup)
							out = append(out, fmt.Sprint(c.Owner, width, p.Window, r.Count, r.Last, r.LastValue))
						}
						return nil
					}); err != nil {
						t.Fatal(err)
					}
				}
			}
			slices.Sort(out)
			return out
		}
		whole := gauges(false)
		if len(whole) == 0 {
			t.Fatal("no gauges to compare")
		}
		if diff := cmp.Diff(whole, gauges(true)); diff != "" {
			t.Fatalf("seed %d: %s", seed, diff)
		}
	}
}
