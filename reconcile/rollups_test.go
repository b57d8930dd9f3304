package reconcile

import (
	"testing"

	"meshd/crdt"
	"meshd/internal/wire"
)

func TestRollupsAreReadWholeFromTheHubThatHeardMost(t *testing.T) {
	r := func(ms int64, count uint32, heard bool) Said {
		return Said{&crdt.Rollup{Stamp: crdt.HLCFrom(ms, 0), Count: count}, heard}
	}
	for name, c := range map[string]struct {
		in   []Said
		want int
	}{
		"none":                                 {nil, -1},
		"most nodes":                           {[]Said{r(9000, 2, false), r(8000, 5, false)}, 1},
		"of equal ones the newest":             {[]Said{r(8000, 5, false), r(9000, 5, false)}, 1},
		"nothing more than 5 s old":            {[]Said{r(3999, 9, false), r(9000, 1, false)}, 1},
		"what is 5 s old still goes":           {[]Said{r(4000, 9, false), r(9000, 1, false)}, 0},
		"what a hub says holds while it lives": {[]Said{r(1000, 9, true), r(90_000, 1, true)}, 0},
		"who is not heard says nothing":        {[]Said{r(9000, 9, false), r(8000, 1, true)}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			got := PickRollup(c.in)
			if c.want < 0 && got != nil || c.want >= 0 && got != c.in[c.want].Rollup {
				t.Errorf("picked %+v of %+v", got, c.in)
			}
		})
	}
}

// rollupEntry is a frame of a hub's entry with one gauge rollup.
func rollupEntry(class crdt.Class, inc byte, seq uint64, x *crdt.Rollup) *wire.Frame {
	f := &wire.Frame{Origin: crdt.Origin{Class: class, Region: "r", Node: "hub", Inc: crdt.Incarnation{inc}}, From: seq - 1, To: seq, Head: seq}
	if seq == 1 {
		f.Defs = []wire.Def{{Seq: 1, Series: crdt.Series{Name: "load", Kind: crdt.KindGauge}}}
	}
	f.Cells = []wire.Cell{{Seq: seq, Value: crdt.Value{Kind: crdt.KindRollup, X: x}}}
	return f
}

func TestAViewOfGaugesFollowsTheChosenEntryBothWays(t *testing.T) {
	e, v := NewEntries("other", crdt.Incarnation{9}, NewCatalog()), NewViews(NewCatalog())
	steps := []struct {
		inc   byte
		seq   uint64
		ms    int64
		count uint32
		want  uint32
	}{
		{1, 1, 1000, 5, 5},
		{2, 1, 2000, 2, 5}, // newer, but heard less
		{2, 2, 9000, 3, 3}, // the other one is silent for long
		{1, 2, 8000, 6, 6}, // back, a little older, and heard more
	}
	for i, s := range steps {
		x := &crdt.Rollup{Stamp: crdt.HLCFrom(s.ms, 0), Count: s.count, Expected: 6}
		if _, err := e.Apply(rollupEntry(crdt.ClassRegion, s.inc, s.seq, x)); err != nil {
			t.Fatal(err)
		}
		e.View("r").Close()
		f := rollupEntry(crdt.ClassView, s.inc, s.seq, x)
		if err := v.Apply(f); err != nil {
			t.Fatal(err)
		}
		for name, d := range map[string]*Derived{"hub": e.View("r"), "edge": v.Region("r")} {
			id, _ := d.cat.Find(&crdt.Series{Name: "load", Kind: crdt.KindGauge})
			cell, _ := d.Cell(id)
			if got := cell.X.(*crdt.Rollup).Count; got != s.want {
				t.Errorf("step %d: %s shows %d nodes, want %d", i, name, got, s.want)
			}
		}
	}
	seq := e.View("r").Seq()
	again := &crdt.Rollup{Stamp: crdt.HLCFrom(8000, 0), Count: 6, Expected: 6}
	if _, err := e.Apply(rollupEntry(crdt.ClassRegion, 1, 2, again)); err != nil || e.View("r").Close() || e.View("r").Seq() != seq {
		t.Errorf("%v: the same rollup moved the view", err)
	}
}

// TestAHubMayTakeBackWhatItSaidOfAGauge: a node fell silent half a second after its gauge was counted.
func TestAHubMayTakeBackWhatItSaidOfAGauge(t *testing.T) {
	for name, heard := range map[string]func(crdt.Origin) bool{
		"its only hub is heard":     func(crdt.Origin) bool { return true },
		"its only hub is not heard": nil,
	} {
		t.Run(name, func(t *testing.T) {
			e, v := NewEntries("other", crdt.Incarnation{9}, NewCatalog()), NewViews(NewCatalog())
			e.Heard, v.Heard = heard, heard
			for i, count := range []uint32{2, 1} {
				x := &crdt.Rollup{Stamp: crdt.HLCFrom(1000+500*int64(i), 0), Count: count, Expected: 2}
				if _, err := e.Apply(rollupEntry(crdt.ClassRegion, 1, uint64(i+1), x)); err != nil {
					t.Fatal(err)
				}
				if err := v.Apply(rollupEntry(crdt.ClassView, 1, uint64(i+1), x)); err != nil {
					t.Fatal(err)
				}
				for who, d := range map[string]*Derived{"hub": e.View("r"), "edge": v.Region("r")} {
					id, _ := d.cat.Find(&crdt.Series{Name: "load", Kind: crdt.KindGauge})
					cell, _ := d.Cell(id)
					if got := cell.X.(*crdt.Rollup).Count; got != count {
						t.Errorf("the %s says %d nodes, want %d", who, got, count)
					}
				}
			}
		})
	}
}

// TestWhoIsHeardChangesWhatIsSaidOfAGauge: nothing is received meanwhile.
func TestWhoIsHeardChangesWhatIsSaidOfAGauge(t *testing.T) {
	live := byte(0)
	heard := func(o crdt.Origin) bool { return o.Inc[0] == live }
	e, v := NewEntries("other", crdt.Incarnation{9}, NewCatalog()), NewViews(NewCatalog())
	e.Heard, v.Heard = heard, heard
	for inc := byte(1); inc <= 2; inc++ {
		x := &crdt.Rollup{Stamp: crdt.HLCFrom(1000*int64(inc), 0), Count: uint32(inc)}
		if _, err := e.Apply(rollupEntry(crdt.ClassRegion, inc, 1, x)); err != nil {
			t.Fatal(err)
		}
		if err := v.Apply(rollupEntry(crdt.ClassView, inc, 1, x)); err != nil {
			t.Fatal(err)
		}
	}
	id, _ := e.cat.Find(&crdt.Series{Name: "load", Kind: crdt.KindGauge})
	for _, want := range []uint32{1, 2, 1} {
		live = byte(want)
		if err := e.Repick("r"); err != nil {
			t.Fatal(err)
		}
		cell, _ := e.View("r").Cell(id)
		if got := cell.X.(*crdt.Rollup).Count; got != want {
			t.Errorf("hub %d is heard, a hub says %d", want, got)
		}
		id, _ := v.cat.Find(&crdt.Series{Name: "load", Kind: crdt.KindGauge})
		if got := v.Rollup("r", id).Count; got != want {
			t.Errorf("hub %d is heard, an edge says %d", want, got)
		}
	}
	if v.Rollup("nowhere", id) != nil || v.Rollup("r", 77) != nil {
		t.Error("a gauge that nobody ever spoke of")
	}
	if err := e.Repick("nowhere"); err != nil {
		t.Error(err)
	}
}
