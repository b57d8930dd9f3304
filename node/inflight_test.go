package node

import (
	"testing"

	"meshd/crdt"
)

// TestCellsThatAFullDiskRefusedComeAgain, from their writer and relayed, also when something else is on its way to the hub at each
// comparison, and not when they still wait themselves. Publications of windows: TestPublicationsThatAFullDiskRefusedComeAgain.
func TestCellsThatAFullDiskRefusedComeAgain(t *testing.T) {
	for _, tc := range []struct {
		name, from, to string
		waits          bool
	}{
		{"cells of their writer", "edge", "hub0", false},
		{"cells of their writer that wait", "edge", "hub0", true},
		{"relayed cells", "hub0", "hub1", false},
		{"relayed cells that wait", "hub0", "hub1", true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t, 5)
			w.full = map[string]bool{}
			w.setCut("edge", "hub1", true)
			w.start("hub0", "east", RoleHub)
			w.start("hub1", "east", RoleHub)
			edge := w.start("edge", "east", RoleEdge)
			from := w.procs[tc.from]
			waits := false
			w.busy = func(c *Core) bool { return c == from.core && (waits || c.now >= c.nextAE) }
			w.run(5000)
			w.full[tc.to] = true
			w.count("edge", "clicks", 7, Token{})
			waits = tc.waits
			w.run(8000)
			w.full[tc.to] = false
			before := from.core.Counts.Resyncs
			w.run(60_000)
			r := w.procs[tc.to].core.hub.region.Held(edge.core.own)
			came := r != nil && r.Progress[crdt.StreamLifetime].Covered == edge.core.live.Progress[crdt.StreamLifetime].Cursor
			if again := from.core.Counts.Resyncs > before; came == tc.waits || again == tc.waits {
				t.Errorf("%s has them: %t, sent again: %t", tc.to, came, again)
			}
		})
	}
}
