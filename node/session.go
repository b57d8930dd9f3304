package node

import (
	"fmt"
	"slices"

	"meshd/crdt"
	"meshd/internal/mutant"
	"meshd/internal/wire"
	"meshd/reconcile"
)

const (
	// defaultInflight bounds the frame bytes sent to one peer and not acknowledged yet: with the transport's queue of
	// 4 MiB a peer that reads nothing costs little, and 100 Mbit/s over 150 ms are kept busy.
	defaultInflight = 2 << 20
	// maxNamed bounds the incarnations of an edge that a hub makes pairs for.
	maxNamed = wire.MaxYours
)

// session is one authenticated connection to another node, as the core sees it.
type session struct {
	id    uint64
	peer  PeerInfo
	since int64
	ready bool // the peer said what it holds: frames may go
	hello bool

	named   []reconcile.Named              // what the peer has of its own, as its hello said
	told    map[crdt.Origin]crdt.Progress  // what this node said it holds
	marks   map[crdt.Origin]crdt.Progress  // what the peer said it holds
	streams map[crdt.Origin]*outStream     // what was sent
	sources []crdt.Origin                  // what comes from the peer and is acknowledged at each flush, in order
	stated  map[string]wire.RegionCoverage // coverage as last sent, by region
	offset  offset
	heard   heard // with a hub of the own region
	config  configOf
	line    line
	forget  forgetState // with a hub of the own region
	win     windowSession

	lateOrigins []crdt.Origin         // not listed in marks, and asked about
	partial     map[crdt.Origin]int64 // when cold ones were loaded to be relayed, though nobody can say what the peer lacks
	coldNext    int                   // the bucket whose sum is told next
	coldTold    bool                  // all sums were told

	catching  bool // lacks more than one flush brought: see admission.go
	place     int64
	limit     int         // bytes of cells that may still go in this serving
	full      bool        // the last serving ended for want of room
	turn      crdt.Origin // of the stream that goes first: see turn.go
	step      uint64
	stepBytes [2]int   // sent in that step, by class
	emptied   [2]int64 // when nothing waited in this node any more, by class, while something was not acknowledged

	relayCut  bool // a relay found no room for all
	lastRelay int64
	compareAt int64                  // the next comparison is due
	aged      map[crdt.Origin]uint64 // as hubState.aged, at the comparison before of a slow session

	listing     []wire.Mark // of a listing under way, for want of room
	listingFull bool        // its first message is not sent yet

	lag                 lag
	ownTo               uint64 // how far the peer sent its own live incarnation
	inflight            int
	lastFlush           int64
	lastCells           int64 // when cells were last flushed
	lastBeat            int64
	framesIn, framesOut uint64
}

// lag is what is known of whether a peer lacks something. That it lacks cells stays true until something is sent to it
// or heard from it; the rest, as long as nothing else changed here.
type lag struct {
	known  bool
	cells  bool   // it lacks cells
	behind bool   // it lacks cells or waits for an acknowledgement
	epoch  uint64 // Core.epoch when it was found out
}

// outStream is how far one origin was sent on a session.
type outStream struct {
	sent       uint64
	unacked    inFlight
	extras     uint64 // version of the replica of which the cells beyond its cursor were relayed
	extrasSent int    // how many frames of them
	relayed    uint64 // version of the replica that was relayed to its cursor
	relayedAt  int64
	passing    bool    // a relay is under way
	version    uint64  // of the replica when it was interrupted
	held       uint64  // what the replica covered then
	base       outBase // the last frame sent, if the next may be told by it
}

// mayGoOn reports whether an interrupted relay may go on where it is: not if something older came in since, which it
// would leave out. Below what was covered nothing can come.
func (st *outStream) mayGoOn(r *reconcile.Replica) bool {
	return st.version == r.Version || st.held >= st.sent || mutant.On("relay goes on blindly")
}

func (c *Core) peerUp(in PeerUp) {
	s := &session{
		id: in.ID, peer: in.Peer, since: c.now,
		told: map[crdt.Origin]crdt.Progress{}, marks: map[crdt.Origin]crdt.Progress{},
		streams: map[crdt.Origin]*outStream{}, stated: map[string]wire.RegionCoverage{},
		partial: map[crdt.Origin]int64{}, win: newWindowSession(),
		forget: forgetState{stated: map[string]wire.FrozenNode{}, told: map[string]uint64{}, sent: map[string]int64{}},
	}
	for _, old := range c.ordered() {
		if old.peer.Node == s.peer.Node && old.peer.Region == s.peer.Region && old.peer.Inc == s.peer.Inc && !mutant.On("pairs in any order") {
			c.out.Close = append(c.out.Close, CloseSession{Peer: old.id, Reason: "replaced by a newer session of the same process"})
			c.remove(old.id)
		}
	}
	if c.hub != nil && in.Peer.Role == RoleHub {
		// A session with the process before it may have outlived that, so that this one passed for dead.
		c.hub.entries.Runs(crdt.Origin{Class: crdt.ClassRegion, Region: in.Peer.Region, Node: in.Peer.Node, Inc: in.Peer.Inc})
		if in.Peer.Region != c.cfg.Region {
			c.replacedHub(in.Peer)
		}
	}
	c.sessions[in.ID] = s
	c.order = append(slices.Clone(c.order), s)
	c.tellLinks()
	c.hear(&s.peer, 1)
	h := &wire.Hello{Nonce: c.cfg.Nonce, WallMs: c.wall, Inc: c.cfg.Inc}
	h.Own = c.ownHeads()
	if more := len(h.Own) - c.cfg.Limits.Named; more > 0 {
		h.Own = h.Own[more:]
		c.Counts.Unnamed += uint64(more)
	}
	c.send(s, h)
	if c.hub != nil {
		c.hub.removals.tellAll(c, s)
	}
	c.drops.tellAll(c, s)
	c.tellCorrections(s)
	if c.hub != nil && s.peer.Region == c.cfg.Region {
		c.hub.watch.Expect(s.peer.Node)
		c.isBack(process{s.peer.Region, s.peer.Node})
		c.hub.region.NodeChanged(s.peer.Node)
	}
}

func (c *Core) peerDown(id uint64) {
	s := c.sessions[id]
	if s == nil {
		return
	}
	c.remove(id)
	c.tellLinks()
	c.Counts.SessionsLost++
	if c.hub != nil && s.peer.Region == c.cfg.Region {
		c.hub.region.NodeChanged(s.peer.Node)
	}
}

// send encodes m and queues it. What does not encode is a bug, not the peer's fault.
func (c *Core) send(s *session, m wire.Message) {
	c.sendRaw(s, encodeMessage(m), false)
}

func encodeMessage(m wire.Message) []byte {
	msg, err := wire.AppendMessage(nil, m)
	if err != nil {
		panic(fmt.Sprintf("node: message does not encode: %v", err))
	}
	return msg
}

func (c *Core) sendRaw(s *session, msg []byte, bulk bool) int {
	c.out.Sends = append(c.out.Sends, Send{Peer: s.id, Bulk: bulk, Msg: msg})
	c.charge(s, len(msg), bulk)
	c.Counts.BytesOut += uint64(len(msg))
	return len(msg)
}

// malformed ends the session of a peer that sent what does not parse: what was lost with it is unknown, and a new
// session resumes from what is held.
func (c *Core) malformed(id uint64) {
	c.Counts.Malformed++
	if c.sessions[id] != nil {
		c.out.Close = append(c.out.Close, CloseSession{Peer: id, Reason: "sent a message that does not parse"})
		c.peerDown(id)
	}
}

func (c *Core) received(in Received) {
	s := c.sessions[in.ID]
	if s == nil {
		return
	}
	switch m := in.Msg.Msg.(type) {
	case *wire.Hello:
		c.gotHello(s, m)
	case *wire.Marks:
		c.gotMarks(s, m)
	case *wire.FrameMsg:
		c.gotFrameMsg(s, in.Msg.Frame, m.Raw)
	case *wire.Delta:
		c.gotDelta(s, m)
	case *wire.Push:
		c.gotPushMsg(s, in.Msg.Frame, m)
	case *wire.Heartbeat:
		c.gotHeartbeat(s, m)
	case *wire.Coverage:
		c.gotCoverage(s, m)
	case *wire.Heard:
		c.gotHeard(s, m)
	case *wire.ColdMarks:
		c.gotColdMarks(s, m)
	case *wire.WindowMarks:
		c.gotWindowMarks(s, m)
	case *wire.MeshConfig:
		c.gotConfig(s, m)
	case *wire.Drops:
		c.gotDrops(s, m)
	case *wire.Corrections:
		c.gotCorrections(s, m)
	case *wire.Removals:
		c.gotRemovals(s, m)
	case *wire.Link:
		c.gotLink(s, m)
	case *wire.Freeze:
		c.gotFreeze(s, m)
	case *wire.Forgotten:
		c.gotForgotten(s, m)
	default:
		c.Counts.Unknown++
	}
}

func (c *Core) gotHello(s *session, m *wire.Hello) {
	s.peer.Inc, s.hello = m.Inc, true
	c.measure(s, m.WallMs)
	s.named = s.named[:0]
	live := false
	for _, h := range m.Own[:min(len(m.Own), maxNamed-1)] {
		if h.Inc != m.Inc && mutant.On("earlier incarnations unnamed") {
			continue
		}
		live = live || h.Inc == m.Inc
		s.named = append(s.named, reconcile.Named{Inc: h.Inc, Head: h.Head, Live: h.Inc == m.Inc})
	}
	if !live {
		s.named = append(s.named, reconcile.Named{Inc: m.Inc, Live: true})
	}
	if c.hub != nil && s.peer.Region == c.cfg.Region {
		c.hub.watch.Names(s.peer.Node, s.peer.Inc, s.named, c.now)
		c.seldomNode(s)
		for _, n := range s.named {
			o := c.peerOrigin(s, n.Inc)
			p, cold := c.hub.cold.index.progress(o)
			back := n.Live && !mutant.On("live incarnation stays cold") // its gauges count again
			if cold && (back || p[crdt.StreamLifetime].Covered < n.Head[crdt.StreamLifetime]) {
				c.thaw(o, nil)
			}
			if held, _ := c.held(o); held.Owed > n.Head[crdt.StreamLifetime] && !n.Live && held != allOfIt { // it had promised more
				c.Counts.RolledBack++
			}
		}
	}
	c.sendMarks(s, true, c.holdings)
	c.sendWindowMarks(s, true)
}

// offsetMs is how long a smallest difference of clocks is believed: a clock that jumped is followed after at most
// twice that.
const offsetMs = 10_000

// offset turns a peer's wall time into local time: the smallest difference between receive time and the peer's
// clock seen lately, which is the clocks' difference plus the shortest delay.
type offset struct {
	now, last int64 // smallest in this period and the one before
	until     int64
	known     bool
}

func (o *offset) value() int64 { return min(o.now, o.last) }

func (c *Core) measure(s *session, wallMs int64) {
	d, o := c.now-wallMs, &s.offset
	switch {
	case !o.known:
		*o = offset{now: d, last: d, until: c.now + offsetMs, known: true}
	case c.now >= o.until:
		*o = offset{now: d, last: o.now, until: c.now + offsetMs, known: true}
	default:
		o.now = min(o.now, d)
	}
}

// keptListing is how many marks a session keeps room for between two listings, 20 kB: what a hub tells another every second.
const keptListing = 128

// gotHeartbeat takes an edge's word that its live incarnation was at a head at a time, or a hub's that what it
// stated holds until a time.
func (c *Core) gotHeartbeat(s *session, m *wire.Heartbeat) {
	c.measure(s, m.WallMs)
	at := m.WallMs + s.offset.value()
	if s.peer.Role == RoleHub {
		c.restate(s, m)
		c.siblingClaim(s, at)
		return
	}
	if c.hub == nil || s.peer.Region != c.cfg.Region {
		return
	}
	if o := c.peerOrigin(s, s.peer.Inc); c.isForgotten(o) || c.isFrozen(o) {
		return // it has to begin anew: what it says it counted is not all here, and will not be
	}
	c.claim(s, m.Head[crdt.StreamLifetime], at)
}

// claim records the peer's word that its live incarnation was at a head at a time.
func (c *Core) claim(s *session, head uint64, atMs int64) {
	p := c.hub.watch.Claim(s.peer.Node, reconcile.Claim{Inc: s.peer.Inc, Head: head, AtMs: min(atMs, c.now), HeardMs: c.now})
	p.Offset = c.clockOffset(s)
	c.settleNode(s.peer.Node)
}

// settleNode moves the time up to which a node is complete, as far as its cells are here.
func (c *Core) settleNode(node string) {
	was := c.liveNode(node)
	changed := c.hub.watch.Settle(node, func(inc crdt.Incarnation) uint64 {
		o := crdt.Origin{Class: crdt.ClassNode, Region: c.cfg.Region, Node: node, Inc: inc}
		if r := c.hub.region.Held(o); r != nil {
			return r.Progress[crdt.StreamLifetime].Covered
		}
		p, _ := c.coldProgress(o)
		return p[crdt.StreamLifetime].Covered
	})
	if changed || was != c.liveNode(node) {
		c.hub.region.NodeChanged(node)
	}
}

// isDue reports whether something is due to a peer after it sent something; otherwise the core wakes up when it is.
func (c *Core) isDue(s *session) bool {
	if s == nil || c.now >= c.wakeAt {
		return s != nil
	}
	at := s.wake(c)
	c.wakeAt = min(c.wakeAt, at)
	return s.ready && c.behind(s) && c.now >= c.nextFlush(s)
}

// wake returns when the session wants the next Step.
func (s *session) wake(c *Core) int64 {
	if len(s.listing) > 0 {
		return c.now + min(c.cfg.Flush, 1000)
	}
	if !s.ready {
		return c.now + c.cfg.Beat
	}
	at := s.lastBeat + s.line.pace.beat
	if c.behind(s) {
		at = c.nextFlush(s)
	}
	if c.acksDue(s) {
		at = min(at, s.lastFlush+c.cfg.Flush)
	}
	if s.relayCut {
		at = min(at, s.lastRelay+s.line.pace.flush)
	}
	return max(at, c.now+1)
}
