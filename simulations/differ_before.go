package simulations

import (
	"slices"
	"strings"

	"meshd/crdt"
	"meshd/node"
)

// fromBefore reports whether a machine of another region answers more than a hub does, and both say that they do not know until
// when it is complete, because it has cells from before a disaster, under rules that changed: the rest case of ADR 14. All disks
// of the region's hubs were lost, so nobody can make again what others let go of when they turned to another version, and who has
// it cannot say so to anybody who answers with what is counted since. It may not answer less than it did (I4), nor more
// than was written (I3).
func (w *World) fromBefore(of, y told, region, i int) bool {
	if !w.plan.Load.Rollups || y.m.region == region || !w.hubsGone(region) || !w.versionsChanged(i) {
		return false
	}
	since := y.m.diskLost // of what a machine holds of other regions: an edge has it in memory
	if y.m.spec.Role == node.RoleEdge {
		since = y.m.proc.born
	}
	return since <= w.hubsLost[region] && w.undated(of, region) && w.undated(y, region) &&
		contains(y.values[region][i], of.values[region][i]) && w.wasWritten(y, region, i)
}

// hubsGone reports whether each hub of a region lost its disk.
func (w *World) hubsGone(region int) bool {
	return w.destroyed[region] && !slices.ContainsFunc(w.byRegion[region], func(m *machine) bool {
		return m.spec.Role == node.RoleHub && !m.dormant && m.diskLost == 0
	})
}

// versionsChanged reports whether configurations that operators asked for let a series travel without different labels.
func (w *World) versionsChanged(i int) bool {
	versions := map[string]bool{"": true} // before the first one
	for doc := range w.settings.docs {    // in any order: they are counted
		version := ""
		if r := w.rules([]byte(doc))[i]; r != nil {
			version = strings.Join(r.Drop, ",")
		}
		versions[version] = true
	}
	return len(versions) > 1
}

// undated reports whether a machine says that it does not know until when a region is complete.
func (w *World) undated(t told, region int) bool {
	return slices.ContainsFunc(t.coverage, func(c node.Coverage) bool {
		return c.Region == w.regions[region] && c.CompleteUntil.IsZero()
	})
}

// wasWritten reports whether an answer holds no more than was ever asked for.
func (w *World) wasWritten(t told, region, i int) bool {
	v, most := t.values[region][i], w.truth.regions[region]
	if v == nil {
		return true
	}
	if u, ok := v.X.(*crdt.Unique); ok {
		return registersWithin(u, most.uniques[i])
	}
	a, _ := amountsOf(v)
	return a.within(&most.sums[i])
}
