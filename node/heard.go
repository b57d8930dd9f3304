package node

import (
	"math"
	"slices"

	"meshd/crdt"
	"meshd/internal/mutant"
	"meshd/internal/wire"
	"meshd/reconcile"
)

// maxHeardNames bounds the processes that a sibling may have numbered at one time: every node of a region of 5,000
// with maxProcesses of each would still be below. At about 150 bytes they take 15 MB.
const maxHeardNames = 100_000

// heard is what two hubs of a region told each other of whom they hear themselves. An edge talks to two hubs; without
// it a third one holds its cells and knows nothing of how far they reach.
type heard struct {
	at    int64                // when it was last told
	moved uint64               // what was told of, see reconcile.Process.Moved
	told  map[uint32]struct{}  // numbers that the peer knows
	names map[uint32]heardName // what the peer's numbers mean
}

// heardName names a process of a node of the region.
type heardName struct {
	node string
	inc  crdt.Incarnation
}

// tellHeard tells a sibling, once every beat, what processes said themselves since it was told last. What others told
// is not told again: times get later by a delay with every hub they pass.
func (c *Core) tellHeard(s *session) {
	if s.peer.Role != RoleHub || s.peer.Region != c.cfg.Region || c.now < s.heard.at+c.cfg.Beat && s.heard.at != 0 ||
		mutant.On("siblings tell nothing") {
		return
	}
	h := &s.heard
	h.at = c.now
	if h.told == nil {
		h.told = map[uint32]struct{}{}
	}
	m := &wire.Heard{WallMs: c.wall}
	needs := 0
	gone := len(h.told)
	for _, p := range c.hub.watch.Heard() {
		_, known := h.told[p.Number]
		if known {
			gone--
		}
		age := c.now - p.Last.AtMs
		if p.Moved <= h.moved || p.Inc == s.peer.Inc || age > math.MaxUint32 {
			continue
		}
		if len(m.Claims) == wire.MaxHeardClaims || len(m.New) == wire.MaxHeardProcesses || needs+len(p.Named) > wire.MaxHeardNeeds {
			c.send(s, m)
			m, needs = &wire.Heard{WallMs: c.wall}, 0
		}
		if !known {
			h.told[p.Number] = struct{}{}
			m.New = append(m.New, heardProcess(p))
			needs += len(p.Named)
		}
		m.Claims = append(m.Claims, wire.HeardClaim{
			Number: p.Number, Head: p.Last.Head, AgeMs: uint32(age), OffsetMs: clampInt32(p.Offset),
		})
	}
	h.moved = c.hub.watch.Moves()
	if gone > 0 {
		m.Gone = h.forget(c.hub.watch.Heard())
	}
	if len(m.Claims)+len(m.Gone) > 0 {
		c.send(s, m)
	}
}

// hearsItself reports whether a process of a node of the region has a session with this hub: its own word counts then.
func (c *Core) hearsItself(node string, inc crdt.Incarnation) bool {
	return slices.ContainsFunc(c.order, func(s *session) bool { return s.peer.Inc == inc && s.peer.Node == node })
}

func heardProcess(p *reconcile.Process) wire.HeardProcess {
	out := wire.HeardProcess{Number: p.Number, Node: p.Node, Inc: p.Inc, SeldomMs: uint32(p.Seldom)}
	for _, n := range p.Named {
		if !n.Live {
			out.Needs = append(out.Needs, wire.HeardNeed{Inc: n.Inc, Head: n.Head[crdt.StreamLifetime]})
		}
	}
	return out
}

func clampInt32(v int64) int32 { return int32(min(max(v, math.MinInt32), math.MaxInt32)) }

// forget returns the numbers that the peer need not keep, as many as one message takes; the rest goes with the next.
func (h *heard) forget(in []*reconcile.Process) (gone []uint32) {
	live := make(map[uint32]struct{}, len(in))
	for _, p := range in {
		live[p.Number] = struct{}{}
	}
	for n := range h.told {
		if _, ok := live[n]; !ok {
			gone = append(gone, n)
		}
	}
	slices.Sort(gone)
	gone = gone[:min(len(gone), wire.MaxHeardProcesses)]
	for _, n := range gone {
		delete(h.told, n)
	}
	return gone
}

// gotHeard takes a sibling's word on whom it heard. It is no more than theirs: a node's own claims, that count here once
// its cells are here.
func (c *Core) gotHeard(s *session, m *wire.Heard) {
	if c.hub == nil || s.peer.Role != RoleHub || s.peer.Region != c.cfg.Region {
		c.Counts.Refused++
		return
	}
	c.measure(s, m.WallMs)
	now := min(m.WallMs+s.offset.value(), c.now)
	h := &s.heard
	if h.names == nil {
		h.names = map[uint32]heardName{}
	}
	for i := range m.New {
		p := &m.New[i]
		if len(h.names) >= maxHeardNames {
			c.Counts.Refused++
			continue
		}
		h.names[p.Number] = heardName{p.Node, p.Inc}
		if p.Inc == c.cfg.Inc {
			continue
		}
		named := make([]reconcile.Named, len(p.Needs))
		for j, n := range p.Needs {
			named[j] = reconcile.Named{Inc: n.Inc, Head: [crdt.NumStreams]uint64{n.Head}}
		}
		c.hub.watch.Names(p.Node, p.Inc, named, 0)
		if !c.hearsItself(p.Node, p.Inc) {
			c.hub.watch.Seldom(p.Node, p.Inc, int64(p.SeldomMs))
		}
		o := crdt.Origin{Class: crdt.ClassNode, Region: c.cfg.Region, Node: p.Node, Inc: p.Inc}
		if _, cold := c.hub.cold.index.progress(o); cold && !mutant.On("live incarnation stays cold") { // its gauges count
			c.thaw(o, nil)
		}
	}
	for _, n := range m.Gone {
		delete(h.names, n)
	}
	var moved []string
	for i := range m.Claims {
		cl := &m.Claims[i]
		p, ok := h.names[cl.Number]
		if !ok {
			c.Counts.Refused++
			continue
		}
		// A process that was forgotten since is not heard of anew: nobody says again what it had on its disk.
		if p.inc == c.cfg.Inc || !c.hub.watch.Knows(p.node, p.inc) && !mutant.On("forgotten process believed") {
			continue
		}
		claim := reconcile.Claim{Inc: p.inc, Head: cl.Head, AtMs: now - int64(cl.AgeMs), HeardMs: c.now}
		c.hub.watch.Told(p.node, claim, int64(cl.OffsetMs)+c.clockOffset(s))
		moved = append(moved, p.node)
	}
	slices.Sort(moved)
	for _, node := range slices.Compact(moved) {
		c.settleNode(node)
	}
}

// clockOffset returns the peer's wall clock minus this node's in milliseconds: less than it is, by the shortest delay
// that was met lately.
func (c *Core) clockOffset(s *session) int64 {
	if !s.offset.known {
		return 0
	}
	return c.now - s.offset.value() - c.wall
}
