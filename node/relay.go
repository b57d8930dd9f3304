package node

import (
	"meshd/crdt"
	"meshd/internal/mutant"
	"meshd/reconcile"
)

const (
	// relayAfter is for how many comparison intervals a new session relays nothing: after a cut the writers catch up
	// themselves, and what they send need not come twice.
	relayAfter = 1
	// relayLiveAfter is the same for the entries of hubs that run: after a cut their own sessions come back one by one,
	// within two seconds.
	relayLiveAfter = 3
)

// age remembers how far everything is held now. At the next comparison, what a peer lacks of that it did not get
// from its writer either.
func (c *Core) age() {
	if c.hub == nil {
		c.forgetHubs()
		c.forgetVersions()
		return
	}
	c.judgeDead()
	c.forgetSome()
	c.recount()
	c.agedInto(c.hub.aged)
}

func (c *Core) agedInto(aged map[crdt.Origin]uint64) {
	clear(aged)
	for _, r := range c.hub.region.Replicas() {
		aged[r.Origin] = r.Progress[crdt.StreamLifetime].Cursor
	}
	for _, r := range c.hub.entries.Replicas() {
		aged[r.Origin] = r.Progress[crdt.StreamLifetime].Cursor
	}
}

// ageFor is age for a session that compares less often than this node does: what its peer lacks since its own comparison
// before, it lacks for long.
func (c *Core) ageFor(s *session) {
	if c.hub == nil || s.peer.Role != RoleHub || s.line.pace.compare <= c.cfg.AntiEntropy {
		s.aged = nil
		return
	}
	if s.aged == nil {
		s.aged = map[crdt.Origin]uint64{}
	}
	c.agedInto(s.aged)
}

// compare tells a hub what is held here, and relays what it lacks of what was here at the comparison before: of its
// region the cells of all nodes, of all regions the entries of all hubs, dead ones included.
func (c *Core) compare(s *session) {
	c.tellConfig(s)
	c.sendMarks(s, false, c.holdings)
	if c.hub == nil || s.peer.Role != RoleHub || c.now < s.since+relayAfter*s.line.pace.compare {
		return
	}
	if s.peer.Region == c.cfg.Region {
		c.compareCold(s)
		c.tellForgets(s)
	}
	c.relayAll(s)
}

// relayAll relays as much as finds room. If that is not all, the next interval goes on.
func (c *Core) relayAll(s *session) {
	s.limit, s.full, s.relayCut, s.lastRelay = c.cfg.Inflight, false, false, c.now
	if s.peer.Region == c.cfg.Region {
		for _, r := range c.hub.region.Replicas() {
			if r != c.live {
				c.relay(s, r)
			}
		}
	}
	live := func(crdt.Origin) bool { return false }
	if c.now < s.since+relayLiveAfter*s.line.pace.compare {
		_, live = c.deadHubs()
	}
	for _, r := range c.hub.entries.Replicas() {
		if !r.Origin.Inc.SameProcess(s.peer.Inc) && !live(r.Origin) && c.mayRelay(s, r.Origin) && !mutant.On("entries from their writers only") {
			c.relay(s, r)
		}
	}
}

func (c *Core) relay(s *session, r *reconcile.Replica) {
	p := r.Progress[crdt.StreamLifetime]
	mark := s.marks[r.Origin]
	aged := c.hub.aged
	if s.aged != nil {
		aged = s.aged
	}
	old := mark.Covered < min(aged[r.Origin], p.Cursor)
	if !old && (r.Top() <= p.Cursor || mark.Covered >= r.Top()) {
		return
	}
	st := c.stream(s, r.Origin)
	if st.passing && !st.mayGoOn(r) {
		st.passing = false
	}
	if st.passing { // a peer that has a part of it covers no more than before: what is under way goes on
		c.relayOn(s, st, r)
		return
	}
	if len(st.unacked.frames) > 0 {
		return
	}
	if !c.mayFill(s) {
		s.relayCut = true
		return
	}
	// Equal cursors do not mean equal cells while something is owed, and what is owed may never come: each version is relayed
	// once all the same, and now and then again, should the peer's disk have refused it.
	again := p.Covered > mark.Covered && c.now >= st.relayedAt+s.line.pace.retry
	if old && (p.Cursor > mark.Cursor || st.relayed != r.Version || again) {
		st.sent = s.resume(r.Origin)
		c.relayOn(s, st, r)
		return
	}
	c.relayExtras(s, st, r)
}

// relayOn goes on with a relay that began at what the peer covers, until the peer has been sent all of it.
func (c *Core) relayOn(s *session, st *outStream, r *reconcile.Replica) {
	c.sendFrames(s, st, r, true)
	st.passing = st.sent < r.Progress[crdt.StreamLifetime].Cursor && !mutant.On("relay begins again")
	if st.passing {
		s.relayCut = true
		st.version, st.held = r.Version, r.Progress[crdt.StreamLifetime].Covered
		return
	}
	st.relayed, st.relayedAt = r.Version, c.now
	c.relayExtras(s, st, r)
}

// relayExtras sends what is held beyond the own cursor, once for each version.
func (c *Core) relayExtras(s *session, st *outStream, r *reconcile.Replica) {
	if r.Top() <= r.Progress[crdt.StreamLifetime].Cursor || s.marks[r.Origin].Covered >= r.Top() || mutant.On("extras not relayed") {
		return
	}
	if st.extras != r.Version {
		st.extras, st.extrasSent = r.Version, 0
	}
	fs := r.Extras(c.cfg.FrameBytes)
	for ; st.extrasSent < len(fs); st.extrasSent++ {
		f := fs[st.extrasSent]
		if !c.mayFill(s) || !c.hand(s, st, f, nil, encode(f).msg, true) {
			s.relayCut = true
			return
		}
	}
}
