package query

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

	"meshd/crdt"
	"meshd/history"
	"meshd/internal/mutant"
)

// Bounds on what a question over time, or about lifetimes, holds. A group takes some 130 bytes beside its amounts: 520 MB at the most.
const (
	maxGroups     = 4_000_000
	maxCells      = 4_000_000 // amounts of groups in slots: 64 MB of counters
	maxStateBytes = 192 << 20 // of buckets, registers and aggregates
	maxOverTime   = 100_000   // results of all periods: some 40 MB of JSON
)

// overTime sums windows into groups and slots.
//
// Counters, which may have millions of groups, take 16 bytes for each slot; other kinds keep a value. What an observed
// series counted is the difference of its snapshots, so it becomes a counter here, and a histogram a distribution.
type overTime struct {
	q      *totalQuery
	time   *timeline
	index  groupIndex
	groups [][]overTimeGroup // in pages: that of group g is g / groupsPerPage
	count  int               // of them
	pages  []amountPage      // likewise, of those that are amounts
	cells  int
	states int   // bytes
	sorted []int // groups in the order of the answer
	coarse bool  // a window was wider than the slot that it begins in
	// snapshots says that differences of snapshots are in it, which reach back before the period.
	snapshots bool
	key       []byte
	other     []byte

	labels []labelsOf // of groups that are in the answer by name
}

// overTimeGroup is the set of curves that become one result in each period.
type overTimeGroup struct {
	series *crdt.Series // one of them, for its name and labels
	owner  history.Owner
	values []crdt.Value // of the other kinds, by slot; nil for amounts
	sums   []floatSum   // of gauges, beside their values
	row    int32        // of amounts
	kind   crdt.Kind
	agg    bool // it is an aggregate that is asked for by a name of its own
}

// amountPage holds the amounts of groupsPerPage groups, slot by slot, and which of them are not empty.
type amountPage struct {
	amounts []crdt.Fixed
	seen    []uint64
}

const groupsPerPage = 4096

// labelsOf are the labels that by keeps of a group, also in JSON: many periods share them.
type labelsOf struct {
	labels  map[string]string
	encoded []byte
}

// errTooWide asks for fewer slots at a time.
var errTooWide = errors.New("query: more cells than are held at once")

func newOverTime(q *totalQuery, t *timeline) *overTime {
	return &overTime{q: q, time: t, index: newGroupIndex()}
}

// read takes in all curves of the question.
func (o *overTime) read(ctx context.Context, src history.Source) error {
	sel := o.q.sel.history()
	o.time.narrow(&sel)
	sel.ByNode = o.q.splitsByNode()
	cumulative := sel
	cumulative.From -= observedLookback
	cumulative.Width = 0 // snapshots: each counts what came since the one before
	plain := sel.Match
	wanted := func(want bool) func(*crdt.Series) bool {
		return func(s *crdt.Series) bool {
			return s.Kind != crdt.KindSet && (s.Kind == crdt.KindObserved || s.Kind == crdt.KindHistogram) == want && plain(s)
		}
	}
	sel.Match, cumulative.Match = wanted(false), wanted(true)
	sel.Kinds = []crdt.Kind{crdt.KindCounter, crdt.KindUpDown, crdt.KindGauge, crdt.KindDistribution, crdt.KindUnique}
	cumulative.Kinds = []crdt.Kind{crdt.KindObserved, crdt.KindHistogram}
	if err := src.Curves(ctx, sel, o.add); err != nil {
		return err
	}
	return src.Curves(ctx, cumulative, o.addObserved)
}

// observedLookback is how long before a period the snapshot may be that its first one is compared with: a scrape or push that
// comes less often than that is counted from its first snapshot in the range.
const observedLookback = 5 * 60_000

// add sums one curve.
func (o *overTime) add(c *history.Curve) error {
	if !all(o.q.sel.region, c.Owner.Region) || !all(o.q.sel.node, c.Owner.Node) {
		return nil
	}
	g, err := o.group(c, c.Series.Kind)
	if err != nil {
		return err
	}
	slot := 0
	for i := range c.Points {
		p := &c.Points[i]
		for slot < len(o.time.cuts)-1 && o.time.cuts[slot+1] <= p.Window.Start {
			slot++
		}
		if slot == len(o.time.cuts)-1 {
			break
		}
		if p.Window.Start < o.time.cuts[slot] {
			continue
		}
		if slot > 0 && p.Window.Start == o.time.cuts[slot] && mutant.On("periods overlap by a window") {
			if err := o.put(g, slot-1, &p.Value); err != nil {
				return err
			}
		}
		if p.Window.Start+p.Window.Width > o.time.cuts[slot+1] {
			o.coarse = true
		}
		if err := o.put(g, slot, &p.Value); err != nil {
			return err
		}
	}
	return nil
}

// put adds a value to a cell.
func (o *overTime) put(g, slot int, v *crdt.Value) error {
	group := o.at(g)
	if group.values == nil {
		cell, seen, bit := o.amount(group.row, slot)
		sum, ok := cell.Add(v.P)
		if !ok {
			return tooLarge(fmt.Errorf("query: %w: total of 2^80", crdt.ErrLimit))
		}
		*cell = sum
		*seen |= bit
		return nil
	}
	cell := &group.values[slot]
	before := 0
	if cell.X != nil {
		before = cell.X.Size()
	}
	cell.Kind = v.Kind
	if err := cell.Combine(v); err != nil {
		return tooLarge(fmt.Errorf("query: add windows of %s: %w", group.series, err))
	}
	if r, ok := v.X.(*crdt.Rollup); ok && group.sums != nil {
		group.sums[slot].add(r.Sum)
	}
	if cell.X != nil {
		if o.states += cell.X.Size() - before; o.states > maxStateBytes {
			return errTooWide
		}
	}
	return nil
}

// amount returns where an amount is, and the bit that says whether it is one.
func (o *overTime) amount(row int32, slot int) (cell *crdt.Fixed, seen *uint64, bit uint64) {
	i := int(row)%groupsPerPage*(len(o.time.cuts)-1) + slot
	page := &o.pages[row/groupsPerPage]
	return &page.amounts[i], &page.seen[i/64], 1 << (i % 64)
}

// group returns the number of the group of a curve whose cells are of a kind.
func (o *overTime) group(c *history.Curve, kind crdt.Kind) (int, error) {
	o.key = o.q.appendGroup(o.key[:0], c.Series, c.Owner)
	hash := o.index.hash(o.key)
	for i := o.index.first(hash); i >= 0; i = o.index.behind(i) {
		g := o.at(i)
		if o.other = o.q.appendGroup(o.other[:0], g.series, g.owner); bytes.Equal(o.key, o.other) {
			return i, nil
		}
	}
	slots := len(o.time.cuts) - 1
	g := overTimeGroup{series: c.Series, owner: c.Owner, kind: c.Series.Kind, agg: o.q.sel.aggregate(c.Series) && !o.q.sel.name(c.Series.Name)}
	if kind == crdt.KindCounter {
		g.row = int32(o.cells / slots)
		if int(g.row)/groupsPerPage == len(o.pages) {
			n := groupsPerPage * slots
			o.pages = append(o.pages, amountPage{make([]crdt.Fixed, n), make([]uint64, n/64)})
		}
		o.cells += slots
	} else {
		g.values = make([]crdt.Value, slots)
		const size = 64
		o.states += size * slots
		if kind == crdt.KindGauge {
			const size = 16
			g.sums = make([]floatSum, slots)
			o.states += size * slots
		}
	}
	if o.cells > maxCells && len(o.time.periods) > 1 || o.states > maxStateBytes {
		return 0, errTooWide
	}
	if o.count == largeGroups && o.q.large != nil {
		if err := o.q.large.enter(); err != nil {
			return 0, err
		}
	}
	if o.count == maxGroups {
		return 0, badRequest{fmt.Errorf("more than %d groups: narrow metric and match, or keep fewer labels with by", maxGroups)}
	}
	if o.count%groupsPerPage == 0 {
		o.groups = append(o.groups, make([]overTimeGroup, groupsPerPage))
	}
	o.count++
	*o.at(o.count - 1) = g
	o.index.add(hash)
	return o.count - 1, nil
}

func (o *overTime) at(g int) *overTimeGroup { return &o.groups[g/groupsPerPage][g%groupsPerPage] }

// appendGroup appends bytes that are equal for two series exactly when they belong to one group.
func (q *totalQuery) appendGroup(dst []byte, s *crdt.Series, o history.Owner) []byte {
	add := func(text string) {
		dst = append(append(dst, byte(len(text)>>8), byte(len(text))), text...)
	}
	dst = append(dst, byte(s.Kind))
	add(s.Name)
	if q.byAll {
		for _, l := range s.Labels {
			if l.Value != "" {
				add(l.Name)
				add(l.Value)
			}
		}
		dst = append(dst, 0xff, 0xff)
		add(o.Region)
	}
	for _, name := range q.by {
		switch {
		case name == labelNode:
			add(o.Node)
		case q.byAll:
		case name == labelRegion:
			add(o.Region)
		default:
			add(s.Get(name))
		}
	}
	return dst
}

// history asks for the series of a selection. Names, and values of labels that must be there, are tested once each, and what one
// value is demanded of can be looked up.
func (s *selection) history() history.Selection {
	sel := history.Selection{
		Names: func(name string) bool { return s.name(name) || s.gauge != nil && s.gauge(name) },
		Match: s.series,
	}
	sel.Tests = s.tests()
	for _, m := range s.labels {
		switch {
		case !m.negate && m.re == nil:
			sel.Equal = append(sel.Equal, crdt.Label{Name: m.label, Value: m.value})
		case !m.matches(""):
			sel.Where = append(sel.Where, history.LabelTest{Name: m.label, Test: m.matches})
		}
	}
	for _, m := range s.region {
		if !m.negate && m.re == nil {
			sel.Regions = []string{m.value}
		}
	}
	return sel
}

// tests tells the conditions to another node.
func (s *selection) tests() []history.Test {
	var out []history.Test
	if s.pattern != "" {
		out = append(out, history.Test{Label: history.NameLabel, Op: history.Matches, Value: s.pattern})
	}
	for _, ms := range [][]matcher{s.labels, s.region, s.node} {
		for i := range ms {
			op := history.Equals
			switch m := &ms[i]; {
			case m.re != nil && m.negate:
				op = history.MatchesNot
			case m.re != nil:
				op = history.Matches
			case m.negate:
				op = history.EqualsNot
			}
			out = append(out, history.Test{Label: ms[i].label, Op: op, Value: ms[i].value})
		}
	}
	return out
}

// addObserved adds what a curve of snapshots says was counted between them.
func (o *overTime) addObserved(c *history.Curve) error {
	if !all(o.q.sel.region, c.Owner.Region) || !all(o.q.sel.node, c.Owner.Node) {
		return nil
	}
	o.snapshots = true
	kind := crdt.KindCounter
	if c.Series.Kind == crdt.KindHistogram {
		kind = crdt.KindDistribution
	}
	g := -1
	type run struct {
		source string
		start  int64
	}
	last := map[run]crdt.Value{}
	from := o.time.cuts[0] - observedLookback
	take := func(r run, at int64, v crdt.Value) error {
		before, known := last[r]
		last[r] = v
		if !known && r.start <= from {
			return nil // nobody knows how much of it is older
		}
		rise := crdt.Bottom(kind)
		if err := rise.AddExcess(&v, &crdt.Value{Kind: kind, P: before.P, X: before.X}); err != nil {
			return err
		}
		slot := o.time.slot(at)
		if slot < 0 {
			return nil
		}
		if g < 0 {
			var err error
			if g, err = o.group(c, kind); err != nil {
				return err
			}
		}
		return o.put(g, slot, &rise)
	}
	for i := range c.Points {
		p := &c.Points[i]
		switch x := p.Value.X.(type) {
		case *crdt.Observed:
			for s := range x.Samples() {
				if err := take(run{s.Source, s.Start}, p.Window.Start, crdt.Value{Kind: kind, P: s.Value}); err != nil {
					return err
				}
			}
		case *crdt.Histograms:
			for s := range x.Snapshots() {
				if err := take(run{s.Source, s.Start}, p.Window.Start, crdt.Value{Kind: kind, X: s.Total}); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// value returns what a group has in a period, and false if that is nothing. The value is the caller's.
func (o *overTime) value(g int, p period) (crdt.Value, bool, error) {
	group := o.at(g)
	first, behind := o.time.slots(p)
	if group.values == nil {
		sum, some := crdt.Fixed{}, false
		for s := first; s < behind; s++ {
			cell, seen, bit := o.amount(group.row, s)
			if *seen&bit == 0 {
				continue
			}
			var ok bool
			if sum, ok = sum.Add(*cell); !ok {
				return crdt.Value{}, false, tooLarge(fmt.Errorf("query: %w: total of 2^80", crdt.ErrLimit))
			}
			some = true
		}
		return crdt.Value{Kind: crdt.KindCounter, P: sum}, some, nil
	}
	cells := group.values[first:behind]
	i := slices.IndexFunc(cells, func(v crdt.Value) bool { return v.Kind != 0 })
	if i < 0 {
		return crdt.Value{}, false, nil
	}
	sum, exact := crdt.Bottom(cells[i].Kind), floatSum{}
	for ; i < len(cells); i++ {
		if cells[i].Kind == 0 {
			continue
		}
		if err := sum.Combine(&cells[i]); err != nil {
			return crdt.Value{}, false, tooLarge(fmt.Errorf("query: add periods of %s: %w", group.series, err))
		}
		if group.sums != nil {
			exact.merge(group.sums[first+i])
		}
	}
	if r, ok := sum.X.(*crdt.Rollup); ok && group.sums != nil {
		r.Sum = exact.value()
	}
	return sum, true, nil
}
