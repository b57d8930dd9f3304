package node

import (
	"testing"

	"meshd/crdt"
)

func (w *world) setGauge(name string, g crdt.Gauge) {
	w.ids++
	w.step(w.procs[name], Submit{ID: w.ids, Batch: &Batch{Items: []Item{{
		Series: &crdt.Series{Name: "load", Kind: crdt.KindGauge}, Inc: crdt.Value{Kind: crdt.KindGauge, X: &g},
	}}}})
	w.run(100)
}

// gauge returns what a node answers for the gauge, a rollup of nothing if it knows none.
func (w *world) gauge(name string) *crdt.Rollup {
	w.t.Helper()
	t, err := w.procs[name].core.Totals(w.at(), Select{})
	if err != nil {
		w.t.Fatal(err)
	}
	for _, row := range t.Rows {
		if row.Series.Name == "load" {
			return row.Value.X.(*crdt.Rollup)
		}
	}
	return new(crdt.Rollup)
}

// TestAGaugeIsOfTheProcessesThatRun: who is silent is expected but not counted, and what a node set before it was started
// again is over until it is set again.
func TestAGaugeIsOfTheProcessesThatRun(t *testing.T) {
	w := newWorld(t, 31)
	w.cfg = CoreConfig{Silence: 2000}
	edges := []string{"east-edge0", "east-edge1"}
	for _, h := range []string{"east-hub0", "east-hub1", "east-hub2", "west-hub0"} {
		w.start(h, h[:4], RoleHub)
	}
	for i, e := range append(edges, "west-edge0") {
		w.start(e, e[:4], RoleEdge)
		if i < len(edges) {
			w.setGauge(e, crdt.Gauge{Time: crdt.HLCFrom(w.now, 0), Value: float64(i + 1)})
		}
	}
	says := func(when string, count, expected uint32, sum float64) {
		t.Helper()
		for name, p := range w.procs {
			if p.core == nil {
				continue
			}
			if g := w.gauge(name); g.Count != count || g.Expected != expected || g.Sum != sum {
				t.Errorf("%s: %s answers %+v, want %v of %d and %d expected", when, name, *g, sum, count, expected)
			}
		}
	}
	w.run(5000)
	says("both run", 2, 2, 3)
	w.kill(edges[1])
	w.run(15_000)
	says("one is silent", 1, 2, 1)
	w.start(edges[1], "east", RoleEdge)
	w.run(5000)
	says("it is back and set nothing yet", 1, 1, 1)
	w.setGauge(edges[1], crdt.Gauge{Time: crdt.HLCFrom(w.now, 0), Value: 5})
	w.run(5000)
	says("it set the gauge again", 2, 2, 6)
}

// TestAStampMovesNoOtherClock: an edge whose clock is a day ahead sets a gauge. What a hub says of it bears its own time.
func TestAStampMovesNoOtherClock(t *testing.T) {
	const day = 24 * 3600 * 1000
	w := newWorld(t, 33)
	w.start("east-hub0", "east", RoleHub)
	w.skew = map[string]int64{"east-edge0": day}
	w.start("east-edge0", "east", RoleEdge)
	w.run(2000)
	w.setGauge("east-edge0", crdt.Gauge{Time: crdt.HLCFrom(w.now+day, 0), Value: 1})
	w.run(2000)
	g := w.gauge("east-hub0")
	if g.Count != 1 || g.Last.Millis() < w.now+day-10_000 {
		t.Fatalf("the hub has %+v, want the gauge as it was stamped", *g)
	}
	if g.Stamp.Millis() > w.now {
		t.Errorf("the hub's own stamp is %d ms ahead of its clock", g.Stamp.Millis()-w.now)
	}
}

// TestALateSettingChangesNothing: a client's older setting comes after its newer one, in a batch and in another.
func TestALateSettingChangesNothing(t *testing.T) {
	w := newWorld(t, 32)
	w.start("east-edge0", "east", RoleEdge)
	for _, ms := range []int64{1000, 3000, 2000, 3000} {
		w.setGauge("east-edge0", crdt.Gauge{Time: crdt.HLCFrom(ms, 0), Value: float64(ms), Dated: true})
	}
	if g := w.gauge("east-edge0"); g.LastValue != 3000 {
		t.Errorf("the gauge is %v, want the newest, 3000", g.LastValue)
	}
	if head := w.procs["east-edge0"].core.live.Progress[crdt.StreamLifetime].Cursor; head != 2 {
		t.Errorf("four settings made %d changes, want 2", head)
	}
}
