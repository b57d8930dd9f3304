package reconcile

import (
	"errors"
	"testing"

	"meshd/crdt"
	"meshd/internal/wire"
)

// TestAViewRefusesWhatContradictsIt applies one frame after a first one, which numbers a counter 0 and sets it to 5.
func TestAViewRefusesWhatContradictsIt(t *testing.T) {
	hits := crdt.Series{Name: "hits", Kind: crdt.KindCounter}
	load := crdt.Series{Name: "load", Kind: crdt.KindGauge}
	counter := func(n uint64) crdt.Value { return crdt.Value{Kind: crdt.KindCounter, P: crdt.FixedFromUint(n)} }
	for name, c := range map[string]struct {
		from    uint64
		defs    []wire.Def
		cell    wire.Cell
		refused bool
		want    uint64 // of hits
	}{
		"a cell that rises":                 {1, nil, wire.Cell{Ref: 0, Seq: 2, Value: counter(7)}, false, 7},
		"the same number for the same":      {1, []wire.Def{{Ref: 0, Seq: 1, Series: hits}}, wire.Cell{Ref: 0, Seq: 2, Value: counter(7)}, false, 7},
		"a number that is another's":        {1, []wire.Def{{Ref: 0, Seq: 2, Series: load}}, wire.Cell{Ref: 0, Seq: 2, Value: counter(7)}, true, 5},
		"a number beyond all":               {1, []wire.Def{{Ref: MaxRefs, Seq: 2, Series: load}}, wire.Cell{Ref: 0, Seq: 2, Value: counter(7)}, true, 5},
		"a cell of another kind":            {1, nil, wire.Cell{Ref: 0, Seq: 2, Value: crdt.Value{Kind: crdt.KindUpDown, P: crdt.FixedFromUint(7)}}, true, 5},
		"a cell of no series":               {1, nil, wire.Cell{Ref: 3, Seq: 2, Value: counter(7)}, true, 5},
		"a cell of no series, over a gap":   {4, nil, wire.Cell{Ref: 3, Seq: 5, Value: counter(7)}, false, 5},
		"a cell of a window is not a total": {1, nil, wire.Cell{Ref: 0, Seq: 2, Window: crdt.Window{Start: 10_000, Width: 10_000}, Value: counter(7)}, false, 5},
	} {
		t.Run(name, func(t *testing.T) {
			v := NewViews(NewCatalog())
			o := crdt.Origin{Class: crdt.ClassView, Region: "far", Node: "hub"}
			first := &wire.Frame{Origin: o, To: 1, Head: 1, Defs: []wire.Def{{Ref: 0, Seq: 1, Series: hits}}, Cells: []wire.Cell{{Ref: 0, Seq: 1, Value: counter(5)}}}
			if err := v.Apply(first); err != nil {
				t.Fatal(err)
			}
			err := v.Apply(&wire.Frame{Origin: o, From: c.from, To: c.from + 1, Head: c.from + 1, Defs: c.defs, Cells: []wire.Cell{c.cell}})
			if errors.Is(err, ErrFrame) != c.refused {
				t.Errorf("%v, want refused %v", err, c.refused)
			}
			id, _ := v.cat.Find(&hits)
			if got, _ := v.Region("far").Cell(id); got.P != crdt.FixedFromUint(c.want) {
				t.Errorf("%s, want %d", got.P, c.want)
			}
			if p := v.Held(o).Progress[crdt.StreamLifetime]; c.refused && p.Cursor != 1 {
				t.Errorf("a refused frame moved the cursor to %d", p.Cursor)
			}
		})
	}
}

// TestAViewIsAskedForAgainWhenWhatWasLetGoOfIsWanted: not otherwise, and no other region's.
func TestAViewIsAskedForAgainWhenWhatWasLetGoOfIsWanted(t *testing.T) {
	v := NewViews(NewCatalog())
	view := func(region string, inc crdt.Incarnation) crdt.Origin {
		o := crdt.Origin{Class: crdt.ClassView, Region: region, Node: "hub", Inc: inc}
		f := &wire.Frame{Origin: o, To: 1, Head: 1}
		for ref, name := range []string{"kept", "passed"} {
			f.Defs = append(f.Defs, wire.Def{Ref: uint32(ref), Seq: 1, Series: crdt.Series{Name: name, Kind: crdt.KindCounter}})
			f.Cells = append(f.Cells, wire.Cell{Ref: uint32(ref), Seq: 1, Value: crdt.Value{Kind: crdt.KindCounter, P: crdt.FixedFromUint(1)}})
		}
		if err := v.Apply(f); err != nil {
			t.Fatal(err)
		}
		return o
	}
	far, other := view("far", crdt.Incarnation{1}), view("other", crdt.Incarnation{2})
	passed, _ := v.cat.Find(&crdt.Series{Name: "passed", Kind: crdt.KindCounter})
	is := func(id SeriesID) bool { return id == passed }
	if again := v.Again("far", is); len(again) > 0 {
		t.Errorf("%v are asked for again, and nothing was let go of", again)
	}
	for _, region := range []string{"far", "other"} {
		if err := v.Prune(region, is, is); err != nil {
			t.Fatal(err)
		}
		if got, _ := v.Region(region).Cell(passed); got != nil {
			t.Fatalf("%s still has what was let go of", region)
		}
	}
	if again := v.Again("far", func(id SeriesID) bool { return id != passed }); len(again) > 0 {
		t.Errorf("%v are asked for again for what is here", again)
	}
	if again := v.Again("far", is); len(again) != 1 || again[0] != far {
		t.Errorf("%v are asked for again, want %v", again, far)
	}
	if p := v.Held(far).Progress[crdt.StreamLifetime]; p.Cursor != 0 {
		t.Errorf("of what is asked for again %+v is said to be held", p)
	}
	if p := v.Held(other).Progress[crdt.StreamLifetime]; p.Cursor != 1 {
		t.Errorf("of another region %+v is said to be held", p)
	}
	if anew := view("far", far.Inc.Anew(1)); !v.Superseded(far) || v.Superseded(anew) || v.Superseded(other) {
		t.Errorf("superseded: %t, %t and %t, want what was written anew alone", v.Superseded(far), v.Superseded(anew), v.Superseded(other))
	}
}
