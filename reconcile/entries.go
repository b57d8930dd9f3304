package reconcile

import (
	"maps"
	"slices"

	"meshd/crdt"
	"meshd/internal/mutant"
	"meshd/internal/wire"
)

// Entries is what a hub holds of the entries that hubs wrote, its own excepted: every incarnation it ever heard, of
// every region, but for dead ones whose cells living ones contain. The answer for a region is the maximum of each monotone part over its entries, never their sum:
// the maximum of lower bounds is a lower bound, and it is exact as soon as one of them is complete.
type Entries struct {
	// Heard tells whether there is a session with the process that writes an entry; nil: with none. Its answers may change,
	// then Repick wants to be called.
	Heard func(crdt.Origin) bool

	cat   *Catalog
	inc   crdt.Incarnation
	node  string
	all   map[crdt.Origin]*Replica
	order ordered[*Replica]
	views map[string]*Derived // by region: the join of its entries
	anew  map[string]uint32   // by region: how often its view was made anew
	names []string            // of the views, in order
	dead  dead
}

// NewEntries returns an empty set. node and inc name the hub that writes the views.
func NewEntries(node string, inc crdt.Incarnation, cat *Catalog) *Entries {
	return &Entries{cat: cat, node: node, inc: inc, all: map[crdt.Origin]*Replica{}, views: map[string]*Derived{}, anew: map[string]uint32{}, dead: newDead()}
}

// Replica returns the copy of an entry, an empty new one if it was not heard of.
func (e *Entries) Replica(o crdt.Origin) *Replica {
	r := e.all[o]
	if r == nil {
		r = NewReplica(o, e.cat)
		e.all[o] = r
		e.order.forget()
	}
	return r
}

// Held returns the copy of an entry, or nil.
func (e *Entries) Held(o crdt.Origin) *Replica { return e.all[o] }

// Origins returns the origins of all entries held, in order. The slice must not be modified.
func (e *Entries) Origins() []crdt.Origin {
	return e.order.of(e.all).keys
}

// Replicas returns the copies of all entries, in the order of their origins. The slice must not be modified.
func (e *Entries) Replicas() []*Replica { return e.order.of(e.all).vals }

// Hubs returns the names of the other hubs of a region of which there is or was an entry, in order.
func (e *Entries) Hubs(region string) []string {
	names := map[string]bool{}
	for _, list := range [][]crdt.Origin{e.Origins(), e.dead.order} {
		for i := range list {
			if o := &list[i]; o.Region == region && o.Node != e.node {
				names[o.Node] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(names))
}

// Regions returns the regions of which there are entries, in order. The slice must not be modified.
func (e *Entries) Regions() []string { return e.names }

// View returns the join of a region's entries, or nil if there is none.
func (e *Entries) View(region string) *Derived { return e.views[region] }

// Anew returns how often the view of a region was made anew.
func (e *Entries) Anew(region string) uint32 { return e.anew[region] }

// Apply joins a frame of an entry that passed Check, and raises the region's view.
func (e *Entries) Apply(f *wire.Frame) (int, error) {
	r := e.Replica(f.Origin)
	n, err := r.Apply(f, nil)
	if err != nil {
		return n, err
	}
	for i := range f.Cells {
		if ref := f.Cells[i].Ref; r.known(ref) && !e.cat.Gone(r.series[ref]) {
			if err := e.raise(r, ref, &f.Cells[i].Value); err != nil {
				return n, err
			}
		}
	}
	return n, nil
}

// Take adds an entry that was restored from disk.
func (e *Entries) Take(r *Replica) error {
	e.Back(r.Origin) // it came again after it had been dropped
	e.all[r.Origin] = r
	e.order.forget()
	for ref := range r.cells {
		if r.cells[ref].linked {
			if err := e.raise(r, uint32(ref), &r.cells[ref].v); err != nil {
				return err
			}
		}
	}
	return nil
}

func (e *Entries) raise(r *Replica, ref uint32, d *crdt.Value) error {
	view := e.view(r.Origin.Region)
	id := r.series[ref]
	if d.Kind != crdt.KindRollup {
		if mutant.On("entries summed") {
			return view.Add(id, d)
		}
		if mutant.On("old hub entry replaced") {
			view.cells[view.ref(id)].v = crdt.Bottom(d.Kind)
		}
		_, err := view.Raise(id, d)
		return err
	}
	return e.pick(r.Origin.Region, id)
}

func (e *Entries) view(region string) *Derived {
	v := e.views[region]
	if v == nil {
		v = NewDerived(crdt.Origin{Class: crdt.ClassView, Region: region, Node: e.node, Inc: e.inc.Anew(e.anew[region])}, e.cat)
		e.views[region] = v
		e.names = slices.Sorted(maps.Keys(e.views))
	}
	return v
}

// Renew makes the view of a region anew, under an origin of its own, of the entries that are held: so series that none of
// them has any more are passed on to nobody. It does nothing and returns false if the view has no such series.
func (e *Entries) Renew(region string) (bool, error) {
	old := e.views[region]
	if old == nil || !e.outgrown(old) {
		return false, nil
	}
	e.anew[region]++
	delete(e.views, region)
	e.view(region)
	for _, r := range e.Replicas() {
		if r.Origin.Region != region {
			continue
		}
		for ref := range r.cells {
			if r.cells[ref].linked {
				if err := e.raise(r, uint32(ref), &r.cells[ref].v); err != nil {
					return true, err
				}
			}
		}
	}
	return true, nil
}

// outgrown reports whether a view has a cell that no entry has.
func (e *Entries) outgrown(view *Derived) bool {
	var rs []*Replica
	for _, r := range e.Replicas() {
		if r.Origin.Region == view.Origin.Region {
			rs = append(rs, r)
		}
	}
	for ref, id := range view.series {
		if view.cells[ref].linked && !slices.ContainsFunc(rs, func(r *Replica) bool { v, _ := r.Cell(id); return v != nil }) {
			return true
		}
	}
	return false
}
