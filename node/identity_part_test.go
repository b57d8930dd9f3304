package node

import (
	"testing"

	"meshd/crdt"
	"meshd/internal/wire"
)

// TestNobodyWaitsForWhatWentWithADisk: a hub's disk is lost while a sibling has a part of what its process had counted, whose
// rest was promised. The part comes back to the hub, and after its next restart it names that process: the sibling must
// not wait for a rest that nobody has, and counts that it is gone.
func TestNobodyWaitsForWhatWentWithADisk(t *testing.T) {
	w := newWorld(t, 29)
	w.cfg = CoreConfig{AntiEntropy: 100}
	sibling := w.start("east-hub1", "east", RoleHub)
	was := PeerInfo{Region: "east", Node: "east-hub0", Role: RoleHub, Inc: crdt.Incarnation{1}}
	part := crdt.Origin{Class: crdt.ClassNode, Region: "east", Node: "east-hub0", Inc: was.Inc}
	f := &wire.Frame{
		Origin: part, To: 2, Head: 3,
		Defs:  []wire.Def{{Seq: 1, Series: crdt.Series{Name: "clicks", Kind: crdt.KindCounter}}},
		Cells: []wire.Cell{{Seq: 2, Value: crdt.Value{Kind: crdt.KindCounter, P: crdt.FixedFromUint(2)}}},
	}
	raw, err := wire.AppendFrame(nil, f)
	if err != nil {
		t.Fatal(err)
	}
	w.step(sibling, PeerUp{ID: 1001, Peer: was})
	w.step(sibling, Received{ID: 1001, Msg: Decoded{Msg: &wire.FrameMsg{Raw: raw}, Frame: f}})
	w.step(sibling, PeerDown{ID: 1001})
	hub := w.start("east-hub0", "east", RoleHub) // on an empty disk
	w.run(5000)
	if p, _ := hub.core.held(part); p != (crdt.Progress{Cursor: 2, Owed: 3}) {
		t.Fatalf("the hub has %+v of its earlier process: this tests nothing", p)
	}
	if n := sibling.core.Counts.RolledBack; n != 0 {
		t.Errorf("%d incarnations rolled back, and none was named yet", n)
	}
	w.kill("east-hub0")
	w.start("east-hub0", "east", RoleHub)
	at := w.now
	w.run(20_000) // the process before, which wrote nothing and is not named, is silent for long enough to be over
	if until := sibling.core.hub.watch.AsOf("east-hub0"); until < at {
		t.Errorf("the sibling calls the hub complete until %d ms before its restart only", at-until)
	}
	if n := sibling.core.Counts.RolledBack; n != 1 {
		t.Errorf("%d incarnations rolled back, want the one whose rest is gone", n)
	}
	w.mustTotal("clicks", 2)
}
