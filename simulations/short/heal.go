package short

import (
	"fmt"

	"meshd/crdt"
)

// healWithin bounds the time from heal to convergence in milliseconds: new sessions relay nothing in the first comparison,
// what a hub lacks is relayed when it was lacked at the comparison before, a cold origin is loaded first, what that
// changes in the totals travels on at once, and all of it once more for what relaying let a hub know of.
const healWithin = 10 * compareEvery

// roundsWithin bounds it for what hubs have to agree on before they do it: what is over goes cold, is frozen, stated and
// forgotten in some comparisons, and a record may travel between two rounds.
const roundsWithin = 3 * healWithin

// heal ends all faults: every machine is up, every session that is wanted stands, every write and every message takes
// effect. Then the mesh has to converge.
func (w *World) heal() {
	w.logf("everything heals")
	for _, m := range w.machines {
		w.start(m)
	}
	for _, c := range w.conns {
		for i := range c.ends {
			if e := &c.ends[i]; !e.down && (c.dead || !w.s.Plan.KeepLinks) {
				w.kill(c)
				w.notice(e)
			}
		}
	}
	w.sweep()
	if w.s.Plan.KeepLinks { // what a full disk refused comes again
		w.now += 10_010
	}
	for _, m := range w.machines {
		if m.proc.persist != nil {
			w.persist(m, false)
		}
	}
	kept := w.survivors()
	w.converge(func() *Violation { return w.unconverged(kept) })
	w.report.ConvergedMs = w.now - w.healed
	if w.s.Plan.Windows {
		w.windowsHeal(func() *Violation { return w.unconverged(kept) })
	}
}

// redial opens the sessions that a healed mesh has: all hubs with each other, an edge with its two home hubs.
func (w *World) redial() {
	for i, m := range w.machines {
		for _, o := range w.machines[i+1:] {
			if wants(m, o) && (w.isHome(m, o) || w.isHome(o, m)) && !connected(m, o) {
				w.connect(m, o)
			}
		}
	}
}

// isHome reports whether h is one of the two hubs that e talks to, or both are hubs.
func (w *World) isHome(e, h *machine) bool {
	if !h.isHub() {
		return false
	}
	away := (h.place - e.place%w.s.Plan.Hubs + w.s.Plan.Hubs) % w.s.Plan.Hubs
	return e.isHub() || away < 2
}

// survivor is what disks held of a process when everything healed: all together, and those of hubs.
type survivor struct {
	by        *writer
	all, hubs amounts
}

func (w *World) survivors() (kept []survivor) {
	for _, by := range w.truth.order {
		s := survivor{by: by}
		for _, m := range w.machines {
			if h := m.disk.held[by.origin.Inc]; h != nil {
				s.all.raise(&h.cells)
				if m.isHub() {
					s.hubs.raise(&h.cells)
				}
			}
		}
		kept = append(kept, s)
	}
	return kept
}

// left adds up, by region, what has to be answered of what was held when everything healed, and says whether a disaster took some.
// What hubs closed without what a second machine of a name holds may be closed only now: it was chosen before they heard of that.
func (w *World) left(kept []survivor) (left [numRegions]amounts, lost [numRegions]bool) {
	for i := range kept {
		s := &kept[i]
		most := &s.all
		if w.excused(s.by) && w.closed(s.by) {
			most = &s.hubs
		}
		left[s.by.region].add(most)
		if *most != s.by.top() {
			lost[s.by.region] = true
			w.report.Lost = true
		}
	}
	return left, lost
}

// converge runs until nothing is wrong, or fails with what is when the time is over.
func (w *World) converge(wrong func() *Violation) {
	w.healed = w.now
	for check := int64(0); ; {
		w.redial() // two sessions of one pair may have ended each other
		w.drain()
		if w.now-w.healed >= check {
			err := wrong()
			if err == nil {
				return
			}
			if w.now-w.healed > err.within {
				w.fail(err.Rule, "%d ms after heal: %s", w.now-w.healed, err.What)
			}
			check += compareEvery / 2
		}
		next := w.now + compareEvery
		for _, m := range w.machines {
			next = min(next, m.proc.wake)
		}
		w.now = max(next, w.now+1)
		w.tickAll(func(m *machine) bool { return w.now >= m.proc.wake })
	}
}

// quietAfter is how many times round all nodes may go on answering each other while no time passes.
const quietAfter = 1000

// drain lets everything that is under way arrive.
func (w *World) drain() {
	for busy, rounds := true, 0; busy; rounds++ {
		if busy = false; rounds > quietAfter {
			w.fail("I10", "nodes answer each other for ever")
		}
		for _, m := range w.machines {
			busy = w.drainOne(m) || busy
		}
	}
}

// drainOne lets everything that is under way to a node arrive and writes what it wants written. It reports whether there was
// anything.
func (w *World) drainOne(m *machine) (busy bool) {
	p := m.proc
	for i := 0; i < len(p.ends); i++ {
		for e := p.ends[i]; !e.down && e.waiting() > 0; busy = true {
			w.deliver(e, 1)
		}
	}
	for m.proc == p && len(p.loads) > 0 {
		w.loadNext(m)
		busy = true
	}
	for m.proc == p && len(p.reads) > 0 {
		w.readNext(m)
		busy = true
	}
	for m.proc == p && p.persist != nil {
		w.persist(m, false)
		busy = true
	}
	return busy
}

// unconverged says what is wrong with a mesh that has healed, nil if nothing is.
func (w *World) unconverged(kept []survivor) *Violation {
	left, lost := w.left(kept)
	for _, m := range w.machines {
		if n := len(m.proc.asked); n > 0 {
			return wrong("I10", "%s has not answered %d requests", m.name, n)
		}
	}
	for region := range numRegions {
		first := w.machines[0].proc.last[region]
		for _, m := range w.machines {
			got := m.proc.last[region]
			switch {
			case !lost[region] && got != w.truth.upper[region]:
				return wrong("I2", "%s answers %v for %s, of which %v was written", m.name, &got, regionNames[region], &w.truth.upper[region])
			case !left[region].within(&got):
				return wrong("I2", "%s answers %v for %s, of which %v is left", m.name, &got, regionNames[region], &left[region])
			case m.isHub() && got != first:
				return wrong("I1", "%s answers %v for %s and %s %v", m.name, &got, regionNames[region], w.machines[0].name, &first)
			}
		}
	}
	if v := w.unequalDisks(); v != nil {
		return v
	}
	return w.unequalEntries()
}

func wrong(rule, format string, args ...any) *Violation {
	return &Violation{Rule: rule, What: fmt.Sprintf(format, args...), within: healWithin}
}

// unequalDisks compares what the hubs of a region hold of its nodes' cells.
func (w *World) unequalDisks() *Violation {
	var firsts [numRegions]*machine
	for _, m := range w.machines {
		if !m.isHub() {
			continue
		}
		first := firsts[m.region]
		if first == nil {
			firsts[m.region] = m
			continue
		}
		if v := unequalRecords(first, m); v != nil {
			return v
		}
		for _, by := range w.truth.order {
			a, b := first.disk.cells(by.origin.Inc), m.disk.cells(by.origin.Inc)
			if a != b {
				return wrong("I1", "%s holds %v of %s, and %s %v", first.name, &a, by.origin, m.name, &b)
			}
		}
	}
	return nil
}

func (d *disk) cells(inc crdt.Incarnation) amounts {
	if h := d.held[inc]; h != nil {
		return h.cells
	}
	return amounts{}
}

// unequalEntries compares what all hubs hold of the totals of every hub process that runs. What is held of those that are over
// may be dropped at one hub before another; what matters of it shows in the answers.
func (w *World) unequalEntries() *Violation {
	for _, m := range w.machines {
		if !m.isHub() {
			continue
		}
		held := map[crdt.Origin]amounts{}
		for _, r := range m.proc.core.Replicas() {
			if r.Origin.Class == crdt.ClassRegion {
				held[r.Origin] = w.cellsOf(m.proc.core, r)
			}
		}
		for _, h := range w.machines {
			o := crdt.Origin{Class: crdt.ClassRegion, Region: h.regionName(), Node: h.name}
			if !h.isHub() || h == m {
				continue
			}
			o.Inc = h.proc.writer.origin.Inc
			if a, b := held[o], w.truth.topOf(o); a != b {
				return wrong("I1", "%s holds %v of the totals of %s, which are %v", m.name, &a, h.name, &b)
			}
		}
	}
	return nil
}
