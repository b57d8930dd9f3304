package reconcile

import (
	"fmt"
	"maps"
	"slices"

	"meshd/crdt"
	"meshd/internal/wire"
)

// Views is what an edge holds of other regions: one joined cell per series and region, however many nodes, hubs and
// restarts there are. Of each hub's view only the numbering of its series and the progress are kept beside it.
type Views struct {
	Heard func(crdt.Origin) bool // as that of Entries

	cat    *Catalog
	from   map[crdt.Origin]*View
	order  ordered[*View]
	joined map[string]*Derived
	names  []string // of the joined regions, in order
}

// View is how far an edge got in one hub's view of a region. Its cells are joined into those of the other hubs' views.
type View struct {
	Origin   crdt.Origin
	Progress [crdt.NumStreams]crdt.Progress

	series []SeriesID // by ref; noSeries where the definition is not here
	at     []uint32   // by ref: number of the series in the joined cells

	rollups map[uint32]*crdt.Rollup // by number in the joined cells: what the hub said last of gauges
	gone    map[SeriesID]bool       // let go of by Prune: within what Progress says is held, and not here
}

// NewViews returns an empty set.
func NewViews(cat *Catalog) *Views {
	return &Views{cat: cat, from: map[crdt.Origin]*View{}, joined: map[string]*Derived{}}
}

// Held returns how far a hub's view is held, or nil.
func (v *Views) Held(o crdt.Origin) *View { return v.from[o] }

// All returns the views heard, in the order of their origins. The slice must not be modified.
func (v *Views) All() []*View { return v.order.of(v.from).vals }

// Regions returns the regions of which there is a view, in order. The slice must not be modified.
func (v *Views) Regions() []string { return v.names }

// Region returns the joined cells of a region, or nil.
func (v *Views) Region(region string) *Derived { return v.joined[region] }

// Forget drops the numbering of the views of hub incarnations other than live ones, and of those that a hub made anew since;
// their cells stay joined.
func (v *Views) Forget(live func(crdt.Origin) bool) {
	was := len(v.from)
	all := v.All()
	for _, from := range all {
		if !live(from.Origin) || superseded(all, from.Origin) {
			delete(v.from, from.Origin)
		}
	}
	if len(v.from) != was {
		v.order.forget()
	}
}

// Superseded reports whether a hub made a view anew after one.
func (v *Views) Superseded(o crdt.Origin) bool { return superseded(v.All(), o) }

func superseded(views []*View, o crdt.Origin) bool {
	return slices.ContainsFunc(views, func(p *View) bool {
		return p.Origin.Region == o.Region && p.Origin.Node == o.Node && p.Origin.Inc.Replaces(o.Inc)
	})
}

// Prune lets go of a region's cells that passed holds for and no view has, or that left holds for, too. It moves the others:
// what is held of the region is another Derived afterwards. Of what a view has its progress says too much then: see Again.
func (v *Views) Prune(region string, passed, left func(SeriesID) bool) error {
	old, sent := v.joined[region], map[SeriesID]bool{}
	if old == nil {
		return nil
	}
	for _, from := range v.All() {
		if from.Origin.Region == region {
			for _, id := range from.series {
				sent[id] = true
			}
		}
	}
	kept := NewDerived(old.Origin, v.cat)
	gone, let := false, map[SeriesID]bool{}
	for ref := range old.cells {
		c, id := &old.cells[ref], old.series[ref]
		if !c.linked {
			gone = gone || !sent[id] // its number was kept as long as a view had it
			continue
		}
		if !passed(id) || sent[id] && !left(id) {
			if _, err := kept.Raise(id, &c.v); err != nil {
				return err
			}
			continue
		}
		gone, let[id] = true, true
	}
	if !gone {
		return nil
	}
	v.joined[region] = kept
	for _, from := range v.All() {
		if from.Origin.Region != region {
			continue
		}
		rollups := map[uint32]*crdt.Rollup{}
		for ref, id := range from.series {
			if id == noSeries {
				continue
			}
			if let[id] {
				from.lose(id)
			}
			was := from.at[ref]
			from.at[ref] = kept.ref(id)
			if r := from.rollups[was]; r != nil {
				rollups[from.at[ref]] = r
			}
		}
		from.rollups = rollups
	}
	return nil
}

// Apply joins a frame of a view. It refuses one that contradicts what the hub said before (ErrFrame), or names more
// series than this process may know (crdt.ErrLimit), and then joins nothing of it.
func (v *Views) Apply(f *wire.Frame) error {
	from := v.from[f.Origin]
	if from == nil {
		from = &View{Origin: f.Origin}
		v.from[f.Origin] = from
		v.order.forget()
	}
	d := v.joined[f.Origin.Region]
	if d == nil {
		d = NewDerived(crdt.Origin{Class: crdt.ClassView, Region: f.Origin.Region}, v.cat)
		v.joined[f.Origin.Region] = d
		v.names = slices.Sorted(maps.Keys(v.joined))
	}
	if err := v.define(from, d, f.Defs); err != nil {
		return err
	}
	if err := v.check(from, f); err != nil {
		return err
	}
	for i := range f.Cells {
		c := &f.Cells[i]
		if c.Window != (crdt.Window{}) || !from.known(c.Ref) {
			continue // of the latter its definition comes when the gap before the frame is filled, and it again
		}
		if v.cat.Gone(from.series[c.Ref]) {
			v.cat.Late++
			continue
		}
		if err := v.take(from, d, from.at[c.Ref], &c.Value); err != nil {
			return err
		}
		delete(from.gone, from.series[c.Ref])
	}
	from.Progress[f.Stream].Advance(f.From, f.To, f.Head)
	return nil
}

func (from *View) known(ref uint32) bool {
	return int(ref) < len(from.series) && from.series[ref] != noSeries
}

// define takes over how a hub numbers its series.
func (v *Views) define(from *View, d *Derived, defs []wire.Def) error {
	for i := range defs {
		ref := defs[i].Ref
		if ref >= MaxRefs {
			return fmt.Errorf("reconcile: %w: series number %d, at most %d", ErrFrame, ref, MaxRefs-1)
		}
		id, err := v.cat.Intern(&defs[i].Series)
		if err != nil {
			return err
		}
		if from.known(ref) {
			if from.series[ref] != id {
				return fmt.Errorf("reconcile: %w: number %d is %s and not %s", ErrFrame, ref, v.cat.Series(from.series[ref]), &defs[i].Series)
			}
			continue
		}
		for len(from.series) <= int(ref) {
			from.series, from.at = append(from.series, noSeries), append(from.at, 0)
		}
		from.series[ref], from.at[ref] = id, d.ref(id)
	}
	return nil
}

// check refuses cells of another kind than their series, and cells nobody can know the series of.
func (v *Views) check(from *View, f *wire.Frame) error {
	for i := range f.Cells {
		c := &f.Cells[i]
		if !from.known(c.Ref) {
			if f.From <= from.Progress[f.Stream].Cursor {
				return fmt.Errorf("reconcile: %w: cell of series %d without its definition", ErrFrame, c.Ref)
			}
			continue
		}
		if k := v.cat.Series(from.series[c.Ref]).Kind.CellKind(crdt.ClassView); k != c.Value.Kind {
			return fmt.Errorf("reconcile: %w: a %s cell, want %s", ErrFrame, c.Value.Kind, k)
		}
	}
	return nil
}

// take joins x, of a hub's view, into the cell numbered at. Of a gauge it keeps what each hub said.
func (v *Views) take(from *View, d *Derived, at uint32, x *crdt.Value) error {
	if x.Kind != crdt.KindRollup {
		_, err := d.raise(at, x)
		return err
	}
	from.said(at, x.X.(*crdt.Rollup))
	return d.setRollup(d.series[at], v.Rollup(d.Origin.Region, d.series[at]))
}
