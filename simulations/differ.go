package simulations

import (
	"bytes"
	"fmt"

	"meshd/crdt"
	"meshd/node"
)

// told is what a machine answered.
type told struct {
	m *machine
	*answers
}

// differ compares the answers of a machine byte by byte with those of a hub (I1), but for gauges, which present compares with
// what was set. x is a hub that answers, inside has one of each region if rollup rules are in play.
func (w *World) differ(x, y told, inside []told) error {
	for region := range w.regions {
		for i, s := range w.truth.series {
			if s.Kind == crdt.KindGauge || w.stays(y.m, region, i) {
				continue
			}
			of := w.reference(x, inside, y.m, region, i)
			if w.dropsAlone(y.m, i) {
				if !w.answersSince(of.m, y, region, i) {
					return w.differing(of, y, region, i)
				}
				continue
			}
			if bytes.Equal(of.canonical(region, i), canonical(y.values[region][i])) || w.outlived(of, y, region, i) || w.fromBefore(of, y, region, i) {
				continue
			}
			return w.differing(of, y, region, i)
		}
	}
	return nil
}

func (w *World) differing(x, y told, region, i int) error {
	w.suspect = i
	return &Violation{Rule: "I1", What: fmt.Sprintf("%s and %s differ on %s of %s: %+v and %+v", x.m.spec.Name, y.m.spec.Name, w.truth.series[i],
		w.regions[region], describe(x.values[region][i]), describe(y.values[region][i]))}
}

// reference returns the hub that a machine has to answer like. Under rollup rules that is one on its own side: see sidesDiffer.
func (w *World) reference(x told, inside []told, y *machine, region, i int) told {
	switch {
	case !w.plan.Load.Rollups:
		return x
	case y.region == region:
		return inside[region]
	case x.m.region != region && !w.stays(x.m, region, i):
		return x
	}
	for _, of := range inside {
		if of.m.region != region && !w.stays(of.m, region, i) {
			return of
		}
	}
	return inside[region]
}

// outlived reports whether an edge answers more than hubs can: it had it from a hub of its region whose disk was destroyed, and
// all other disks that held it are gone, too. An edge writes its own cells only (I12), so it can tell nobody, and it may not
// answer less than it did (I4). In its own region it also goes on to add its own cells to the totals of that hub.
func (w *World) outlived(of, y told, region, i int) bool {
	return w.destroyed[region] && y.m.spec.Role == node.RoleEdge && w.hubsLost[y.m.region] >= y.m.proc.born &&
		contains(y.values[region][i], of.values[region][i])
}

// sidesDiffer compares what hubs inside a region answer with what those outside do. Outside they may have more where rules drop
// labels and disks were destroyed: counts that are left in sums alone, which cannot be placed where all labels are.
func (w *World) sidesDiffer(x told, inside []told) error {
	if !w.plan.Load.Rollups {
		return nil
	}
	for region := range w.regions {
		outside := w.machines[0]
		for _, of := range inside {
			if of.m.region != region {
				outside = of.m
			}
		}
		for i, s := range w.truth.series {
			in, out := inside[region], w.reference(x, inside, outside, region, i)
			if s.Kind == crdt.KindGauge || bytes.Equal(in.canonical(region, i), out.canonical(region, i)) {
				continue
			}
			if !w.destroyed[region] || !contains(out.values[region][i], in.values[region][i]) {
				return w.differing(in, out, region, i)
			}
		}
	}
	return nil
}

// contains reports whether an answer has all that another has.
func contains(more, less *crdt.Value) bool {
	switch {
	case less == nil:
		return true
	case more == nil:
		return false
	}
	if u, ok := less.X.(*crdt.Unique); ok {
		return registersWithin(u, more.X.(*crdt.Unique))
	}
	a, _ := amountsOf(less)
	b, _ := amountsOf(more)
	return a.within(&b)
}
