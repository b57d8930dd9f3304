package short

import (
	"meshd/crdt"
	"meshd/node"
	"meshd/reconcile"
)

// totalsEvery is how often a read goes through Totals too, which must say the same as the single answers.
const totalsEvery = 32

// answer reads what a machine says of a region.
func (w *World) answer(m *machine, region int) (a amounts) {
	for i, s := range series {
		v, ok := m.proc.core.Peek(s, regionNames[region])
		if ok && !a.set(i, &v) {
			w.fail("I3", "%s counts samples of %s in %s that nobody observed", m.name, s, regionNames[region])
		}
	}
	return a
}

// judge reads a machine and compares the answers with what was written (I3), with what this process answered before (I4)
// and with what the node acknowledged (I5).
func (w *World) judge(m *machine) {
	for region := range numRegions {
		got := w.answer(m, region)
		w.report.Reads++
		last := &m.proc.last[region]
		switch {
		case !got.within(&w.truth.upper[region]):
			w.fail("I3", "%s answers %v for %s, and only %v was written", m.name, &got, regionNames[region], &w.truth.upper[region])
		case !last.within(&got):
			w.fail("I4", "%s answers %v for %s after it had answered %v", m.name, &got, regionNames[region], last)
		case region == m.region && !m.acked.within(&got):
			w.fail("I5", "%s answers %v for %s and acknowledged %v itself", m.name, &got, regionNames[region], &m.acked)
		}
		if *last != got {
			w.logf("%s answers %v for %s", m.name, &got, regionNames[region])
			*last = got
		}
	}
	if w.report.Reads%totalsEvery == 0 {
		w.judgeTotals(m)
	}
}

// judgeTotals compares Totals with the single answers.
func (w *World) judgeTotals(m *machine) {
	t, err := m.proc.core.Totals(w.at(), node.Select{})
	if err != nil {
		w.fail("I3", "%s does not answer: %v", m.name, err)
	}
	var got [numRegions]amounts
	for i := range t.Rows {
		row := &t.Rows[i]
		at, region := indexOf(row.Series.Name), 0
		if row.Region == regionNames[1] {
			region = 1
		}
		if at < 0 || !got[region].set(at, &row.Value) {
			w.fail("I3", "%s answers for %s in %s, which nobody wrote", m.name, row.Series, row.Region)
		}
	}
	if got != m.proc.last {
		w.fail("I3", "%s totals %v, and its single answers are %v", m.name, got, m.proc.last)
	}
}

// claim is what was judged last of an origin that a process holds.
type claim struct{ covered, version uint64 }

// checkJoins holds a process to what it claims to cover (I13), and every copy that rose to its writer (I6).
func (w *World) checkJoins(m *machine, in node.Event) {
	switch in.(type) {
	case node.Persisted, node.Loaded, node.Received:
	default:
		return
	}
	p := m.proc
	p.core.Received(func(o crdt.Origin, progress crdt.Progress, r *reconcile.Replica) {
		was, now := p.covered[o], claim{progress.Covered, r.Version}
		if was == now {
			return
		}
		p.covered[o] = now
		held := w.cellsOf(p.core, r)
		if was.covered != now.covered {
			w.report.Claims++
			want, ok := w.truth.writtenBy(o, progress.Covered)
			if !ok {
				w.fail("I13", "%s claims to cover %s up to %d, and its writer never got there", m.name, o, progress.Covered)
			}
			if !want.within(&held) {
				w.fail("I13", "%s claims to cover %s up to %d, which had written %v, and holds %v", m.name, o, progress.Covered, &want, &held)
			}
		}
		if o.Class == crdt.ClassView {
			return // an edge joins the views of all its hubs
		}
		if top := w.truth.topOf(o); !held.within(&top) {
			w.fail("I6", "%s holds %v of %s, which wrote %v", m.name, &held, o, &top)
		}
	})
}

// writtenBy returns what the cells of an origin were at a seq.
func (t *truth) writtenBy(o crdt.Origin, seq uint64) (amounts, bool) {
	if h := t.historyOf(o); h != nil {
		return h.at(seq)
	}
	return amounts{}, seq == 0
}

func (t *truth) topOf(o crdt.Origin) amounts {
	if h := t.historyOf(o); h != nil {
		return h.top()
	}
	return amounts{}
}

func (t *truth) historyOf(o crdt.Origin) history {
	if o.Class != crdt.ClassNode {
		if h := t.derived[o]; h != nil {
			return *h
		}
	} else if by := t.writers[o.Inc]; by != nil && by.origin == o {
		return by.history
	}
	return nil
}

// checkRecovery compares what a process found on its disk with the oracle's reading of it (I2). It may have found more: a cell
// that came before its definition, which came later and is in a checkpoint.
func (w *World) checkRecovery(m *machine) {
	c := m.proc.core
	for _, r := range c.Replicas() {
		if r.Origin.Class != crdt.ClassNode {
			continue
		}
		have, top := w.cellsOf(c, r), w.truth.topOf(r.Origin)
		h := m.disk.held[r.Origin.Inc]
		if h == nil {
			h = &copyOf{}
			m.disk.held[r.Origin.Inc] = h
		}
		if !h.cells.within(&have) || !have.within(&top) {
			w.fail("I2", "%s recovers %v of %s, its disk says %v, and it wrote %v", m.name, &have, r.Origin, &h.cells, &top)
		}
		h.cells = have
	}
}
