package simulations

import (
	"testing"
	"time"

	"meshd/crdt"
	"meshd/node"
)

// TestWhoMayHaveMoreFromBefore holds the judge to the one case that ADR 14 leaves, and to the cases beside it: each differs from
// an excused one in a single thing.
func TestWhoMayHaveMoreFromBefore(t *testing.T) {
	type scene struct {
		region            int   // of the machine that is judged
		since             int64 // when an edge began, or a hub's disk was lost; the hubs of region 0 lost theirs at 10
		edge, kept, alike bool  // kept: a hub of region 0 did not; alike: no rule was ever about the series
		dated, hubDated   bool  // what the machine, or the hub that it is compared with, says of region 0
		unruled           bool  // a plan without rollup rules
		got               uint64
		violation         bool
	}
	for name, c := range map[string]scene{
		"an edge was there before":             {region: 1, since: 9, edge: true, got: 7},
		"a hub's disk is from before":          {region: 1, got: 7},
		"a hub's disk is new, and from before": {region: 1, since: 9, got: 7},
		"it holds all that was written":        {region: 1, got: 10},
		"an edge began later":                  {region: 1, since: 11, edge: true, got: 7, violation: true},
		"a hub's disk is from after":           {region: 1, since: 11, got: 7, violation: true},
		"it is of the region itself":           {region: 0, since: 9, got: 7, violation: true},
		"an edge of the region itself":         {region: 0, since: 11, edge: true, got: 7, violation: true},
		"one hub of the region kept its disk":  {region: 1, kept: true, got: 7, violation: true},
		"rules are about others":               {region: 1, alike: true, got: 7, violation: true},
		"there are no rules":                   {region: 1, unruled: true, got: 7, violation: true},
		"it says until when it is complete":    {region: 1, dated: true, got: 7, violation: true},
		"the hub says until when it is":        {region: 1, hubDated: true, got: 7, violation: true},
		"a hub has less":                       {region: 1, got: 4, violation: true},
		"an edge has less":                     {region: 1, since: 9, edge: true, got: 4, violation: true},
		"more than was written":                {region: 1, got: 11, violation: true},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(DrawSmall(14))
			w.plan.Load.Rollups = !c.unruled
			w.regions, w.truth.series = w.regions[:2], w.truth.series[:1]
			w.truth.series[0].Kind = crdt.KindCounter
			w.truth.regions[0].sums[0].P = crdt.FixedFromUint(10)
			w.destroyed[0], w.hubsLost = true, []int64{10, 0}
			match := "*"
			if c.alike {
				match = "of another name"
			}
			w.settings.docs[`{"rollup":[{"match":"`+match+`","drop":["at"]}]}`] = true

			role := node.RoleHub
			if c.edge {
				role = node.RoleEdge
			}
			in, out, y := says(t, 0, 0, node.RoleHub, 5), says(t, 1, 0, node.RoleHub, 5), says(t, c.region, c.since, role, c.got)
			in.m.diskLost = 10
			if w.byRegion[0] = []*machine{in.m}; c.kept {
				w.byRegion[0] = append(w.byRegion[0], says(t, 0, 0, node.RoleHub, 5).m)
			}
			if !c.edge {
				y.m.diskLost = c.since
			}
			for at, dated := range map[told]bool{in: c.hubDated, out: c.hubDated, y: c.dated} {
				at.coverage = []node.Coverage{{Region: w.regions[0]}}
				if dated {
					at.coverage[0].CompleteUntil = time.UnixMilli(1)
				}
			}
			if err := w.differ(in, y, []told{in, out}); (err != nil) != c.violation {
				t.Errorf("%v, want a violation: %t", err, c.violation)
			}
		})
	}
}
