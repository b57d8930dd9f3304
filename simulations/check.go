package simulations

import (
	"errors"
	"fmt"
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

// answers are the values that a machine gives, by region and series. A series that it does not know has none.
type answers struct {
	sums     [][]amounts
	values   [][]*crdt.Value
	coverage []node.Coverage
	short    []string // regions of which something is missing by a rule, as the node says
	bytes    [][]byte // of values, as far as they were asked for
	whole    bool     // distributions are wanted with their buckets; otherwise sums say all that is looked at
	cells    []crdt.Value
}

// errWrong ends a read in which something is wrong.
var errWrong = errors.New("wrong")

// canonical returns the canonical bytes of a value, which are made once.
func (a *answers) canonical(region, series int) []byte {
	n := len(a.values[region])
	if a.bytes == nil {
		a.bytes = make([][]byte, len(a.values)*n)
	}
	b := &a.bytes[region*n+series]
	if *b == nil {
		*b = canonical(a.values[region][series])
	}
	return *b
}

// ask reads the totals of a machine, whole.
func (w *World) ask(m *machine) *answers {
	j := w.jobOf(m, evRead, nil, w.now)
	j.answers.whole = true
	j.execute()
	return w.take(j)
}

// take returns the answers of a read, nil if they break a promise by themselves.
func (w *World) take(j *job) *answers {
	defer w.free(j)
	switch {
	case j.broke != "":
		w.fail("panic", "%s: %s", j.m.spec.Name, j.broke)
		return nil
	case j.wrong != nil:
		w.fail(j.wrong.Rule, "%s %s", j.m.spec.Name, j.wrong.What)
		return nil
	}
	return j.answers
}

// blank returns answers to be filled, which may hold old ones.
func (w *World) blank() *answers {
	a := &w.ahead
	if n := len(a.spare); n > 0 {
		var out *answers
		out, a.spare = a.spare[n-1], a.spare[:n-1]
		out.whole = false
		return out
	}
	return &answers{}
}

// spent gives answers back that nobody looks at any more.
func (w *World) spent(a *answers) { w.ahead.spare = append(w.ahead.spare, a) }

// reset empties answers, for so many regions and series.
func (a *answers) reset(regions, series int) {
	if a.sums == nil {
		a.sums = make([][]amounts, regions)
		for i := range a.sums {
			a.sums[i] = make([]amounts, series)
		}
	}
	if a.values == nil {
		a.values = make([][]*crdt.Value, regions)
		for i := range a.values {
			a.values[i] = make([]*crdt.Value, series)
		}
		a.cells = make([]crdt.Value, regions*series)
	}
	for i := range regions {
		clear(a.sums[i])
		clear(a.values[i])
	}
}

// answersOf reads the totals of a core. A row is the core's: of its value is kept what somebody looks at later.
func (w *World) answersOf(a *answers, c *node.Core, at node.Time) *Violation {
	var wrong *Violation
	walk, err := c.Walk(at, node.Select{Each: func(row *node.Row) error {
		if wrong = w.takeRow(a, row); wrong != nil {
			return errWrong
		}
		return nil
	}})
	if err == nil {
		t := walk.Totals
		a.reset(len(w.regions), len(w.truth.series))
		a.coverage, a.short, a.bytes = t.Coverage, a.short[:0], nil
		for _, s := range t.Shortfalls {
			a.short = append(a.short, s.Region)
		}
		for done := false; !done && err == nil; {
			done, err = walk.Next(c)
		}
	}
	switch {
	case wrong != nil:
		return wrong
	case err != nil:
		return &Violation{Rule: "I13", What: fmt.Sprintf("does not answer: %v", err)}
	}
	return nil
}

// takeRow adds a row to answers.
func (w *World) takeRow(a *answers, row *node.Row) *Violation {
	at, ok := w.truth.index[row.Series.Name]
	region := slices.Index(w.regions, row.Region)
	if !ok || region < 0 {
		return &Violation{Rule: "I3", What: fmt.Sprintf("answers for %s in region %q: nobody ever wrote it", row.Series, row.Region)}
	}
	sums, known := amountsOf(&row.Value)
	if !known {
		return &Violation{Rule: "I3", What: fmt.Sprintf("counts samples of %s that nobody observed", row.Series)}
	}
	v := a.values[region][at]
	if v == nil {
		a.sums[region][at] = sums
	} else {
		a.sums[region][at].add(&sums) // two generations, at a node that has not heard of a drop
	}
	switch {
	case row.Value.Kind == crdt.KindDistribution && !a.whole:
		row.Value.X = nil
		fallthrough
	case v == nil:
		v = &a.cells[region*len(w.truth.series)+at]
		*v = row.Value.Clone()
		a.values[region][at] = v
	default:
		if err := v.Combine(&row.Value); err != nil {
			return &Violation{Rule: "I3", What: fmt.Sprintf("answers for %s what does not add up: %v", row.Series, err)}
		}
	}
	return nil
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
