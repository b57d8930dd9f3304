package reconcile

import "meshd/crdt"

// Floor is what hub processes that are over had added up of their own region, where no living total reached it yet:
// after all hubs of a region lost their disks, other regions still know the old totals and relay them back. It is
// one more candidate for the maximum, at hubs and, sent down as the hub's view of its own region, at edges; and as
// long as there is something in it that the totals lack, the region is not complete.
type Floor struct {
	Cells *Derived

	below map[crdt.Origin]uint64 // entries that the totals contain, by the version that was looked at
	above int
}

// NewFloor returns an empty floor. view is the hub's ClassView origin of its own region.
func NewFloor(view crdt.Origin, cat *Catalog) *Floor {
	return &Floor{Cells: NewDerived(view, cat), below: map[crdt.Origin]uint64{}}
}

// Above returns how many dead entries have something that the totals lacked at the last Update.
func (f *Floor) Above() int { return f.above }

// Update compares the dead entries of the region with its totals. Both only rise, so an entry that is contained
// stays so and is looked at again only if a late frame of it came.
func (f *Floor) Update(e *Entries, total *Derived, dead func(crdt.Origin) bool) error {
	f.above = 0
	for _, o := range e.Origins() {
		r := e.all[o]
		if o.Region != total.Origin.Region || !dead(o) {
			continue
		}
		if v, ok := f.below[o]; ok && v == r.Version {
			continue
		}
		contained, err := f.compare(r, total)
		if err != nil {
			return err
		}
		if !contained {
			f.above++
			continue
		}
		f.below[o] = r.Version
	}
	return nil
}

// Contains reports whether the totals contain all of a dead entry, as it was at the last Update.
func (f *Floor) Contains(r *Replica) bool {
	v, ok := f.below[r.Origin]
	return ok && v == r.Version
}

// Contained returns how many dead entries the totals contain.
func (f *Floor) Contained() int { return len(f.below) }

// Forget is told that an entry was dropped.
func (f *Floor) Forget(o crdt.Origin) { delete(f.below, o) }

// compare raises the floor by what r has beyond the totals and reports whether that is nothing. Rollups are of the
// moment: those of a dead hub are old.
func (f *Floor) compare(r *Replica, total *Derived) (contained bool, err error) {
	contained = true
	sums := sumsOf{}
	r.Each(func(id SeriesID, v *crdt.Value, _ uint64) {
		if err != nil || v.Kind == crdt.KindRollup {
			return
		}
		said := v
		if total.cat.versions.of(id).version != "" {
			said = additive(v)
		}
		have, e := sums.have(id, said.Kind, total)
		rose := false
		if e == nil {
			rose, e = have.Join(said, 0, nil, 0)
		}
		if e == nil && rose {
			contained = false
			_, e = f.Cells.Raise(id, v)
		}
		err = e
	})
	return contained, err
}

// sumsOf are the sums of totals that dead entries may have exported, by metric and version and by labels.
type sumsOf map[told]map[string]*crdt.Value

// have returns what totals say of a series that may be a sum without some labels; the value is the caller's.
func (s sumsOf) have(id SeriesID, k crdt.Kind, total *Derived) (crdt.Value, error) {
	t := total.cat.versions.of(id)
	if t.version == "" {
		if v, _ := total.Cell(id); v != nil {
			return v.Clone(), nil
		}
		return crdt.Bottom(k), nil
	}
	drop := append(lacking(t.version), crdt.RollupLabel)
	if s[t] == nil {
		s[t] = map[string]*crdt.Value{}
		for _, of := range t.metric.series[""] {
			if v, _ := total.Cell(of); v != nil {
				if err := addTo(s[t], total.cat.Series(of), drop, additive(v)); err != nil {
					return crdt.Value{}, err
				}
			}
		}
	}
	key := (&crdt.Series{Labels: without(total.cat.Series(id).Labels, drop)}).AppendKey(nil)
	if v := s[t][string(key)]; v != nil {
		return v.Clone(), nil
	}
	return crdt.Bottom(k), nil
}
