package node

import (
	"testing"

	"meshd/crdt"
)

// TestAskingWhatIsHeldMakesNothing: a session may outlast what it brought. To ask for that again must not make an empty
// copy of it, for which a peer would be told that nothing is held.
func TestAskingWhatIsHeldMakesNothing(t *testing.T) {
	c, err := NewCore(CoreConfig{Region: "east", Node: "edge", Role: RoleEdge})
	if err != nil {
		t.Fatal(err)
	}
	for _, class := range []crdt.Class{crdt.ClassRegion, crdt.ClassView} {
		o := crdt.Origin{Class: class, Region: "east", Node: "hub"}
		if p, ok := c.held(o); ok {
			t.Errorf("%s: %+v is held", o, p)
		}
	}
	if n := len(c.slots.Origins()) + len(c.views.All()); n > 0 {
		t.Errorf("%d copies were made by asking", n)
	}
}
