package reconcile

import (
	"cmp"
	"math"
	"slices"

	"meshd/crdt"
	"meshd/internal/mutant"
)

const (
	// maxClaims bounds the claims of one process that wait for its frames: one per flush, so 64 are 6 s on a lan.
	maxClaims = 64
	// maxProcesses bounds the processes of one node that are remembered: a node restarts a few times in the time that it
	// takes to forget one, and no two live processes of a name are wanted. Beyond it the one silent longest goes.
	maxProcesses = 16
)

// Claim is a process' statement that its incarnation Inc was at Head at time AtMs: everything it was told before then
// is in cells up to Head.
type Claim struct {
	Inc  crdt.Incarnation
	Head uint64
	// Both on this hub's clock: when the process said so, as far as clocks tell, and when this hub heard of it; 0 = at once.
	AtMs, HeardMs int64
}

// Watch is what a hub knows of the nodes of its region: who is expected, and up to when each one's cells are all
// here. A claim counts only once the cells up to its head are covered; that a node was heard says nothing. Claims come
// from the processes themselves or from sibling hubs that heard them, in any order.
//
// A name may be used by more than one process: a node restarts, its disk is copied, an old backup is started beside it.
// The node is complete up to the time that all processes which count are. A process stops to count when another one
// of its name takes over, see succeeded.
type Watch struct {
	nodes   map[string]*watched
	removed map[string]bool
	order   []*Process // those that were heard here, by number
	numbers uint32
	moves   uint64
	silence int64
}

type watched struct {
	name  string
	procs []*Process
	asOf  int64
}

// Process is one process of a node, as far as it is known from claims. Callers only read it.
type Process struct {
	Node   string
	Inc    crdt.Incarnation
	Number uint32  // names the process towards siblings; 0: not heard here
	Named  []Named // the incarnations on the node's disk, as its hello said
	Last   Claim   // the newest that came from the process itself
	Moved  uint64  // grows with every such claim, over all processes: what a sibling was not told yet
	Offset int64   // the node's clock minus this hub's in ms, less by the delay of its messages
	Seldom int64   // by how many ms less often than usual the process says how far it is: its line bears no more

	needs       []Named // of Named, those that were not covered yet
	claims      []Claim // unsettled, oldest first
	since, last int64   // first and newest time of its life that is known
	asOf        int64
	over, known bool // whether another one took over; whether that was looked at
}

// NewWatch returns a watch that expects nobody. A node that was not complete for silence milliseconds is missing.
func NewWatch(silence int64) *Watch {
	return &Watch{nodes: map[string]*watched{}, removed: map[string]bool{}, silence: silence}
}

// SetSilence changes after how many milliseconds a node is missing.
func (w *Watch) SetSilence(ms int64) { w.silence = ms }

// Expect adds a node that coverage has to account for. Nodes are never unexpected by silence.
func (w *Watch) Expect(node string) { w.node(node) }

// Remove stops or begins to count a node among the expected, whatever is heard of it.
func (w *Watch) Remove(node string, gone bool) {
	if gone {
		w.removed[node] = true
		return
	}
	delete(w.removed, node)
	w.Expect(node)
}

// Expects reports whether coverage accounts for a node.
func (w *Watch) Expects(node string) bool { return w.nodes[node] != nil && !w.removed[node] }

func (w *Watch) node(name string) *watched {
	n := w.nodes[name]
	if n == nil {
		n = &watched{name: name}
		w.nodes[name] = n
	}
	return n
}

// process returns a process of a node, an empty one if it was not heard of. Too many push out the one that was silent
// longest. What was only named is about to be heard.
func (w *Watch) process(node string, inc crdt.Incarnation) *Process {
	n := w.node(node)
	if i := slices.IndexFunc(n.procs, func(p *Process) bool { return p.Inc == inc }); i >= 0 {
		return n.procs[i]
	}
	if len(n.procs) >= maxProcesses {
		w.remove(n, slices.MinFunc(n.procs, func(a, b *Process) int {
			if (a.last == 0) != (b.last == 0) {
				return cmp.Compare(b.last, a.last)
			}
			return cmp.Compare(a.last, b.last)
		}))
	}
	p := &Process{Node: node, Inc: inc, since: math.MaxInt64}
	n.procs = append(n.procs, p)
	return p
}

// lived records that the process lived at a time, of which this hub heard at another. Its life begins when it was first heard
// of: a stated time can be an hour early while clocks jump, and two lives that seem to overlap are two nodes of one name.
func (p *Process) lived(at, heard int64) { p.since, p.last = min(p.since, heard), max(p.last, at) }

func (w *Watch) remove(n *watched, p *Process) {
	n.procs = slices.DeleteFunc(n.procs, func(o *Process) bool { return o == p })
	if p.Number != 0 {
		w.order = slices.DeleteFunc(w.order, func(o *Process) bool { return o == p })
	}
}

// Seldom records by how many milliseconds less often than usual a process says how far it is: it is silent only after as
// much more. It reports whether that is news.
func (w *Watch) Seldom(node string, inc crdt.Incarnation, ms int64) bool {
	p := w.process(node, inc)
	was := p.Seldom
	p.Seldom = ms
	return was != ms
}

// patience is for how long a process may be silent.
func (w *Watch) patience(p *Process) int64 {
	if mutant.On("metered nodes missing") {
		return w.silence
	}
	return w.silence + p.Seldom
}

// Patience returns for how many milliseconds a node need not be complete before it is missing.
func (w *Watch) Patience(node string) int64 {
	if n := w.nodes[node]; n != nil {
		return w.patienceOf(n)
	}
	return w.silence
}

func (w *Watch) patienceOf(n *watched) int64 {
	most := w.silence
	for _, p := range n.procs {
		most = max(most, w.patience(p))
	}
	return most
}

// Names records which incarnations a process of a node has on its disk: its claims hold only if those are covered too.
// at is when the process said so, 0 if somebody else does.
func (w *Watch) Names(node string, inc crdt.Incarnation, named []Named, at int64) {
	p := w.process(node, inc)
	if at != 0 {
		p.lived(at, at)
	}
	p.Named = slices.Clone(named)
	p.needs = slices.DeleteFunc(slices.Clone(named), func(n Named) bool { return n.Live })
}

// Knows reports whether a process of a node is remembered, with what it named. What is heard of another one says nothing
// of the incarnations before it, and must not count.
func (w *Watch) Knows(node string, inc crdt.Incarnation) bool {
	n := w.nodes[node]
	return n != nil && slices.ContainsFunc(n.procs, func(p *Process) bool { return p.Inc == inc })
}

// Claim records a claim that came from the process itself.
func (w *Watch) Claim(node string, c Claim) *Process {
	p := w.claim(node, c)
	if p.Number == 0 {
		w.numbers++
		p.Number = w.numbers
		w.order = append(w.order, p)
	}
	if c.AtMs >= p.Last.AtMs {
		w.moves++
		p.Last, p.Moved = c, w.moves
	}
	return p
}

// Moves returns the highest Process.Moved there is.
func (w *Watch) Moves() uint64 { return w.moves }

// Told records a claim that a sibling heard, and by how much the node's clock is off if nobody measures that here.
func (w *Watch) Told(node string, c Claim, offset int64) {
	p := w.claim(node, c)
	if p.Number == 0 {
		p.Offset = offset
	}
	if mutant.On("sibling's word as coverage") {
		p.asOf = max(p.asOf, c.AtMs)
	}
}

// claim lets a claim wait for its cells. Of too many, the newest replaces the last one.
func (w *Watch) claim(node string, c Claim) *Process {
	p := w.process(node, c.Inc)
	p.lived(c.AtMs, max(c.AtMs, c.HeardMs))
	if len(p.claims) >= maxClaims {
		p.claims = p.claims[:maxClaims-1]
	}
	at := len(p.claims)
	for at > 0 && p.claims[at-1].AtMs > c.AtMs { // two hubs heard it, one tells later
		at--
	}
	p.claims = slices.Insert(p.claims, at, c)
	return p
}

// Heard returns the processes that were heard here, in the order of their numbers. It must not be modified.
func (w *Watch) Heard() []*Process { return w.order }

// Settle moves a node's time up to the newest claims whose cells are covered. covered returns how far this hub covers
// an incarnation of the node. It reports whether another set of processes runs by its name now.
func (w *Watch) Settle(node string, covered func(crdt.Incarnation) uint64) bool {
	n := w.nodes[node]
	if n == nil {
		return false
	}
	for _, p := range n.procs {
		p.settle(covered)
	}
	return w.succeed(n)
}

// Runs reports whether an incarnation of a node is that of a process that runs, as far as is known: it was heard of, and
// no other one of its name took over.
func (w *Watch) Runs(node string, inc crdt.Incarnation) bool {
	n := w.nodes[node]
	return n != nil && slices.ContainsFunc(n.procs, func(p *Process) bool { return p.Inc == inc && !p.over })
}

// Each calls f for every node that was ever expected, in no order.
func (w *Watch) Each(f func(node string)) {
	for name := range w.nodes {
		f(name)
	}
}

func (p *Process) settle(covered func(crdt.Incarnation) uint64) {
	if len(p.claims) == 0 {
		return
	}
	p.needs = slices.DeleteFunc(p.needs, func(n Named) bool { return covered(n.Inc) >= n.Head[crdt.StreamLifetime] })
	if len(p.needs) > 0 && !mutant.On("needs of a process forgotten") {
		return
	}
	have := covered(p.Inc)
	for i, c := range p.claims { // in the order of times, which is that of heads but for clocks that jump
		if have >= c.Head || mutant.On("heartbeat as coverage") {
			p.asOf = max(p.asOf, c.AtMs)
			continue
		}
		p.claims = p.claims[i:]
		return
	}
	p.claims = p.claims[:0]
}

// succeed finds the time up to which a node is complete: the least of the processes that count. It never falls: that
// a time was complete stays true. It reports whether one of them began or ceased to count.
func (w *Watch) succeed(n *watched) (changed bool) {
	asOf, now := int64(-1), int64(0)
	for _, p := range n.procs {
		now = max(now, p.last)
	}
	for _, p := range slices.Clone(n.procs) {
		over := w.succeeded(n, p, now)
		changed = changed || over != p.over || !p.known
		p.over, p.known = over, true
		switch {
		case !over:
			if asOf < 0 || p.asOf < asOf {
				asOf = p.asOf
			}
		case p.since == math.MaxInt64 && !mutant.On("named process forgotten"):
			// It was only named so far, a claim comes next, and nobody would say again what it needs.
		case p.last < now-2*w.patience(p):
			w.remove(n, p)
		}
	}
	n.asOf = max(n.asOf, asOf)
	return changed
}

// succeeded reports whether another process of the name took over from p. Two that were both heard for longer than a
// silence are two nodes by one name, and each counts until a third takes over. Otherwise the later one has taken over
// if p is on its disk, and if it is not (a wiped disk, an old backup) once p is silent.
func (w *Watch) succeeded(n *watched, p *Process, now int64) bool {
	for _, o := range n.procs {
		overlap := p.last - max(p.since, o.since)
		if o == p || o.last <= p.last || overlap > w.patience(p) && !mutant.On("second process of a name ignored") {
			continue
		}
		if p.last < now-w.patience(p) || slices.ContainsFunc(o.Named, func(n Named) bool { return n.Inc == p.Inc }) {
			return true
		}
	}
	return false
}

// AsOf returns the time up to which everything the node was told is covered, 0 if unknown.
func (w *Watch) AsOf(node string) int64 {
	if n := w.nodes[node]; n != nil {
		return n.asOf
	}
	return 0
}
