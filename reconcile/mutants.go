package reconcile

import (
	"meshd/crdt"
	"meshd/internal/wire"
)

// maxFirst is a mutant: the maximum over hubs of totals and of pairs, and own changes after.
func (s *Slots) maxFirst(id SeriesID, own []*Replica) (crdt.Value, bool, error) {
	one := &Slot{Total: *NewReplica(crdt.Origin{}, s.cat), yours: map[crdt.Incarnation]map[SeriesID]*crdt.Value{}}
	one.Total.define(0, id, 0)
	for _, o := range s.Origins() {
		sl := s.all[o]
		if t, _ := sl.Total.Cell(id); t != nil {
			_, _ = one.Total.join(0, t, 1, nil, -1)
		}
		for inc, m := range sl.yours {
			if one.yours[inc] == nil {
				one.yours[inc] = map[SeriesID]*crdt.Value{}
			}
			if m[id] != nil {
				_, _ = one.pair(one.yours[inc], 0).Join(m[id], 0, nil, 0)
			}
		}
	}
	v, ok, err := one.Answer(id, own)
	if !ok {
		return OwnSum(id, own)
	}
	return v, ok, err
}

// Greater is a mutant: of two answers for an updown, the one with more in P and N together.
func Greater(a, b crdt.Value) crdt.Value {
	sum := func(v crdt.Value) crdt.Fixed { s, _ := v.P.Add(v.N); return s }
	if sum(a).Less(sum(b)) {
		return b
	}
	return a
}

// wholeOfAll is a mutant: what is said of the cells of a frame is taken for all totals that are held.
func (sl *Slot) wholeOfAll(f *wire.Frame) *wire.Frame {
	all := &wire.Frame{Origin: f.Origin}
	sl.Total.Each(func(id SeriesID, v *crdt.Value, seq uint64) {
		ref, _ := sl.Total.Ref(id)
		all.Cells = append(all.Cells, wire.Cell{Ref: ref, Seq: seq, Value: *v})
	})
	return all
}

// Lacks serves a mutant: what v, an edge's own cell of series id, has beyond the pair that a hub sent.
func (sl *Slot) Lacks(inc crdt.Incarnation, id SeriesID, v *crdt.Value) crdt.Value {
	out, pair := crdt.Bottom(v.Kind), crdt.Bottom(v.Kind)
	if p := sl.yours[inc][id]; p != nil {
		pair = *p
	}
	_ = out.AddExcess(v, &pair)
	return out
}

// Acked serves a mutant: the pairs of a frame's cells are what the edge's copy r had when its hub acknowledged it up to a seq.
func (sl *Slot) Acked(f *wire.Frame, r *Replica, seq uint64) error {
	m := sl.yours[r.Origin.Inc]
	if m == nil {
		m = map[SeriesID]*crdt.Value{}
		sl.yours[r.Origin.Inc] = m
	}
	for i := range f.Cells {
		ref := f.Cells[i].Ref
		if !sl.Total.known(ref) {
			continue
		}
		v, at := r.Cell(sl.Total.series[ref])
		if v == nil || v.Kind != f.Cells[i].Value.Kind || at > seq {
			continue
		}
		if _, err := sl.pair(m, ref).Join(v, 0, nil, 0); err != nil {
			return err
		}
	}
	return nil
}
