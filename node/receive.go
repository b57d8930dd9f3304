package node

import (
	"fmt"
	"slices"

	"meshd/crdt"
	"meshd/internal/mutant"
	"meshd/internal/wire"
	"meshd/reconcile"
)

// mayWrite reports whether a session's peer may bring cells of an origin (I12): an edge its own, a hub its region's
// nodes and, as every hub relays every entry, totals of all regions; towards edges its own totals and views.
func (c *Core) mayWrite(s *session, o crdt.Origin) bool {
	own := o.Node == s.peer.Node && o.Inc.SameProcess(s.peer.Inc)
	switch {
	case c.hub == nil:
		return s.peer.Role == RoleHub && s.peer.Region == c.cfg.Region && own &&
			(o.Class == crdt.ClassView || o.Class == crdt.ClassRegion && o.Region == c.cfg.Region)
	case s.peer.Role == RoleEdge:
		return o.Class == crdt.ClassNode && s.peer.Region == c.cfg.Region && o.Region == c.cfg.Region && o.Node == s.peer.Node
	case o.Class == crdt.ClassNode:
		return s.peer.Region == c.cfg.Region && o.Region == c.cfg.Region
	default:
		return o.Class == crdt.ClassRegion
	}
}

// countIn counts what a frame brings.
func (c *Core) countIn(s *session, f *wire.Frame) {
	s.framesIn++
	c.Counts.FramesIn++
	c.Counts.CellsIn += uint64(len(f.Cells))
}

// forges refuses an edge that says how series are to be corrected: hubs do. It reports whether it does.
func (c *Core) forges(s *session, f *wire.Frame) bool {
	if s.peer.Role != RoleEdge || mutant.On("edges write sides") {
		return false
	}
	i := slices.IndexFunc(f.Defs, func(d wire.Def) bool { return d.Series.IsSide() })
	if i >= 0 {
		c.suspect(f.Origin, fmt.Errorf("node: %w: an edge counts on %s, which only a hub does", reconcile.ErrFrame, &f.Defs[i].Series))
	}
	return i >= 0
}

func (c *Core) gotFrame(s *session, f *wire.Frame, raw []byte) {
	c.countIn(s, f)
	if f.Stream == crdt.StreamWindow {
		c.gotWindows(s, f, raw)
		return
	}
	o := f.Origin
	if !c.mayWrite(s, o) {
		c.Counts.Refused++
		return
	}
	if o.Inc.SameProcess(c.cfg.Inc) { // its own cells come back by a relay: nobody knows them better
		return
	}
	if c.refuses(o) {
		return
	}
	if c.passed(s, o) {
		return
	}
	if c.hub != nil && c.heldWhole(f) {
		s.late(o)
		return
	}
	if c.forges(s, f) {
		return
	}
	s.hearsOf(o)
	if c.hub == nil {
		c.forgetTurned(o.Region)
		c.suspect(o, c.contained(func() error { return c.views.Apply(f) }))
		c.owesMark(s, o)
		return
	}
	if mutant.On("hub's word before its disk") {
		c.send(s, &wire.Marks{Marks: []wire.Mark{{Origin: o, Progress: [crdt.NumStreams]crdt.Progress{{Cursor: f.To, Owed: f.Head, Covered: f.To}}}}})
	}
	q := queuedFrame{frame: f, raw: raw, from: s.id}
	if s.peer.Role == RoleHub && o.Node == s.peer.Node && o.Inc == s.peer.Inc && o.Class == crdt.ClassNode {
		s.ownTo = max(s.ownTo, f.To)
	}
	if _, ok := c.hub.cold.index.progress(o); ok {
		if mutant.On("late frame of cold dropped") {
			return
		}
		c.thaw(o, &q)
		return
	}
	c.enqueue(q)
}

// owesMark remembers that an edge has to acknowledge what came from a hub. Nobody else brings it, and nothing else that
// a peer lacks has changed.
func (c *Core) owesMark(s *session, o crdt.Origin) {
	if p, ok := c.held(o); ok && s.told[o] != p {
		s.lag.behind = true
	}
}

// heldWhole reports whether all that a frame speaks of is here, on disk only, or was, of an entry that was dropped.
func (c *Core) heldWhole(f *wire.Frame) bool {
	if c.hub.entries.Whole(f) {
		return true
	}
	p, ok := c.hub.cold.index.progress(f.Origin)
	return ok && max(f.To, f.Head) <= p[f.Stream].Covered
}

// enqueue lets a frame wait for the disk.
func (c *Core) enqueue(q queuedFrame) {
	c.queue.frames = append(c.queue.frames, q)
	c.queue.frameBytes += q.cost()
}

// applyPeer joins a peer's frame that is on disk now.
func (c *Core) applyPeer(q queuedFrame, lsn uint64) {
	f := q.frame
	if c.hub.entries.Late(f) || c.refuses(f.Origin) {
		return
	}
	if c.isForgotten(f.Origin) && !mutant.On("forgotten comes back") && (q.from != 0 || !mutant.On("forgotten comes back from a log")) { // since it was read
		c.Counts.ForgottenFrames++
		return
	}
	r := c.replicaOf(f.Origin)
	before := r.Progress[f.Stream]
	c.suspect(f.Origin, c.contained(func() error {
		if err := r.Check(f); err != nil {
			return err
		}
		rose, err := c.join(f)
		c.Counts.CellsRose += uint64(rose)
		if rose > 0 || r.Progress[f.Stream] != before || r.Changed == 0 {
			r.Changed = c.wall
		}
		return err
	}))
	if q.from == 0 && f.From > r.Progress[f.Stream].Cursor {
		c.Counts.ReplayedAhead++
	}
	if s := c.sessions[q.from]; s != nil && r.Progress[f.Stream] == before {
		c.repeated(s, f.Origin)
	}
	r.Touched = c.now
	c.disk.dirty(r, lsn)
}

// repeated lets a peer be told again how far an origin is held, though its frame moved nothing: it waits for an answer.
func (c *Core) repeated(s *session, o crdt.Origin) {
	if !mutant.On("repeated frame unanswered") {
		delete(s.told, o)
		s.lag.known = false
	}
}

// join puts a frame that its replica can take into it, and into what is derived from it.
func (c *Core) join(f *wire.Frame) (rose int, err error) {
	if f.Origin.Class == crdt.ClassRegion {
		c.begunAnew(f.Origin)
		return c.hub.entries.Apply(f)
	}
	c.hub.watch.Expect(f.Origin.Node)
	c.follow(f)
	rose, err = c.hub.region.Apply(f)
	c.settleNode(f.Origin.Node)
	return rose, err
}

// gotPush takes totals and pairs from a hub of the own region.
func (c *Core) gotPush(s *session, f *wire.Frame, yours []wire.Yours) {
	c.countIn(s, f)
	if c.hub != nil || !c.mayWrite(s, f.Origin) || f.Origin.Class != crdt.ClassRegion {
		c.Counts.Refused++
		return
	}
	if c.refuses(f.Origin) {
		return
	}
	s.hearsOf(f.Origin)
	c.suspect(f.Origin, c.contained(func() error {
		if err := c.slots.Slot(f.Origin).Total.Check(f); err != nil {
			return err
		}
		if err := reconcile.CheckPairs(f, yours); err != nil {
			return err
		}
		if mutant.On("edge answers by seq") {
			return c.bySeq(s, f)
		}
		return c.slots.Apply(f, yours, c.mine)
	}))
	c.owesMark(s, f.Origin)
}
