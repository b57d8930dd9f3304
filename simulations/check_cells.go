package simulations

import (
	"meshd/crdt"
	"meshd/reconcile"
)

// checkCells compares every copy that a hub holds with what its writer wrote (I6).
func (w *World) checkCells(m *machine) {
	c := m.proc.core
	for _, r := range c.Replicas() {
		o := r.Origin
		var upper *ledger
		if o.Class == crdt.ClassNode {
			by := w.truth.origins[o.Inc]
			if by == nil || by.m.spec.Name != o.Node || by.m.spec.Region != o.Region {
				w.fail("I12", "%s holds cells of %s, which never ran", m.spec.Name, o)
				return
			}
			upper = by.asked
		} else {
			for i, name := range w.regions {
				if name == o.Region {
					upper = w.truth.regions[i]
				}
			}
		}
		r.Each(func(id reconcile.SeriesID, v *crdt.Value, _ uint64) {
			at, ok := w.truth.index[c.Series(id).Name]
			sums, known := amountsOf(v)
			if !ok || !known || !sums.within(&upper.sums[at]) {
				w.fail("I6", "%s holds more of %s than %s wrote: +%s -%s %v", m.spec.Name, c.Series(id), o, sums.P, sums.N, sums.B)
				return
			}
			if u, is := v.X.(*crdt.Unique); is && !registersWithin(u, upper.uniques[at]) {
				w.fail("I6", "%s holds registers of %s that %s never set", m.spec.Name, c.Series(id), o)
			}
		})
	}
	counts := c.Counts
	if counts.Checkpoints > 0 {
		w.saw(sawCheckpoint)
	}
	if counts.EntriesDropped > 0 {
		w.saw(sawDeadEntryDropped)
	}
	if counts.Resyncs > 0 {
		w.saw(sawResync)
	}
	if len(c.Cold()) > 0 {
		w.saw(sawCold)
	}
	w.checkForgotten(m)
	if counts.Quarantined > 0 {
		w.fail("I9", "%s quarantined an origin although every frame is honest", m.spec.Name)
	}
}

// checkRecovery compares what a process found on its disk with the oracle's own reading of it.
func (w *World) checkRecovery(m *machine) {
	disk := held{}
	w.truth.gather(disk, m.disk)
	c := m.proc.core
	for _, r := range c.Replicas() {
		if r.Origin.Class != crdt.ClassNode {
			continue
		}
		have := make([]amounts, len(w.truth.series))
		r.Each(func(id reconcile.SeriesID, v *crdt.Value, _ uint64) {
			if at, ok := w.truth.index[c.Series(id).Name]; ok {
				have[at], _ = amountsOf(v)
			}
		})
		whole := r.Progress[crdt.StreamLifetime].Covered >= m.disk.heads[r.Origin]
		for i, want := range disk[r.Origin.Inc] {
			// A cell that came over a gap, before its definition, is on disk and nobody's: it comes again.
			if have[i] != want && !w.truth.drops[i].ordered && (whole || !have[i].within(&want)) {
				w.fail("I2", "%s recovers %s of %s as +%s -%s %v, its disk says +%s -%s %v", m.spec.Name, w.truth.series[i], r.Origin,
					have[i].P, have[i].N, have[i].B, want.P, want.N, want.B)
				return
			}
		}
	}
}
