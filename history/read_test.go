package history

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"meshd/crdt"

	"github.com/google/go-cmp/cmp"
)

const (
	ten    = int64(10_000)
	minute = int64(60_000)
	hour   = int64(3_600_000)
)

// counts are cells of a counter, each of its start in ten seconds.
func counts(s *crdt.Series, width, from, to int64) (cells []Cell) {
	for at := from; at < to; at += width {
		cells = append(cells, Cell{Series: s, Window: crdt.Window{Start: at, Width: width}, Value: crdt.Value{Kind: crdt.KindCounter, P: crdt.FixedFromUint(1)}})
	}
	return cells
}

// read returns the points of a selection as runs of windows: "width from-to sum".
func read(t testing.TB, s *Store, sel Selection) []string {
	t.Helper()
	var out []string
	if err := s.Curves(context.Background(), sel, func(c *Curve) error {
		var first, last crdt.Window
		var sum crdt.Fixed
		flush := func() {
			if first.Width > 0 {
				out = append(out, fmt.Sprintf("%s/%s %d: %d-%d = %s", c.Owner.Region, c.Owner.Node, first.Width/1000, (first.Start-base)/1000, (last.Start+last.Width-base)/1000, sum))
			}
			sum = crdt.Fixed{}
		}
		for i, p := range c.Points {
			if i > 0 && p.Window.Start < last.Start+last.Width {
				t.Errorf("window %v overlaps %v", p.Window, last)
			}
			if p.Window.Width != last.Width || p.Window.Start != last.Start+last.Width {
				flush()
				first = p.Window
			}
			last = p.Window
			sum, _ = sum.Add(p.Value.P)
		}
		flush()
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return out
}

// base is an hour of which the tests' windows are.
var base = now.Add(-6 * time.Hour).UnixMilli()

func apply(t testing.TB, s *Store, from crdt.Origin, lists ...[]Cell) {
	t.Helper()
	for _, cells := range lists {
		if err := s.Apply(s.applied+1, from, cells); err != nil {
			t.Fatal(err)
		}
	}
}

func TestReadingTakesTheWidestWindowsOfUse(t *testing.T) {
	series := &crdt.Series{Name: "clicks", Kind: crdt.KindCounter}
	for _, folded := range []bool{false, true} {
		s := open(t, newFakeKV())
		// Two whole hours, 10 whole minutes of the third, and 20 s of the eleventh.
		apply(t, s, nodeB, counts(series, hour, base, base+2*hour), counts(series, minute, base, base+130*minute), counts(series, ten, base, base+130*minute+2*ten))
		if folded {
			if err := s.Fold(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		for _, row := range []struct {
			name string
			sel  Selection
			want []string
		}{
			{"hours", Selection{Width: hour, From: base, To: base + 3*hour}, []string{"eu/b 3600: 0-7200 = 2", "eu/b 60: 7200-7800 = 10", "eu/b 10: 7800-7820 = 2"}},
			{"half an hour is minutes", Selection{Width: hour / 2, From: base, To: base + 3*hour}, []string{"eu/b 60: 0-7800 = 130", "eu/b 10: 7800-7820 = 2"}},
			{"finest", Selection{From: base, To: base + 3*hour}, []string{"eu/b 10: 0-7820 = 782"}},
			{"from within an hour", Selection{Width: hour, From: base + 1, To: base + 2*hour}, []string{"eu/b 3600: 3600-7200 = 1"}},
			{"to within an hour", Selection{Width: hour, From: base, To: base + hour + 1}, []string{"eu/b 3600: 0-7200 = 2"}},
			{"nothing then", Selection{Width: hour, From: base - hour, To: base}, nil},
			{"no time", Selection{From: base, To: base}, nil},
		} {
			t.Run(fmt.Sprintf("%s, folded %v", row.name, folded), func(t *testing.T) {
				row.sel.ByNode = true
				if diff := cmp.Diff(row.want, read(t, s, row.sel)); diff != "" {
					t.Error(diff)
				}
			})
		}
	}
}

// A node that starts again goes on in an hour that its dead incarnation has published: the two must not overlap.
func TestIncarnationsAreAddedWindowByWindow(t *testing.T) {
	series := &crdt.Series{Name: "clicks", Kind: crdt.KindCounter}
	s := open(t, newFakeKV())
	apply(t, s, nodeA1, counts(series, hour, base, base+2*hour), counts(series, minute, base, base+80*minute), counts(series, ten, base, base+80*minute))
	apply(t, s, nodeA2, counts(series, minute, base+80*minute, base+90*minute), counts(series, ten, base+80*minute, base+90*minute+ten))
	got := read(t, s, Selection{ByNode: true, Width: hour, From: base, To: base + 3*hour})
	if diff := cmp.Diff([]string{"eu/a 3600: 0-3600 = 1", "eu/a 60: 3600-5400 = 30", "eu/a 10: 5400-5410 = 1"}, got); diff != "" {
		t.Error(diff)
	}
	apply(t, s, nodeA2, counts(series, hour, base+hour, base+2*hour), counts(series, ten, base, base+ten)) // the hour ends; the clock was set back
	got = read(t, s, Selection{ByNode: true, Width: hour, From: base, To: base + 3*hour})
	if diff := cmp.Diff([]string{"eu/a 3600: 0-7200 = 3"}, got); diff != "" {
		t.Error(diff)
	}
	got = read(t, s, Selection{ByNode: true, From: base, To: base + 3*hour})
	if diff := cmp.Diff([]string{"eu/a 10: 0-5410 = 542"}, got); diff != "" {
		t.Error(diff)
	}
}

// Hubs say the same totals: the most counts, nothing is added.
func TestTotalsOfARegionAreJoinedOverItsHubs(t *testing.T) {
	series := &crdt.Series{Name: "clicks", Kind: crdt.KindCounter}
	s := open(t, newFakeKV())
	apply(t, s, hub1, counts(series, ten, base, base+3*ten))
	apply(t, s, hub2, counts(series, ten, base+ten, base+5*ten))
	if got := read(t, s, Selection{From: base, To: base + hour}); !cmp.Equal(got, []string{"us/ 10: 0-50 = 5"}) {
		t.Error(got)
	}
	if got := read(t, s, Selection{From: base, To: base + hour, Regions: []string{"eu"}}); got != nil {
		t.Error(got)
	}
	if got := read(t, s, Selection{From: base, To: base + hour, ByNode: true}); got != nil {
		t.Error(got)
	}
}

// What is older than its width is kept is read from the next one, as if it were deleted already.
func TestOlderTimesAreReadFromWiderWindows(t *testing.T) {
	series := &crdt.Series{Name: "clicks", Kind: crdt.KindCounter}
	s := open(t, newFakeKV())
	apply(t, s, nodeB, counts(series, hour, base, base+6*hour), counts(series, minute, base, base+6*hour), counts(series, ten, base, base+6*hour))
	if err := s.SetRetention(Retention{}, []Rule{{Match: "cli*", Retention: Retention{Fine: 90 * time.Minute, Minute: 200 * time.Minute}}}); err != nil {
		t.Fatal(err)
	}
	got := read(t, s, Selection{ByNode: true, From: base, To: base + 6*hour})
	// Minutes are kept from 2:40 on, so hours up to 3:00; fine ones from 4:30.
	if diff := cmp.Diff([]string{"eu/b 3600: 0-10800 = 3", "eu/b 60: 10800-16200 = 90", "eu/b 10: 16200-21600 = 540"}, got); diff != "" {
		t.Error(diff)
	}
	if err := s.SetRetention(Retention{}, []Rule{{Match: "{"}}); err == nil {
		t.Error("a pattern that is none was taken")
	}
}

func TestCellsAndSums(t *testing.T) {
	series := &crdt.Series{Name: "clicks", Kind: crdt.KindCounter}
	s := open(t, newFakeKV())
	apply(t, s, nodeA1, counts(series, ten, base, base+minute))
	if err := s.Fold(t.Context()); err != nil {
		t.Fatal(err)
	}
	apply(t, s, nodeA2, counts(series, ten, base, base+minute))
	apply(t, s, hub1, counts(series, ten, base, base+minute))
	keys := []Key{
		{series, crdt.Window{Start: base, Width: ten}},
		{series, crdt.Window{Start: base + minute, Width: ten}},
		{series, crdt.Window{Start: base, Width: minute}},
		{&crdt.Series{Name: "other", Kind: crdt.KindCounter}, crdt.Window{Start: base, Width: ten}},
	}
	for _, row := range []struct {
		name string
		read func() ([]crdt.Value, error)
		want uint64
	}{
		{"an earlier incarnation's, folded", func() ([]crdt.Value, error) { return s.Cells(nodeA1, keys) }, 1},
		{"the living one's", func() ([]crdt.Value, error) { return s.Cells(nodeA2, keys) }, 1},
		{"the totals of any hub", func() ([]crdt.Value, error) { return s.Cells(hub2, keys) }, 1},
		{"all nodes", func() ([]crdt.Value, error) { return s.Sums(keys) }, 2},
		{"none", func() ([]crdt.Value, error) { return s.Cells(nodeB, keys) }, 0},
	} {
		t.Run(row.name, func(t *testing.T) {
			got, err := row.read()
			if err != nil {
				t.Fatal(err)
			}
			want := make([]crdt.Value, len(keys))
			if row.want > 0 {
				want[0] = crdt.Value{Kind: crdt.KindCounter, P: crdt.FixedFromUint(row.want)}
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestSeriesAreFoundByNameAndLabels(t *testing.T) {
	s := open(t, newFakeKV())
	for i := range 3000 {
		series := &crdt.Series{Name: fmt.Sprintf("m%d", i%3), Kind: crdt.KindCounter, Labels: []crdt.Label{{Name: "host", Value: fmt.Sprint(i / 3)}}}
		apply(t, s, nodeB, counts(series, ten, base, base+ten))
	}
	name := func(want string) func(string) bool { return func(n string) bool { return n == want } }
	host := func(v string) []crdt.Label { return []crdt.Label{{Name: "host", Value: v}} }
	for _, row := range []struct {
		name string
		sel  Selection
		want int
	}{
		{"all", Selection{}, 3000},
		{"a name", Selection{Names: name("m1")}, 1000},
		{"a label", Selection{Equal: host("7")}, 3},
		{"both", Selection{Names: name("m1"), Equal: host("7")}, 1},
		{"a test", Selection{Match: func(s *crdt.Series) bool { return s.Get("host") < "1" }}, 3},
		{"no such value", Selection{Equal: host("x")}, 0},
		{"no such name", Selection{Names: name("m")}, 0},
		{"without a label", Selection{Equal: host("")}, 0},
		{"without another", Selection{Names: name("m2"), Equal: []crdt.Label{{Name: "az"}}}, 1000},
		{"elsewhere", Selection{Regions: []string{"us"}}, 0},
	} {
		t.Run(row.name, func(t *testing.T) {
			row.sel.ByNode = true
			seen := make(map[string]bool)
			if err := s.Series(t.Context(), row.sel, func(s *crdt.Series) error {
				seen[s.String()] = true
				return nil
			}); err != nil {
				t.Fatal(err)
			}
			if len(seen) != row.want {
				t.Errorf("%d series, want %d", len(seen), row.want)
			}
		})
	}
}

func TestReadingEndsEarly(t *testing.T) {
	s := open(t, newFakeKV())
	for i := range 100 {
		apply(t, s, nodeB, counts(&crdt.Series{Name: fmt.Sprint(i), Kind: crdt.KindCounter}, ten, base, base+ten))
	}
	sel := Selection{ByNode: true, From: base, To: base + ten}
	enough := errors.New("enough")
	if err := s.Curves(t.Context(), sel, func(*Curve) error { return enough }); !errors.Is(err, enough) {
		t.Errorf("got %v, want the error of yield", err)
	}
	if err := s.Series(t.Context(), sel, func(*crdt.Series) error { return enough }); !errors.Is(err, enough) {
		t.Errorf("got %v, want the error of yield", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Curves(ctx, sel, func(*Curve) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want the end of the context", err)
	}
}
