package node

import (
	"slices"

	"meshd/crdt"
	"meshd/internal/mutant"
	"meshd/internal/wire"
)

// maxBeside bounds the publication, in bytes, that goes beside lifetime cells on a line that is used seldom: the connection for
// bulk costs signs of life of its own. Only the newest does: those of one stream must not overtake each other.
const maxBeside = 16 << 10

// windowSession is what a session knows of window streams.
type windowSession struct {
	told     map[crdt.Origin]uint64     // what this node said it holds
	again    []crdt.Origin              // of which the peer sent what is held, so it does not know
	marks    map[crdt.Origin]uint64     // what the peer said it holds
	out      map[crdt.Origin]*windowOut // what was sent
	ready    bool                       // the peer listed what it holds
	inflight int
}

// windowOut is how far one stream was sent on a session.
type windowOut struct {
	sent    uint64
	unacked inFlight
}

func newWindowSession() windowSession {
	return windowSession{told: map[crdt.Origin]uint64{}, marks: map[crdt.Origin]uint64{}, out: map[crdt.Origin]*windowOut{}}
}

// takesWindows reports whether this node keeps windows that a session's peer has: hubs do.
func (c *Core) takesWindows(s *session) bool {
	return c.win != nil && c.hub != nil && (s.peer.Role == RoleHub || s.peer.Region == c.cfg.Region)
}

// sendWindowMarks says how far streams are here that the peer may bring, where that changed since it was said; with
// full, all of it.
func (c *Core) sendWindowMarks(s *session, full bool) {
	if !c.takesWindows(s) {
		return
	}
	var ms []wire.WindowMark
	for _, o := range c.listed(s, full) {
		if was, ok := s.win.told[o.origin]; (!full && (ok && was == o.cursor || o.cursor == 0)) || !c.mayWrite(s, o.origin) {
			continue
		}
		s.win.told[o.origin] = o.cursor
		ms = append(ms, wire.WindowMark{Origin: o.origin, Cursor: o.cursor})
	}
	c.sendWindowList(s, ms, full)
}

// listed returns the streams that a peer may have news of. Those of an edge are few, and a hub has thousands of edges: they
// are found by name.
func (c *Core) listed(s *session, full bool) []*windowOrigin {
	if s.peer.Role != RoleEdge || full {
		return c.win.order
	}
	var own []*windowOrigin
	for _, n := range s.named {
		if o := c.win.origins[c.peerOrigin(s, n.Inc)]; o != nil {
			own = append(own, o)
		}
	}
	for _, again := range s.win.again {
		own = append(own, c.win.origin(again))
	}
	s.win.again = nil
	return own
}

func (c *Core) sendWindowList(s *session, ms []wire.WindowMark, full bool) {
	for first := full; first || len(ms) > 0; first = false {
		n := min(len(ms), wire.MaxMarks)
		c.send(s, &wire.WindowMarks{Full: first, More: n < len(ms), Marks: ms[:n]})
		ms = ms[n:]
	}
}

// gotWindowMarks takes the peer's word on which publications it has on disk.
func (c *Core) gotWindowMarks(s *session, m *wire.WindowMarks) {
	if c.win == nil || s.peer.Role != RoleHub {
		c.Counts.Refused++
		return
	}
	if m.Full {
		clear(s.win.marks)
	}
	own := c.win.origin(c.own)
	for i := range m.Marks {
		mk := &m.Marks[i]
		if mk.Origin == own.origin && mk.Cursor > own.cursor {
			c.out.Fatal = c.forked(s, "windows", mk.Cursor, own.cursor)
		}
		s.win.marks[mk.Origin] = mk.Cursor
		if o := c.win.origins[mk.Origin]; o != nil {
			o.acked = max(o.acked, mk.Cursor)
		}
		if out := s.win.out[mk.Origin]; out != nil {
			s.win.inflight -= out.unacked.acked(c.now, mk.Cursor)
		}
	}
	s.win.ready = s.win.ready || !m.More
	c.pumpWindows(s)
}

// compareWindows tells a peer what is here, and sends it what it lacks.
func (c *Core) compareWindows(s *session) {
	if c.win != nil {
		c.sendWindowMarks(s, false)
		c.pumpWindows(s)
	}
}

// retryWindows resumes streams of publications that were not acknowledged for long.
func (c *Core) retryWindows(s *session) {
	for o, out := range s.win.out { // in any order: nothing is sent here
		if c.unkept(s, &out.unacked) {
			s.win.inflight -= out.unacked.bytes()
			*out = windowOut{sent: s.win.marks[o]}
			c.Counts.Resyncs++
		}
	}
}

// windowsFor returns up to which publication a stream is to go to a session's peer: news of this process at once, what
// others wrote once the peer had the time to get it from them. On a line that is paid for by the byte one home gets the news and
// hands them on; what another lacks after two comparisons, which is when it said so, it is sent all the same.
func (c *Core) windowsFor(s *session, o *windowOrigin) uint64 {
	sibling := s.peer.Region == c.cfg.Region
	switch {
	case s.peer.Role != RoleHub || o.origin.Inc == s.peer.Inc:
		return 0
	case o.origin.Class == crdt.ClassNode && !sibling:
		return 0
	case c.cfg.OneFeed && s.id != c.feed && !mutant.On("windows to every home"):
		return min(o.cursor, o.older)
	case o.origin.Inc == c.cfg.Inc, c.hub == nil:
		return o.cursor
	case mutant.On("windows not relayed"):
		return 0
	}
	return min(o.cursor, o.aged)
}

// pumpWindows sends a peer the publications that it lacks, as far as there is room.
func (c *Core) pumpWindows(s *session) {
	if !s.win.ready || s.peer.Role != RoleHub {
		return
	}
	for _, o := range c.win.order {
		if to := c.windowsFor(s, o); to > s.win.marks[o.origin] && !c.pumpStream(s, o, to) {
			return
		}
	}
}

// pumpStream sends the publications of one stream up to to. It reports whether there is room for others.
func (c *Core) pumpStream(s *session, o *windowOrigin, to uint64) bool {
	out := s.win.out[o.origin]
	if out == nil {
		out = &windowOut{}
		s.win.out[o.origin] = out
	}
	for out.sent = max(out.sent, s.win.marks[o.origin]); out.sent < to; out.sent++ {
		if s.win.inflight >= c.cfg.Inflight {
			return false
		}
		if out.sent+1 < o.first {
			c.sendRaw(s, encode(gap(o.origin, out.sent, o.first-1)).msg, true)
			out.sent = o.first - 2 // and one more at the end of the loop
			continue
		}
		raw := c.win.cache.frames[frameID{o.origin, out.sent + 1}]
		if raw == nil {
			c.readFrames(FrameRead{Origin: o.origin, After: out.sent})
			return true
		}
		msg := encodeMessage(&wire.FrameMsg{Raw: raw})
		bulk := len(out.unacked.frames) > 0 || out.sent+1 < to || len(msg) > maxBeside || s.line.pace.flush <= publishMs
		if !c.room(s, bulk).takes(len(msg)) {
			c.Counts.RoomWaits++
			return false
		}
		size := c.sendRaw(s, msg, bulk)
		out.unacked.add(c.now, sentFrame{out.sent + 1, size, bulk})
		s.win.inflight += size
		s.framesOut++
		c.Counts.FramesOut++
	}
	if o.cursor <= s.win.marks[o.origin] && len(out.unacked.frames) == 0 {
		delete(s.win.out, o.origin)
	}
	return true
}

// readFrames asks for frames from disk, one read of a stream at a time.
func (c *Core) readFrames(r FrameRead) {
	if !c.win.reads[r.Origin] {
		c.win.reads[r.Origin] = true
		c.out.FrameReads = append(c.out.FrameReads, r)
	}
}

// framesRead takes frames that were read and lets who lacks them have them.
func (c *Core) framesRead(in FramesRead) {
	if c.win == nil {
		return
	}
	delete(c.win.reads, in.Origin)
	if in.Err != nil {
		c.Counts.WindowReadsFailed++
		return
	}
	for i, raw := range in.Frames {
		c.win.cache.put(frameID{in.Origin, in.After + 1 + uint64(i)}, raw)
	}
	o := c.win.origins[in.Origin]
	if o == nil {
		return
	}
	if len(in.Frames) == 0 {
		if in.First <= in.After+1 { // nothing is there: it was forgotten, or never was
			return
		}
		o.first = in.First
	}
	for _, s := range c.order {
		if to := c.windowsFor(s, o); s.win.ready && to > s.win.marks[in.Origin] {
			c.pumpStream(s, o, to)
		}
	}
}

// gotWindows takes a publication from a peer.
func (c *Core) gotWindows(s *session, f *wire.Frame, raw []byte) {
	switch {
	case !c.takesWindows(s) || !c.mayWrite(s, f.Origin) || f.Origin.Class == crdt.ClassView:
		c.Counts.Refused++
		return
	case f.Origin.Inc == c.cfg.Inc || c.refuses(f.Origin):
		return
	}
	if c.forges(s, f) {
		return
	}
	if err := checkWindows(f); err != nil && !isGap(f) {
		c.suspect(f.Origin, err)
		return
	}
	if f.To <= c.win.origin(f.Origin).cursor {
		delete(s.win.told, f.Origin)
		if !slices.Contains(s.win.again, f.Origin) {
			s.win.again = append(s.win.again, f.Origin)
		}
		return
	}
	c.enqueue(queuedFrame{frame: f, raw: raw, from: s.id})
}

// storeWindows puts a peer's publication into a persist, if it is the next one. Streams have no gaps: what is not next
// comes again, because it is not acknowledged.
func (c *Core) storeWindows(p *pending, q *queuedFrame) {
	if p.win == nil {
		p.win = c.newWindowPersist()
	}
	s := c.win.origin(q.frame.Origin)
	at := p.win.cursor(s)
	switch {
	case q.frame.To <= at:
		return
	case q.from == 0 && q.frame.From > at && !isGap(q.frame):
		p.win.add(s, q.frame, q.raw)
		p.win.cursors[s] = at
		return
	case q.frame.From > at && !mutant.On("publication over a gap"), c.win.totals.full(), c.historyFull():
		c.Counts.FramesDropped++
		return
	}
	if isGap(q.frame) {
		c.Counts.WindowGaps += q.frame.To - at
		p.win.skip(s, q.frame.To)
	} else {
		p.win.add(s, q.frame, q.raw)
	}
	p.win.from = append(p.win.from, windowSource{q.from, s})
}

// acknowledgeWindows tells who brought publications that they are on disk. On a line that is used seldom it is said with the
// next acknowledgement of cells.
func (c *Core) acknowledgeWindows(p *windowPersist) {
	acks := map[uint64][]wire.WindowMark{}
	var order []*session
	for _, from := range p.from {
		s, o := c.sessions[from.session], from.stream
		if s == nil || s.win.told[o.origin] == o.cursor || s.line.pace.flush > publishMs {
			continue
		}
		if acks[s.id] == nil {
			order = append(order, s)
		}
		s.win.told[o.origin] = o.cursor
		acks[s.id] = append(acks[s.id], wire.WindowMark{Origin: o.origin, Cursor: o.cursor})
	}
	for _, s := range order {
		c.sendWindowList(s, acks[s.id], false)
	}
}

// ageWindows remembers how long streams are now: at the next comparison, who lacks that did not get it from its writer.
func (c *Core) ageWindows() {
	if c.win == nil {
		return
	}
	for _, o := range c.win.order {
		o.aged, o.older = o.cursor, o.aged
	}
}
