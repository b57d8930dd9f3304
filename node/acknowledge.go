package node

import (
	"slices"

	"meshd/crdt"
	"meshd/reconcile"
)

// hearsOf remembers that a peer sends an origin.
func (s *session) hearsOf(o crdt.Origin) {
	if i, ok := slices.BinarySearchFunc(s.sources, o, crdt.Origin.Compare); !ok {
		s.sources = slices.Insert(s.sources, i, o)
	}
}

// acknowledge tells a peer what of its cells is held now.
func (c *Core) acknowledge(s *session) {
	s.lastFlush = c.now
	c.sendMarks(s, false, c.sourcesHeld)
	if s.line.pace.flush > publishMs {
		c.sendWindowMarks(s, false)
	}
}

// sourcesHeld calls f for what a peer sends and this node holds, in the order of holdings: of what a hub holds beside it a peer
// hears at comparisons.
func (c *Core) sourcesHeld(s *session, f func(o crdt.Origin, p crdt.Progress)) {
	if c.hub != nil && s.peer.Role == RoleEdge { // few incarnations, of which some may be cold or forgotten
		c.holdings(s, func(o crdt.Origin, p crdt.Progress) {
			if slices.Contains(s.sources, o) {
				f(o, p)
			}
		})
		return
	}
	for _, o := range s.sources {
		if p, ok := c.sourceHeld(s, o); ok {
			f(o, p)
		}
	}
}

// sourceHeld returns how far an origin is held that a peer sends, as holdings tells it.
func (c *Core) sourceHeld(s *session, o crdt.Origin) (crdt.Progress, bool) {
	var r *reconcile.Replica
	switch {
	case c.hub == nil && (!o.Inc.SameProcess(s.peer.Inc) || o.Node != s.peer.Node):
	case c.hub == nil && o.Class == crdt.ClassView:
		if v := c.views.Held(o); v != nil {
			return v.Progress[crdt.StreamLifetime], true
		}
	case c.hub == nil:
		r = c.slots.Held(o)
	case o.Class == crdt.ClassRegion:
		r = c.hub.entries.Held(o)
	case s.peer.Region == c.cfg.Region:
		r = c.hub.region.Held(o)
	}
	if r == nil {
		return crdt.Progress{}, false
	}
	return r.Progress[crdt.StreamLifetime], true
}
