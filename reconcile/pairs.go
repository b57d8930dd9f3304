package reconcile

import (
	"fmt"
	"slices"

	"meshd/crdt"
	"meshd/internal/mutant"
	"meshd/internal/wire"
)

// Named is one incarnation of an edge as its hello named it, with the heads of the edge's own copy.
type Named struct {
	Inc  crdt.Incarnation
	Head [crdt.NumStreams]uint64
	Live bool // the head moves: never whole
}

// Pairs returns, for a frame of totals, the region's or a feed of them, that was just built, what of each of its cells is an edge's own: totals and
// pairs have to be read at the same instant. cold returns how far a cold origin is held. ok is false when a cold copy
// has to be loaded first.
func (g *Region) Pairs(total *Derived, f *wire.Frame, node string, named []Named, cold func(crdt.Origin) (crdt.Progress, bool)) (yours []wire.Yours, ok bool) {
	yours = make([]wire.Yours, 0, len(named))
	for _, n := range named {
		o := crdt.Origin{Class: crdt.ClassNode, Region: g.Total.Origin.Region, Node: node, Inc: n.Inc}
		y := wire.Yours{Inc: n.Inc}
		if r := g.raw[o]; r != nil {
			y.Whole = !n.Live && r.Progress[crdt.StreamLifetime].Covered >= n.Head[crdt.StreamLifetime]
			if !y.Whole {
				y.Cells = total.yours(f, r)
			}
		} else if p, ok := cold(o); ok {
			y.Whole = (!n.Live || mutant.On("live is whole")) && p.Covered >= n.Head[crdt.StreamLifetime]
			if !y.Whole {
				return nil, false // the caller loads the cold copy first: without it the pair would be wrong
			}
		}
		if y.Whole && mutant.On("whole said as nothing") {
			continue
		}
		yours = append(yours, y)
	}
	return yours, true
}

// yours returns what the cells of f, a frame of totals, contain of r. Kinds that are joined rather than added need
// no pair: adding own state to a total that contains it changes nothing.
func (d *Derived) yours(f *wire.Frame, r *Replica) []wire.YoursCell {
	var out []wire.YoursCell
	for i := range f.Cells {
		c := &f.Cells[i]
		switch c.Value.Kind {
		case crdt.KindCounter, crdt.KindUpDown, crdt.KindDistribution:
			v, _ := r.Cell(d.series[c.Ref])
			if v == nil {
				continue
			}
			if part := v.Restrict(&c.Value); c.Value.X == nil || part.X != nil {
				out = append(out, wire.YoursCell{Index: uint32(i), Value: part})
			}
		case crdt.KindGauge, crdt.KindUnique, crdt.KindSet, crdt.KindObserved, crdt.KindRollup, crdt.KindHistogram:
		}
	}
	return out
}

// Slot is what an edge got from one incarnation of one hub of its region: totals, and per incarnation of the edge
// what they contain of it. Both only rise while the hub's process lives, so an older message changes nothing.
type Slot struct {
	Total Replica
	yours map[crdt.Incarnation]map[SeriesID]*crdt.Value
}

// Slots is an edge's view of its own region.
type Slots struct {
	Heard func(crdt.Origin) bool // as that of Entries
	Named int                    // how many own copies the edge's hello names at most: the last ones; 0 = all

	cat   *Catalog
	all   map[crdt.Origin]*Slot
	order ordered[*Slot]
}

// NewSlots returns an empty view.
func NewSlots(cat *Catalog) *Slots { return &Slots{cat: cat, all: map[crdt.Origin]*Slot{}} }

// Slot returns the slot of a hub's incarnation, an empty new one if it was not heard of.
func (s *Slots) Slot(o crdt.Origin) *Slot {
	sl := s.all[o]
	if sl == nil {
		sl = &Slot{Total: *NewReplica(o, s.cat), yours: map[crdt.Incarnation]map[SeriesID]*crdt.Value{}}
		s.all[o] = sl
		s.order.forget()
	}
	return sl
}

// Held returns the totals of a hub's incarnation, or nil.
func (s *Slots) Held(o crdt.Origin) *Replica {
	if sl := s.all[o]; sl != nil {
		return &sl.Total
	}
	return nil
}

// Origins returns the hub incarnations heard, in order. The slice must not be modified.
func (s *Slots) Origins() []crdt.Origin {
	return s.order.of(s.all).keys
}

// All returns the slots of all hub incarnations, in order. The slice must not be modified.
func (s *Slots) All() []*Slot { return s.order.of(s.all).vals }

// Apply takes a push that passed Check and CheckPairs: totals and pairs in one step, never one without the other. own
// are the edge's copies of its incarnations. Of one that the totals contain as a whole, they contain exactly the own
// copy of every part that the frame has; of parts that a later frame brings, the older totals may contain less.
func (s *Slots) Apply(f *wire.Frame, yours []wire.Yours, own []*Replica) error {
	sl := s.Slot(f.Origin)
	if _, err := sl.Total.Apply(f, nil); err != nil {
		return err
	}
	if mutant.On("pairs at another instant") && f.To%2 == 1 {
		yours = nil
	}
	for i := range yours {
		y := &yours[i]
		m := sl.yours[y.Inc]
		if m == nil {
			m = map[SeriesID]*crdt.Value{}
			sl.yours[y.Inc] = m
		}
		if y.Whole {
			if mutant.On("whole for all totals") {
				f = sl.wholeOfAll(f)
			}
			if err := sl.whole(m, f, find(own, y.Inc)); err != nil {
				return err
			}
			continue
		}
		for j := range y.Cells {
			c := &y.Cells[j]
			ref := f.Cells[c.Index].Ref
			if !sl.Total.known(ref) {
				continue
			}
			if mutant.On("pairs in any order") {
				*sl.pair(m, ref) = c.Value
				continue
			}
			if _, err := sl.pair(m, ref).Join(&c.Value, 0, nil, 0); err != nil {
				return err
			}
		}
	}
	return nil
}

// whole raises the pairs of the frame's cells to what r, the own copy, has of the same parts.
func (sl *Slot) whole(m map[SeriesID]*crdt.Value, f *wire.Frame, r *Replica) error {
	if r == nil {
		return nil // named by an earlier session: the copy is gone, and with it what a pair would be compared to
	}
	for j := range f.Cells {
		c := &f.Cells[j]
		if !sl.Total.known(c.Ref) || c.Value.Kind == crdt.KindRollup {
			continue
		}
		v, _ := r.Cell(sl.Total.series[c.Ref])
		if v == nil {
			continue
		}
		part := v.Restrict(&c.Value)
		if _, err := sl.pair(m, c.Ref).Join(&part, 0, nil, 0); err != nil {
			return err
		}
	}
	return nil
}

func find(rs []*Replica, inc crdt.Incarnation) *Replica {
	for _, r := range rs {
		if r.Origin.Inc == inc {
			return r
		}
	}
	return nil
}

func (sl *Slot) pair(m map[SeriesID]*crdt.Value, ref uint32) *crdt.Value {
	id := sl.Total.series[ref]
	p := m[id]
	if p == nil {
		v := crdt.Bottom(sl.Total.cat.Series(id).Kind)
		p = &v
		m[id] = p
	}
	return p
}

// Answer returns what a hub's totals say of series id once what the edge wrote beyond them is added: total plus the
// excess of each own copy over what the total contains of it. ok is false if the hub said nothing of the series.
func (sl *Slot) Answer(id SeriesID, own []*Replica) (v crdt.Value, ok bool, err error) {
	t, _ := sl.Total.Cell(id)
	if t == nil {
		return crdt.Value{}, false, nil
	}
	v = t.Clone()
	for _, r := range own {
		o, _ := r.Cell(id)
		if o == nil {
			continue
		}
		p := sl.yours[r.Origin.Inc][id]
		if p == nil && mutant.On("missing pair is whole") {
			p = o
		}
		if p == nil { // the hub named nothing: its total contains nothing
			bottom := crdt.Bottom(o.Kind)
			p = &bottom
		}
		if err := v.AddExcess(o, p); err != nil {
			return crdt.Value{}, false, err
		}
	}
	return v, true, nil
}

// Answer returns the edge's answer for series id of its own region: the maximum of each monotone part over all
// hubs' answers and the sum of the edge's own cells, the live incarnation's last. Gauges come as a rollup, in which
// those of earlier incarnations have no part. ok is false if nobody knows it.
func (s *Slots) Answer(id SeriesID, own []*Replica) (v crdt.Value, ok bool, err error) {
	if s.cat.Series(id).Kind == crdt.KindGauge {
		return s.gauge(id, own)
	}
	if v, ok, err = OwnSum(id, own); err != nil {
		return v, ok, err
	}
	if mutant.On("own sum no candidate") {
		v, ok = crdt.Bottom(s.cat.Series(id).Kind), false
	}
	if mutant.On("max first, own after") {
		return s.maxFirst(id, own)
	}
	for _, sl := range s.All() {
		if ok && v.Kind == crdt.KindUnique { // joined, not added: what the edge wrote is in v already
			if t, _ := sl.Total.Cell(id); t != nil {
				if _, err := v.Join(t, 0, nil, 0); err != nil {
					return v, ok, err
				}
			}
			continue
		}
		a, has, err := sl.Answer(id, s.named(own))
		if err != nil {
			return v, ok, err
		}
		if !has {
			continue
		}
		if !ok || mutant.On("edge answers by one hub") {
			v, ok = a, true
			continue
		}
		if mutant.On("P and N of one entry") && v.Kind == crdt.KindUpDown {
			v = Greater(v, a)
			continue
		}
		if _, err := v.Join(&a, 0, nil, 0); err != nil {
			return v, ok, err
		}
	}
	return v, ok, nil
}

// Superseded reports whether a hub wrote totals for its edges anew after those of an origin.
func (s *Slots) Superseded(o crdt.Origin) bool {
	return slices.ContainsFunc(s.Origins(), func(p crdt.Origin) bool { return p.Node == o.Node && p.Inc.Replaces(o.Inc) })
}

// named returns those of the edge's copies, the live one last, that hubs make pairs for. Of the others nobody knows whether a total
// contains them: they are in the sum of own cells, which is one of the answers, and added to no total.
func (s *Slots) named(own []*Replica) []*Replica {
	if s.Named > 0 && len(own) > s.Named && !mutant.On("unnamed is added") {
		return own[len(own)-s.Named:]
	}
	return own
}

// Prune forgets what hub processes that are over had said, or running ones before they wrote it anew, once a living one answers at
// least as much of every series but those that passed holds for, with which nothing is answered. It stays so: what the edge writes from now on adds the same to both answers, and the living hub's only
// grows beside that. So an edge holds what a few hubs said, however often they restart.
func (s *Slots) Prune(dead func(crdt.Origin) bool, passed func(SeriesID) bool, own []*Replica) error {
	for _, d := range s.Origins() {
		if !dead(d) {
			continue
		}
		for _, l := range s.Origins() {
			if dead(l) {
				continue
			}
			ok, err := s.all[l].dominates(s.all[d], passed, s.named(own))
			if err != nil {
				return err
			}
			if ok {
				delete(s.all, d)
				s.order.forget()
				break
			}
		}
	}
	return nil
}

// dominates reports whether the slot's answers contain those of d.
func (sl *Slot) dominates(d *Slot, passed func(SeriesID) bool, own []*Replica) (bool, error) {
	for _, id := range d.Total.series {
		if id == noSeries || passed(id) || sl.Total.cat.Series(id).Kind == crdt.KindGauge { // a dead hub's rollups are old by themselves
			continue
		}
		less, ok, err := d.Answer(id, own)
		if err != nil {
			return false, err
		}
		if !ok {
			continue
		}
		more, ok, err := sl.Answer(id, own)
		if err != nil || !ok {
			return false, err
		}
		if rose, err := more.Join(&less, 0, nil, 0); err != nil || rose {
			return false, err
		}
	}
	return true, nil
}

// OwnSum adds up the edge's own copies of series id.
func OwnSum(id SeriesID, own []*Replica) (v crdt.Value, ok bool, err error) {
	for _, r := range own {
		o, _ := r.Cell(id)
		if o == nil {
			continue
		}
		if !ok {
			v, ok = o.Clone(), true
			continue
		}
		if err := v.Combine(o); err != nil {
			return v, ok, err
		}
	}
	return v, ok, nil
}

// gauge returns the best rollup that hubs sent, with the edge's own last value in it where that is newer.
func (s *Slots) gauge(id SeriesID, own []*Replica) (crdt.Value, bool, error) {
	var all []Said
	for _, sl := range s.All() {
		if v, _ := sl.Total.Cell(id); v != nil {
			all = append(all, Said{v.X.(*crdt.Rollup), s.Heard != nil && s.Heard(sl.Total.Origin)})
		}
	}
	var mine *crdt.Gauge
	if len(own) > 0 {
		if v, _ := own[len(own)-1].Cell(id); v != nil {
			mine = v.X.(*crdt.Gauge)
		}
	}
	best := PickRollup(all)
	if best == nil && mine == nil {
		return crdt.Value{}, false, nil
	}
	out := &crdt.Rollup{}
	if best == nil {
		out.AddGauge(mine)
		out.Stamp, out.Expected = mine.Time, 1
		return crdt.Value{Kind: crdt.KindRollup, X: out}, true, nil
	}
	*out = *best
	if mine != nil && mine.Time > out.Last {
		out.Last, out.LastValue = mine.Time, mine.Value
	}
	return crdt.Value{Kind: crdt.KindRollup, X: out}, true, nil
}

// CheckPairs reports why pairs cannot belong to the frame of totals f.
func CheckPairs(f *wire.Frame, yours []wire.Yours) error {
	for i := range yours {
		for j := range yours[i].Cells {
			c := &yours[i].Cells[j]
			if int(c.Index) >= len(f.Cells) || f.Cells[c.Index].Value.Kind != c.Value.Kind {
				return fmt.Errorf("reconcile: %w: a pair of kind %s for cell %d", ErrFrame, c.Value.Kind, c.Index)
			}
		}
	}
	return nil
}
