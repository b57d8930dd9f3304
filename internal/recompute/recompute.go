// Package recompute finds by how much events were counted wrong: what other rules would have counted of them, less what they were counted as. It is
// pure, and knows neither logs nor nodes.
package recompute

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"meshd/crdt"
	"meshd/internal/eventlog"
	"meshd/node"
)

// MaxCells bounds what is held: amounts of one series, node and window that events were counted in, or should have been. They take some 500
// bytes each: 500 MB.
const MaxCells = 1_000_000

// ErrTooMany says that events changed more than MaxCells.
var ErrTooMany = errors.New("too much changes at once: choose a shorter time, or fewer metrics")

// Rule says what a series that a process receives is counted as, nil if not at all. An error says that it would be refused, and why.
type Rule func(crdt.Origin, *crdt.Series) (*crdt.Series, error)

// Recompute adds up events that are counted otherwise by another rule. Events are taken once each, in any order: what comes out depends on
// nothing but which they are.
type Recompute struct {
	Events  uint64               // taken
	Changed uint64               // of them those that are counted otherwise
	Left    map[crdt.Kind]uint64 // that would be, but are of a kind that nothing can be taken back from
	Refused uint64               // whose series the rule refuses: they stay as they were counted

	rule  Rule
	width int64
	cells map[cellKey]*cell
	key   []byte
	most  int
}

type cellKey struct {
	region, node string
	start        int64
	series       string // its key
}

// cell is what was counted in one window, and what should have been, of events that changed.
type cell struct {
	series  *crdt.Series
	was, is crdt.Value
}

// New returns a Recompute by a rule in windows of a width in milliseconds.
func New(rule Rule, width int64) *Recompute {
	return &Recompute{rule: rule, width: width, cells: map[cellKey]*cell{}, Left: map[crdt.Kind]uint64{}, most: MaxCells}
}

// Add takes an event that a process counted. It keeps its series.
func (r *Recompute) Add(o crdt.Origin, ev *eventlog.Event) error {
	r.Events++
	was := ev.CountedAs()
	is, err := r.rule(o, ev.Series)
	switch {
	case err != nil:
		r.Refused++
		return nil
	case same(was, is):
		return nil
	case !ev.Series.Kind.Corrects():
		r.Left[ev.Series.Kind]++
		return nil
	}
	r.Changed++
	start := crdt.WindowAt(ev.Time, r.width).Start
	if was != nil {
		c, err := r.at(o, start, was)
		if err == nil {
			err = grow(&c.was, &ev.Inc)
		}
		if err != nil {
			return err
		}
	}
	if is == nil {
		return nil
	}
	c, err := r.at(o, start, is)
	if err != nil {
		return err
	}
	return grow(&c.is, &ev.Inc)
}

func grow(sum, inc *crdt.Value) error {
	one := inc.Clone() // it may become the sum
	if err := sum.Grow(&one); err != nil {
		return fmt.Errorf("recompute: add up events: %w", err)
	}
	return nil
}

func same(a, b *crdt.Series) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.Equal(b)
}

func (r *Recompute) at(o crdt.Origin, start int64, s *crdt.Series) (*cell, error) {
	r.key = s.AppendKey(r.key[:0])
	k := cellKey{o.Region, o.Node, start, string(r.key)}
	c := r.cells[k]
	if c == nil {
		if len(r.cells) >= r.most {
			return nil, fmt.Errorf("recompute: %w", ErrTooMany)
		}
		c = &cell{s, crdt.Bottom(s.Kind), crdt.Bottom(s.Kind)}
		r.cells[k] = c
	}
	return c, nil
}

// Differences returns by how much windows differ, by region: of each series, node and window what is too little and what is too much, in order.
func (r *Recompute) Differences() map[string][]node.Difference {
	out := map[string][]node.Difference{}
	for _, k := range slices.SortedFunc(maps.Keys(r.cells), cellKey.compare) {
		c := r.cells[k]
		plus, minus := apart(c.is, c.was)
		for _, part := range []struct {
			minus bool
			v     crdt.Value
		}{{true, minus}, {false, plus}} {
			if !part.v.IsNothing() {
				out[k.region] = append(out[k.region], node.Difference{Node: k.node, Minus: part.minus, Series: c.series, Start: k.start, Value: part.v})
			}
		}
	}
	return out
}

func (k cellKey) compare(o cellKey) int {
	return cmp.Or(strings.Compare(k.region, o.region), strings.Compare(k.series, o.series), strings.Compare(k.node, o.node), cmp.Compare(k.start, o.start))
}

// apart returns what is has beyond was, and the other way round. Distributions have sums beside their buckets: both are told whole.
func apart(is, was crdt.Value) (plus, minus crdt.Value) {
	if is.X != nil || was.X != nil {
		if bytes.Equal(is.AppendBinary(nil), was.AppendBinary(nil)) {
			return crdt.Bottom(is.Kind), crdt.Bottom(is.Kind)
		}
		return is, was
	}
	plus = crdt.Value{Kind: is.Kind, P: is.P.Sub(was.P), N: is.N.Sub(was.N)}
	return plus, crdt.Value{Kind: is.Kind, P: was.P.Sub(is.P), N: was.N.Sub(is.N)}
}

// Change is what becomes of a series, in all regions and windows together: of the events that changed.
type Change struct {
	Series  *crdt.Series
	Was, Is crdt.Value
}

// Changes returns what becomes of each series that differs, in the order of their names and labels.
func (r *Recompute) Changes() ([]Change, error) {
	by := map[string]*Change{}
	for _, k := range slices.SortedFunc(maps.Keys(r.cells), cellKey.compare) {
		c := r.cells[k]
		sum := by[k.series]
		if sum == nil {
			sum = &Change{c.series, crdt.Bottom(c.series.Kind), crdt.Bottom(c.series.Kind)}
			by[k.series] = sum
		}
		if err := errors.Join(sum.Was.Combine(&c.was), sum.Is.Combine(&c.is)); err != nil {
			return nil, fmt.Errorf("recompute: add up %s: %w", c.series, err)
		}
	}
	var out []Change
	for _, c := range slices.SortedFunc(maps.Values(by), compareChanges) {
		if plus, minus := apart(c.Is, c.Was); !plus.IsNothing() || !minus.IsNothing() {
			out = append(out, *c)
		}
	}
	return out, nil
}

func compareChanges(a, b *Change) int {
	return cmp.Or(strings.Compare(a.Series.Name, b.Series.Name), strings.Compare(a.Series.String(), b.Series.String()))
}
