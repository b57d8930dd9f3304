package node

import (
	"bytes"
	"cmp"
	"maps"
	"math"
	"slices"
	"strings"

	"meshd/crdt"
	"meshd/internal/mutant"
	"meshd/internal/wire"
	"meshd/reconcile"
)

// maxStatements bounds the statements of one hub that wait for the cells they speak of: one per flush, so 16 are
// more than a second.
const maxStatements = 16

// statements is coverage as hubs stated it, by region and process. A statement counts once everything up to the seq at
// which it was read is held. A newer process of a hub replaces one that nobody hears any more; two that live by one name
// are two hubs. Those about a region are in the order of who made them: they are gone through at every read and beat.
type statements map[string][]*hubStatements

type hubStatements struct {
	who     heardName
	latest  wire.RegionCoverage // as sent whole last, in the hub's time
	current *wire.RegionCoverage
	waiting []wire.RegionCoverage // in local time
}

// gotCoverage takes a hub's statements: of its own region, and towards its edges of the others.
func (c *Core) gotCoverage(s *session, m *wire.Coverage) {
	for i := range m.Regions {
		rc := m.Regions[i]
		ok := s.peer.Role == RoleHub && rc.Hub == s.peer.Node && rc.Inc == s.peer.Inc &&
			(rc.Region == s.peer.Region || c.hub == nil && s.peer.Region == c.cfg.Region)
		if !ok {
			c.Counts.Refused++
			continue
		}
		c.measure(s, rc.AtMs)
		c.state(s, rc).latest = rc
		if rc.Region == c.cfg.Region {
			c.siblingClaim(s, rc.AtMs+s.offset.value())
		}
	}
}

// restate says what a hub stated last anew, as of the time of its heartbeat: nothing changed but the time, and regions are
// complete up to as much later, less the lag. A region that nobody hears stays complete up to where it was.
func (c *Core) restate(s *session, m *wire.Heartbeat) {
	for _, region := range slices.Sorted(maps.Keys(c.stated)) {
		i, ok := c.stated.find(region, heardName{s.peer.Node, s.peer.Inc})
		if !ok {
			continue
		}
		h := c.stated[region][i]
		rc := h.latest
		if rc.CompleteUntilMs != 0 && rc.Heard > 0 {
			rc.CompleteUntilMs += m.WallMs - int64(m.LagMs) - rc.AtMs
		}
		if region == s.peer.Region {
			rc.Seq = max(rc.Seq, m.Head[crdt.StreamLifetime])
		}
		rc.AtMs = m.WallMs
		c.state(s, rc)
	}
}

// state takes a statement in the time of the hub that made it.
func (c *Core) state(s *session, rc wire.RegionCoverage) *hubStatements {
	h := c.statedBy(rc.Region, heardName{rc.Hub, rc.Inc})
	local := rc
	local.AtMs = min(rc.AtMs+s.offset.value(), c.now)
	if local.CompleteUntilMs != 0 {
		local.CompleteUntilMs = min(local.CompleteUntilMs+s.offset.value(), c.now)
	}
	if local.OldestMissingMs != 0 {
		local.OldestMissingMs += s.offset.value()
	}
	c.settleStated(h)
	if len(h.waiting) >= maxStatements {
		h.waiting = slices.Delete(h.waiting, 0, 1)
	}
	h.waiting = append(h.waiting, local)
	return h
}

// find returns where what a process states of a region is, or belongs.
func (st statements) find(region string, who heardName) (int, bool) {
	return slices.BinarySearchFunc(st[region], who, func(h *hubStatements, who heardName) int { return h.who.compare(who) })
}

// statedBy returns the statements of a process about a region. A new one replaces those of its name that nobody hears.
func (c *Core) statedBy(region string, who heardName) *hubStatements {
	i, ok := c.stated.find(region, who)
	if ok {
		return c.stated[region][i]
	}
	h := &hubStatements{who: who}
	c.stated[region] = slices.DeleteFunc(slices.Insert(c.stated[region], i, h), func(o *hubStatements) bool {
		return o.who.node == who.node && o != h && !slices.ContainsFunc(c.order, func(s *session) bool { return s.peer.Inc == o.who.inc })
	})
	return h
}

// settleStated takes over the statements of a hub whose cells came.
func (c *Core) settleStated(h *hubStatements) {
	n := 0
	for n < len(h.waiting) && c.covers(&h.waiting[n]) {
		n++
	}
	if n > 0 {
		rc := h.waiting[n-1]
		h.current, h.waiting = &rc, slices.Delete(h.waiting, 0, n)
	}
}

// siblingClaim: a hub of the region sends its own cells before it states coverage, so all it had is what it sent and what
// this node had told it that it holds. The second counts: other hubs are told of the claim, and may hold none of it.
func (c *Core) siblingClaim(s *session, atMs int64) {
	if c.hub == nil || s.peer.Role != RoleHub || s.peer.Region != c.cfg.Region {
		return
	}
	c.claim(s, max(s.ownTo, s.told[c.peerOrigin(s, s.peer.Inc)].Cursor), atMs)
}

// best returns the statement about a region that counts, of those whose cells are held.
func (c *Core) best(region string) *wire.RegionCoverage {
	var best *wire.RegionCoverage
	for _, h := range c.stated[region] {
		c.settleStated(h)
		if h.current == nil {
			continue
		}
		if rc := c.undated(h.current); best == nil || c.better(rc, best) {
			best = rc
		}
	}
	if best != nil && (c.hub != nil && c.hub.beyond[region] || c.undecided(region)) && !mutant.On("region complete below a dead entry") {
		short := *best // a process that is over knew more: until when anything is complete is unknown
		short.CompleteUntilMs = 0
		return &short
	}
	return best
}

// better orders statements of one region: those of hubs that are heard, that know a time at all, that miss fewer nodes,
// that are complete up to a later time. Coverage is one statement, never parts of several.
func (c *Core) better(a, b *wire.RegionCoverage) bool {
	worse := func(no bool) int {
		if no {
			return 1
		}
		return 0
	}
	return cmp.Or(cmp.Compare(worse(c.stale(a)), worse(c.stale(b))),
		cmp.Compare(worse(a.CompleteUntilMs == 0), worse(b.CompleteUntilMs == 0)),
		cmp.Compare(a.Expected-min(a.Expected, a.Heard), b.Expected-min(b.Expected, b.Heard)),
		cmp.Compare(b.CompleteUntilMs, a.CompleteUntilMs)) < 0
}

func (n heardName) compare(o heardName) int {
	return cmp.Or(strings.Compare(n.node, o.node), bytes.Compare(n.inc[:], o.inc[:]))
}

// covers reports whether everything that a statement speaks of is held.
func (c *Core) covers(rc *wire.RegionCoverage) bool {
	o := statedOf(rc)
	if c.hub == nil && rc.Region != c.cfg.Region {
		o = viewOf(rc)
	}
	p, ok := c.held(o)
	return ok && p.Covered >= rc.Seq || rc.Seq == 0
}

// statedOf returns the entry that a hub's statement is about.
func statedOf(rc *wire.RegionCoverage) crdt.Origin {
	return crdt.Origin{Class: crdt.ClassRegion, Region: rc.Region, Node: rc.Hub, Inc: rc.Inc.Anew(rc.Anew)}
}

// viewOf returns the view that a hub's statement about another region is about, at its edges.
func viewOf(rc *wire.RegionCoverage) crdt.Origin {
	o := statedOf(rc)
	o.Class = crdt.ClassView
	return o
}

// extent returns the coverage of the hub's own region as it sees it.
func (c *Core) extent() wire.RegionCoverage {
	c.hub.watch.Told(c.cfg.Node, reconcile.Claim{Inc: c.cfg.Inc, Head: c.live.Progress[crdt.StreamLifetime].Covered, AtMs: c.now}, 0)
	c.settleNode(c.cfg.Node)
	e := c.hub.watch.Extent(c.now)
	if c.hub.floor.Above() > 0 { // earlier processes knew more: until when anything is complete is unknown
		e.CompleteUntilMs = 0
	}
	rc := wire.RegionCoverage{
		Region: c.cfg.Region, Hub: c.cfg.Node, Inc: c.cfg.Inc, Seq: c.hub.region.Total.Seq(),
		Expected: uint32(e.Expected), Heard: uint32(e.Heard), CompleteUntilMs: e.CompleteUntilMs, AtMs: c.now,
		OldestMissingMs: e.OldestMissingMs, Missing: e.Missing, Lost: c.lost(c.cfg.Region),
		ClocksOff: uint32(e.ClocksOff),
	}
	for _, o := range e.Clocks {
		rc.Clocks = append(rc.Clocks, wire.ClockOffset(o))
	}
	return rc
}

// stale reports whether who stated rc has been silent since: nobody of the region is heard now.
func (c *Core) stale(rc *wire.RegionCoverage) bool { return rc.AtMs < c.now-c.cfg.Silence-c.patience }

// inWall returns a statement with its times as others read them.
func (c *Core) inWall(rc wire.RegionCoverage) wire.RegionCoverage {
	rc.AtMs, rc.CompleteUntilMs, rc.OldestMissingMs = c.toWall(rc.AtMs), c.toWall(rc.CompleteUntilMs), c.toWall(rc.OldestMissingMs)
	return rc
}

// beat tells a peer how far this node is: an edge its head, a hub the coverage of what it sent. Only a node that has
// sent everything may say so.
func (c *Core) beat(s *session) {
	if s.lastBeat = c.now; !c.room(s, false).takes(smallMessage) {
		s.noRoomFor()
		return
	}
	if c.hub != nil {
		c.tellHeard(s)
	}
	if !c.sentAll(s) && !mutant.On("beat before all is sent") {
		return
	}
	if c.hub == nil {
		if s.peer.Role == RoleHub && s.peer.Region == c.cfg.Region {
			c.send(s, &wire.Heartbeat{Head: heads(c.live), WallMs: c.wall})
		}
		return
	}
	if s.peer.Role == RoleEdge && (s.peer.Region != c.cfg.Region || !s.fed()) {
		return
	}
	b := c.coverageFor(s.peer)
	if lag, ok := s.unchanged(b.regions); ok {
		c.send(s, &wire.Heartbeat{Head: [crdt.NumStreams]uint64{b.regions[0].Seq}, WallMs: c.wall, LagMs: lag})
		return
	}
	if b.msg == nil {
		b.msg = encodeMessage(&wire.Coverage{Regions: b.regions})
	}
	if !c.room(s, false).takes(len(b.msg)) {
		s.noRoomFor()
		return
	}
	for _, rc := range b.regions {
		s.stated[rc.Region] = rc
	}
	c.sendRaw(s, b.msg, false)
}

// noRoomFor lets a beat that found no room be made up for at the next flush, which states what holds then. It must not
// wait for the next beat: comparisons fill the queue at intervals that beats are multiples of.
func (s *session) noRoomFor() {
	if !mutant.On("beats are not made up for") {
		s.lastBeat -= max(s.line.pace.beat-s.line.pace.flush, 0)
	}
}

// statement is the coverage that a hub states in one step to all peers of one role and side.
type statement struct {
	role    Role
	away    bool // hubs of other regions
	regions []wire.RegionCoverage
	msg     []byte // made when the first peer needs it
}

// coverageFor returns what this step states to peers as one is: to hubs of its own region, to edges of all regions.
func (c *Core) coverageFor(peer PeerInfo) *statement {
	role, away := peer.Role, peer.Region != c.cfg.Region
	for _, b := range c.beats {
		if b.role == role && b.away == away {
			return b
		}
	}
	now := []wire.RegionCoverage{c.inWall(c.extent())}
	entry, anew := c.entryFor(peer.Region)
	if role == RoleEdge {
		entry, anew = c.fedTotals()
	}
	now[0].Seq, now[0].Anew, now[0].Rules = entry.Seq(), anew, c.scopes.rules.Sum()
	if role == RoleEdge {
		for _, r := range c.regions() { // also those in which nothing was counted yet: an answer must say whether they are heard
			if rc := c.best(r); r != c.cfg.Region && rc != nil {
				v := c.inWall(*rc)
				if c.stale(rc) {
					v.Heard = 0
					if v.OldestMissingMs == 0 {
						v.OldestMissingMs = v.AtMs
					}
				}
				v.Hub, v.Inc, v.Seq, v.AtMs, v.Rules = c.cfg.Node, c.cfg.Inc, 0, c.wall, c.scopes.rules.Sum()
				if view := c.hub.entries.View(r); view != nil {
					v.Seq, v.Anew = view.Seq(), c.hub.entries.Anew(r)
				}
				now = append(now, v)
			}
		}
	}
	b := &statement{role: role, away: away, regions: now}
	c.beats = append(c.beats, b)
	return b
}

// sentAll reports whether everything committed was sent to the peer.
func (c *Core) sentAll(s *session) bool {
	for _, r := range c.direct(s) {
		st := s.streams[r.Origin]
		if cur := r.Progress[crdt.StreamLifetime].Cursor; st != nil && st.sent < cur || st == nil && cur > s.resume(r.Origin) {
			return false
		}
	}
	return true
}

// unchanged reports whether only time has passed since the coverage that was stated last, and by how much less than
// that what was stated may be moved: no region may be said to be complete later than it is.
func (s *session) unchanged(now []wire.RegionCoverage) (lagMs uint32, ok bool) {
	if len(now) != len(s.stated) {
		return 0, false
	}
	passed := int64(math.MaxInt64)
	for i := range now {
		n, was := &now[i], s.stated[now[i].Region]
		same := n.Inc == was.Inc && n.Anew == was.Anew && n.Rules == was.Rules && n.Seq == was.Seq && n.Expected == was.Expected && n.Heard == was.Heard &&
			n.OldestMissingMs == was.OldestMissingMs && n.Lost == was.Lost && slices.Equal(n.Missing, was.Missing) &&
			n.ClocksOff == was.ClocksOff && slices.Equal(n.Clocks, was.Clocks)
		if !same || (n.CompleteUntilMs == 0) != (was.CompleteUntilMs == 0) {
			return 0, false
		}
		passed = min(passed, n.AtMs-was.AtMs) // all were stated together: but for a clock that jumped it is the same
	}
	shift := passed
	for i := range now {
		n, was := &now[i], s.stated[now[i].Region]
		switch {
		case n.CompleteUntilMs == 0:
		case n.Heard > 0:
			shift = min(shift, n.CompleteUntilMs-was.CompleteUntilMs)
		case n.CompleteUntilMs != was.CompleteUntilMs:
			return 0, false
		}
	}
	return uint32(min(passed-shift, math.MaxUint32)), shift >= 0 && passed-shift <= math.MaxUint32
}
