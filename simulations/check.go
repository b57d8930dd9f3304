package simulations

import (
	"slices"
	"time"

	"meshd/crdt"
	"meshd/node"
)

// planReads plans the reads of the near future: when, of which machine, and whether its cells are looked at, too.
func (w *World) planReads(now int64) {
	r := w.rng.read
	for w.readAt <= now+500+2000*w.plan.Load.Reads+w.plan.Net.far() {
		m := w.machines[r.IntN(len(w.machines))]
		w.push(event{at: w.readAt, kind: evRead, m: m, arg: r.Uint64N(4)})
		w.readAt += 500 + r.Int64N(2000*w.plan.Load.Reads)
	}
}

// readOne reads the totals of one machine and checks them.
func (w *World) readOne(ev *event) {
	w.planReads(w.now)
	m, j := ev.m, w.finish(ev)
	if j == nil {
		return // it is down
	}
	a := w.take(j)
	if a == nil {
		return
	}
	ok := w.check(m, a)
	w.spent(a)
	if !ok {
		return
	}
	if ev.arg != 0 {
		return
	}
	w.checkConfig(m)
	if m.spec.Role == node.RoleHub {
		w.checkCells(m)
		if w.rng.past.IntN(4) == 0 {
			w.checkPast(m)
		}
	}
}

// check compares the answers of a machine with what was written (I3), with its own earlier answers (I4), with what it
// accepted itself (I5) and with what it says of completeness (I13). It reports whether all is well. The sums in a are
// the answer before afterwards.
func (w *World) check(m *machine, a *answers) bool {
	w.stats.Reads++
	var first amounts
	before := m.proc.last
	for region := range w.regions {
		upper := w.truth.regions[region]
		for i := range w.truth.series {
			got, last := &a.sums[region][i], &first
			if before != nil {
				last = &before[region][i]
			}
			w.bytes = got.P.AppendBinary(append(w.bytes[:0], byte(region), byte(i)))
			w.hash(w.bytes)
			switch {
			case !got.within(&upper.sums[i]):
				w.failSum("I3", m, region, i, "more than was written", got, &upper.sums[i])
			case w.truth.drops[i].ordered:
			case w.checkStays(m, a, region, i):
			case !last.within(got):
				w.failSum("I4", m, region, i, "less than it answered before", got, last)
			case region == m.region && !m.acked[i].within(got):
				w.failSum("I5", m, region, i, "less than it accepted itself", got, &m.acked[i])
			case region == m.region && !w.checkFresh(m, i, got):
			default:
				w.checkState(m, region, i, a.values[region][i])
			}
			if w.done && len(w.report.Violations) > 0 {
				return false
			}
		}
	}
	for i := range a.coverage {
		w.checkCoverage(m, a, &a.coverage[i])
	}
	m.proc.last, a.sums = a.sums, m.proc.last
	return len(w.report.Violations) == 0
}

func (w *World) failSum(rule string, m *machine, region, series int, how string, got, want *amounts) {
	w.dump(series)
	w.fail(rule, "%s (%s) answers %s for %s of %s: +%s -%s %v against +%s -%s %v", m.spec.Name, m.proc.by.inc.Short(), how,
		w.truth.series[series], w.regions[region], got.P, got.N, got.B, want.P, want.N, want.B)
}

// checkState checks the kinds that are joined and not added: registers and gauges.
func (w *World) checkState(m *machine, region, i int, v *crdt.Value) {
	upper := w.truth.regions[region]
	switch w.truth.series[i].Kind {
	case crdt.KindUnique:
		key := [2]int{region, i}
		last := m.proc.uniques[key]
		if v == nil {
			if last != nil {
				w.fail("I4", "%s forgets %s of %s", m.spec.Name, w.truth.series[i], w.regions[region])
			}
			return
		}
		got := v.X.(*crdt.Unique)
		if !registersWithin(got, upper.uniques[i]) {
			w.fail("I3", "%s has registers of %s of %s that nobody set", m.spec.Name, w.truth.series[i], w.regions[region])
		}
		if last != nil && !registersWithin(last, got) {
			w.fail("I4", "%s forgets registers of %s of %s", m.spec.Name, w.truth.series[i], w.regions[region])
		}
		m.proc.uniques[key] = got
	case crdt.KindGauge:
		if v == nil {
			return
		}
		if g, ok := v.X.(*crdt.Rollup); ok {
			w.checkGauge(m, region, i, g)
		}
	default: // sums, which check judges
	}
}

// registersWithin reports whether no register of a is above b's.
func registersWithin(a, b *crdt.Unique) bool {
	if b == nil {
		b = new(crdt.Unique)
	}
	return b.Covers(a)
}

// checkCoverage holds a machine to its word that a region is complete up to a time: what nodes that it heard accepted
// before then has to be in the answer.
func (w *World) checkCoverage(m *machine, a *answers, c *node.Coverage) {
	region := slices.Index(w.regions, c.Region)
	if region < 0 {
		w.fail("I13", "%s covers region %q, which is not there", m.spec.Name, c.Region)
		return
	}
	if c.NodesHeard > c.NodesExpected || c.NodesExpected-c.NodesHeard > len(c.Missing) && len(c.Missing) < 20 && c.NodesHeard > 1 {
		if m.spec.Role == node.RoleEdge && c.NodesHeard <= 1 {
			return
		}
	}
	if c.NodesHeard < c.NodesExpected {
		w.saw(sawIncomplete)
	}
	if c.CompleteUntil.IsZero() || c.NodesHeard == 0 || c.NodesExpected-c.NodesHeard != len(c.Missing) {
		return
	}
	until := w.now - c.Age.Microseconds()
	until -= w.slack(m, region, until)
	if until <= 0 || c.Age > time.Hour {
		return
	}
	r := w.roll(region)
	if c.NodesExpected != len(r.names) { // somebody was never heard of: nothing is said of it
		return
	}
	var without func(*machine) bool
	if r.lost || len(c.Missing) > 0 {
		without = func(o *machine) bool {
			return o.lost || r.names[o.spec.Name] || slices.Contains(c.Missing, o.spec.Name)
		}
	}
	want := w.acceptedBy(region, until, without)
	w.saw(sawComplete)
	for i := range want {
		if w.truth.drops[i].ordered || w.stays(m, region, i) {
			continue
		}
		got := &a.sums[region][i]
		var b uint64
		for _, n := range got.B {
			b += n
		}
		if got.P.Less(want[i].p) || got.N.Less(want[i].n) || b < want[i].b {
			w.dump(i)
			w.fail("I13", "%s says %s is complete up to %d ms ago, which may be %d ms early (%d of %d heard, without %v), but %s has +%s -%s %d of +%s -%s %d accepted by then",
				m.spec.Name, c.Region, c.Age.Milliseconds(), w.slack(m, region, until)/1000, c.NodesHeard, c.NodesExpected, c.Missing, w.truth.series[i],
				got.P, got.N, b, want[i].p, want[i].n, want[i].b)
			return
		}
	}
}

// roll is who a region has: the nodes that ever ran, and whether writes of each may be lost.
type roll struct {
	names map[string]bool
	lost  bool // of any machine
}

// roll returns that of a region. It is made anew after a start or a disaster.
func (w *World) roll(region int) *roll {
	r := w.rolls[region]
	if r != nil {
		return r
	}
	r = &roll{names: map[string]bool{}}
	for _, m := range w.byRegion[region] {
		r.lost = r.lost || m.lost
		if m.gen > 0 {
			r.names[m.spec.Name] = r.names[m.spec.Name] || m.lost
		}
	}
	w.rolls[region] = r
	return r
}
