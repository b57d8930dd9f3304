package node

import (
	"errors"
	"maps"
	"testing"

	"meshd/crdt"
	"meshd/internal/wire"
)

// TestALiveIncarnationIsWarmAgainWhenItsNodeIsBack: while an edge is cut off from its hubs, what it wrote goes cold
// there. It wrote nothing since, but its gauges have a present value again.
func TestALiveIncarnationIsWarmAgainWhenItsNodeIsBack(t *testing.T) {
	silentGauge(t, []string{"east-hub0", "east-hub1"}, true)
}

// TestAGaugeThatASiblingHearsStaysWarm: a hub without a session with an edge must not take its gauge for over.
func TestAGaugeThatASiblingHearsStaysWarm(t *testing.T) {
	silentGauge(t, []string{"east-hub0"}, false)
}

// silentGauge cuts an edge that set a gauge off from some of the two hubs for so long that an incarnation goes cold.
func silentGauge(t *testing.T, cut []string, cold bool) {
	w := newWorld(t, 21)
	// A hub that sends the edge totals loads for their pairs what is cold: one of the two does not.
	w.cfg = CoreConfig{ColdAfter: 2000, Silence: 1000, OneFeed: true}
	hubs := []string{"east-hub0", "east-hub1"}
	for _, h := range hubs {
		w.start(h, "east", RoleHub)
	}
	edge := w.start("east-edge0", "east", RoleEdge)
	w.ids++
	w.step(edge, Submit{ID: w.ids, Batch: &Batch{Items: []Item{{
		Series: &crdt.Series{Name: "load", Kind: crdt.KindGauge},
		Inc:    crdt.Value{Kind: crdt.KindGauge, X: &crdt.Gauge{Time: crdt.HLCFrom(w.now, 0), Value: 7}},
	}}}})
	w.run(2000)
	for _, h := range cut {
		w.setCut("east-edge0", h, true)
	}
	w.run(20_000)
	if is := len(w.procs["east-hub0"].core.Cold()) > 0; is != cold {
		t.Fatalf("the incarnation is cold: %v", is)
	}
	for _, h := range cut {
		w.setCut("east-edge0", h, !cold)
	}
	w.run(10_000)
	for _, h := range hubs {
		c := w.procs[h].core
		if _, err := c.Totals(w.at(), Select{}); err != nil {
			t.Fatal(err)
		}
		id, _ := c.cat.Find(&crdt.Series{Name: "load", Kind: crdt.KindGauge})
		v, _ := c.hub.region.Total.Cell(id)
		if v == nil || v.X.(*crdt.Rollup).Count != 1 {
			t.Errorf("%s itself counts %+v, want the gauge of the edge", h, v)
		}
	}
}

// TestACopyOfARunningProcessEnds: a hub of the region holds more of this process' incarnation than it wrote.
func TestACopyOfARunningProcessEnds(t *testing.T) {
	w := newWorld(t, 22)
	edge := w.start("east-edge0", "east", RoleEdge)
	c := edge.core
	w.count("east-edge0", "clicks", 1, Token{})
	w.run(100)
	marks := func(cursor uint64) error {
		var out Output
		c.Step(w.at(), Received{ID: 1, Msg: Decoded{Msg: &wire.Marks{Full: true, Marks: []wire.Mark{{
			Origin: c.own, Progress: [crdt.NumStreams]crdt.Progress{{Cursor: cursor, Owed: cursor, Covered: cursor}},
		}}}}}, &out)
		return out.Fatal
	}
	w.step(edge, PeerUp{ID: 1, Peer: PeerInfo{Region: "east", Node: "east-hub0", Role: RoleHub, Inc: crdt.Incarnation{1}}})
	if err := marks(1); err != nil {
		t.Errorf("ends although the hub holds what it wrote: %v", err)
	}
	if err := marks(2); !errors.Is(err, ErrForked) {
		t.Errorf("goes on (%v) although somebody else wrote under its incarnation", err)
	}
}

// TestARestoredBackupIsCounted: the hub knows more of an earlier incarnation than the disk that names it.
func TestARestoredBackupIsCounted(t *testing.T) {
	w := newWorld(t, 23)
	hub := w.start("east-hub0", "east", RoleHub)
	edge := w.start("east-edge0", "east", RoleEdge)
	w.count("east-edge0", "clicks", 1, Token{})
	w.run(1000)
	backup := maps.Clone(edge.disk)
	restart := func() {
		w.kill("east-edge0")
		w.start("east-edge0", "east", RoleEdge)
		w.run(1000)
	}
	restart()
	if n := hub.core.Counts.RolledBack; n != 0 {
		t.Fatalf("%d incarnations rolled back, want none: restarts lose nothing", n)
	}
	w.kill("east-edge0")
	edge.disk = maps.Clone(backup)
	w.start("east-edge0", "east", RoleEdge)
	w.count("east-edge0", "clicks", 1, Token{})
	w.run(1000)
	if n := hub.core.Counts.RolledBack; n != 0 {
		t.Fatalf("%d incarnations rolled back, want none: the backup was not older than what was written", n)
	}
	edge.disk = backup
	restart()
	if n := hub.core.Counts.RolledBack; n != 0 {
		t.Fatalf("%d incarnations rolled back, want none: an incarnation that is not named was not rolled back", n)
	}
	w.mustTotal("clicks", 2)
	w.count("east-edge0", "clicks", 1, Token{})
	w.run(1000)
	older := maps.Clone(edge.disk)
	w.count("east-edge0", "clicks", 1, Token{})
	w.run(1000)
	edge.disk = older
	restart()
	if n := hub.core.Counts.RolledBack; n != 1 {
		t.Errorf("%d incarnations rolled back, want the one that had written more than the backup says", n)
	}
	w.mustTotal("clicks", 4)
}
