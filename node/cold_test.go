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
