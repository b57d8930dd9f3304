package node

import (
	"maps"
	"slices"

	"meshd/crdt"
	"meshd/internal/mutant"
	"meshd/internal/wire"
	"meshd/reconcile"
)

// Rollup says how a question about time follows rollup rules: as lifetimes of other regions did when it was made, so that a curve and
// the total beside it are of the same series, those that were dropped left out. Windows come with all their labels, however old they are: what rules leave out of
// an answer comes back with another set of rules. It never changes and is safe for concurrent use.
type Rollup struct {
	Region string // of this node, which is answered for with all labels
	Edge   bool   // of what is of scope node it answers with what it counted itself
	Number uint64 // of all that this process made, from 1

	rules *reconcile.Rules
	lacks map[Rolled][]string // labels that lifetimes are without, sorted
	all   map[string]bool     // of these
	drops []wire.Drop
}

// Rolled names a metric of a region.
type Rolled struct {
	Region, Metric string
	Kind           crdt.Kind
}

// NewRollup returns how a node of a region answers by rules, when lifetimes lack some labels, sorted, and series are dropped. It keeps both.
func NewRollup(region string, edge bool, number uint64, rules *reconcile.Rules, lacks map[Rolled][]string, drops []wire.Drop) *Rollup {
	r := &Rollup{Region: region, Edge: edge, Number: number, rules: rules.Apart(), lacks: lacks, all: map[string]bool{}, drops: drops}
	for _, labels := range lacks {
		for _, l := range labels {
			r.all[l] = true
		}
	}
	return r
}

// Travels reports whether series of a metric are answered for if they are of other regions.
func (r *Rollup) Travels(metric string, k crdt.Kind) bool { return r.rules.Windows(metric, k) }

// Alone reports whether an edge answers for a metric of its own region with what it counted itself.
func (r *Rollup) Alone(metric string) bool { return r.Edge && r.rules.Alone(metric) }

// AnyAlone reports whether there may be such a metric.
func (r *Rollup) AnyAlone() bool { return r.Edge && r.rules.AnyAlone() }

// Lacks returns the labels that a metric of another region is answered without, sorted; they are shared and must not be changed.
func (r *Rollup) Lacks(region, metric string, k crdt.Kind) []string {
	if mutant.On("windows with labels that totals lack") {
		return nil
	}
	return r.lacks[Rolled{region, metric, k}]
}

// Lacked returns all labels that something is answered without. They must not be changed.
func (r *Rollup) Lacked() map[string]bool { return r.all }

// Dropped reports whether windows are of a series that operators dropped. What is counted on it since is of a generation of its own.
func (r *Rollup) Dropped(s *crdt.Series) bool {
	return reconcile.Dropped(r.drops, s) && !mutant.On("windows of what was dropped")
}

// windowRules returns how windows are answered with, as lifetimes are: the choices are settled.
func (c *Core) windowRules() *Rollup {
	rules, drops, lacks := c.scopes.rules, c.cat.Drops(), map[Rolled][]string{}
	for region, choice := range c.scopes.choices { // in any order: keys differ
		if region == c.cfg.Region {
			continue
		}
		choice.Lacks(func(m *reconcile.Metric, labels []string) { lacks[Rolled{region, m.Name, m.Kind}] = labels })
	}
	old := c.scopes.windows
	switch {
	case rules == nil && len(lacks) == 0 && len(drops) == 0:
		c.scopes.windows = nil
	case old == nil || old.rules.Sum() != rules.Sum() || len(old.drops) != len(drops) || !maps.EqualFunc(old.lacks, lacks, slices.Equal):
		c.scopes.rolled++
		c.scopes.windows = NewRollup(c.cfg.Region, c.hub == nil, c.scopes.rolled, rules, lacks, drops)
	}
	return c.scopes.windows
}
