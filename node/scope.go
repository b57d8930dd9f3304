package node

import (
	"fmt"
	"slices"
	"strings"

	"meshd/crdt"
	"meshd/internal/mutant"
	"meshd/internal/wire"
	"meshd/reconcile"
)

// scopes is how far totals travel, and which version of them is answered with. Rules come with the mesh's configuration. What
// a hub sends to other regions follows its own rules; what of other regions a node answers for follows the node's.
type scopes struct {
	rules   *reconcile.Rules
	choices map[string]*reconcile.Choice // by region
	windows *Rollup                      // as it was when it was last asked for
	rolled  uint64                       // how many were made
}

// Shortfall says what an answer lacks by a rollup rule.
type Shortfall struct {
	Region string // that it lacks it of
	Metric string // or a pattern of metrics
	Why    string // for people
}

// String names all of it.
func (s Shortfall) String() string {
	return fmt.Sprintf("%s of region %s %s", s.Metric, s.Region, s.Why)
}

// setRules puts rules in force.
func (c *Core) setRules(rules *reconcile.Rules) {
	if rules.Sum() == c.scopes.rules.Sum() {
		return
	}
	c.scopes.rules = rules
	c.renewExport()
	if c.hub == nil {
		for _, region := range c.views.Regions() {
			c.wantAgain(region)
		}
	}
}

// renewExport begins what other regions get of the totals anew, as an origin of its own. As long as there never was a rule
// they get the totals themselves.
func (c *Core) renewExport() {
	if c.hub == nil || c.scopes.rules == nil && c.hub.export == nil {
		return
	}
	c.renewFeed()
	if old := c.hub.export; old != nil {
		c.unlearn(old.Origin)
	}
	c.hub.exports++
	o := c.hub.region.Total.Origin
	o.Inc = o.Inc.Anew(c.hub.exports)
	c.hub.export = reconcile.NewExport(o, c.scopes.rules, c.cat, c.hub.region.Total, c.hub.floor.Cells)
}

// closeTotals makes what changed in the totals visible under a seq of its own, and takes it over into what other regions get.
func (c *Core) closeTotals() (changed bool) {
	changed = c.hub.region.Total.Close()
	changed = c.hub.floor.Cells.Close() || changed
	if x := c.hub.export; x != nil {
		c.check(x.Update())
		changed = x.Close() || changed
		c.Counts.ExportsFull = x.Full
	}
	if x := c.hub.feed; x != nil {
		c.check(x.Update())
		changed = x.Close() || changed
	}
	return changed
}

// entryFor returns the totals that a region's nodes get, and how often they were begun anew.
func (c *Core) entryFor(region string) (*reconcile.Derived, uint32) {
	if c.hub.export != nil && region != c.cfg.Region {
		return &c.hub.export.Derived, c.hub.exports
	}
	return c.hub.region.Total, 0
}

// mayRelay reports whether an entry may go to a peer. While rules are in force an entry of the own region is for the region
// only: other regions get exports, by whoever holds one. And exports of a process that runs are not sent back to its
// region, which has the totals that they were made of.
func (c *Core) mayRelay(s *session, o crdt.Origin) bool {
	if o.Region == c.cfg.Region {
		return s.peer.Region == c.cfg.Region || c.hub.export == nil
	}
	if o.Region != s.peer.Region {
		return true
	}
	for _, p := range c.order { // this node is of another region
		if p.peer.Region == o.Region && p.peer.Node == o.Node && p.peer.Inc != o.Inc && p.peer.Inc.SameProcess(o.Inc) {
			return false
		}
	}
	return true
}

// begunAnew is told that there is an entry that was not heard of. If its process wrote another one before, the region is not
// known to be complete until this one, or another, is found to contain what that one said.
func (c *Core) begunAnew(o crdt.Origin) {
	for _, p := range c.hub.entries.Origins() {
		if p.Region == o.Region && p.Node == o.Node && p.Inc != o.Inc && p.Inc.SameProcess(o.Inc) {
			c.hub.beyond[o.Region] = true
		}
	}
}

// givenUp returns a test for series of a region that nothing is answered with, and nothing will be.
func (c *Core) givenUp(region string) func(reconcile.SeriesID) bool {
	choice := c.choice(region)
	return func(id reconcile.SeriesID) bool { return region != c.cfg.Region && c.stays(id) || choice.Passed(id) }
}

// stays reports whether a metric of other regions is not answered for.
func (c *Core) stays(id reconcile.SeriesID) bool {
	s := c.cat.Series(id)
	_, travels := c.scopes.rules.Version(s.Name, s.Kind)
	return !travels
}

// choice returns which versions of a region's metrics are answered with, as of now.
func (c *Core) choice(region string) *reconcile.Choice {
	choice := c.scopes.choices[region]
	if choice == nil {
		choice = reconcile.NewChoice(c.cat)
		c.scopes.choices[region] = choice
	}
	var d *reconcile.Derived
	if c.hub != nil {
		d = c.hub.entries.View(region)
	} else {
		d = c.views.Region(region)
	}
	c.check(choice.Settle(d, region == c.cfg.Region, func(id reconcile.SeriesID) (*crdt.Value, error) {
		v, _, ok, err := c.known(id, region)
		if !ok || err != nil {
			return nil, err
		}
		return &v, nil
	}, c.scopes.rules))
	return choice
}

// settleChoices settles which versions the next answers are of.
func (c *Core) settleChoices(regions []string) {
	for _, region := range regions {
		c.choice(region)
	}
}

// undated returns a statement without its time if that does not hold for what is answered. By other rules than this node's
// its author may have kept something for itself that this node would answer for. And a statement about an entry that was let
// go of under rules in between, which needed less of it, says nothing once they are lifted: the rules are the same again, the cells gone.
func (c *Core) undated(rc *wire.RegionCoverage) *wire.RegionCoverage {
	own := rc.Region == c.cfg.Region
	if own && c.hub != nil || mutant.On("complete by other rules") {
		return rc
	}
	o := statedOf(rc)
	if gone := own && c.letGo(rc) || c.isDropped(o); rc.Rules == c.scopes.rules.Sum() && !gone {
		return rc
	}
	short := *rc
	short.CompleteUntilMs = 0
	return &short
}

// undecided reports whether of a region something is held that is not in what is answered.
func (c *Core) undecided(region string) bool { return c.choice(region).Open() }

// renewViews makes views anew that have what no entry has any more.
func (c *Core) renewViews(region string) {
	old := c.hub.entries.View(region)
	if old == nil {
		return
	}
	renewed, err := c.hub.entries.Renew(region)
	c.check(err)
	if renewed {
		c.unlearn(old.Origin)
		c.hub.entries.View(region).Close()
		c.epoch++
	}
}

// forgetVersions lets an edge forget versions of metrics that were given up and that no hub sends any more.
func (c *Core) forgetVersions() {
	for _, region := range c.views.Regions() {
		if choice := c.choice(region); choice.Several() {
			c.pruneViews(region, choice)
		}
	}
}

// forgetTurned lets an edge forget at once what it answered with until it turned to another version, before more of it is
// joined. Hubs drop it, too. With what a hub counts anew after a disaster, before it knows any rules, it would make a
// version that holds more than the other one, that nobody else has, and that nobody brings up to date. Should it be answered
// with again, the hubs drop the other version and send all of it in a view made anew.
func (c *Core) forgetTurned(region string) {
	if choice := c.choice(region); choice.Turned() && !mutant.On("given up as long as it is sent") {
		c.pruneViews(region, choice)
	}
}

func (c *Core) pruneViews(region string, choice *reconcile.Choice) {
	at := func(id reconcile.SeriesID) bool { // of gauges the version changes back with the rules alone, the own region has totals
		return region != c.cfg.Region && c.cat.Series(id).Kind != crdt.KindGauge && choice.Left(id)
	}
	c.check(c.views.Prune(region, choice.Passed, at))
	choice.Forgot()
	c.wantAgain(region)
}

// shortfalls says what an answer for a selection lacks of other regions.
func (c *Core) shortfalls(sel *Select) (out []Shortfall) {
	rules := c.scopes.rules
	sumless := c.sumless(sel)
	for _, region := range c.regions() {
		if region == c.cfg.Region {
			out = append(out, c.aloneShort(sel)...)
			continue
		}
		for _, n := range rules.May(sel.Names, sel.Windows) {
			rule := rules.Rule(n)
			if rule.Scope == reconcile.ScopeNode {
				out = append(out, Shortfall{region, rule.Match, fmt.Sprintf("stays there by rollup rule %d: ask a hub of that region", n)})
				continue
			}
			if rule.Scope != reconcile.ScopeGlobal {
				out = append(out, Shortfall{region, rule.Match, fmt.Sprintf("stays there by rollup rule %d: ask a node of that region", n)})
				continue
			}
			if lacks := named(rule.Drop, sel); len(lacks) > 0 {
				out = append(out, Shortfall{region, rule.Match, fmt.Sprintf("comes without %s by rollup rule %d", strings.Join(lacks, ", "), n)})
			}
			if sel.Windows && rule.Observed != "" {
				out = append(out, Shortfall{region, rule.Match, fmt.Sprintf(
					"stays there over time if it is an observed counter: rollup rule %d lets out what all sources came to", n)})
			}
			if sumless[n] {
				what := "a set, an observed counter or a cumulative histogram"
				if rule.Observed != "" {
					what = "a set or a cumulative histogram"
				}
				out = append(out, Shortfall{region, rule.Match, fmt.Sprintf(
					"stays there if it is %s: they have no sum without labels, which rollup rule %d drops", what, n)})
			}
		}
	}
	return out
}

// sumless returns the numbers of the rules that drop labels of something that is selected and has no sum without them. What is
// asked for by a name that was never heard of here may be such a thing.
func (c *Core) sumless(sel *Select) map[int]bool {
	out := map[int]bool{}
	rules := c.scopes.rules
	if rules == nil {
		return out
	}
	unknown := map[string]bool{}
	for _, name := range sel.Names {
		unknown[name] = true
	}
	for id := range reconcile.SeriesID(c.cat.Len()) {
		s := c.cat.Series(id)
		delete(unknown, s.Name)
		if _, travels := rules.Version(s.Name, s.Kind); travels {
			continue
		}
		_, n := rules.Find(s.Name)
		if !out[n] && (len(sel.Names) == 0 || slices.Contains(sel.Names, s.Name)) && (sel.Match == nil || sel.Match(s)) {
			out[n] = true
		}
	}
	for name := range unknown { // in any order: it is about all of them
		if rule, n := rules.Find(name); len(rule.Drop) > 0 {
			out[n] = true
		}
	}
	return out
}

// named returns the names that a selection depends on.
func named(names []string, sel *Select) (out []string) {
	for _, n := range names {
		if slices.Contains(sel.Labels, n) || slices.Contains(sel.Labels, "*") && !slices.Contains(sel.Except, n) {
			out = append(out, n)
		}
	}
	return out
}

// ruleText says which rule a metric has and in which version it is answered, for people.
func (c *Core) ruleText(id reconcile.SeriesID, region string) string {
	s := c.cat.Series(id)
	rule, n := c.scopes.rules.Find(s.Name)
	var parts []string
	if n > 0 {
		text := fmt.Sprintf("rollup rule %d (%s) of configuration %d: %s", n, rule.Match, c.config.have.ID.Version, rule.Scope)
		if len(rule.Drop) > 0 {
			text += ", without " + strings.Join(rule.Drop, ", ")
		}
		if rule.Observed != "" {
			text += ", observed counters as one sum over sources"
		}
		parts = append(parts, text)
	}
	if lacks := reconcile.Lacks(s); len(lacks) > 0 {
		parts = append(parts, "sums without "+strings.Join(lacks, ", "))
	}
	if c.scopes.choices[region].Together(id) != nil {
		parts = append(parts, "the greatest of what versions of several rules hold")
	} else if c.scopes.choices[region].Open() {
		parts = append(parts, "versions of another rule hold more of something")
	}
	if len(parts) == 0 {
		return ""
	}
	return "; " + strings.Join(parts, "; ")
}
