package simulations

import (
	"fmt"
	"testing"

	"meshd/crdt"
)

// TestWhatStayedBeginsAnew holds the oracle to what rules mean for I4: what a metric that stayed in its region for a while
// answers elsewhere afterwards is compared with nothing before, read or not in between. All else never falls.
func TestWhatStayedBeginsAnew(t *testing.T) {
	// Not all metrics: hubs let go of what came before an export once they hear of that, and an empty one is not sent.
	for match, broken := range map[string]bool{"counter.0": false, "nothing": true} {
		p := DrawSmall(14)
		p.Faults, p.Load.Configs, p.Load.Rollups, p.Safety = nil, 0, true, 60_000
		w := newWorld(p)
		m := w.hubs[0]
		run := func(until int64, over func() bool) {
			for w.now < until && !over() { // asked before an event is taken: one that is not dispatched is lost
				ev := w.next()
				if ev == nil {
					t.Fatal("nothing happens any more")
				}
				if w.now = max(w.now, ev.at); ev.kind != evRead {
					w.dispatch(ev)
				}
				w.passed(ev)
			}
		}
		version := func(v uint64) func() bool {
			return func() bool { return m.proc.core.Config().Version == v }
		}
		never := func() bool { return false }
		run(5_000_000, never)
		if !w.check(m, w.ask(m)) {
			t.Fatalf("violations %v", w.report.Violations)
		}
		if broken { // as if it had answered more
			m.proc.last[1][0].P = crdt.FixedFromUint(1 << 60)
		}
		w.set(m, fmt.Sprintf(`{"rollup":[{"match":%q,"scope":"region"}]}`, match))
		run(15_000_000, never)
		w.set(m, `{}`)
		run(16_000_000, version(2))
		a := w.ask(m)
		if !broken && a.values[1][0] != nil {
			t.Fatal("nothing was let go of")
		}
		if ok := w.check(m, a); ok == broken || broken && w.report.Violations[0].Rule != "I4" {
			t.Errorf("with a rule for %s: violations %v", match, w.report.Violations)
		}
		for _, c := range w.ask(m).coverage {
			if c.Region == w.regions[1] && !broken && !c.CompleteUntil.IsZero() {
				t.Error("what begins anew is called complete")
			}
		}
	}
}
