package node

import (
	"math"
	"slices"

	"meshd/crdt"
	"meshd/internal/mutant"
	"meshd/internal/wire"
	"meshd/reconcile"
)

// A session goes at the pace of the slower of its two ends: each tells the other how seldom its line wants to be used
// (wire.Link), and both then flush, compare and say how far they are no more often. Cells are absolute, so a longer
// interval loses nothing; what is said of them gets older, and coverage shows it. An interval may change at any time,
// see budget.go.

// usualInterval is the flush interval that nothing is told of, in milliseconds: that of a lan.
const usualInterval = 100

// pace is how often a session is used, in milliseconds.
type pace struct {
	flush   int64 // between two flushes
	beat    int64 // an idle session says so this often
	compare int64 // between two comparisons
	retry   int64 // frames unacknowledged for this long are sent again
}

// paceOf derives a pace from a flush interval: 0.1, 1 and 30 s (lan, wan, metered) beat and compare every 1, 5 and 30 s.
// An acknowledgement takes up to one interval of the other side, and what was lost in between another one.
func paceOf(flush int64) pace {
	beat := max(1000, min(5*flush, max(flush, 5000)))
	return pace{flush: flush, beat: beat, compare: beat, retry: max(10_000, 3*flush)}
}

// slower returns the slower of two paces, part by part.
func (p pace) slower(o pace) pace {
	return pace{max(p.flush, o.flush), max(p.beat, o.beat), max(p.compare, o.compare), max(p.retry, o.retry)}
}

// seldom returns by how much less often than usual a node with a flush interval says how far it is.
func seldom(flush int64) int64 { return paceOf(flush).beat - paceOf(usualInterval).beat }

// line is what a session's ends told each other of their lines.
type line struct {
	pace   pace
	peer   wire.Link         // what the peer asked for last
	told   wire.Link         // what the peer was asked for last
	filter *reconcile.Filter // of an edge that wants some series only; nil: all
	in     inBases           // frames that came, once the peer may tell the next ones by them
	sent   uint64            // frames of cells that went to the peer
	beside bool              // some went beside the session's stream: there is no order between them and others
}

// interval is the flush interval that this node's own line bears now.
func (c *Core) interval() int64 { return max(c.cfg.Flush, c.budget.interval) }

// ownPace is the pace of sessions whose other end asks for nothing.
func (c *Core) ownPace() pace {
	own := pace{c.cfg.Flush, c.cfg.Beat, c.cfg.AntiEntropy, c.cfg.Retry}
	if c.budget.interval > c.cfg.Flush {
		own = own.slower(paceOf(c.budget.interval))
	}
	return own
}

// setPace gives a session the slower of both ends' paces.
func (c *Core) setPace(s *session) {
	s.line.pace = c.ownPace()
	if at := int64(s.line.peer.IntervalMs); at > c.cfg.Flush {
		s.line.pace = s.line.pace.slower(paceOf(at))
	}
}

// tellLinks tells the peers that were told otherwise what this node's line bears now.
func (c *Core) tellLinks() {
	if c.hub == nil && c.sessions[c.feed] == nil {
		c.feed = 0
		for _, s := range c.order {
			if s.peer.Role == RoleHub && s.peer.Region == c.cfg.Region {
				c.feed = s.id
				break
			}
		}
	}
	for _, s := range c.order {
		c.setPace(s)
		c.tellLink(s)
	}
	c.settlePatience()
}

// tellLink asks a peer for what this node's line bears. On a line that is paid for by the byte one home hub sends what the
// edge reads, the others only take what it counted: they have the same to say.
func (c *Core) tellLink(s *session) {
	want := wire.Link{}
	if at := c.interval(); at > usualInterval {
		want.IntervalMs = uint32(min(at, math.MaxUint32))
	}
	switch {
	case c.hub != nil:
		want.Deltas = s.line.peer.Deltas
	case c.cfg.OneFeed && s.id != c.feed, c.downlink != nil && len(c.downlink.Patterns()) == 0:
		want.Feed = wire.FeedNone
	case c.downlink != nil:
		want.Feed, want.Patterns = wire.FeedSome, c.downlink.Patterns()
	}
	want.Deltas = want.Deltas || c.cfg.OneFeed
	was := &s.line.told
	if want.Deltas == was.Deltas && want.IntervalMs == was.IntervalMs && want.Feed == was.Feed && slices.Equal(want.Patterns, was.Patterns) {
		return
	}
	s.line.told = want
	if want.Deltas {
		s.line.keepBases()
	}
	c.send(s, &want)
}

// gotLink takes the peer's word on its line. It cannot make this node use the line more often than its own allows.
func (c *Core) gotLink(s *session, m *wire.Link) {
	s.lag.known = false
	if c.hub != nil && s.peer.Role == RoleEdge && !slices.Equal(m.Patterns, s.line.peer.Patterns) {
		f, err := c.filterOf(m.Patterns)
		if err != nil {
			c.Counts.Refused++
			return
		}
		s.line.filter = f
	}
	if m.IntervalMs > s.line.peer.IntervalMs && mutant.On("stretched interval drops cells") {
		for _, r := range c.direct(s) {
			c.stream(s, r.Origin).sent = r.Progress[crdt.StreamLifetime].Cursor
		}
	}
	s.line.peer = *m
	c.setPace(s)
	c.settlePatience()
	c.tellLink(s)
	if s.hello && c.hub != nil && s.peer.Region == c.cfg.Region {
		c.seldomNode(s)
	}
}

// filterOf returns the filter of patterns, which sessions that asked for the same share.
func (c *Core) filterOf(patterns []string) (*reconcile.Filter, error) {
	if len(patterns) == 0 {
		return nil, nil
	}
	for _, s := range c.order {
		if f := s.line.filter; f != nil && slices.Equal(f.Patterns(), patterns) {
			return f, nil
		}
	}
	return reconcile.NewFilter(patterns)
}

// seldomNode notes how seldom a node of the region says how far it is, and lets siblings hear of it.
func (c *Core) seldomNode(s *session) {
	by := seldom(max(usualInterval, int64(s.line.peer.IntervalMs)))
	if !c.hub.watch.Seldom(s.peer.Node, s.peer.Inc, by) {
		return
	}
	for _, p := range c.hub.watch.Heard() {
		if p.Inc != s.peer.Inc || p.Node != s.peer.Node {
			continue
		}
		for _, o := range c.order {
			delete(o.heard.told, p.Number) // its next claim names it again
		}
	}
}

// settlePatience finds for how long what hubs stated counts though they are silent: longer where lines are used seldom.
func (c *Core) settlePatience() {
	c.patience = 0
	for _, s := range c.order {
		if s.peer.Role == RoleHub {
			c.patience = max(c.patience, s.line.pace.beat-paceOf(usualInterval).beat)
		}
	}
}

// fed reports whether the peer wants to be sent what it can read.
func (s *session) fed() bool { return s.line.peer.Feed != wire.FeedNone }

// acksDue reports whether an edge whose line is used seldom waits for a word on what it sent. It is told as usual: it sends
// seldom, and may be asked for that word.
func (c *Core) acksDue(s *session) bool {
	return s.line.pace.flush > c.cfg.Flush && s.peer.Role == RoleEdge && c.lacksMarks(s) && !mutant.On("acks at the pace of the line")
}

// holds reports whether this node is sent a series: an edge may have asked for some only.
func (c *Core) holds(id reconcile.SeriesID) bool {
	return c.downlink == nil || c.downlink.Wants(c.cat, id) || mutant.On("downlink answered as whole")
}
