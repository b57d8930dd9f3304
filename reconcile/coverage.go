package reconcile

import (
	"maps"
	"slices"

	"meshd/crdt"
	"meshd/internal/mutant"
)

// MaxMissing is how many names of missing nodes a coverage carries.
const MaxMissing = 20

// maxClaims bounds the claims of one node that wait for its frames: one per flush, so 64 are 6 s on a lan.
const maxClaims = 64

// Claim is a node's statement that its incarnation Inc was at Head at time AtMs: everything it was told before then
// is in cells up to Head.
type Claim struct {
	Inc  crdt.Incarnation
	Head uint64
	AtMs int64 // on this hub's clock
}

// Watch is what a hub knows of the nodes of its region: who is expected, and up to when each one's cells are all
// here. A claim counts only once the cells up to its head are covered; that a node was heard says nothing.
type Watch struct {
	nodes map[string]*watched
}

type watched struct {
	needs  []Named // the incarnations on the node's disk
	claims []Claim // unsettled, oldest first
	asOf   int64
}

// NewWatch returns a watch that expects nobody.
func NewWatch() *Watch { return &Watch{nodes: map[string]*watched{}} }

// Expect adds a node that coverage has to account for. Nodes are never unexpected by silence.
func (w *Watch) Expect(node string) *watched {
	n := w.nodes[node]
	if n == nil {
		n = &watched{}
		w.nodes[node] = n
	}
	return n
}

// Names records which incarnations a node has on its disk: its claims hold only if those are covered too.
func (w *Watch) Names(node string, named []Named) {
	n := w.Expect(node)
	n.needs = slices.Clone(named)
}

// Claim records a claim that its cells may still have to arrive for. Of too many, the newest replaces the last one.
func (w *Watch) Claim(node string, c Claim) {
	n := w.Expect(node)
	if len(n.claims) >= maxClaims {
		n.claims = n.claims[:maxClaims-1]
	}
	n.claims = append(n.claims, c)
}

// Settle moves a node's time up to its newest claim whose cells are covered. covered returns how far this hub
// covers an incarnation of the node.
func (w *Watch) Settle(node string, covered func(crdt.Incarnation) uint64) {
	n := w.nodes[node]
	if n == nil || len(n.claims) == 0 {
		return
	}
	for _, need := range n.needs {
		if !need.Live && covered(need.Inc) < need.Head[crdt.StreamLifetime] {
			return
		}
	}
	for len(n.claims) > 0 && (covered(n.claims[0].Inc) >= n.claims[0].Head || mutant.On("heartbeat as coverage")) {
		n.asOf = max(n.asOf, n.claims[0].AtMs)
		n.claims = n.claims[1:]
	}
}

// AsOf returns the time up to which everything the node was told is covered, 0 if unknown.
func (w *Watch) AsOf(node string) int64 {
	if n := w.nodes[node]; n != nil {
		return n.asOf
	}
	return 0
}

// Extent is a region's coverage as one hub sees it.
type Extent struct {
	Expected, Heard int
	CompleteUntilMs int64    // the oldest of the times of the nodes heard; 0 if none
	OldestMissingMs int64    // when the longest missing node was last complete; 0 if never or none
	Missing         []string // the first MaxMissing names
}

// Extent sums up the nodes at time nowMs: a node is heard if it was complete at most maxAgeMs ago.
func (w *Watch) Extent(nowMs, maxAgeMs int64) Extent {
	e := Extent{Expected: len(w.nodes)}
	first := true
	for _, name := range slices.Sorted(maps.Keys(w.nodes)) {
		n := w.nodes[name]
		if n.asOf >= nowMs-maxAgeMs && n.asOf > 0 {
			if e.Heard++; e.Heard == 1 || n.asOf < e.CompleteUntilMs {
				e.CompleteUntilMs = n.asOf
			}
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
