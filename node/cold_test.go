package node

import (
	"testing"

	"meshd/crdt"
	"meshd/internal/wire"
)

// TestFrameThatComesWhileItsOriginGoesColdCountsOnce: the write that makes an origin cold takes time. A frame of it
// that arrives meanwhile must find the copy that it continues, or the whole cell is counted beside the cold sum.
func TestFrameThatComesWhileItsOriginGoesColdCountsOnce(t *testing.T) {
	w := newWorld(t, 7)
	w.cfg = CoreConfig{ColdAfter: 1000}
	hub := w.start("east-hub0", "east", RoleHub)
	peer := PeerInfo{Region: "east", Node: "east-hub1", Role: RoleHub, Inc: crdt.Incarnation{1}}
	var out Output
	step := func(e Event) {
		t.Helper()
		hub.core.Step(w.at(), e, &out)
	}
	persisted := func() {
		t.Helper()
		if out.Persist == nil {
			t.Fatal("nothing is written")
		}
		step(Persisted{Token: out.Persist.Token})
	}
	frame := func(seq, total uint64) Received {
		f := &wire.Frame{
			Origin: crdt.Origin{Class: crdt.ClassNode, Region: "east", Node: "east-edge0", Inc: crdt.Incarnation{2}},
			From:   seq - 1, To: seq, Head: seq,
			Cells: []wire.Cell{{Seq: seq, Value: crdt.Value{Kind: crdt.KindCounter, P: crdt.FixedFromUint(total)}}},
		}
		if seq == 1 {
			f.Defs = []wire.Def{{Seq: 1, Series: crdt.Series{Name: "clicks", Kind: crdt.KindCounter}}}
		}
		raw, err := wire.AppendFrame(nil, f)
		if err != nil {
			t.Fatal(err)
		}
		return Received{ID: 1, Msg: Decoded{Msg: &wire.FrameMsg{Raw: raw}, Frame: f}}
	}
	step(PeerUp{ID: 1, Peer: peer})
	step(frame(1, 40))
	persisted()
	w.now += 2000
	step(Tick{}) // begins to make it cold
	cooling := out.Persist
	if cooling == nil {
		t.Fatal("the origin does not go cold")
	}
	step(frame(2, 42))
	step(Persisted{Token: cooling.Token})
	persisted()
	w.mustTotal("clicks", 42)
}

// TestAHubsTotalsAreNotTakenForItsColdCells: a hub's own cells and its totals have one incarnation. When the cells are
// cold and wanted again, after a restart only they are in the cold sums, not the totals.
func TestAHubsTotalsAreNotTakenForItsColdCells(t *testing.T) {
	w := newWorld(t, 8)
	w.cfg = CoreConfig{ColdAfter: 1000, LogBytes: 1}
	hub := w.start("east-hub0", "east", RoleHub)
	up := PeerUp{ID: 1, Peer: PeerInfo{Region: "east", Node: "east-hub1", Role: RoleHub, Inc: crdt.Incarnation{1}}}
	frame := func(class crdt.Class, node string, seq, total uint64) {
		f := &wire.Frame{
			Origin: crdt.Origin{Class: class, Region: "east", Node: node, Inc: crdt.Incarnation{2, node[len(node)-1]}},
			From:   seq - 1, To: seq, Head: seq,
			Cells: []wire.Cell{{Seq: seq, Value: crdt.Value{Kind: crdt.KindCounter, P: crdt.FixedFromUint(total)}}},
		}
		if seq == 1 {
			f.Defs = []wire.Def{{Seq: 1, Series: crdt.Series{Name: "clicks", Kind: crdt.KindCounter}}}
		}
		raw, err := wire.AppendFrame(nil, f)
		if err != nil {
			t.Fatal(err)
		}
		w.step(hub, Received{ID: 1, Msg: Decoded{Msg: &wire.FrameMsg{Raw: raw}, Frame: f}})
		w.run(100)
	}
	restart := func(logBytes int64) {
		w.kill("east-hub0")
		w.cfg.LogBytes = logBytes
		hub = w.start("east-hub0", "east", RoleHub)
	}
	w.step(hub, up)
	frame(crdt.ClassNode, "east-edge9", 1, 1000)
	frame(crdt.ClassNode, "east-hub1", 1, 40)
	frame(crdt.ClassRegion, "east-hub1", 1, 40)
	w.run(3000) // the cells are cold, the totals in a checkpoint
	restart(1 << 20)
	w.step(hub, up)
	frame(crdt.ClassNode, "east-hub1", 2, 42) // in the log
	for range 2 {                             // the first writes the sums, the second believes them
		restart(1)
		w.run(3000)
		w.mustTotal("clicks", 1042)
	}
}

// TestAnIncarnationThatWentColdInPartIsRelayed: an edge lost its disk in the middle of a flush, so what a hub got of it is
// never covered. A sibling that comes when it is cold gets it all the same, and soon.
func TestAnIncarnationThatWentColdInPartIsRelayed(t *testing.T) {
	for _, partial := range []wire.Frame{
		{From: 0, To: 1, Head: 3}, // the rest is missing
		{From: 2, To: 3, Head: 3}, // what was before is missing
	} {
		w := newWorld(t, 9)
		w.cfg = CoreConfig{AntiEntropy: 1000, ColdAfter: 1000}
		a := w.start("east-hub0", "east", RoleHub)
		w.step(a, PeerUp{ID: 1000, Peer: PeerInfo{Region: "east", Node: "east-edge9", Role: RoleEdge, Inc: crdt.Incarnation{2}}})
		partial.Origin = crdt.Origin{Class: crdt.ClassNode, Region: "east", Node: "east-edge9", Inc: crdt.Incarnation{2}}
		partial.Defs = []wire.Def{{Seq: partial.To, Series: crdt.Series{Name: "clicks", Kind: crdt.KindCounter}}}
		partial.Cells = []wire.Cell{{Seq: partial.To, Value: crdt.Value{Kind: crdt.KindCounter, P: crdt.FixedFromUint(40)}}}
		raw, err := wire.AppendFrame(nil, &partial)
		if err != nil {
			t.Fatal(err)
		}
		w.step(a, Received{ID: 1000, Msg: Decoded{Msg: &wire.FrameMsg{Raw: raw}, Frame: &partial}})
		w.run(100)
		w.step(a, PeerDown{ID: 1000})
		w.run(5000)
		if len(a.core.Cold()) != 1 {
			t.Fatalf("%d incarnations are cold, want 1", len(a.core.Cold()))
		}
		w.start("east-hub1", "east", RoleHub)
		w.run(5000)
		if n := a.core.Counts.Loads; n > 2 {
			t.Errorf("loaded %d times for one session", n)
		}
		w.kill("east-hub0") // the other one's own copy is what counts
		w.mustTotal("clicks", 40)
	}
}
