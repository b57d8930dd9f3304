package node

import (
	"errors"
	"fmt"
	"slices"

	"meshd/crdt"
	"meshd/internal/mutant"
	"meshd/internal/wire"
	"meshd/reconcile"
)

// minPush is the size of totals below which a push always fits: with pairs for wire.MaxYours incarnations.
const minPush = 512

// flushSessions sends every peer what it is due: what is new at most once per flush interval, comparisons and
// heartbeats at theirs. Only committed cells are in the replicas, so only they can leave.
func (c *Core) flushSessions() {
	compare := c.now >= c.nextAE
	var waiting []*session
	for _, s := range c.ordered() {
		c.sendListing(s)
		if !s.ready {
			continue
		}
		c.noteEmptied(s)
		if compare && c.now >= s.compareAt {
			c.retry(s)
			c.retryWindows(s)
			c.compare(s)
			c.compareWindows(s)
			s.lag.known = false
			s.compareAt = c.now + s.line.pace.compare - c.cfg.AntiEntropy/2
			c.ageFor(s)
		} else if s.relayCut && c.now >= s.lastRelay+s.line.pace.flush {
			c.relayAll(s)
		}
		behind := c.behind(s)
		switch {
		case c.now < c.nextFlush(s):
			if c.now >= s.lastFlush+c.cfg.Flush && c.acksDue(s) {
				c.acknowledge(s)
			}
		case behind && s.catching:
			waiting = append(waiting, s)
		case behind:
			c.serve(s, c.cfg.FrameBytes)
		case c.now >= s.lastBeat+s.line.pace.beat:
			c.beat(s)
		}
	}
	c.catchUp(waiting)
	c.hubWaits.urgent = false
	clear(c.built)
	c.beats = nil
	if compare {
		c.age()
		c.ageWindows()
		c.trimWindows()
		c.nextAE = c.now + c.cfg.AntiEntropy
	}
}

// nextFlush returns when a session may be flushed again: once in every interval of a grid that all sessions of the
// node share, so that what goes to many peers is built for them together. Nodes have different grids. Cells wait for
// cells only: a flush of nothing but acknowledgements does not use up their interval. Who lacks much is served as soon
// as there is room.
func (c *Core) nextFlush(s *session) int64 {
	last := s.lastFlush
	if s.catching && !s.full || c.hubWaits.urgent && s.lag.cells {
		return 0
	}
	if s.lag.cells {
		last = s.lastCells
	}
	if last == 0 {
		return 0
	}
	return c.nextOnGrid(last, s.line.pace.flush)
}

// nextOnGrid returns the first instant after at of this node's grid with an interval.
func (c *Core) nextOnGrid(at, every int64) int64 {
	phase := int64(c.cfg.Inc[0]) * every / 256
	return (at-phase)/every*every + every + phase
}

// behind reports whether the peer lacks something that a flush would send it, or waits for an acknowledgement.
func (c *Core) behind(s *session) bool {
	if l := &s.lag; !l.known || !l.cells && l.epoch != c.epoch {
		cells := c.lacksCells(s)
		*l = lag{known: true, cells: cells, behind: cells || c.lacksMarks(s), epoch: c.epoch}
	}
	return s.lag.behind
}

// lacksMarks reports whether something came from the peer that was not acknowledged.
func (c *Core) lacksMarks(s *session) bool {
	if len(s.lateOrigins) > 0 {
		return true
	}
	return slices.ContainsFunc(s.sources, func(o crdt.Origin) bool {
		p, ok := c.held(o)
		return ok && s.told[o] != p
	})
}

func (c *Core) lacksCells(s *session) bool {
	for _, r := range c.direct(s) {
		if st := s.streams[r.Origin]; st == nil && r.Progress[crdt.StreamLifetime].Cursor > s.resume(r.Origin) {
			return true
		} else if st != nil && st.sent < r.Progress[crdt.StreamLifetime].Cursor && s.inflight < c.cfg.Inflight {
			return true
		}
	}
	return false
}

// held returns how far this node holds an origin that a peer sends it.
func (c *Core) held(o crdt.Origin) (crdt.Progress, bool) {
	var r *reconcile.Replica
	switch {
	case c.hub == nil && o.Class == crdt.ClassRegion:
		r = c.slots.Held(o)
	case c.hub == nil:
		if v := c.views.Held(o); v != nil {
			return v.Progress[crdt.StreamLifetime], true
		}
	case o.Class == crdt.ClassRegion:
		if p, ok := c.hub.entries.Dropped(o); ok {
			return p[crdt.StreamLifetime], true
		}
		r = c.hub.entries.Held(o)
	default:
		if p, ok := c.coldProgress(o); ok {
			return p[crdt.StreamLifetime], true
		}
		r = c.hub.region.Held(o)
	}
	if r == nil {
		return crdt.Progress{}, false
	}
	return r.Progress[crdt.StreamLifetime], true
}

// direct returns the replicas that this node sends to the peer as they change: its own cells to the hubs of its
// region, a hub's totals to other hubs and to its edges, and its views of other regions to its edges.
func (c *Core) direct(s *session) []*reconcile.Replica {
	if c.hub == nil {
		if s.peer.Role != RoleHub || s.peer.Region != c.cfg.Region {
			return nil
		}
		if mutant.On("earlier incarnations unsent") {
			return []*reconcile.Replica{c.live}
		}
		return c.mine
	}
	if s.peer.Role == RoleEdge {
		if s.peer.Region != c.cfg.Region || !s.fed() {
			return nil
		}
		regions := c.hub.entries.Regions()
		feed, _ := c.fedTotals()
		out := append(make([]*reconcile.Replica, 0, 2+len(regions)), &feed.Replica, &c.hub.floor.Cells.Replica)
		for _, r := range regions {
			if r != c.cfg.Region {
				out = append(out, &c.hub.entries.View(r).Replica)
			}
		}
		return out
	}
	if s.peer.Region == c.cfg.Region {
		return []*reconcile.Replica{c.live, &c.hub.region.Total.Replica}
	}
	entry, _ := c.entryFor(s.peer.Region)
	return []*reconcile.Replica{&entry.Replica}
}

// serve sends a session what it is due: up to about limit bytes of cells, what is held, and how fresh it is.
func (c *Core) serve(s *session, limit int) {
	c.rollup()
	c.flush(s, limit)
	if !c.sentAll(s) {
		c.lags(s)
	}
	c.beat(s)
}

func (c *Core) flush(s *session, limit int) {
	if s.lag.cells {
		s.lastCells = c.now
	}
	s.lag.known = false
	s.limit, s.full = limit, false
	c.sendInTurn(s)
	if c.win != nil && s.line.pace.flush > publishMs {
		c.pumpWindows(s)
	}
	c.acknowledge(s)
}

// mayFill reports whether more cells may go to a session in this step.
func (c *Core) mayFill(s *session) bool { return s.limit > 0 && s.inflight < c.cfg.Inflight && !s.full }

// hand sends a frame's message if there is room for it.
func (c *Core) hand(s *session, st *outStream, f *wire.Frame, yours []wire.Yours, msg []byte, bulk bool) bool {
	if !c.room(s, bulk).takes(len(msg)) && !mutant.On("sent without room") {
		s.full = true
		c.Counts.RoomWaits++
		return false
	}
	c.sent(s, st, f, c.sendRaw(s, msg, bulk), bulk)
	s.sentBase(st, f, yours, bulk)
	s.limit -= len(msg)
	return true
}

func (c *Core) stream(s *session, o crdt.Origin) *outStream {
	st := s.streams[o]
	if st == nil {
		st = &outStream{sent: s.resume(o)}
		s.streams[o] = st
	}
	return st
}

// sendFrames sends the frames that take the peer to the cursor, as far as the bound on what is unacknowledged allows.
// Relayed ones need no order among news. Those of a writer do: what it states of its cells comes behind them.
func (c *Core) sendFrames(s *session, st *outStream, r *reconcile.Replica, relay bool) {
	cursor := r.Progress[crdt.StreamLifetime].Cursor
	for st.sent < cursor && c.mayFill(s) {
		b, ok := c.build(r, s.line.filter, st.sent, c.frameSize(s, relay))
		if !ok {
			return
		}
		if n := len(b.frame.Cells); n > 1 && mutant.On("seq split over frames") {
			half := *b.frame
			half.Cells = half.Cells[:n/2]
			c.sendRaw(s, encode(&half).msg, false)
			half.Cells, half.Defs = b.frame.Cells[n/2:], nil
			half.From = half.To
			c.sent(s, st, b.frame, c.sendRaw(s, encode(&half).msg, false), false)
			continue
		}
		msg := b.msg
		if !relay {
			msg = c.told(s, st, b)
		}
		if !c.hand(s, st, b.frame, nil, msg, relay) {
			return
		}
	}
}

// frameKey names a frame that a step built.
type frameKey struct {
	r      *reconcile.Replica
	filter *reconcile.Filter
	from   uint64
	size   int
}

// builtFrame is a frame with its bytes, alone and as a message.
type builtFrame struct {
	frame    *wire.Frame
	raw, msg []byte

	told toldFrame // by the frame that it was told by last
}

// build returns the next frame for a peer that got to from. Peers that are flushed together mostly lack the same:
// within a step it is built once.
func (c *Core) build(r *reconcile.Replica, filter *reconcile.Filter, from uint64, size int) (*builtFrame, bool) {
	k := frameKey{r, filter, from, size}
	if b := c.built[k]; b != nil {
		return b, true
	}
	f, ok := r.Build(crdt.StreamLifetime, from, size)
	if !ok {
		return nil, false
	}
	if filter != nil {
		filter.Thin(r, f)
	}
	b := encode(f)
	c.built[k] = b
	return b, true
}

func encode(f *wire.Frame) *builtFrame {
	raw, err := wire.AppendFrame(nil, f)
	if err != nil {
		panic(fmt.Sprintf("node: frame of %s does not encode: %v", f.Origin, err))
	}
	msg, err := wire.AppendMessage(nil, &wire.FrameMsg{Raw: raw})
	if err != nil {
		panic(fmt.Sprintf("node: frame of %s does not fit a message: %v", f.Origin, err))
	}
	return &builtFrame{frame: f, raw: raw, msg: msg}
}

func (c *Core) sent(s *session, st *outStream, f *wire.Frame, size int, bulk bool) {
	st.sent = max(st.sent, f.To)
	st.unacked.add(c.now, sentFrame{f.To, size, bulk})
	s.inflight += size
	s.framesOut++
	c.Counts.FramesOut++
	c.Counts.CellsOut += uint64(len(f.Cells))
}

// sendPushes sends an edge the totals of its region with what of them is its own.
func (c *Core) sendPushes(s *session, st *outStream) {
	cold := func(o crdt.Origin) (crdt.Progress, bool) {
		p, ok := c.coldProgress(o)
		if ok && !c.isForgotten(o) && (o.Inc == s.peer.Inc || p[crdt.StreamLifetime].Covered < headOf(s.named, o.Inc)) {
			c.Counts.PairsDelayed++
			c.thaw(o, nil)
		}
		return p[crdt.StreamLifetime], ok
	}
	feed, _ := c.fedTotals()
	for size := c.frameSize(s, false); c.mayFill(s); {
		b, ok := c.build(&feed.Replica, s.line.filter, st.sent, size)
		if !ok {
			return
		}
		yours, ok := c.hub.region.Pairs(feed, b.frame, s.peer.Node, s.named, cold)
		if !ok {
			return
		}
		push := &wire.Push{Frame: b.raw, Yours: yours}
		c.tellPush(s, st, b, push)
		msg, err := wire.AppendMessage(nil, push)
		if errors.Is(err, wire.ErrLimit) && size > minPush { // many incarnations: fewer cells, with all their pairs
			size /= 4
			continue
		}
		if err != nil {
			panic(fmt.Sprintf("node: push to %s does not encode: %v", s.peer.Node, err))
		}
		if !c.hand(s, st, b.frame, yours, msg, false) {
			return
		}
	}
}

func headOf(named []reconcile.Named, inc crdt.Incarnation) uint64 {
	for _, n := range named {
		if n.Inc == inc {
			return n.Head[crdt.StreamLifetime]
		}
	}
	return 0
}

// retry resumes streams whose frames were not acknowledged for long: the peer may have had no room for them.
func (c *Core) retry(s *session) {
	for o, st := range s.streams { // in any order: nothing is sent here
		if c.unkept(s, &st.unacked) {
			c.rewind(s, o, st)
		}
	}
}

// rewind resumes a stream at what the peer last said to hold.
func (c *Core) rewind(s *session, o crdt.Origin, st *outStream) {
	s.inflight -= st.unacked.bytes()
	*st = outStream{sent: s.resume(o)}
	c.Counts.Resyncs++
}
