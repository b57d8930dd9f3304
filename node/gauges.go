package node

import (
	"meshd/crdt"
	"meshd/internal/mutant"
	"meshd/reconcile"
)

// rollup brings the gauges of the region up to date before they are sent or read.
func (c *Core) rollup() {
	if c.hub == nil {
		return
	}
	c.check(c.hub.region.Rollup(c.clock.Tick(c.wall), c.liveNode, c.runs))
	if c.closeTotals() {
		c.epoch++
	}
}

// liveNode reports whether a node's gauges count: it was complete lately, or it is this node.
func (c *Core) liveNode(node string) bool {
	return node == c.cfg.Node || c.hub.watch.AsOf(node) >= c.now-3*c.hub.watch.Patience(node) && c.hub.watch.AsOf(node) > 0
}

// runs reports whether a node origin of the region is that of a process that runs: only of such a gauge says something.
func (c *Core) runs(o crdt.Origin) bool {
	return o == c.own || c.hub.watch.Runs(o.Node, o.Inc) || mutant.On("gauges of earlier processes count")
}

// countsGauges reports whether the gauges of a node origin count here: at an edge those of its live incarnation.
func (c *Core) countsGauges(o crdt.Origin) bool {
	if c.hub == nil {
		return o == c.own
	}
	return c.liveNode(o.Node) && c.runs(o)
}

// recount counts the gauges of nodes anew that fell silent, or are complete again, and whatever else changed in a mesh in
// which nothing is written: who sends nothing makes no rollups either.
func (c *Core) recount() {
	c.hub.watch.Each(func(node string) {
		live := c.liveNode(node)
		if live != c.hub.counted[node] && !mutant.On("gauges of silent nodes count") {
			c.hub.region.NodeChanged(node)
		}
		c.hub.counted[node] = live
	})
	c.rollup()
}

// hearsHub reports whether there is a session on which the process that writes an entry or a view says what it holds, and
// not in another that it wrote anew.
func (c *Core) hearsHub(o crdt.Origin) bool {
	if o.Class == crdt.ClassRegion && o.Region == c.cfg.Region { // of its own region a process says its totals
		s := c.sessions[c.feed]
		if c.hub == nil && c.cfg.OneFeed {
			return s != nil && s.peer.Inc.SameProcess(o.Inc) && !c.slots.Superseded(o)
		}
		if c.hub == nil { // which it writes anew for its edges
			return c.hearsProcess(o) && !c.slots.Superseded(o)
		}
		return c.hubs[o.Inc] > 0
	}
	if c.hub == nil && c.cfg.OneFeed {
		s := c.sessions[c.feed]
		return s != nil && s.peer.Inc.SameProcess(o.Inc) && !c.views.Superseded(o)
	}
	if !c.hearsProcess(o) {
		return false
	}
	return c.hub != nil && !c.hub.entries.Superseded(o) || c.hub == nil && !c.views.Superseded(o)
}

// hearsProcess reports whether there is a session with the hub process that writes o.
func (c *Core) hearsProcess(o crdt.Origin) bool {
	for inc := range c.hubs {
		if inc.SameProcess(o.Inc) {
			return true
		}
	}
	return false
}

// hear counts the sessions with the processes of hubs, which say what gauges are worth: by is 1 or -1.
func (c *Core) hear(peer *PeerInfo, by int) {
	if peer.Role != RoleHub {
		return
	}
	if c.hubs[peer.Inc] += by; c.hubs[peer.Inc] == 0 {
		delete(c.hubs, peer.Inc)
	}
	if c.hub != nil {
		c.check(c.hub.entries.Repick(peer.Region))
	}
}

// ownGauge returns what counts of a gauge of a hub's own region: of its own rollup and those of the other hubs.
func (c *Core) ownGauge(id reconcile.SeriesID, own *crdt.Value) crdt.Value {
	said := []reconcile.Said{{Rollup: own.X.(*crdt.Rollup), Heard: true}}
	best := reconcile.PickRollup(c.hub.entries.Said(said, c.cfg.Region, id))
	return crdt.Value{Kind: crdt.KindRollup, X: best.Clone()}
}
