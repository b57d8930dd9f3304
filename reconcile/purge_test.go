package reconcile

import (
	"testing"

	"meshd/crdt"
	"meshd/internal/mutant"
	"meshd/internal/wire"
)

// TestADropTakesItsCellsFromEverywhere: a node's cells, totals, entries and their views, what an edge holds, its pairs.
// What was not dropped stays, and what comes late changes nothing.
func TestADropTakesItsCellsFromEverywhere(t *testing.T) {
	cat := NewCatalog()
	hub := crdt.Origin{Class: crdt.ClassRegion, Region: "r", Node: "hub", Inc: crdt.Incarnation{2}}
	other := crdt.Origin{Class: crdt.ClassRegion, Region: "far", Node: "hub", Inc: crdt.Incarnation{3}}
	view := crdt.Origin{Class: crdt.ClassView, Region: "far", Node: "hub", Inc: crdt.Incarnation{2}}
	g, e, v, s := NewRegion(hub, cat), NewEntries("hub", hub.Inc, cat), NewViews(cat), NewSlots(cat)
	floor := NewFloor(view, cat)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	both := []string{"a", "b"}
	load := crdt.Series{Name: "load", Kind: crdt.KindGauge}
	gauge := crdt.Value{Kind: crdt.KindGauge, X: &crdt.Gauge{Time: crdt.HLCFrom(1, 0), Value: 4}}
	raw := frame(nodeOrigin("n"), 0, 1, both, 0, 3, 1, 4)
	raw.Defs = append(raw.Defs, wire.Def{Ref: 2, Seq: 1, Series: load})
	raw.Cells = append(raw.Cells, wire.Cell{Ref: 2, Seq: 1, Value: gauge})
	_, err := g.Apply(raw)
	must(err)
	must(g.Rollup(crdt.HLCFrom(2, 0), func(string) bool { return true }, func(crdt.Origin) bool { return true }))
	g.Total.Close()
	_, err = e.Apply(frame(other, 0, 1, both, 0, 5, 1, 6))
	must(err)
	must(v.Apply(frame(view, 0, 1, both, 0, 7, 1, 8)))
	push := frame(hub, 0, 1, both, 0, 3, 1, 4)
	must(s.Apply(push, []wire.Yours{{Inc: crdt.Incarnation{1}, Cells: []wire.YoursCell{{Index: 0, Value: counter(3)}, {Index: 1, Value: counter(4)}}}}, nil))
	must(floor.Update(e, NewDerived(hub, cat), func(crdt.Origin) bool { return true }))

	id := func(name string) SeriesID {
		t.Helper()
		id, ok := cat.Find(&crdt.Series{Name: name, Kind: crdt.KindCounter})
		if !ok {
			t.Fatalf("%s is unknown", name)
		}
		return id
	}
	a, b := id("a"), id("b")
	cat.Drop(wire.Drop{Metric: "a", Gen: 1})
	cat.Drop(wire.Drop{Metric: "load", Gen: 1})
	if n := g.Purge(); n != 2 {
		t.Errorf("%d cells of the node were dropped, want those of a and load", n)
	}
	e.Purge()
	v.Purge()
	s.Purge()
	floor.Purge()

	alone := NewReplica(nodeOrigin("n"), cat)
	_, err = alone.Apply(frame(nodeOrigin("n"), 0, 1, both, 0, 3, 1, 4), nil)
	must(err)
	alone.Purge()
	slot := s.Slot(hub)
	if s.Held(hub) != &slot.Total || s.Held(other) != nil || len(g.Replicas()) != 1 {
		t.Fatal("a drop changed which origins there are")
	}
	for name, r := range map[string]interface {
		Cell(SeriesID) (*crdt.Value, uint64)
	}{
		"the node's cells": g.Held(nodeOrigin("n")), "the totals": g.Total, "the entry": e.Replica(other), "the view of it": e.View("far"),
		"the edge's view": v.Region("far"), "the edge's copy of the totals": &slot.Total, "a replica alone": alone,
	} {
		if c, _ := r.Cell(a); c != nil {
			t.Errorf("%s still hold the series that was dropped: %s", name, c.P)
		}
		if c, _ := r.Cell(b); c == nil {
			t.Errorf("%s lost a series that was not dropped", name)
		}
	}
	if m := slot.yours[crdt.Incarnation{1}]; m[a] != nil || m[b] == nil {
		t.Errorf("pairs after the drop: %v", m)
	}
	_, err = g.Apply(frame(nodeOrigin("n"), 1, 2, nil, 0, 9))
	must(err)
	if c, _ := g.Total.Cell(a); c != nil && !mutant.On("late cells undo a drop") {
		t.Errorf("a late cell brought the series back: %s", c.P)
	}
}

func TestTheFloorKnowsWhichDeadEntriesTheTotalsContain(t *testing.T) {
	now := region(t, 2, map[string]uint64{"a": 9})
	e := NewEntries("hub", crdt.Incarnation{2}, now.Total.cat)
	f := NewFloor(crdt.Origin{Class: crdt.ClassView, Region: "r", Node: "hub", Inc: crdt.Incarnation{2}}, now.Total.cat)
	old := entryFrame(t, region(t, 1, map[string]uint64{"a": 3}), 0)
	if _, err := e.Apply(old); err != nil {
		t.Fatal(err)
	}
	r := e.Replica(old.Origin)
	if f.Contains(r) {
		t.Error("contained before anybody looked")
	}
	if err := f.Update(e, now.Total, func(o crdt.Origin) bool { return o == old.Origin }); err != nil {
		t.Fatal(err)
	}
	if !f.Contains(r) || f.Contained() != 1 {
		t.Errorf("contained %t, %d in all, want the one entry", f.Contains(r), f.Contained())
	}
	r.Version++ // it grew
	if f.Contains(r) {
		t.Error("an entry that grew since is taken for contained")
	}
	f.Forget(old.Origin)
	if f.Contained() != 0 {
		t.Error("a dropped entry is remembered")
	}
}

func TestARemovedNodeIsNotExpected(t *testing.T) {
	w := NewWatch(1000)
	for _, node := range []string{"a", "b"} {
		w.Claim(node, Claim{Inc: crdt.Incarnation{1}, Head: 1, AtMs: 500}).Offset = 5000
		w.Settle(node, func(crdt.Incarnation) uint64 { return 1 })
	}
	if w.Moves() != 2 {
		t.Errorf("%d moves, want 2", w.Moves())
	}
	extent := func(now int64) Extent { return w.Extent(now) }
	if x := extent(600); x.Expected != 2 || x.Heard != 2 || x.ClocksOff != 2 || len(x.Clocks) != 2 {
		t.Errorf("two nodes with wrong clocks: %+v", x)
	}
	w.Remove("b", true)
	if x := extent(600); x.Expected != 1 || w.Expects("b") || !w.Expects("a") {
		t.Errorf("after the removal of b: %+v", x)
	}
	w.Remove("b", false)
	w.SetSilence(50)
	if x := extent(600); x.Expected != 2 || x.Heard != 0 || len(x.Missing) != 2 {
		t.Errorf("after b was expected again and silence became short: %+v", x)
	}
}

// A sibling whose clock was just set back an hour tells of a process that started after another one ended: its times are an
// hour early, and the two did not live at the same time for all that.
func TestAnEarlyWordOfASiblingMakesNoTwoNodes(t *testing.T) {
	const hour = 3_600_000
	x, y := crdt.Incarnation{1}, crdt.Incarnation{2}
	all := func(crdt.Incarnation) uint64 { return 9 }
	w := NewWatch(1000)
	for at := int64(hour); at < hour+5000; at += 100 {
		w.Claim("e", Claim{Inc: x, AtMs: at, HeardMs: at})
	}
	w.Names("e", y, []Named{{Inc: x}}, 0)
	w.Told("e", Claim{Inc: y, AtMs: 6000, HeardMs: hour + 6000}, 0)
	w.Told("e", Claim{Inc: y, AtMs: hour + 7000, HeardMs: hour + 7000}, 0)
	w.Settle("e", all)
	if got := w.AsOf("e"); got != hour+7000 {
		t.Errorf("complete until %d, want what the process that took over said", got)
	}
}
