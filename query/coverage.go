package query

import (
	"fmt"
	"strings"
	"time"

	"meshd/node"
)

// newCoverage renders what the node knows of the regions that a request is about.
func newCoverage(from []node.Coverage, withheld string, sel *selection) Coverage {
	out := Coverage{Regions: []RegionCoverage{}, Complete: withheld == "", Withheld: withheld}
	for _, c := range from {
		if !all(sel.region, c.Region) {
			continue
		}
		r := RegionCoverage{
			Region:        c.Region,
			NodesExpected: c.NodesExpected,
			NodesHeard:    c.NodesHeard,
			CompleteUntil: Time{c.CompleteUntil},
			AgeMs:         c.Age.Milliseconds(),
			Missing:       append([]string{}, c.Missing...),
			OldestMissing: Time{c.OldestMissing},
			Lost:          c.Lost,
			ClocksOff:     c.ClocksOff,
			Clocks:        make([]ClockOffset, 0, len(c.Clocks)),
		}
		for _, o := range c.Clocks {
			r.Clocks = append(r.Clocks, ClockOffset{Node: o.Node, OffsetMs: milliseconds(o.Offset)})
		}
		out.Complete = out.Complete && r.complete()
		out.Regions = append(out.Regions, r)
	}
	// A node knows its own region at least: an answer about no region is an answer about nothing that was heard.
	out.Complete = out.Complete && len(out.Regions) > 0
	return out
}

// complete reports whether every expected node is heard and nothing that is known to exist is missing. Samples lost at
// the door do not make a region incomplete: they can never be waited for, and Lost counts them.
func (r *RegionCoverage) complete() bool {
	return r.NodesHeard >= r.NodesExpected && len(r.Missing) == 0 && r.OldestMissing.IsZero() && !r.CompleteUntil.IsZero() && len(r.Lacks) == 0
}

// lack enters what rows of other regions lack by rollup rules: an answer without that is not complete.
func (c *Coverage) lack(shortfalls []node.Shortfall) {
	for i := range c.Regions {
		r := &c.Regions[i]
		for _, s := range shortfalls {
			if s.Region == r.Region {
				r.Lacks = append(r.Lacks, s.Metric+" "+s.Why)
				c.Complete = false
			}
		}
	}
}

// nodes returns how many of how many nodes are heard. A region that nothing is known of has at least one.
func (c *Coverage) nodes() (heard, expected int) {
	for i := range c.Regions {
		heard += c.Regions[i].NodesHeard
		expected += max(c.Regions[i].NodesExpected, 1)
	}
	return heard, expected
}

// age returns the age of the oldest region, and false if a region's is unknown.
func (c *Coverage) age() (oldest time.Duration, known bool) {
	for i := range c.Regions {
		if c.Regions[i].CompleteUntil.IsZero() {
			return 0, false
		}
		oldest = max(oldest, time.Duration(c.Regions[i].AgeMs)*time.Millisecond)
	}
	return oldest, len(c.Regions) > 0
}

// shortOf tells in what the coverage falls short of the demand; "" if in nothing.
func (c *Coverage) shortOf(d demand) string {
	if c.Withheld != "" && d != (demand{}) {
		return c.Withheld + ": ask a hub, or another node"
	}
	for i := range c.Regions {
		if r := &c.Regions[i]; len(r.Lacks) > 0 && d != (demand{}) {
			return fmt.Sprintf("of region %s %s", r.Region, strings.Join(r.Lacks, ", "))
		}
	}
	heard, expected := c.nodes()
	if float64(heard) < d.share*float64(max(expected, 1)) {
		return fmt.Sprintf("%d of %d nodes are heard, less than require=%g: ask again later, or for less", heard, expected, d.share)
	}
	if d.maxAge == 0 {
		return ""
	}
	age, known := c.age()
	switch {
	case !known:
		return fmt.Sprintf("a region's age is unknown, and max_age=%s was asked for: ask again later, or without max_age", d.maxAge)
	case age > d.maxAge:
		return fmt.Sprintf("the oldest region is %s old, more than max_age=%s: ask again later, or for less", age, d.maxAge)
	}
	return ""
}
