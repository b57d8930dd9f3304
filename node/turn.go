package node

import (
	"slices"

	"meshd/crdt"
	"meshd/internal/mutant"
	"meshd/reconcile"
)

// The streams of a session share its queue. A frame that is larger than what others leave free in it goes only into an empty
// one, see Room, and streams that always went first would fill it again each time. So the first stream that found no room
// for anything goes first the next time, and nothing goes before it until it found some: the queue gets empty.

// sendInTurn sends a peer what it lacks of what it is sent as it changes, beginning with the stream whose turn it is.
func (c *Core) sendInTurn(s *session) {
	waits := false
	for _, r := range c.inTurn(s) {
		st := c.stream(s, r.Origin)
		sent := st.sent
		if c.hub != nil && s.peer.Role == RoleEdge && r.Origin.Class == crdt.ClassRegion {
			c.sendPushes(s, st)
		} else {
			c.sendFrames(s, st, r, false)
		}
		if !waits && st.sent == sent && sent < r.Progress[crdt.StreamLifetime].Cursor && !c.mayFill(s) {
			s.turn, waits = r.Origin, true
		}
	}
}

func (c *Core) inTurn(s *session) []*reconcile.Replica {
	rs := c.direct(s)
	i := slices.IndexFunc(rs, func(r *reconcile.Replica) bool { return r.Origin == s.turn })
	if i <= 0 || mutant.On("who found no room waits behind others") {
		return rs
	}
	return slices.Concat(rs[i:], rs[:i])
}
