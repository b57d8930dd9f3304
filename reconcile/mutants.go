package reconcile

import "meshd/crdt"

// maxFirst is a mutant: the maximum over hubs of totals and of pairs, and own changes after.
func (s *Slots) maxFirst(id SeriesID, own []*Replica) (crdt.Value, bool, error) {
	one := &Slot{Total: *NewReplica(crdt.Origin{}, s.cat), yours: map[crdt.Incarnation]map[SeriesID]*crdt.Value{}}
	one.Total.define(0, id, 0)
	for _, o := range s.Origins() {
		sl := s.all[o]
		if t, _ := sl.Total.Cell(id); t != nil {
			_, _ = one.Total.join(0, t, 1, nil)
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
