package history

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"meshd/crdt"

	"github.com/google/go-cmp/cmp"
)

// now is when the tests' clock stands still: the truth's windows are of the day before.
var now = time.Date(2026, 3, 15, 12, 0, 0, 0, time.UTC)

func clock() time.Time { return now }

var (
	nodeA1 = crdt.Origin{Class: crdt.ClassNode, Region: "eu", Node: "a", Inc: crdt.Incarnation{1}}
	nodeA2 = crdt.Origin{Class: crdt.ClassNode, Region: "eu", Node: "a", Inc: crdt.Incarnation{2}}
	nodeB  = crdt.Origin{Class: crdt.ClassNode, Region: "eu", Node: "b", Inc: crdt.Incarnation{3}}
	hub1   = crdt.Origin{Class: crdt.ClassRegion, Region: "us", Node: "h1", Inc: crdt.Incarnation{4}}
	hub2   = crdt.Origin{Class: crdt.ClassRegion, Region: "us", Node: "h2", Inc: crdt.Incarnation{5}}
)

func open(t testing.TB, kv KV) *Store {
	t.Helper()
	s, err := Open(Config{KV: kv, Now: clock})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// applied is one call of Apply.
type applied struct {
	tag   uint64
	from  crdt.Origin
	cells []Cell
}

// world is what was published, and what it comes to.
type world struct {
	log   []applied
	truth map[string]crdt.Value // by owner, series and window: joined over hubs and repeats, added over incarnations
}

// cellAt returns an absolute value, growing with version.
func cellAt(s *crdt.Series, w crdt.Window, version uint64) Cell {
	v := crdt.Value{Kind: s.Kind}
	switch s.Kind {
	case crdt.KindCounter:
		v.P = crdt.FixedFromUint(1000*version + uint64(w.Start/1000)%7)
	case crdt.KindUpDown:
		v.P, v.N = crdt.FixedFromUint(version), crdt.FixedFromUint(2*version)
	case crdt.KindGauge:
		r := new(crdt.Rollup)
		for i := range version {
			r.AddGauge(&crdt.Gauge{Time: crdt.HLCFrom(w.Start+int64(i), 0), Value: float64(i)})
		}
		r.Stamp = crdt.HLC(r.Count)
		v = crdt.Value{Kind: crdt.KindRollup, X: r}
	default:
		d := new(crdt.Distribution)
		for i := range version {
			_ = d.Observe(float64(w.Start/1000%5+int64(i)), 1)
		}
		v.X = d
	}
	return Cell{Series: s, Window: w, Value: v}
}

// newWorld draws publications: rising values of the same windows, in any order, repeated.
func newWorld(t testing.TB, seed uint64, n int) *world {
	rnd := rand.New(rand.NewPCG(seed, 7))
	series := []*crdt.Series{
		{Name: "clicks", Kind: crdt.KindCounter},
		{Name: "clicks", Kind: crdt.KindUpDown},
		{Name: "load", Kind: crdt.KindGauge, Labels: []crdt.Label{{Name: "host", Value: "a"}}},
		{Name: "latency", Kind: crdt.KindDistribution, Labels: []crdt.Label{{Name: "host", Value: "b"}}},
	}
	w := &world{truth: make(map[string]crdt.Value)}
	perOrigin := make(map[string]crdt.Value)
	begin := now.Add(-20 * time.Hour).UnixMilli()
	for tag := range n {
		from := []crdt.Origin{nodeA1, nodeA2, nodeB, hub1, hub2}[rnd.IntN(5)]
		a := applied{tag: uint64(tag + 1), from: from}
		for range rnd.IntN(8) {
			s := series[rnd.IntN(len(series))]
			width := []int64{10_000, 60_000, 3_600_000}[rnd.IntN(3)]
			start := floor(begin+rnd.Int64N(18*3_600_000), width)
			if rnd.IntN(2) == 0 {
				start = floor(begin, width) + width*int64(tag/20)
			}
			c := cellAt(s, crdt.Window{Start: start, Width: width}, 1+rnd.Uint64N(4))
			a.cells = append(a.cells, c)
			key := ownerOf(from).String() + " " + pointKey(s, c.Window)
			v, held := perOrigin[key]
			if !held {
				v = crdt.Bottom(c.Value.Kind)
			}
			if _, err := v.Join(&c.Value, 0, nil, 0); err != nil {
				t.Fatal(err)
			}
			perOrigin[key] = v
		}
		w.log = append(w.log, a)
	}
	for _, key := range slices.Sorted(maps.Keys(perOrigin)) {
		v := perOrigin[key]
		var owner, rest string
		if _, err := fmt.Sscan(key, &owner); err != nil {
			t.Fatal(err)
		}
		rest = key[len(owner):]
		owner = owner[:len(owner)-9] // without the incarnation
		sum, held := w.truth[owner+rest]
		if !held {
			sum = crdt.Bottom(v.Kind)
		}
		if err := sum.Combine(&v); err != nil {
			t.Fatal(err)
		}
		w.truth[owner+rest] = sum
	}
	return w
}

func pointKey(s *crdt.Series, w crdt.Window) string {
	return fmt.Sprintf("%s %d+%d", s, w.Start, w.Width)
}

func (w *world) want() []string {
	var out []string
	for key, v := range w.truth {
		out = append(out, fmt.Sprintf("%s %x", key, v.AppendBinary(nil)))
	}
	slices.Sort(out)
	return out
}

// contents reads all windows of a store, width by width.
func contents(t testing.TB, s *Store) []string {
	t.Helper()
	var out []string
	for _, width := range []int64{10_000, 60_000, 3_600_000} {
		for _, byNode := range []bool{false, true} {
			for _, c := range only(t, s, width, byNode) {
				class := crdt.ClassRegion
				if byNode {
					class = crdt.ClassNode
				}
				for _, p := range c.Points {
					out = append(out, fmt.Sprintf("%s/%s/%s %s %x", class, c.Owner.Region, c.Owner.Node, pointKey(c.Series, p.Window), p.Value.AppendBinary(nil)))
				}
			}
		}
	}
	slices.Sort(out)
	return out
}

// only reads the windows of one width alone, by a view of the store in which pairs have no other.
func only(t testing.TB, s *Store, width int64, byNode bool) (curves []*Curve) {
	t.Helper()
	sel := Selection{ByNode: byNode, From: 0, To: maxStart}
	r := reader{store: s, sel: &sel, now: clock()}
	for _, e := range s.tables.byID {
		if e == nil {
			continue
		}
		byOwner := make(map[Owner][]Point)
		for _, p := range e.pairs {
			if !sel.owns(p) {
				continue
			}
			for _, tier := range s.tiersOf(p, sel.From, sel.To) {
				if tier.width != width {
					continue
				}
				points, err := r.tier(p, &tier, nil, 0, maxStart)
				if err != nil {
					t.Fatal(err)
				}
				owner := Owner{p.owner.origin.Region, p.owner.origin.Node}
				if byOwner[owner], err = combinePoints(byOwner[owner], points); err != nil {
					t.Fatal(err)
				}
			}
		}
		for owner, points := range byOwner {
			curves = append(curves, &Curve{Owner: owner, Series: e.series, Points: points})
		}
	}
	return curves
}

func (w *world) apply(t testing.TB, s *Store, above uint64) {
	t.Helper()
	for _, a := range w.log {
		if a.tag > above {
			if err := s.Apply(a.tag, a.from, a.cells); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestAllThatWasAppliedIsRead(t *testing.T) {
	for seed := range uint64(5) {
		kv := newFakeKV()
		s := open(t, kv)
		w := newWorld(t, seed, 300)
		for i, a := range w.log {
			if err := s.Apply(a.tag, a.from, a.cells); err != nil {
				t.Fatal(err)
			}
			if i%70 == 69 {
				if err := s.Fold(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			if i%90 == 0 { // repeats
				if err := s.Apply(a.tag, w.log[i/2].from, w.log[i/2].cells); err != nil {
					t.Fatal(err)
				}
			}
		}
		if diff := cmp.Diff(w.want(), contents(t, s)); diff != "" {
			t.Fatalf("seed %d: %s", seed, diff)
		}
		w.apply(t, s, 0) // all of it again
		if diff := cmp.Diff(w.want(), contents(t, s)); diff != "" {
			t.Fatalf("seed %d, applied twice: %s", seed, diff)
		}
		if err := s.Fold(t.Context()); err != nil {
			t.Fatal(err)
		}
		if s.OverlaySize() != 0 {
			t.Errorf("%d bytes in memory after a fold", s.OverlaySize())
		}
		again := open(t, kv)
		if diff := cmp.Diff(w.want(), contents(t, again)); diff != "" {
			t.Fatalf("seed %d, opened again: %s", seed, diff)
		}
		if again.Folded() != 299 {
			t.Errorf("folded up to %d, want 299", again.Folded())
		}
	}
}

// A crash at every single write: what is left and the frames above the mark are all there was, once.
func TestACrashAtAnyWriteLosesNothing(t *testing.T) {
	w := newWorld(t, 3, 200)
	run := func(kv *fakeKV) error {
		s, err := Open(Config{KV: kv, Now: clock})
		if err != nil {
			return err
		}
		for i, a := range w.log {
			if err := s.Apply(a.tag, a.from, a.cells); err != nil {
				return err
			}
			if i%40 == 39 {
				if err := s.Fold(context.Background()); err != nil {
					return err
				}
			}
		}
		return nil
	}
	whole := newFakeKV()
	if err := run(whole); err != nil {
		t.Fatal(err)
	}
	if whole.commits < 10 {
		t.Fatalf("%d commits, want more to crash at", whole.commits)
	}
	for at := 1; at <= whole.commits; at++ {
		kv := newFakeKV()
		kv.crashAt = at
		if err := run(kv); !errors.Is(err, errCrash) {
			t.Fatalf("crash at commit %d: %v", at, err)
		}
		s := open(t, kv.restarted())
		w.apply(t, s, s.Folded())
		if diff := cmp.Diff(w.want(), contents(t, s)); diff != "" {
			t.Fatalf("crash at commit %d: %s", at, diff)
		}
		if err := s.Fold(t.Context()); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(w.want(), contents(t, s)); diff != "" {
			t.Fatalf("crash at commit %d, folded again: %s", at, diff)
		}
	}
}

// A disk that fails for a while: what could not be folded stays readable and is folded later, also what came between.
func TestAFoldThatFailsIsMadeUpFor(t *testing.T) {
	kv := newFakeKV()
	s := open(t, kv)
	w := newWorld(t, 4, 200)
	for i, a := range w.log {
		if err := s.Apply(a.tag, a.from, a.cells); err != nil {
			t.Fatal(err)
		}
		if i%30 == 29 {
			kv.crashAt = []int{0, kv.commits + 1, kv.commits + 3}[i/30%3]
			if err := s.Fold(t.Context()); (err != nil) != (kv.crashAt > 0) {
				t.Fatal(err)
			}
			kv.crashAt = 0
		}
	}
	if diff := cmp.Diff(w.want(), contents(t, s)); diff != "" {
		t.Fatal(diff)
	}
	if err := s.Fold(t.Context()); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(w.want(), contents(t, open(t, kv.restarted()))); diff != "" {
		t.Fatal(diff)
	}
}

func TestWhatIsNoWindowIsRefused(t *testing.T) {
	s := open(t, newFakeKV())
	counter := &crdt.Series{Name: "clicks", Kind: crdt.KindCounter}
	good := cellAt(counter, crdt.Window{Start: 10_000, Width: 10_000}, 1)
	for _, row := range []struct {
		name string
		from crdt.Origin
		cell Cell
		want error
	}{
		{"a view", crdt.Origin{Class: crdt.ClassView, Region: "eu"}, good, ErrOwner},
		{"lifetime", nodeB, Cell{Series: counter, Value: good.Value}, ErrWindow},
		{"before 1970", nodeB, cellAt(counter, crdt.Window{Start: -10_000, Width: 10_000}, 1), ErrWindow},
		{"not aligned", nodeB, cellAt(counter, crdt.Window{Start: 5_000, Width: 10_000}, 1), ErrWindow},
		{"7 s", nodeB, cellAt(counter, crdt.Window{Start: 7_000, Width: 7_000}, 1), ErrWindow},
		{"half a second", nodeB, cellAt(counter, crdt.Window{Start: 500, Width: 500}, 1), ErrWindow},
		{"a week", nodeB, cellAt(counter, crdt.Window{Start: 0, Width: 7 * maxWidth}, 1), ErrWindow},
		{"another kind", nodeB, Cell{Series: counter, Window: good.Window, Value: crdt.Value{Kind: crdt.KindUpDown}}, crdt.ErrKind},
	} {
		t.Run(row.name, func(t *testing.T) {
			if err := s.Apply(1, row.from, []Cell{row.cell}); !errors.Is(err, row.want) {
				t.Errorf("got %v, want %v", err, row.want)
			}
		})
	}
	if err := s.Apply(2, nodeB, []Cell{{Series: counter}, good}); !errors.Is(err, ErrWindow) {
		t.Error(err)
	}
	if got := contents(t, s); len(got) != 1 {
		t.Errorf("a good cell beside a bad one: %v", got)
	}
}
