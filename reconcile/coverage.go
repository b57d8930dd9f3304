package reconcile

import (
	"maps"
	"math"
	"slices"
)

// MaxMissing is how many names of missing nodes, and of nodes with a wrong clock, a coverage carries.
const MaxMissing = 20

// A clock is out of bounds if it is more than clockAheadMs ahead of the hub's, which is as far as stamps of gauges are
// believed, or more than clockBehindMs behind: what is under way makes a clock look behind, by a second at most on a
// link that is good for anything.
const (
	clockAheadMs  = 500
	clockBehindMs = 1500
	clockStepMs   = 100 // to which offsets are rounded: coverage should not change with every message
)

// Extent is a region's coverage as one hub sees it.
type Extent struct {
	Expected, Heard int
	CompleteUntilMs int64    // the oldest of the times of the nodes heard; 0 if none
	OldestMissingMs int64    // when the longest missing node was last complete; 0 if never or none
	Missing         []string // the first MaxMissing names
	ClocksOff       int      // nodes whose clock is out of bounds
	Clocks          []Clock  // the first MaxMissing of them
}

// Clock is by how much a node's wall clock differs from the hub's: node minus hub, in milliseconds.
type Clock struct {
	Node     string
	OffsetMs int64
}

// Extent sums up the nodes at time nowMs: a node is heard if it was complete at most its patience ago.
func (w *Watch) Extent(nowMs int64) Extent {
	e := Extent{}
	first := true
	for _, name := range slices.Sorted(maps.Keys(w.nodes)) {
		n := w.nodes[name]
		if w.removed[name] {
			continue
		}
		e.Expected++
		if n.asOf >= nowMs-w.patienceOf(n) && n.asOf > 0 {
			if e.Heard++; e.Heard == 1 || n.asOf < e.CompleteUntilMs {
				e.CompleteUntilMs = n.asOf
			}
			e.clock(n)
			continue
		}
		if len(e.Missing) < MaxMissing {
			e.Missing = append(e.Missing, name)
		}
		if first || n.asOf < e.OldestMissingMs {
			e.OldestMissingMs, first = n.asOf, false
		}
	}
	return e
}

// ClockOff reports whether a clock that is offsetMs ahead is out of bounds.
func ClockOff(offsetMs int64) bool { return offsetMs > clockAheadMs || offsetMs < -clockBehindMs }

// clock lists a node that is heard if one of its processes has a clock out of bounds.
func (e *Extent) clock(n *watched) {
	for _, p := range n.procs {
		if !ClockOff(p.Offset) {
			continue
		}
		if e.ClocksOff++; len(e.Clocks) < MaxMissing {
			e.Clocks = append(e.Clocks, Clock{n.name, int64(math.Round(float64(p.Offset)/clockStepMs)) * clockStepMs})
		}
		return
	}
}
