package node

import (
	"fmt"

	"meshd/crdt"
	"meshd/internal/mutant"
	"meshd/internal/wire"
	"meshd/reconcile"
)

// What is of scope node goes to the hubs of its region and no further: they hold every node's cells and answer with their sum. Edges
// of the region get other totals, the feed, which are written anew with every set of rules: no origin is ever filtered,
// so that what an edge holds of one, and a hub states of it, is true by whatever rules (ADR 14).

// renewFeed begins what the own region's edges get anew, as an origin of its own. As long as there never was a rule of scope node they
// get the totals themselves.
func (c *Core) renewFeed() {
	if !c.scopes.rules.AnyAlone() && c.hub.feed == nil {
		return
	}
	if old, _ := c.fedTotals(); old != nil {
		c.unlearn(old.Origin)
	}
	c.hub.exports++
	c.hub.fed = c.hub.exports
	o := c.hub.region.Total.Origin
	o.Inc = o.Inc.Anew(c.hub.fed)
	c.hub.feed = reconcile.NewFeed(o, c.scopes.rules, c.cat, c.hub.region.Total)
}

// fedTotals returns the totals that edges of the own region get, and the number under which they were begun.
func (c *Core) fedTotals() (*reconcile.Derived, uint32) {
	if c.hub.feed != nil {
		return &c.hub.feed.Derived, c.hub.fed
	}
	return c.hub.region.Total, 0
}

// alone reports whether this node answers for a series of its own region with its own cells only.
func (c *Core) alone(id reconcile.SeriesID) bool {
	return c.hub == nil && c.scopes.rules.Alone(c.cat.Series(id).Name) && !mutant.On("old totals answered for scope node")
}

// ownAlone returns what this node counted itself.
func (c *Core) ownAlone(id reconcile.SeriesID) (crdt.Value, bool, error) {
	return reconcile.NewSlots(c.cat).Answer(id, c.mine)
}

// letGo reports whether an edge has nothing any more of what a statement about its region was made of. An empty feed is not sent.
func (c *Core) letGo(rc *wire.RegionCoverage) bool {
	return rc.Seq != 0 && c.slots.Held(statedOf(rc)) == nil
}

// aloneShort says what an edge's answer lacks of its own region.
func (c *Core) aloneShort(sel *Select) (out []Shortfall) {
	if c.hub != nil {
		return nil
	}
	rules := c.scopes.rules
	for _, n := range rules.May(sel.Names, sel.Windows) {
		if rule := rules.Rule(n); rule.Scope == reconcile.ScopeNode {
			out = append(out, Shortfall{c.cfg.Region, rule.Match, fmt.Sprintf("is what this node counted, by rollup rule %d: ask a hub", n)})
		}
	}
	return out
}
