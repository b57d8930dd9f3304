package bubble

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"meshd/crdt"
	"meshd/node"
)

// view is what one read answers: by metric and region the monotone values, sets and gauges aside.
type view map[cell]crdt.Value

type cell struct{ metric, region string }

// totals adds the regions up.
func (v view) totals() map[string]crdt.Value {
	out := map[string]crdt.Value{}
	for c, value := range v {
		sum, ok := out[c.metric]
		if !ok {
			sum = crdt.Bottom(value.Kind)
		}
		must(sum.Combine(&value))
		out[c.metric] = sum
	}
	return out
}

// ledger is what the clients of a mesh know. Amounts are exact: a total is compared to the last bit.
type ledger struct {
	mu      sync.Mutex
	n       uint64                           // batches so far: no two have one amount
	open    map[uint64][]node.Item           // batches that wait for an answer
	settled map[string]crdt.Value            // by metric: what was acknowledged or may have been counted
	acked   map[string]map[string]crdt.Value // by machine and metric: what it said is counted
	lost    int                              // batches whose outcome is unknown
	refused int                              // batches that were not counted, as the node said
}

func newLedger() *ledger {
	return &ledger{open: map[uint64][]node.Item{}, settled: map[string]crdt.Value{}, acked: map[string]map[string]crdt.Value{}}
}

func add(to map[string]crdt.Value, items []node.Item) {
	for _, it := range items {
		if it.Series.Kind == crdt.KindGauge || it.Series.Kind == crdt.KindSet {
			continue // no lower bounds: the scenarios look at them when all is quiet
		}
		sum, ok := to[it.Series.Name]
		if !ok {
			sum = crdt.Bottom(it.Series.Kind)
		}
		sum = sum.Clone() // readers may hold the old one
		must(sum.Combine(&it.Inc))
		to[it.Series.Name] = sum
	}
}

// begin books the nth batch as sent.
func (l *ledger) begin(batch func(n uint64) []node.Item) (n uint64, items []node.Item) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.n++
	l.open[l.n] = batch(l.n)
	return l.n, l.open[l.n]
}

// end books the answer.
func (l *ledger) end(client string, n uint64, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	items := l.open[n]
	delete(l.open, n)
	switch {
	case errors.Is(err, node.ErrClosed), errors.Is(err, node.ErrBusy), errors.Is(err, node.ErrFull):
		l.refused++
		return
	case err != nil:
		l.lost++
	case l.acked[client] == nil:
		l.acked[client] = map[string]crdt.Value{}
		fallthrough
	default:
		add(l.acked[client], items)
	}
	add(l.settled, items)
}

func (l *ledger) ackedAt(machine string) map[string]crdt.Value {
	l.mu.Lock()
	defer l.mu.Unlock()
	return maps.Clone(l.acked[machine])
}

// forgive lets machines lose what they acknowledged so far: their disks are gone. Somebody else must still have it.
func (l *ledger) forgive(machines ...string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.acked["gone"] == nil {
		l.acked["gone"] = map[string]crdt.Value{}
	}
	for _, machine := range machines {
		sums := l.acked["gone"]
		for metric, v := range l.acked[machine] {
			sum, ok := sums[metric]
			if !ok {
				sum = crdt.Bottom(v.Kind)
			}
			sum = sum.Clone()
			must(sum.Combine(&v))
			sums[metric] = sum
		}
		delete(l.acked, machine)
	}
}

// most is what a node may answer at most.
func (l *ledger) most() map[string]crdt.Value {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := maps.Clone(l.settled)
	for _, items := range l.open {
		add(out, items)
	}
	return out
}

func (l *ledger) unknown() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lost
}

// ackedAnywhere is the least that every node must answer in the end.
func (l *ledger) ackedAnywhere() map[string]crdt.Value {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := map[string]crdt.Value{}
	for _, machine := range slices.Sorted(maps.Keys(l.acked)) {
		for metric, v := range l.acked[machine] {
			sum, ok := out[metric]
			if !ok {
				sum = crdt.Bottom(v.Kind)
			}
			must(sum.Combine(&v))
			out[metric] = sum
		}
	}
	return out
}

// differs says what a read lacks to be exact: everything acked, and nothing more unless an outcome is unknown.
func (l *ledger) differs(v view) string {
	got, want := v.totals(), l.ackedAnywhere()
	exact := l.unknown() == 0
	for _, metric := range slices.Sorted(maps.Keys(want)) {
		w, g := want[metric], got[metric]
		switch {
		case g.Kind != w.Kind:
			return metric + " is missing"
		case exact && !bytes.Equal(g.AppendBinary(nil), w.AppendBinary(nil)):
			return fmt.Sprintf("%s is %s, want %s", metric, show(g), show(w))
		case !contains(g, w):
			return fmt.Sprintf("%s is %s, want at least %s", metric, show(g), show(w))
		}
	}
	return ""
}

// judge checks a read of a process: floor is what its machine had acknowledged before the read began, seen what the
// process answered before.
func (l *ledger) judge(v, seen view, floor map[string]crdt.Value) (violations []string) {
	got, most := v.totals(), l.most()
	for _, metric := range slices.Sorted(maps.Keys(got)) {
		if !contains(most[metric], got[metric]) {
			violations = append(violations, fmt.Sprintf("I3: %s is %s, only %s was written", metric, show(got[metric]), show(most[metric])))
		}
	}
	for c, was := range seen {
		if !contains(v[c], was) {
			violations = append(violations, fmt.Sprintf("I4: %s of %s is %s, was %s", c.metric, c.region, show(v[c]), show(was)))
		}
	}
	for metric, acked := range floor {
		if !contains(got[metric], acked) {
			violations = append(violations, fmt.Sprintf("I5: %s is %s, the node acknowledged %s", metric, show(got[metric]), show(acked)))
		}
	}
	return violations
}

// contains reports whether no part of b is above a's: joining b changes nothing.
func contains(a, b crdt.Value) bool {
	if a.Kind != b.Kind {
		return b.Kind == 0
	}
	c := a.Clone()
	rose, err := c.Join(&b, 1, nil, 0)
	must(err)
	return !rose
}

func show(v crdt.Value) string {
	switch x := v.X.(type) {
	case *crdt.Distribution:
		return fmt.Sprintf("%d samples", x.Count())
	case *crdt.Unique:
		return fmt.Sprintf("about %.0f", x.Estimate())
	case *crdt.Observed:
		return x.Total().String()
	}
	return fmt.Sprintf("+%s -%s", v.P, v.N)
}

// must ends a test by a panic: the values here are far from every limit.
func must(err error) {
	if err != nil {
		panic(err)
	}
}
