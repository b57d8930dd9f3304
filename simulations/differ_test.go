package simulations

import (
	"testing"

	"meshd/crdt"
	"meshd/internal/wire"
	"meshd/node"
)

// TestWhatMayDiffer holds the judge to what disasters excuse (I1), and to the cases beside those.
func TestWhatMayDiffer(t *testing.T) {
	// Region 0 is asked for, by a hub of it, a hub outside and one more machine.
	for name, c := range map[string]struct {
		region, born    int64 // of the machine that is judged
		edge, destroyed bool
		rollups         bool
		dropped         string // who has an order to drop the series: the machine that is judged, or a hub, too
		elsewhere       bool   // it answers what was counted before in the other region
		since           uint64 // of what hubs answer, counted under the order's generation
		in, out, got    uint64
		violation       bool
	}{
		"the same":                                          {region: 1, edge: true, in: 5, out: 5, got: 5},
		"an edge outlived its hub's disk":                   {region: 1, born: 9, edge: true, destroyed: true, in: 5, out: 5, got: 7},
		"an edge of the region did":                         {region: 0, born: 9, edge: true, destroyed: true, in: 5, out: 5, got: 7},
		"nothing was destroyed":                             {region: 1, born: 9, edge: true, in: 5, out: 5, got: 7, violation: true},
		"an edge began later":                               {region: 1, born: 11, edge: true, destroyed: true, in: 5, out: 5, got: 7, violation: true},
		"an edge has less":                                  {region: 1, born: 9, edge: true, destroyed: true, in: 5, out: 5, got: 4, violation: true},
		"a hub has more":                                    {region: 1, born: 9, destroyed: true, in: 5, out: 5, got: 7, violation: true},
		"sums are left outside":                             {region: 1, destroyed: true, rollups: true, in: 5, out: 7, got: 7},
		"sums are left outside, an edge inside has none":    {region: 0, born: 11, edge: true, destroyed: true, rollups: true, in: 5, out: 7, got: 5},
		"sums are left outside, another hub lacks them":     {region: 1, destroyed: true, rollups: true, in: 5, out: 7, got: 5, violation: true},
		"sums are left outside, an edge lacks them":         {region: 1, born: 9, edge: true, destroyed: true, rollups: true, in: 5, out: 7, got: 5, violation: true},
		"an edge inside answers what is left in sums alone": {region: 0, born: 11, edge: true, destroyed: true, rollups: true, in: 5, out: 7, got: 7, violation: true},
		"an edge alone has an order that hubs lost":         {region: 0, born: 11, edge: true, dropped: "edge", in: 5, out: 5},
		"an edge of another region has":                     {region: 1, born: 11, edge: true, dropped: "edge", in: 5, out: 5},
		"it answers what is counted since":                  {region: 0, born: 11, edge: true, dropped: "edge", in: 5, out: 5, since: 2, got: 2},
		"it answers what was counted before":                {region: 0, born: 11, edge: true, dropped: "edge", in: 5, out: 5, got: 1, violation: true},
		"it answers of another region what was before":      {region: 0, born: 11, edge: true, dropped: "edge", in: 5, out: 5, elsewhere: true, violation: true},
		"it answers as if nothing was dropped":              {region: 0, born: 11, edge: true, dropped: "edge", in: 5, out: 5, got: 5, violation: true},
		"it lacks what is counted since":                    {region: 0, born: 11, edge: true, dropped: "edge", in: 5, out: 5, since: 2, got: 1, violation: true},
		"it has more than is counted since":                 {region: 0, born: 11, edge: true, dropped: "edge", in: 5, out: 5, since: 2, got: 3, violation: true},
		"a hub alone has such an order":                     {region: 0, born: 11, dropped: "edge", in: 5, out: 5, violation: true},
		"a hub has it, too":                                 {region: 0, born: 11, edge: true, dropped: "both", in: 5, out: 5, since: 2, got: 2, violation: true},
		"less is left outside":                              {region: 1, destroyed: true, rollups: true, in: 7, out: 5, got: 5, violation: true},
		"sums are left, and nothing was destroyed":          {region: 1, rollups: true, in: 5, out: 7, got: 7, violation: true},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(DrawSmall(14))
			w.plan.Load.Rollups = c.rollups
			w.regions, w.truth.series = w.regions[:2], w.truth.series[:1]
			w.truth.series[0].Kind = crdt.KindCounter
			w.destroyed[0], w.hubsLost = c.destroyed, []int64{10, 10}
			says := func(region, born int64, role node.Role, n uint64) told { return says(t, int(region), born, role, n) }
			in, out := says(0, 0, node.RoleHub, c.in), says(1, 0, node.RoleHub, c.out)
			role := node.RoleHub
			if c.edge {
				role = node.RoleEdge
			}
			inside := []told{in, out}
			if !c.rollups {
				inside = nil
			}
			judged := says(c.region, c.born, role, c.got)
			if c.dropped != "" {
				order, err := wire.AppendMessage(nil, &wire.Drops{Drops: []wire.Drop{{Metric: w.truth.series[0].Name, Gen: 1}}})
				if err != nil {
					t.Fatal(err)
				}
				w.truth.drops[0].ordered = true
				judged.m.disk.kv["d/"] = order
				if c.dropped == "both" {
					w.hubs[0].disk.kv["d/"] = order
				}
				w.regions[0] = "r" // of the machines' cores
				if !c.elsewhere {
					judged.values[1][0] = nil
				}
				countSince(t, in.m.proc.core, w.truth.series[0], c.since)
			}
			err := w.sidesDiffer(in, inside)
			for _, y := range []told{in, out, judged} {
				if err == nil {
					err = w.differ(in, y, inside)
				}
			}
			if (err != nil) != c.violation {
				t.Errorf("%v, want a violation: %t", err, c.violation)
			}
		})
	}
}

// says returns a machine and its answers: n of the only series in region 0, and 1 in region 1.
func says(t *testing.T, region int, born int64, role node.Role, n uint64) told {
	t.Helper()
	core, err := node.NewCore(node.CoreConfig{Region: "r", Node: "n", Role: role, Inc: crdt.Incarnation{1}})
	if err != nil {
		t.Fatal(err)
	}
	m := &machine{region: region, disk: newDisk(), proc: &process{core: core, born: born}}
	m.spec.Role = role
	same := crdt.Value{Kind: crdt.KindCounter, P: crdt.FixedFromUint(1)}
	return told{m, &answers{values: [][]*crdt.Value{{{Kind: crdt.KindCounter, P: crdt.FixedFromUint(n)}}, {&same}}}}
}

// countSince lets a core count under a generation that an order raised.
func countSince(t *testing.T, c *node.Core, s *crdt.Series, n uint64) {
	t.Helper()
	var out node.Output
	step := func(e node.Event) {
		c.Step(node.Time{Mono: 1_700_000_000_000, Wall: 1_700_000_000_000}, e, &out)
		for out.Persist != nil {
			c.Step(node.Time{Mono: 1_700_000_000_000, Wall: 1_700_000_000_000}, node.Persisted{Token: out.Persist.Token}, &out)
		}
	}
	step(node.DropSeries{ID: 1, Metric: s.Name})
	step(node.Submit{ID: 2, Batch: &node.Batch{Items: []node.Item{{Series: s, Inc: crdt.Value{Kind: s.Kind, P: crdt.FixedFromUint(n)}}}}})
}
