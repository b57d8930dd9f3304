package node

import (
	"fmt"

	"meshd/crdt"
	"meshd/internal/mutant"
	"meshd/internal/wire"
	"meshd/reconcile"
)

// holdings calls f with what this node holds of what the peer may send it.
func (c *Core) holdings(s *session, f func(o crdt.Origin, p crdt.Progress)) {
	one := func(r *reconcile.Replica) {
		if r != nil {
			f(r.Origin, r.Progress[crdt.StreamLifetime])
		}
	}
	if c.hub == nil {
		for _, sl := range c.slots.All() {
			if o := &sl.Total.Origin; o.Inc.SameProcess(s.peer.Inc) && o.Node == s.peer.Node {
				one(&sl.Total)
			}
		}
		for _, v := range c.views.All() {
			if v.Origin.Inc.SameProcess(s.peer.Inc) && v.Origin.Node == s.peer.Node {
				f(v.Origin, v.Progress[crdt.StreamLifetime])
			}
		}
		return
	}
	if s.peer.Role == RoleEdge {
		for _, n := range s.named {
			o := c.peerOrigin(s, n.Inc)
			if c.gaveUp(o, &n) {
				f(o, allOfIt)
			} else if p, ok := c.coldProgress(o); ok {
				f(o, p[crdt.StreamLifetime])
			} else {
				one(c.hub.region.Held(o))
			}
		}
		return
	}
	if s.peer.Region == c.cfg.Region {
		for _, r := range c.hub.region.Replicas() {
			one(r)
		}
	}
	for _, r := range c.hub.entries.Replicas() {
		one(r)
	}
	one(&c.hub.region.Total.Replica)
	if c.hub.export != nil {
		one(&c.hub.export.Replica)
	}
}

// sendMarks says what this node holds, of what each calls its argument for, where it changed since it was said; with
// full, all of it. It acknowledges and asks for more in one.
func (c *Core) sendMarks(s *session, full bool, each func(*session, func(crdt.Origin, crdt.Progress))) {
	waiting := len(s.listing)
	each(s, func(o crdt.Origin, p crdt.Progress) {
		if was, ok := s.told[o]; ok && was == p && !full {
			return
		}
		s.told[o] = p
		s.listing = append(s.listing, wire.Mark{Origin: o, Progress: [crdt.NumStreams]crdt.Progress{p}})
	})
	for _, o := range s.lateOrigins {
		if p, ok := c.held(o); ok {
			s.listing = append(s.listing, wire.Mark{Origin: o, Progress: [crdt.NumStreams]crdt.Progress{p}})
		}
	}
	s.lateOrigins = nil
	if !full && len(s.listing) == waiting {
		return
	}
	s.listingFull = full || s.listingFull
	c.sendListing(s)
}

// sendListing sends the messages of a listing as far as there is room: that of a hub with a million cold incarnations
// takes 100 MB.
func (c *Core) sendListing(s *session) {
	room := s.listing[:0]
	for s.listingFull || len(s.listing) > 0 {
		n := min(len(s.listing), wire.MaxMarks)
		msg := encodeMessage(&wire.Marks{Full: s.listingFull, More: n < len(s.listing), Marks: s.listing[:n]})
		if !c.room(s, false).takes(len(msg)) {
			return
		}
		c.sendRaw(s, msg, false)
		s.listing, s.listingFull = s.listing[n:], false
	}
	if s.listing = room; cap(room) > keptListing {
		s.listing = nil
	}
}

// gotMarks takes the peer's word on what it holds: where to resume, and what need not be remembered as sent.
func (c *Core) gotMarks(s *session, m *wire.Marks) {
	s.lag.known = false
	if m.Full {
		clear(s.marks)
	}
	for i := range m.Marks {
		mk := &m.Marks[i]
		if mk.Origin == c.own && s.peer.Role == RoleHub && mk.Progress[crdt.StreamLifetime].Cursor > c.live.Progress[crdt.StreamLifetime].Cursor {
			if mk.Progress[crdt.StreamLifetime] == allOfIt {
				c.out.Fatal = fmt.Errorf("node: %w: %s says so", ErrForgotten, s.peer.Node)
				continue
			}
			c.out.Fatal = c.forked(s, "it", mk.Progress[crdt.StreamLifetime].Cursor, c.live.Progress[crdt.StreamLifetime].Cursor)
		}
		if c.isDropped(mk.Origin) {
			continue // it is not sent to anybody: what a peer has of it is no matter
		}
		was, now := s.marks[mk.Origin], mk.Progress[crdt.StreamLifetime]
		s.marks[mk.Origin] = now
		switch st := s.streams[mk.Origin]; {
		case st == nil:
		case now.Cursor < was.Cursor && !mutant.On("marks never fall"): // it dropped the cells, and wants them after all
			c.rewind(s, mk.Origin, st)
		default:
			c.acked(s, st, now.Cursor)
		}
	}
	if !m.More && s.hello && !s.ready {
		s.ready = true
		if !c.sentAll(s) {
			c.lags(s)
		}
	}
	if m.Full && !m.More {
		c.reexpress(s)
	}
}

// forked says that a peer holds more of this process than it wrote.
func (c *Core) forked(s *session, what string, held, wrote uint64) error {
	return fmt.Errorf("node: %w: %s holds %s up to %d, this process wrote %d", ErrForked, s.peer.Node, what, held, wrote)
}

func (c *Core) acked(s *session, st *outStream, cursor uint64) {
	s.inflight -= st.unacked.acked(c.now, cursor)
}

// resume returns where to begin to send an origin. An edge has it from this process alone: at its cursor. A hub may
// have come to its cursor by another hub's frames, which leave out what changed after their end by that hub's word:
// the parts of a cell that came in one frame have one seq there, the highest of them. So it is what the hub covers.
func (s *session) resume(o crdt.Origin) uint64 {
	p := s.marks[o]
	if s.peer.Role == RoleEdge || mutant.On("hub resumed at its cursor") {
		return p.Cursor
	}
	return p.Covered
}
