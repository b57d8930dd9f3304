package node

import (
	"maps"
	"slices"

	"meshd/crdt"
	"meshd/internal/mutant"
	"meshd/internal/wire"
)

// chooseFrozen freezes what is long over, of some nodes.
func (c *Core) chooseFrozen() {
	f, x := &c.hub.forget, &c.hub.cold.index
	busy := 0
	for _, n := range f.nodes {
		if len(n.frozen)+len(n.closing) > 0 {
			busy++
		}
	}
	for looked, buckets := 0, 0; x.rows != nil && looked < forgetScan && buckets < coldBuckets; buckets++ {
		for o, p := range x.bucket(f.next, c.cfg.Region) {
			looked++
			if !c.mayForget(o, p) {
				continue
			}
			n := f.nodes[o.Node]
			fresh := n == nil || len(n.frozen)+len(n.closing) == 0
			switch {
			case fresh && busy >= maxFreezing:
				continue
			case fresh:
				busy++
			case len(n.frozen) > 0 || len(n.closing) >= maxFrozen: // the next ones in the next round
				continue
			}
			if n = f.node(o.Node); len(n.ids)+len(n.closing) < wire.MaxForgotten-wire.MaxFrozen {
				n.closing = union(n.closing, []crdt.Incarnation{o.Inc})
			}
		}
		f.next = (f.next + 1) % coldBuckets
	}
}

// mayForget reports whether a cold origin is long over, and nothing of it is missing here that its node still has.
func (c *Core) mayForget(o crdt.Origin, p [crdt.NumStreams]crdt.Progress) bool {
	if c.isFrozen(o) || !mutant.On("forgotten young") && c.wall < c.hub.cold.index.changed(o)+c.cfg.ForgetAfter || c.inUse(o) {
		return false
	}
	return c.confirmedOver(o, p)
}

// inUse reports whether something is about to change an origin here.
func (c *Core) inUse(o crdt.Origin) bool {
	_, thawing := c.hub.cold.waiting[o]
	return thawing || c.queued(o) || o == c.own || slices.ContainsFunc(c.order, func(s *session) bool { return s.peer.Inc == o.Inc })
}

// confirmedOver reports whether a later incarnation of an origin's node says that all it has of the origin is here, or the
// node was removed.
func (c *Core) confirmedOver(o crdt.Origin, p [crdt.NumStreams]crdt.Progress) bool {
	if o.Node == c.cfg.Node || mutant.On("forgotten unconfirmed") {
		return true // this process: what it has is what is here
	}
	asked := false
	for _, s := range c.order {
		if s.peer.Node != o.Node || s.peer.Region != o.Region {
			continue
		}
		named, covered := s.covers(o.Inc, p, c.cfg.Limits.Named)
		if !s.hello || !covered {
			return false
		}
		// A later process on the same disk names it. One that does not may be an earlier one, of which nobody has noticed yet that
		// it is over; only if it came after the last change it is one that lost the disk.
		asked = asked || named || c.toWall(s.since) > c.hub.cold.index.changed(o) || mutant.On("an earlier process confirms")
	}
	return asked || c.removed(process{o.Region, o.Node})
}

// covers reports whether p is all that the peer has, by its hello of at most so many names, of an incarnation that is not its
// own, and whether it has anything.
func (s *session) covers(inc crdt.Incarnation, p [crdt.NumStreams]crdt.Progress, most int) (named, covered bool) {
	for i := range s.named {
		if n := &s.named[i]; n.Inc == inc {
			for st := range p {
				if p[st].Covered < n.Head[st] {
					return true, false
				}
			}
			return true, !n.Live
		}
	}
	return false, len(s.named) < most-1 || mutant.On("unnamed is not there") // or it did not name all it has
}

// followFrozen freezes what siblings state frozen that forgot the same before.
func (c *Core) followFrozen() {
	f := &c.hub.forget
	for _, s := range c.siblings() {
		for _, name := range slices.Sorted(maps.Keys(s.forget.stated)) {
			st := s.forget.stated[name]
			if len(st.Frozen) == 0 {
				continue
			}
			n := f.node(name)
			if !n.forgotSame(&st) {
				continue
			}
			for _, inc := range st.Frozen {
				o := crdt.Origin{Class: crdt.ClassNode, Region: c.cfg.Region, Node: name, Inc: inc}
				if !c.isFrozen(o) && !c.inUse(o) && c.mayFollow(s, o) && len(n.frozen)+len(n.closing) < wire.MaxFrozen {
					n.closing = union(n.closing, []crdt.Incarnation{inc})
				}
			}
		}
	}
}

// mayFollow reports whether an origin that a sibling states frozen is here as well, as far as is known. Until then the sibling may be
// the only hub that has it: were its disk lost, all that is left would be with the node, of which nothing more is taken.
func (c *Core) mayFollow(s *session, o crdt.Origin) bool {
	if mutant.On("frozen by hearsay") {
		return true
	}
	p, cold := c.hub.cold.index.progress(o)
	held := p[crdt.StreamLifetime].Cursor
	if !cold || s.marks[o].Cursor > held {
		return false
	}
	for _, s := range c.order {
		if s.peer.Node == o.Node && s.peer.Region == o.Region && headOf(s.named, o.Inc) > held {
			return false
		}
	}
	return true
}
