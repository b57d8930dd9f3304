package node

import (
	"meshd/crdt"
	"meshd/internal/mutant"
	"meshd/reconcile"
)

// wantAgain lets hubs send an edge again what it let go of when it turned to another version, if that is what the rules ask for
// after all: they were lifted, or the edge turned away from it while its cells were still coming; or if all versions are answered
// with together. As long as a view's progress says that these are here, its hub's statements about the region would be believed
// without them: hubs answer with that version soon. What was stated of such a view is without a date until it is here.
func (c *Core) wantAgain(region string) {
	if mutant.On("let go of and taken for held") {
		return
	}
	choice := c.choice(region)
	wanted := func(id reconcile.SeriesID) bool {
		s := c.cat.Series(id)
		version, travels := c.scopes.rules.Version(s.Name, s.Kind)
		return travels && (version == s.Get(crdt.RollupLabel) || choice.Joins(id))
	}
	for _, o := range c.views.Again(region, wanted) {
		for _, h := range c.stated[region] { // in any order: one of them is about it
			if h.current != nil && viewOf(h.current) == o {
				h.current.CompleteUntilMs = 0
			}
		}
		for _, s := range c.order {
			if s.peer.Node == o.Node && o.Inc.SameProcess(s.peer.Inc) {
				s.hearsOf(o) // so the next acknowledgement tells it
				s.lag.known = false
			}
		}
	}
}
