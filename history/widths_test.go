package history

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"meshd/crdt"
)

// sumOf adds up a curve of regions or nodes.
func sumOf(t *testing.T, s *Store, sel Selection) (sum crdt.Fixed, widths map[int64]int) {
	t.Helper()
	widths = map[int64]int{}
	if err := s.Curves(context.Background(), sel, func(c *Curve) error {
		for i, p := range c.Points {
			if i > 0 && p.Window.Start < c.Points[i-1].Window.Start {
				t.Errorf("window %v behind %v", p.Window, c.Points[i-1].Window)
			}
			widths[p.Window.Width]++
			sum, _ = sum.Add(p.Value.P)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return sum, widths
}

// Nodes need not keep windows of one fine width, and one that starts again may have another: each is a part of its region's total, and
// none stands for another.
func TestFineWindowsOfSeveralWidthsAreAdded(t *testing.T) {
	series := &crdt.Series{Name: "clicks", Kind: crdt.KindCounter}
	region := crdt.Origin{Class: crdt.ClassRegion, Region: "eu"}
	const five = ten / 2
	for _, folded := range []bool{false, true} {
		s := open(t, newFakeKV())
		// One node counts 1 in ten seconds all the time, another 1 in ten seconds for ten minutes and then in five.
		tens := append(counts(series, ten, base, base+10*minute), counts(series, ten, base, base+20*minute)...)
		apply(t, s, nodeB, tens)
		apply(t, s, nodeA1, counts(series, ten, base, base+10*minute), counts(series, minute, base, base+10*minute))
		apply(t, s, nodeA2, counts(series, five, base+10*minute, base+20*minute), counts(series, minute, base+10*minute, base+20*minute))
		apply(t, s, region, counts(series, ten, base, base+20*minute), counts(series, five, base+10*minute, base+20*minute), counts(series, minute, base, base+20*minute))
		if folded {
			if err := s.Fold(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		for _, row := range []struct {
			name   string
			sel    Selection
			sum    uint64
			widths map[int64]int
		}{
			{"region, finest", Selection{To: base + hour}, 120 + 120, map[int64]int{ten: 120, five: 120}},
			{"region, before", Selection{To: base + 10*minute}, 60, map[int64]int{ten: 60}},
			{"region, ten seconds", Selection{To: base + hour, Width: ten}, 120 + 120, map[int64]int{ten: 120, five: 120}},
			{"region, minutes", Selection{To: base + hour, Width: minute}, 20, map[int64]int{minute: 20}},
			{"nodes", Selection{To: base + hour, ByNode: true}, 120 + 60 + 120, map[int64]int{ten: 120 + 60, five: 120}},
		} {
			sum, widths := sumOf(t, s, row.sel)
			if diff := cmp.Diff(row.widths, widths); diff != "" || sum != crdt.FixedFromUint(row.sum) {
				t.Errorf("%s, folded %t: %s, want %d; widths %s", row.name, folded, sum, row.sum, diff)
			}
		}
	}
}

// The first rule that fits a name says how long its windows are kept; what is older is read from wider ones, until these are gone, too.
func TestRulesSayHowLongASeriesIsKept(t *testing.T) {
	at := now
	rules := []Rule{
		{Match: "orders.paid", Retention: Retention{Fine: day}},
		{Match: "orders.*", Retention: Retention{Fine: 30 * day, Minute: 30 * day}},
		{Match: "noise.*", Retention: Retention{Fine: day, Minute: 2 * day, Hour: 3 * day}},
	}
	kv := newFakeKV()
	s, err := Open(Config{KV: kv, Now: func() time.Time { return at }, Rules: rules})
	if err != nil {
		t.Fatal(err)
	}
	names := []string{"orders.paid", "orders.open", "noise.http", "clicks"}
	for _, name := range names {
		series := &crdt.Series{Name: name, Kind: crdt.KindCounter}
		apply(t, s, nodeB, counts(series, ten, base, base+hour), counts(series, minute, base, base+hour), counts(series, hour, base, base+hour))
	}
	if err := s.Fold(t.Context()); err != nil {
		t.Fatal(err)
	}
	widthOf := func(s *Store, name string) (width int64) {
		_, widths := sumOf(t, s, Selection{Names: func(n string) bool { return n == name }, To: base + hour, ByNode: true})
		for w := range widths {
			width = max(width, w)
		}
		return width
	}
	for _, row := range []struct {
		after time.Duration
		want  map[string]int64 // the width that answers; 0: none
	}{
		{12 * time.Hour, map[string]int64{"orders.paid": ten, "orders.open": ten, "noise.http": ten, "clicks": ten}},
		{36 * time.Hour, map[string]int64{"orders.paid": minute, "orders.open": ten, "noise.http": minute, "clicks": ten}},
		{60 * time.Hour, map[string]int64{"orders.paid": minute, "orders.open": ten, "noise.http": hour, "clicks": ten}},
		{4 * day, map[string]int64{"orders.paid": minute, "orders.open": ten, "noise.http": 0, "clicks": ten}},
		{8 * day, map[string]int64{"orders.paid": minute, "orders.open": ten, "noise.http": 0, "clicks": minute}},
		{31 * day, map[string]int64{"orders.paid": hour, "orders.open": hour, "noise.http": 0, "clicks": hour}},
	} {
		at = now.Add(row.after)
		for _, expired := range []bool{false, true} { // what has expired is not read from that moment on, whenever its disk is given back
			if expired {
				if err := s.Expire(t.Context(), never); err != nil {
					t.Fatal(err)
				}
			}
			again, err := Open(Config{KV: kv, Now: func() time.Time { return at }, Rules: rules})
			if err != nil {
				t.Fatal(err)
			}
			for _, name := range names {
				for _, store := range []*Store{s, again} {
					if got := widthOf(store, name); got != row.want[name] {
						t.Errorf("%s after %v, expired %t: from windows of %d ms, want %d", name, row.after, expired, got, row.want[name])
					}
				}
			}
		}
	}
	// A rule that keeps for longer brings nothing back that is gone, and hides nothing that is kept.
	longer := []Rule{{Match: "*", Retention: Retention{Fine: 366 * day, Minute: 366 * day}}}
	if err := s.SetRetention(Retention{}, longer); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]int64{"orders.paid": hour, "orders.open": hour, "noise.http": 0, "clicks": hour} {
		again, err := Open(Config{KV: kv, Now: func() time.Time { return at }, Rules: longer})
		if err != nil {
			t.Fatal(err)
		}
		for _, store := range []*Store{s, again} {
			if got := widthOf(store, name); got != want {
				t.Errorf("%s is read from windows of %d ms, want %d", name, got, want)
			}
		}
	}
}
