package node

import (
	"bytes"
	"maps"
	"math"
	"slices"

	"meshd/crdt"
	"meshd/internal/mutant"
	"meshd/internal/wire"
	"meshd/reconcile"
)

// Forgetting. Incarnations of a node that are long over become one sum of the node, at all hubs of its region alike
// (ADR 20). Of each node a hub keeps one record: which incarnations are forgotten, and the sums of their cells. It grows in
// steps that all hubs agree on:
//
//  1. A hub freezes what is long over and confirmed: durably, it takes no frames of it from edges any more. Its siblings
//     freeze what it states frozen.
//  2. Every hub states what it forgot of the node, what is frozen, and a print of the cells of all that is frozen.
//  3. Who finds its own statement made by all hubs of the region adds the frozen cells to the record and deletes them, in one
//     write.
//  4. Who is stated less by than it forgot sends the record. Who gets one that contains its own and more takes it whole,
//     and deletes its own cells of what it names, in one write.
//
// Only agreed steps make a record grow, so of two records one contains the other, and a hub that was wiped or rolled back
// is brought to the present one.

const (
	// maxFreezing is of how many nodes a hub forgets at once: their cells are in memory meanwhile. A round takes some
	// seconds, so that thousands of nodes that restart once a day are no backlog.
	maxFreezing = 16
	// maxFrozen bounds the incarnations of a node that a hub freezes by itself at once: siblings may freeze as many others.
	maxFrozen = 64
	// forgetScan is how many cold incarnations a hub looks at between two comparisons: a million in four minutes.
	forgetScan = 4096
	// maxForgetNodes bounds the nodes that a sibling makes statements about: four times the edges of a large mesh.
	maxForgetNodes = 20_000
)

// allOfIt says of an incarnation that is forgotten, to whoever has it, that there is nothing to send any more.
var allOfIt = crdt.Progress{Cursor: math.MaxUint64, Owed: math.MaxUint64, Covered: math.MaxUint64}

// forgetting is what a hub knows of what is forgotten.
type forgetting struct {
	nodes map[string]*forgotten
	due   []func() bool // writes to begin; each reports whether it did
	retry int64         // after a write failed
	yield bool          // commits that wait go before the next write
	busy  string        // the node whose record is being written
	next  int           // the bucket of the cold index to look at
	ids   int           // incarnations forgotten
}

// forgotten is the record of one node, but for the sums, which are on disk, and what is on its way into it.
type forgotten struct {
	ids     []crdt.Incarnation // in order
	sum     uint64
	frozen  []crdt.Incarnation // in order, on disk
	closing []crdt.Incarnation // frozen, not on disk yet
	batch   *batch             // the cells of frozen, and of the record
	take    *takeover          // a sibling's record
	version uint64             // grows with what is stated of it
	grown   int64              // when the record grew: siblings mostly do the same, and say so at the next comparison
}

// forgetState is what a session with a hub of the region knows of the other's records.
type forgetState struct {
	heard     bool
	hubs      []string                   // that it knows of
	stated    map[string]wire.FrozenNode // by node
	begun     bool                       // something was told
	said      []string                   // which hubs this one told it to know of
	told      map[string]uint64          // versions told
	sent      map[string]int64           // when a record was sent
	sending   int                        // records being read for it
	parts     []*wire.Forgotten          // of a record that is coming
	partBytes int
}

func newForgetting() forgetting {
	return forgetting{nodes: map[string]*forgotten{}}
}

func (f *forgetting) node(name string) *forgotten {
	n := f.nodes[name]
	if n == nil {
		n = &forgotten{}
		f.nodes[name] = n
	}
	return n
}

func searchInc(list []crdt.Incarnation, inc crdt.Incarnation) bool {
	_, ok := slices.BinarySearchFunc(list, inc, compareInc)
	return ok
}

func compareInc(a, b crdt.Incarnation) int { return bytes.Compare(a[:], b[:]) }

// union returns two ordered lists as one.
func union(a, b []crdt.Incarnation) []crdt.Incarnation {
	out := slices.Concat(a, b)
	slices.SortFunc(out, compareInc)
	return slices.Compact(out)
}

// within reports whether all of a is in b; both are in order.
func within(a, b []crdt.Incarnation) bool {
	for _, inc := range a {
		if !searchInc(b, inc) {
			return false
		}
	}
	return true
}

// isForgotten reports whether a node origin is in a record.
func (c *Core) isForgotten(o crdt.Origin) bool {
	if c.hub == nil || o.Class != crdt.ClassNode {
		return false
	}
	n := c.hub.forget.nodes[o.Node]
	return n != nil && searchInc(n.ids, o.Inc)
}

// isFrozen reports whether edges may add nothing to a node origin any more.
func (c *Core) isFrozen(o crdt.Origin) bool {
	n := c.hub.forget.nodes[o.Node]
	return n != nil && (searchInc(n.frozen, o.Inc) || slices.Contains(n.closing, o.Inc))
}

// passed counts and refuses a frame of an origin that is forgotten, or that its writer brings although it is frozen. Whoever
// sent it is told what is held.
func (c *Core) passed(s *session, o crdt.Origin) bool {
	if c.hub == nil || o.Class != crdt.ClassNode {
		return false
	}
	switch f := &c.hub.forget; {
	case c.isForgotten(o) && !mutant.On("forgotten comes back"):
		c.Counts.ForgottenFrames++
	case c.isFrozen(o) && (s.peer.Role == RoleEdge || f.busy == o.Node) && !mutant.On("frozen takes from edges"):
		c.Counts.FrozenFrames++
	default:
		return false
	}
	s.late(o)
	return true
}

// coldProgress returns how far a node origin is held that is not in memory. Of a forgotten one nothing more is wanted.
func (c *Core) coldProgress(o crdt.Origin) ([crdt.NumStreams]crdt.Progress, bool) {
	if c.isForgotten(o) {
		return [crdt.NumStreams]crdt.Progress{allOfIt, allOfIt}, true
	}
	return c.hub.cold.index.progress(o)
}

// gaveUp reports whether a session's peer runs as an incarnation that is frozen or forgotten. It has to begin a new one.
func (c *Core) gaveUp(o crdt.Origin, n *reconcile.Named) bool {
	return n.Live && (c.isForgotten(o) || c.isFrozen(o))
}

// forgetSome goes on with forgetting, at each comparison.
func (c *Core) forgetSome() {
	f := &c.hub.forget
	f.due = f.due[:0]
	if c.cfg.ForgetAfter > 0 {
		c.followFrozen()
		c.chooseFrozen()
	}
	closing := false
	for _, name := range slices.Sorted(maps.Keys(f.nodes)) {
		n := f.nodes[name]
		closing = closing || len(n.closing) > 0
		if n.take != nil {
			f.due = append(f.due, func() bool { return c.startTake(name) })
		}
		c.loadFrozen(name, n)
		if n.batch.ready() && c.agreed(name, n) {
			f.due = append(f.due, func() bool { return c.startForget(name) })
		}
	}
	if closing {
		f.due = append(f.due, c.startFreeze)
	}
}
