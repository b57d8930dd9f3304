package node

import (
	"testing"

	"meshd/crdt"
	"meshd/internal/wire"
)

// TestAHubFreezesWhatItHolds: what a sibling states frozen is frozen here once it is here. Until then its node may bring it: the
// sibling's disk may be lost, and with it the only copy that a hub had.
func TestAHubFreezesWhatItHolds(t *testing.T) {
	over := crdt.Origin{Class: crdt.ClassNode, Region: "east", Node: "east-edge0", Inc: crdt.Incarnation{2}}
	for _, tt := range []struct {
		name   string
		before func(s *solo) // the sibling's statement
		frozen bool
	}{
		{"nothing of it is here", func(*solo) {}, false},
		{"all of it is here", func(s *solo) { s.bring(7, over, 1, 40) }, true},
		{"its node has no more of it", func(s *solo) { s.bring(7, over, 1, 40); s.edge(3, 3, headAt(2, 1), headAt(3, 0)) }, true},
		{"its node has more of it", func(s *solo) { s.bring(7, over, 1, 30); s.edge(3, 3, headAt(2, 2), headAt(3, 0)) }, false},
		{"the sibling has more of it", func(s *solo) {
			s.bring(7, over, 1, 30)
			s.hear(7, &wire.Marks{Marks: []wire.Mark{{Origin: over, Progress: [crdt.NumStreams]crdt.Progress{{Cursor: 2, Owed: 2, Covered: 2}}}}})
		}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := &solo{world: forgetful(t)}
			s.cfg.ForgetAfter = 1 << 40 // the hub chooses nothing by itself
			s.hub = s.start("east-hub0", "east", RoleHub)
			s.sibling(7)
			s.hear(7, &wire.Marks{Marks: []wire.Mark{{Origin: over}}}) // it says nothing of it
			tt.before(s)
			s.run(5000) // it goes cold
			s.hear(7, &wire.Freeze{Nodes: []wire.FrozenNode{{Node: over.Node, Frozen: []crdt.Incarnation{over.Inc}, Print: 1}}})
			s.run(5000)
			if got := s.hub.core.isFrozen(over); got != tt.frozen {
				t.Fatalf("frozen: %t, want %t", got, tt.frozen)
			}
			if !tt.frozen {
				s.step(s.hub, PeerDown{ID: 7}) // with the sibling goes what it had
				s.edge(4, 4, headAt(2, 2), headAt(4, 0))
				s.bring(4, over, 1, 30)
				s.bring(4, over, 2, 40)
				s.run(5000)
			}
			s.mustTotal("clicks", 40)
		})
	}
}
