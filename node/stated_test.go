package node

import (
	"testing"

	"meshd/crdt"
	"meshd/internal/wire"
)

func TestAStatementMeasuresThePeersClock(t *testing.T) {
	w := newWorld(t, 7)
	p := w.start("east-hub0", "east", RoleHub)
	peer := PeerInfo{Region: "west", Node: "west-hub0", Role: RoleHub, Inc: crdt.Incarnation{1}}
	w.step(p, PeerUp{ID: 1, Peer: peer})
	w.step(p, Received{ID: 1, Msg: Decoded{Msg: &wire.Hello{Inc: peer.Inc, WallMs: w.now - 900}}}) // it was under way for long
	at := w.now - 10
	w.step(p, Received{ID: 1, Msg: Decoded{Msg: &wire.Coverage{Regions: []wire.RegionCoverage{{
		Region: "west", Hub: peer.Node, Inc: peer.Inc, Expected: 1, Heard: 1, CompleteUntilMs: at - 500, AtMs: at,
	}}}}})
	for _, c := range p.core.Coverage() {
		if c.Region == "west" && c.CompleteUntil.UnixMilli() != w.now-500 {
			t.Errorf("complete until %d ms ago, want 500: stated 10 ms ago at the most", w.now-c.CompleteUntil.UnixMilli())
		}
	}
	if n := len(p.core.Coverage()); n != 2 {
		t.Fatalf("coverage of %d regions, want 2", n)
	}
}
