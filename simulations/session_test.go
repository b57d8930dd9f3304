package simulations

import (
	"testing"

	"meshd/node"
)

// TestASendOnASessionThatIsOverIsNoticed lets a core send on sessions that it was never given, and that it closed.
func TestASendOnASessionThatIsOverIsNoticed(t *testing.T) {
	p := DrawSmall(1)
	p.Faults = nil
	for name, closes := range map[string]bool{"unknown": false, "closed": true} {
		w := newWorld(p)
		for ev := w.next(); ev != nil && w.now < 1_000_000; ev = w.next() {
			w.now = max(w.now, ev.at)
			w.dispatch(ev)
			w.passed(ev)
		}
		m := w.hubs[0]
		id := uint64(1 << 40)
		if closes {
			id = sorted(m.proc.ends)[0]
			w.closed(m, node.CloseSession{Peer: id})
		}
		if w.send(m, &node.Send{Peer: id}, &sent{}); len(w.report.Violations) != 1 || w.report.Violations[0].Rule != "I9" {
			t.Errorf("%s: violations %v, want I9", name, w.report.Violations)
		}
	}
}
