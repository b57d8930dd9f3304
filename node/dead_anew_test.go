package node

import (
	"bytes"
	"slices"
	"testing"

	"meshd/crdt"
	"meshd/internal/wire"
)

// TestAnEntryThatBeginsAnewIsJudgedAnew: a dead entry of the own region is found to be contained a second time while its cells
// are being deleted. Then a frame brings more of it than was held, and it begins anew, with as many changes as it had
// had: what was found of the copy before is nothing to go by, and what is answered does not fall.
func TestAnEntryThatBeginsAnewIsJudgedAnew(t *testing.T) {
	w := newWorld(t, 17)
	w.cfg = CoreConfig{AntiEntropy: 100}
	hub := w.start("east-hub0", "east", RoleHub)
	entry := crdt.Origin{Class: crdt.ClassRegion, Region: "east", Node: "east-hub1", Inc: crdt.Incarnation{1}}
	frame := func(seq, n uint64, name string) {
		f := &wire.Frame{
			Origin: entry, From: seq - 1, To: seq, Head: seq,
			Defs:  []wire.Def{{Ref: uint32(seq - 1), Seq: seq, Series: crdt.Series{Name: name, Kind: crdt.KindCounter}}},
			Cells: []wire.Cell{{Ref: uint32(seq - 1), Seq: seq, Value: crdt.Value{Kind: crdt.KindCounter, P: crdt.FixedFromUint(n)}}},
		}
		raw, err := wire.AppendFrame(nil, f)
		if err != nil {
			t.Fatal(err)
		}
		w.step(hub, Received{ID: 1001, Msg: Decoded{Msg: &wire.FrameMsg{Raw: raw}, Frame: f}})
	}
	w.step(hub, PeerUp{ID: 1001, Peer: PeerInfo{Region: "east", Node: "east-hub1", Role: RoleHub, Inc: crdt.Incarnation{2}}})
	w.count("east-hub0", "clicks", 2, Token{})
	frame(1, 2, "clicks")
	dropping := func() bool {
		return hub.persist != nil && slices.ContainsFunc(hub.persist.Ops, func(op Op) bool {
			return bytes.Equal(op.Key, originKey(prefixProgress, entry))
		})
	}
	w.slow = map[string]int64{"east-hub0": 250} // two comparisons
	for range 2000 {
		if !dropping() {
			w.run(1)
		}
	}
	w.run(200)
	if !dropping() || len(hub.core.hub.retired) == 0 {
		t.Fatal("the entry is not judged while it is dropped: this tests nothing")
	}
	w.slow = nil
	frame(2, 5, "views")
	w.run(2000)
	if got := w.total("east-hub0", "views"); got != "5" {
		t.Errorf("the hub answers %s, and had been told of 5", got)
	}
}
