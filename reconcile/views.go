package reconcile

import (
	"maps"
	"slices"

	"meshd/crdt"
	"meshd/internal/wire"
)

// Views is what an edge holds of other regions: one joined cell per series and region, however many nodes, hubs and
// restarts there are. Of each hub's view only the numbering of its series and the progress are kept beside it.
type Views struct {
	cat    *Catalog
	from   map[crdt.Origin]*Replica
	order  order
	joined map[string]*Derived
	names  []string // of the joined regions, in order
}

// NewViews returns an empty set.
func NewViews(cat *Catalog) *Views {
	return &Views{cat: cat, from: map[crdt.Origin]*Replica{}, joined: map[string]*Derived{}}
}

// Replica returns the numbering and progress of a hub's view; its cells stay empty.
func (v *Views) Replica(o crdt.Origin) *Replica {
	r := v.from[o]
	if r == nil {
		r = NewReplica(o, v.cat)
		v.from[o] = r
		v.order.forget()
	}
	return r
}

// Held returns the numbering and progress of a hub's view, or nil.
func (v *Views) Held(o crdt.Origin) *Replica { return v.from[o] }

// Origins returns the views heard, in order. The slice must not be modified.
func (v *Views) Origins() []crdt.Origin {
	return inOrder(&v.order, v.from)
}

// Regions returns the regions of which there is a view, in order. The slice must not be modified.
func (v *Views) Regions() []string { return v.names }

// Region returns the joined cells of a region, or nil.
func (v *Views) Region(region string) *Derived { return v.joined[region] }

// Forget drops the numbering of the views of hub incarnations other than live ones; their cells stay joined.
func (v *Views) Forget(live func(crdt.Origin) bool) {
	maps.DeleteFunc(v.from, func(o crdt.Origin, _ *Replica) bool { return !live(o) })
	v.order.forget()
}

// Apply joins a frame of a view that passed Check.
func (v *Views) Apply(f *wire.Frame) error {
	r := v.Replica(f.Origin)
	for i := range f.Defs {
		id, err := v.cat.Intern(&f.Defs[i].Series)
		if err != nil {
			return err
		}
		r.define(f.Defs[i].Ref, id, f.Defs[i].Seq)
	}
	d := v.joined[f.Origin.Region]
	if d == nil {
		d = NewDerived(crdt.Origin{Class: crdt.ClassView, Region: f.Origin.Region}, v.cat)
		v.joined[f.Origin.Region] = d
		v.names = slices.Sorted(maps.Keys(v.joined))
	}
	for i := range f.Cells {
		c := &f.Cells[i]
		if !r.known(c.Ref) {
			continue
		}
		if err := d.take(r.series[c.Ref], &c.Value); err != nil {
			return err
		}
	}
	r.Progress[f.Stream].Advance(f.From, f.To, f.Head)
	return nil
}

func (d *Derived) take(id SeriesID, v *crdt.Value) error {
	if v.Kind != crdt.KindRollup {
		_, err := d.Raise(id, v)
		return err
	}
	rs := []*crdt.Rollup{v.X.(*crdt.Rollup)}
	if old, _ := d.Cell(id); old != nil {
		rs = append(rs, old.X.(*crdt.Rollup))
	}
	return d.setRollup(id, PickRollup(rs))
}
