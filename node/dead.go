package node

import (
	"fmt"
	"slices"

	"meshd/crdt"
	"meshd/internal/mutant"
	"meshd/internal/wire"
	"meshd/reconcile"
)

// process names what runs under one name in one region.
type process struct{ region, node string }

// running returns which processes this node has sessions with, itself included.
func (c *Core) running() map[process]map[crdt.Incarnation]bool {
	out := map[process]map[crdt.Incarnation]bool{{c.cfg.Region, c.cfg.Node}: {c.cfg.Inc: true}}
	for _, s := range c.order {
		p := process{s.peer.Region, s.peer.Node}
		if out[p] == nil {
			out[p] = map[crdt.Incarnation]bool{}
		}
		out[p][s.peer.Inc] = true
	}
	return out
}

// deadHubs returns a test for entries of hub processes that are over, and one for those of processes that run: over is
// what runs as another process now, or was removed. One that is only silent is neither. In its own region a process has its totals for an entry,
// elsewhere the latest that it wrote anew.
func (c *Core) deadHubs() (dead, live func(crdt.Origin) bool) {
	now := c.running()
	live = func(o crdt.Origin) bool {
		if o.Region == c.cfg.Region {
			return now[process{o.Region, o.Node}][o.Inc]
		}
		for inc := range now[process{o.Region, o.Node}] {
			if inc.SameProcess(o.Inc) {
				return !c.hub.entries.Superseded(o)
			}
		}
		return false
	}
	dead = func(o crdt.Origin) bool {
		p := process{o.Region, o.Node}
		over := len(now[p]) > 0 || c.removed(p) || o.Region != c.cfg.Region && c.hub.entries.Superseded(o)
		return over && !live(o)
	}
	return dead, live
}

// judgeDead finds the entries of dead hub processes that nothing needs any more, and the regions of which a dead
// process knew more than the living ones do.
func (c *Core) judgeDead() {
	dead, live := c.deadHubs()
	c.check(c.hub.floor.Update(c.hub.entries, c.hub.region.Total, dead))
	c.hub.floor.Cells.Close()
	c.hub.retired = c.hub.retired[:0]
	clear(c.hub.beyond)
	for _, o := range c.hub.entries.Origins() {
		if !dead(o) {
			continue
		}
		r := c.hub.entries.Held(o)
		contained := c.hub.floor.Contains(r)
		if o.Region != c.cfg.Region { // of its own region a hub believes its own sum only
			var err error
			contained, err = c.hub.entries.Dominated(o, live, c.givenUp(o.Region))
			c.check(err)
		}
		switch {
		case !contained:
			c.hub.beyond[o.Region] = true
		case c.hub.entries.Settled(o):
			c.hub.retired = append(c.hub.retired, retired{r, r.Version})
		}
	}
}

// retired is an entry that may be dropped, as it was when that was found out. It is named by its copy: should it be
// dropped, and begun anew by a frame that brings more, the new copy counts its versions from the beginning.
type retired struct {
	held    *reconcile.Replica
	version uint64
}

// asJudged reports whether what is held of an entry is what was found to be contained.
func (c *Core) asJudged(x retired) bool {
	r := c.hub.entries.Held(x.held.Origin)
	if mutant.On("dropped by an older judgement") {
		return r != nil && r.Version == x.version
	}
	return r == x.held && r.Version == x.version
}

// replacedHub is told that a hub runs as a new process: until its entry, or another, is found to contain what the one
// before it said, its region is not known to be complete.
func (c *Core) replacedHub(peer PeerInfo) {
	for _, o := range c.hub.entries.Origins() {
		if o.Region == peer.Region && o.Node == peer.Node && !o.Inc.SameProcess(peer.Inc) {
			c.hub.beyond[peer.Region] = true
		}
	}
}

// startDropping deletes the cells of dead entries that the living ones contain. How far they were held stays, so that
// a late frame of one is known for what it is. It reports whether there were any.
func (c *Core) startDropping() bool {
	if c.hub == nil || len(c.hub.retired) == 0 {
		return false
	}
	batch := c.hub.retired[:min(coldBatch, len(c.hub.retired))]
	c.hub.retired = c.hub.retired[len(batch):]
	var ops []Op
	var done []crdt.Origin
	for _, x := range batch {
		o := x.held.Origin
		if !c.asJudged(x) || c.queued(o) {
			continue
		}
		ops = c.disk.dropCells(ops, o)
		rec, err := wire.AppendStoredProgress(nil, &wire.StoredProgress{Origin: o, Progress: x.held.Progress, Dropped: true})
		if err != nil {
			panic(fmt.Sprintf("node: progress of %s does not encode: %v", o, err))
		}
		ops = append(ops, Op{Key: originKey(prefixProgress, o), Value: rec})
		done = append(done, o)
	}
	if len(done) == 0 {
		return false
	}
	excess := c.hub.entries.Excess(len(done))
	for _, o := range excess {
		ops = append(ops, Op{Key: originKey(prefixProgress, o), Delete: true})
	}
	c.persistCheckpoint(ops, func() {
		c.hub.entries.Forget(len(excess))
		_, live := c.deadHubs()
		for _, o := range done {
			if !live(o) && c.contains(o, live) { // one that came back meanwhile stays in memory; should this process end, it is asked for again
				c.dropped(o)
				c.renewViews(o.Region)
			}
		}
	})
	return true
}

// contains reports whether the living entries still contain a dead one: versions that are answered with may have changed.
func (c *Core) contains(o crdt.Origin, live func(crdt.Origin) bool) bool {
	if o.Region == c.cfg.Region {
		return true
	}
	contained, err := c.hub.entries.Dominated(o, live, c.givenUp(o.Region))
	c.check(err)
	return contained
}

// dropped takes an entry out of memory whose cells are not on disk any more.
func (c *Core) dropped(o crdt.Origin) {
	delete(c.disk.first, c.hub.entries.Held(o))
	delete(c.disk.parts, o)
	c.hub.entries.Drop(o)
	c.hub.floor.Forget(o)
	delete(c.hub.aged, o)
	c.unlearn(o)
	c.Counts.EntriesDropped++
}

// unlearn lets sessions forget what they keep of an origin, however long they last.
func (c *Core) unlearn(o crdt.Origin) {
	for _, s := range c.order {
		s.unlearn(o)
	}
}

func (s *session) unlearn(o crdt.Origin) {
	if st := s.streams[o]; st != nil {
		s.inflight -= st.unacked.bytes()
		delete(s.streams, o)
	}
	delete(s.told, o)
	delete(s.marks, o)
	s.sources = slices.DeleteFunc(s.sources, func(p crdt.Origin) bool { return p == o })
}

// isDropped reports whether o is an entry of which nothing but the progress is held.
func (c *Core) isDropped(o crdt.Origin) bool {
	if c.hub == nil {
		return false
	}
	_, ok := c.hub.entries.Dropped(o)
	return ok
}

// replaced returns a test for origins of processes that run as another process now. A node that is only silent is
// not replaced.
func (c *Core) replaced() func(crdt.Origin) bool {
	now := map[string]crdt.Incarnation{c.cfg.Node: c.cfg.Inc}
	for _, s := range c.order {
		if s.peer.Region == c.cfg.Region {
			now[s.peer.Node] = s.peer.Inc
		}
	}
	return func(o crdt.Origin) bool { inc, ok := now[o.Node]; return ok && !inc.SameProcess(o.Inc) }
}

// forgetHubs lets an edge forget what the processes of hubs said that run as another process now.
func (c *Core) forgetHubs() {
	replaced := c.replaced()
	c.check(c.slots.Prune(func(o crdt.Origin) bool { return replaced(o) || c.slots.Superseded(o) }, c.alone, c.mine))
	c.views.Forget(func(o crdt.Origin) bool { return !replaced(o) })
}
