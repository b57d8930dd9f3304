package node

import (
	"testing"

	"meshd/crdt"
	"meshd/internal/wire"
)

// TestABeatThatFoundNoRoomIsMadeUpFor has a hub's queue full at each of its comparisons, which is where beats fall: their
// intervals are multiples. The sibling has to hear of it all the same, and not at every step while there is no room.
func TestABeatThatFoundNoRoomIsMadeUpFor(t *testing.T) {
	w := newWorld(t, 1)
	w.cfg = CoreConfig{AntiEntropy: 500, Beat: 1000, Silence: 4000}
	p := w.start("east-hub0", "east", RoleHub)
	peer := PeerInfo{Region: "east", Node: "east-hub1", Role: RoleHub, Inc: crdt.Incarnation{1}}
	w.step(p, PeerUp{ID: 1, Peer: peer})
	w.step(p, Received{ID: 1, Msg: Decoded{Msg: &wire.Hello{Inc: peer.Inc, WallMs: w.now}}})
	w.step(p, Received{ID: 1, Msg: Decoded{Msg: &wire.Marks{Full: true}}})
	beats, steps := 0, 0
	full := false
	out := Output{Room: func(uint64, bool) Room {
		if full || p.core.now >= p.core.nextAE {
			return Room{}
		}
		return unbounded
	}}
	for end := w.now + 20_000; w.now < end; w.now = max(out.Wake, w.now+1) {
		full = end-w.now < 5000
		p.core.Step(w.clock(p), Tick{}, &out)
		steps++
		for _, s := range out.Sends {
			d, err := Decode(s.Msg)
			if err != nil {
				t.Fatal(err)
			}
			switch d.Msg.(type) {
			case *wire.Coverage, *wire.Heartbeat:
				beats++
			}
		}
	}
	if beats < 10 {
		t.Errorf("the sibling heard %d beats in 15 s", beats)
	}
	if steps > 200 {
		t.Errorf("%d steps in 20 s: the hub does not sleep while there is no room", steps)
	}
}
