package node

import (
	"fmt"
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

// TestWhatAnEdgeThatIsGoneSentInPartReachesSiblings: an edge lost its disk in the middle of a flush, so what a hub got of it
// is never covered, whatever the cursors say. A sibling gets it all the same, also when it has gone cold before the sibling
// came, and gets it once.
func TestWhatAnEdgeThatIsGoneSentInPartReachesSiblings(t *testing.T) {
	type frame struct{ from, to, head uint64 }
	for name, frames := range map[string][]frame{
		"the rest is missing":           {{0, 1, 3}},
		"what was before is missing":    {{2, 3, 3}},
		"what was between is missing":   {{0, 1, 1}, {2, 4, 4}},
		"the rest after a gap, as well": {{0, 1, 1}, {2, 4, 6}},
	} {
		for _, coldAfter := range []int64{2000, 1 << 40} {
			t.Run(fmt.Sprint(name, ", cold after ", coldAfter), func(t *testing.T) {
				w := newWorld(t, 9)
				w.cfg = CoreConfig{AntiEntropy: 1000, ColdAfter: coldAfter}
				a := w.start("east-hub0", "east", RoleHub)
				edge := crdt.Origin{Class: crdt.ClassNode, Region: "east", Node: "east-edge9", Inc: crdt.Incarnation{2}}
				w.step(a, PeerUp{ID: 1000, Peer: PeerInfo{Region: edge.Region, Node: edge.Node, Role: RoleEdge, Inc: edge.Inc}})
				for i, f := range frames {
					raw, err := wire.AppendFrame(nil, &wire.Frame{
						Origin: edge, From: f.from, To: f.to, Head: f.head,
						Defs:  []wire.Def{{Ref: uint32(i), Seq: f.to, Series: crdt.Series{Name: fmt.Sprint("clicks", i), Kind: crdt.KindCounter}}},
						Cells: []wire.Cell{{Ref: uint32(i), Seq: f.to, Value: crdt.Value{Kind: crdt.KindCounter, P: crdt.FixedFromUint(40)}}},
					})
					if err != nil {
						t.Fatal(err)
					}
					msg, err := wire.AppendMessage(nil, &wire.FrameMsg{Raw: raw})
					if err != nil {
						t.Fatal(err)
					}
					d, err := Decode(msg)
					if err != nil {
						t.Fatal(err)
					}
					w.step(a, Received{ID: 1000, Msg: d})
				}
				w.run(100)
				w.step(a, PeerDown{ID: 1000})
				w.run(5000)
				if cold := len(a.core.Cold()) == 1; cold != (coldAfter < 5000) {
					t.Fatalf("cold: %t", cold)
				}
				b := w.start("east-hub1", "east", RoleHub)
				w.run(4500)
				if n := a.core.Counts.Loads; n > 2 { // to relay it, and for the sibling's copy, which might have known more
					t.Errorf("loaded %d times for one session", n)
				}
				sent := a.core.Counts.CellsOut
				w.run(4500)
				if n := a.core.Counts.CellsOut - sent; n > 0 {
					t.Errorf("%d cells were relayed again", n)
				}
				for i := range frames { // its own sum: the answer is that of the first hub as well
					id, _ := b.core.cat.Find(&crdt.Series{Name: fmt.Sprint("clicks", i), Kind: crdt.KindCounter})
					if v, ok := cellOf(b.core.hub.region.Total, id); !ok || v.P != crdt.FixedFromUint(40) {
						t.Errorf("the sibling counts %s of series %d, want 40", v.P, i)
					}
				}
			})
		}
	}
}
