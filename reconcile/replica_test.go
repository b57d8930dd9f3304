package reconcile

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"meshd/crdt"
	"meshd/internal/wire"
)

func counter(n uint64) crdt.Value {
	return crdt.Value{Kind: crdt.KindCounter, P: crdt.FixedFromUint(n)}
}

func nodeOrigin(node string) crdt.Origin {
	return crdt.Origin{Class: crdt.ClassNode, Region: "r", Node: node, Inc: crdt.Incarnation{1}}
}

// frame returns a frame of counters (from, to] with ref and value pairs, all of them changed at to.
func frame(o crdt.Origin, from, to uint64, defs []string, cells ...uint64) *wire.Frame {
	f := &wire.Frame{Origin: o, From: from, To: to, Head: to}
	for i, name := range defs {
		f.Defs = append(f.Defs, wire.Def{Ref: uint32(i), Seq: to, Series: crdt.Series{Name: name, Kind: crdt.KindCounter}})
	}
	for i := 0; i < len(cells); i += 2 {
		f.Cells = append(f.Cells, wire.Cell{Ref: uint32(cells[i]), Seq: to, Value: counter(cells[i+1])})
	}
	return f
}

func TestFramesThatContradictAreRefused(t *testing.T) {
	o := nodeOrigin("n")
	base := frame(o, 0, 1, []string{"a", "b"}, 0, 1, 1, 1)
	for name, f := range map[string]*wire.Frame{
		"of another origin":             frame(nodeOrigin("m"), 1, 2, nil, 0, 2),
		"a number with another series":  frame(o, 1, 2, []string{"c"}, 0, 2),
		"a series with another number":  frame(o, 1, 2, []string{"b"}, 0, 2),
		"a cell without its definition": frame(o, 1, 2, nil, 7, 2),
		"a number beyond the limit": {
			Origin: o, From: 1, To: 2, Head: 2,
			Defs: []wire.Def{{Ref: MaxRefs, Seq: 2, Series: crdt.Series{Name: "x", Kind: crdt.KindCounter}}},
		},
		"a cell of another kind": {
			Origin: o, From: 1, To: 2, Head: 2,
			Cells: []wire.Cell{{Ref: 0, Seq: 2, Value: crdt.Value{Kind: crdt.KindUpDown}}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := NewReplica(o, NewCatalog())
			if err := r.Check(base); err != nil {
				t.Fatal(err)
			}
			if _, err := r.Apply(base, nil); err != nil {
				t.Fatal(err)
			}
			if err := r.Check(f); !errors.Is(err, ErrFrame) {
				t.Errorf("error %v, want one that wraps ErrFrame", err)
			}
		})
	}
}

func TestCellsBeyondAGapWaitForTheirDefinition(t *testing.T) {
	o := nodeOrigin("n")
	r := NewReplica(o, NewCatalog())
	late := frame(o, 1, 2, nil, 0, 5)
	if err := r.Check(late); err != nil {
		t.Fatalf("a frame beyond a gap cannot be judged yet: %v", err)
	}
	if n, err := r.Apply(late, nil); n != 0 || err != nil || r.Progress[0].Cursor != 0 {
		t.Fatalf("%d cells, %v, %+v", n, err, r.Progress[0])
	}
	for _, f := range []*wire.Frame{frame(o, 0, 1, []string{"a"}, 0, 1), late} {
		if _, err := r.Apply(f, nil); err != nil {
			t.Fatal(err)
		}
	}
	id, _ := r.cat.Find(&crdt.Series{Name: "a", Kind: crdt.KindCounter})
	if v, seq := r.Cell(id); v.P != crdt.FixedFromUint(5) || seq != 2 || r.Progress[0].Covered != 2 {
		t.Errorf("cell %v at %d, %+v", v, seq, r.Progress[0])
	}
}

func TestASnapshotRestoresCellsAndMovesNoCursor(t *testing.T) {
	o := nodeOrigin("n")
	r := NewReplica(o, NewCatalog())
	for seq := uint64(1); seq <= 50; seq++ {
		f := &wire.Frame{Origin: o, From: seq - 1, To: seq, Head: seq}
		f.Defs = []wire.Def{{Ref: uint32(seq - 1), Seq: seq, Series: crdt.Series{Name: fmt.Sprint("s", seq), Kind: crdt.KindCounter}}}
		f.Cells = []wire.Cell{{Ref: uint32(seq - 1), Seq: seq, Value: counter(seq)}}
		if _, err := r.Apply(f, nil); err != nil {
			t.Fatal(err)
		}
	}
	back, parts := NewReplica(o, NewCatalog()), 0
	err := r.Snapshot(200, func(f *wire.Frame) error {
		parts++
		raw, err := wire.AppendFrame(nil, f)
		if err != nil {
			return err
		}
		g, err := wire.ParseFrame(raw)
		if err == nil {
			err = back.Check(g)
		}
		if err == nil {
			_, err = back.Apply(g, nil)
		}
		return err
	})
	if err != nil || parts < 2 || back.Progress[0].Cursor != 0 || !sameCells(r, back) || back.Top() != 50 || back.Len() != 50 {
		t.Errorf("%v after %d parts: %+v, top %d, %d series", err, parts, back.Progress[0], back.Top(), back.Len())
	}
	stop := errors.New("stop")
	if err := r.Snapshot(200, func(*wire.Frame) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("error %v, want the one of emit", err)
	}
	if err := NewReplica(o, NewCatalog()).Snapshot(200, func(*wire.Frame) error { return stop }); err != nil {
		t.Errorf("an empty replica has no part: %v", err)
	}
}

func TestAWindowStreamMovesItsOwnCursor(t *testing.T) {
	o := nodeOrigin("n")
	w := NewReplica(o, NewCatalog())
	w.Progress[crdt.StreamWindow].Advance(0, 3, 3)
	f, ok := w.Build(crdt.StreamWindow, 1, 100)
	if !ok || f.From != 1 || f.To != 3 || len(f.Cells) != 0 {
		t.Fatalf("%+v %v", f, ok)
	}
	r := NewReplica(o, NewCatalog())
	r.Progress[crdt.StreamWindow].Advance(0, 1, 1)
	if _, err := r.Apply(f, nil); err != nil || r.Progress[crdt.StreamWindow].Covered != 3 || r.Progress[0].Cursor != 0 {
		t.Errorf("%v %+v", err, r.Progress)
	}
}

// region is a hub's region with a node of each given name that wrote n to the counter "clicks".
func region(t *testing.T, inc byte, nodes map[string]uint64) *Region {
	t.Helper()
	g := NewRegion(crdt.Origin{Class: crdt.ClassRegion, Region: "r", Node: "hub", Inc: crdt.Incarnation{inc}}, NewCatalog())
	for name, n := range nodes {
		if _, err := g.Apply(frame(nodeOrigin(name), 0, 1, []string{"clicks"}, 0, n)); err != nil {
			t.Fatal(err)
		}
	}
	g.Total.Close()
	return g
}

func clicks(t *testing.T, d *Derived) string {
	t.Helper()
	id, ok := d.cat.Find(&crdt.Series{Name: "clicks", Kind: crdt.KindCounter})
	if !ok {
		return "unknown"
	}
	v, _ := d.Cell(id)
	if v == nil {
		return "none"
	}
	return v.P.String()
}

func TestARegionIsTheSumOfItsNodes(t *testing.T) {
	g := region(t, 1, map[string]uint64{"a": 3, "b": 4})
	if got := clicks(t, g.Total); got != "7" || g.Len() != 2 {
		t.Fatalf("total %s of %d origins", got, g.Len())
	}
	if _, err := g.Apply(frame(nodeOrigin("a"), 0, 1, []string{"clicks"}, 0, 3)); err != nil { // once more
		t.Fatal(err)
	}
	g.Drop(nodeOrigin("a")) // cold: still in the totals
	g.Drop(nodeOrigin("a"))
	if got := clicks(t, g.Total); got != "7" || g.Len() != 1 || g.Held(nodeOrigin("a")) != nil {
		t.Errorf("total %s of %d origins after a went cold", got, g.Len())
	}
	r := NewReplica(nodeOrigin("a"), g.cat)
	if _, err := r.Apply(frame(nodeOrigin("a"), 0, 1, []string{"clicks"}, 0, 3), nil); err != nil {
		t.Fatal(err)
	}
	g.Restore(r, 5)
	if _, err := g.Apply(frame(nodeOrigin("a"), 1, 2, nil, 0, 13)); err != nil {
		t.Fatal(err)
	}
	if got := clicks(t, g.Total); got != "17" || r.Touched != 5 {
		t.Errorf("total %s after a came back and wrote, want 17", got)
	}
}

func TestARestoredRegionAddsUpReplicasAndColdSums(t *testing.T) {
	g := NewRegion(crdt.Origin{Class: crdt.ClassRegion, Region: "r", Node: "hub"}, NewCatalog())
	r := NewReplica(nodeOrigin("a"), g.cat)
	if _, err := r.Apply(frame(nodeOrigin("a"), 0, 1, []string{"clicks"}, 0, 3), nil); err != nil {
		t.Fatal(err)
	}
	if err := g.Take(r); err != nil {
		t.Fatal(err)
	}
	id, _ := g.cat.Find(&crdt.Series{Name: "clicks", Kind: crdt.KindCounter})
	cold := counter(40)
	if err := g.Total.Add(id, &cold); err != nil {
		t.Fatal(err)
	}
	if !g.Total.Close() || g.Total.Close() {
		t.Error("a closed seq closed again")
	}
	if got := clicks(t, g.Total); got != "43" || g.Total.Seq() != 1 {
		t.Errorf("total %s at seq %d, want 43 at 1", got, g.Total.Seq())
	}
}

func gaugeFrame(node string, seq uint64, ms int64, value float64) *wire.Frame {
	f := &wire.Frame{Origin: nodeOrigin(node), From: seq - 1, To: seq, Head: seq}
	if seq == 1 {
		f.Defs = []wire.Def{{Seq: 1, Series: crdt.Series{Name: "load", Kind: crdt.KindGauge}}}
	}
	f.Cells = []wire.Cell{{Seq: seq, Value: crdt.Value{Kind: crdt.KindGauge, X: &crdt.Gauge{Time: crdt.HLCFrom(ms, 0), Value: value}}}}
	return f
}

func load(g *Region) *crdt.Rollup {
	id, _ := g.cat.Find(&crdt.Series{Name: "load", Kind: crdt.KindGauge})
	v, _ := g.Total.Cell(id)
	if v == nil {
		return nil
	}
	return v.X.(*crdt.Rollup)
}

func TestGaugesAreRolledUpOverLiveNodes(t *testing.T) {
	g := NewRegion(crdt.Origin{Class: crdt.ClassRegion, Region: "r", Node: "hub"}, NewCatalog())
	for i, node := range []string{"a", "b", "c"} {
		if _, err := g.Apply(gaugeFrame(node, 1, int64(100+i), float64(10*i))); err != nil {
			t.Fatal(err)
		}
	}
	dead := "c"
	rollup := func(ms int64) *crdt.Rollup {
		t.Helper()
		if err := g.Rollup(crdt.HLCFrom(ms, 0), func(n string) bool { return n != dead }, func(crdt.Origin) bool { return true }); err != nil {
			t.Fatal(err)
		}
		g.Total.Close()
		return load(g)
	}
	if r := rollup(200); r.Count != 2 || r.Expected != 3 || r.Sum != 10 || r.LastValue != 10 {
		t.Errorf("rollup %+v without c", r)
	}
	seq := g.Total.Seq()
	if rollup(300); g.Total.Seq() != seq {
		t.Error("nothing changed, and a rollup was written")
	}
	dead = ""
	g.NodeChanged("c")
	if r := rollup(400); r.Count != 3 || r.Sum != 30 || r.Max != 20 || r.LastValue != 20 {
		t.Errorf("rollup %+v with c", r)
	}
	g.Drop(nodeOrigin("c"))
	if r := rollup(500); r.Count != 2 || r.Expected != 2 {
		t.Errorf("rollup %+v after c went cold", r)
	}
}

func entryFrame(t *testing.T, g *Region, from uint64) *wire.Frame {
	t.Helper()
	f, ok := g.Total.Frame(from, 1<<20)
	if !ok {
		t.Fatal("no totals")
	}
	return f
}

func TestARegionIsTheMaximumOfItsEntries(t *testing.T) {
	e := NewEntries("other", crdt.Incarnation{9}, NewCatalog())
	one, two := region(t, 1, map[string]uint64{"a": 3, "b": 4}), region(t, 2, map[string]uint64{"b": 4, "c": 5})
	for _, g := range []*Region{one, two, one} {
		f := entryFrame(t, g, 0)
		if err := e.Replica(f.Origin).Check(f); err != nil {
			t.Fatal(err)
		}
		if _, err := e.Apply(f); err != nil {
			t.Fatal(err)
		}
	}
	if got := clicks(t, e.View("r")); got != "9" {
		t.Errorf("view %s, want 9: the greater of 7 and 9, not their sum", got)
	}
	back := NewEntries("other", crdt.Incarnation{10}, e.cat)
	for _, o := range e.Origins() {
		if err := back.Take(e.Held(o)); err != nil {
			t.Fatal(err)
		}
	}
	if got := clicks(t, back.View("r")); got != "9" || !slices.Equal(back.Regions(), []string{"r"}) {
		t.Errorf("view %s of %v after a restart", got, back.Regions())
	}
}

func TestAnEdgeKeepsOneCellASeriesAndRegion(t *testing.T) {
	v := NewViews(NewCatalog())
	for inc := byte(1); inc <= 3; inc++ { // three hub incarnations in turn
		o := crdt.Origin{Class: crdt.ClassView, Region: "r", Node: "hub", Inc: crdt.Incarnation{inc}}
		f := frame(o, 0, 1, []string{"clicks"}, 0, uint64(10-inc))
		if err := v.Apply(f); err != nil {
			t.Fatal(err)
		}
	}
	if got := clicks(t, v.Region("r")); got != "9" || len(v.All()) != 3 || !slices.Equal(v.Regions(), []string{"r"}) {
		t.Errorf("view %s from %d hubs in %v", got, len(v.All()), v.Regions())
	}
	v.Forget(func(o crdt.Origin) bool { return o.Inc[0] == 3 })
	if got := clicks(t, v.Region("r")); got != "9" || len(v.All()) != 1 {
		t.Errorf("view %s from %d hubs after the dead ones are forgotten", got, len(v.All()))
	}
	if v.Region("nowhere") != nil {
		t.Error("a region nobody spoke of")
	}
}

func TestPairsAreCheckedAgainstTheirFrame(t *testing.T) {
	f := frame(nodeOrigin("n"), 0, 1, []string{"a"}, 0, 1)
	for name, y := range map[string]wire.YoursCell{
		"beyond the frame": {Index: 1, Value: counter(1)},
		"of another kind":  {Index: 0, Value: crdt.Value{Kind: crdt.KindUpDown}},
	} {
		if err := CheckPairs(f, []wire.Yours{{Cells: []wire.YoursCell{y}}}); !errors.Is(err, ErrFrame) {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

func TestAColdOriginMayHoldAPushBack(t *testing.T) {
	g := region(t, 1, map[string]uint64{"e": 3})
	o := nodeOrigin("e")
	g.Drop(o)
	named := []Named{{Inc: o.Inc, Head: [crdt.NumStreams]uint64{1}}}
	covered := uint64(1)
	cold := func(crdt.Origin) (crdt.Progress, bool) { return crdt.Progress{Covered: covered}, true }
	f := entryFrame(t, g, 0)
	if y, ok := g.Pairs(g.Total, f, "e", named, cold); !ok || !y[0].Whole {
		t.Errorf("a covered cold incarnation is whole: %v %+v", ok, y)
	}
	covered = 0
	if _, ok := g.Pairs(g.Total, f, "e", named, cold); ok {
		t.Error("a push went out though what is the edge's own is not known")
	}
	if _, ok := g.Total.Frame(g.Total.Seq(), 1<<20); ok {
		t.Error("a push without news")
	}
}

func TestAnEdgesGaugeIsItsOwnWhereThatIsNewer(t *testing.T) {
	cat := NewCatalog()
	own := NewReplica(nodeOrigin("e"), cat)
	s := NewSlots(cat)
	if _, err := own.Apply(gaugeFrame("e", 1, 5000, 7), nil); err != nil {
		t.Fatal(err)
	}
	id, _ := cat.Find(&crdt.Series{Name: "load", Kind: crdt.KindGauge})
	read := func() *crdt.Rollup {
		t.Helper()
		v, ok, err := s.Answer(id, []*Replica{own})
		if !ok || err != nil {
			t.Fatal(ok, err)
		}
		return v.X.(*crdt.Rollup)
	}
	if r := read(); r.Count != 1 || r.LastValue != 7 {
		t.Errorf("alone: %+v", r)
	}
	x := &crdt.Rollup{Stamp: crdt.HLCFrom(4500, 0), Count: 3, Expected: 3, Sum: 30, Last: crdt.HLCFrom(4000, 0), LastValue: 9}
	if err := s.Apply(rollupEntry(crdt.ClassRegion, 1, 1, x), nil, []*Replica{own}); err != nil {
		t.Fatal(err)
	}
	if r := read(); r.Count != 3 || r.LastValue != 7 {
		t.Errorf("with a hub's older rollup: %+v", r)
	}
	if _, ok, _ := s.Answer(mustIntern(t, cat, "other"), []*Replica{own}); ok {
		t.Error("an answer for a gauge that nobody has")
	}
}

func mustIntern(t *testing.T, cat *Catalog, name string) SeriesID {
	t.Helper()
	id, err := cat.Intern(&crdt.Series{Name: name, Kind: crdt.KindGauge})
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// TestASnapshotHoldsADefinitionWhoseCellIsNotHereYet: a frame leaves out a cell that changed again after its end, but
// not its definition.
func TestASnapshotHoldsADefinitionWhoseCellIsNotHereYet(t *testing.T) {
	o := nodeOrigin("n")
	r := NewReplica(o, NewCatalog())
	f := frame(o, 0, 3, []string{"a", "b"}, 0, 1)
	f.Cells[0].Seq, f.Head = 2, 4
	if _, err := r.Apply(f, nil); err != nil {
		t.Fatal(err)
	}
	back := NewReplica(o, NewCatalog())
	err := r.Snapshot(1<<20, func(f *wire.Frame) error {
		raw, err := wire.AppendFrame(nil, f)
		if err != nil {
			return err
		}
		if f, err = wire.ParseFrame(raw); err != nil {
			return err
		}
		_, err = back.Apply(f, nil)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if back.Len() != 2 {
		t.Errorf("%d definitions are left of 2", back.Len())
	}
}
