package reconcile

import (
	"errors"
	"fmt"

	"meshd/crdt"
	"meshd/internal/wire"
)

// MaxRefs bounds the series of one origin. A hub's own entry numbers the series of its whole region.
const MaxRefs = 1 << 20

// ErrFrame is wrapped by every refusal of a frame that contradicts what is held: its origin is to be quarantined.
var ErrFrame = errors.New("frame contradicts the origin's earlier frames")

// Replica is this process' copy of the lifetime cells of one origin, with how far it got in each stream.
type Replica struct {
	Origin   crdt.Origin
	Progress [crdt.NumStreams]crdt.Progress
	Version  uint64 // grows with every frame that changed something
	Touched  int64  // when a frame was last applied, by the caller's clock in milliseconds
	Changed  int64  // when one last changed something, in Unix milliseconds; the caller keeps it

	cat    *Catalog
	series []SeriesID // by ref; noSeries where the definition is not here
	defSeq []uint64   // by ref: the seq at which the series appeared
	cells  []cell     // by ref
	refs   index
	newest int32  // list of the cells that hold something, ordered by seq
	top    uint64 // highest seq of any cell held
	moves  uint64 // grows with everything that happens to a cell
}

// cell is one lifetime cell. Cells are linked in the order of their seqs, so that building a frame costs what
// changed and not what is held.
type cell struct {
	v            crdt.Value
	seq          uint64
	older, newer int32 // refs, -1 at the ends
	linked       bool
}

// NewReplica returns an empty copy of an origin's cells.
func NewReplica(o crdt.Origin, cat *Catalog) *Replica {
	return &Replica{Origin: o, cat: cat, newest: -1}
}

// Sink receives what a raw cell gained, so that totals are kept without being recomputed.
type Sink interface {
	// Target returns the value that a gain of series id is added to and the stamp for the parts that rise; nil if
	// gains of that series are not added up.
	Target(id SeriesID) (sum *crdt.Value, stamp uint64)
	// Gained tells that a cell of series id rose, after its gain was added to the target.
	Gained(id SeriesID)
}

// Len returns the number of series with a definition.
func (r *Replica) Len() int { return r.refs.len() }

// Refs returns the next free ref of an origin that numbers its series densely.
func (r *Replica) Refs() int { return len(r.series) }

// Ref returns the origin's own number of series id.
func (r *Replica) Ref(id SeriesID) (uint32, bool) {
	ref, ok := r.refs.get(id)
	return ref, ok
}

// Series returns the series that the origin numbers ref.
func (r *Replica) Series(ref uint32) (SeriesID, bool) {
	if !r.known(ref) {
		return noSeries, false
	}
	return r.series[ref], true
}

// Top returns the highest seq of any cell held; it may be beyond the cursor.
func (r *Replica) Top() uint64 { return r.top }

// Cell returns the value and seq of series id, or nil. The value must not be modified.
func (r *Replica) Cell(id SeriesID) (*crdt.Value, uint64) {
	ref, ok := r.refs.get(id)
	if !ok || !r.cells[ref].linked {
		return nil, 0
	}
	return &r.cells[ref].v, r.cells[ref].seq
}

// Each calls f for every cell that holds something, in the order of refs.
func (r *Replica) Each(f func(id SeriesID, v *crdt.Value, seq uint64)) {
	for ref := range r.cells {
		if c := &r.cells[ref]; c.linked {
			f(r.series[ref], &c.v, c.seq)
		}
	}
}

// Check reports why f cannot be a frame of this origin given what is held. A frame that passes is applied without
// an error. It changes nothing but the catalog.
func (r *Replica) Check(f *wire.Frame) error {
	if f.Origin != r.Origin {
		return fmt.Errorf("reconcile: %w: frame of %s applied to %s", ErrFrame, f.Origin, r.Origin)
	}
	kinds := make(map[uint32]crdt.Kind, len(f.Defs))
	for i := range f.Defs {
		d := &f.Defs[i]
		if d.Ref >= MaxRefs {
			return fmt.Errorf("reconcile: %w: series number %d, at most %d", ErrFrame, d.Ref, MaxRefs-1)
		}
		if r.Origin.Class == crdt.ClassNode && d.Series.Get(crdt.RollupLabel) != "" {
			return fmt.Errorf("reconcile: %w: a node counts on %s, which only a hub sums up", ErrFrame, &d.Series)
		}
		id, err := r.cat.Intern(&d.Series)
		if err != nil {
			return err
		}
		if int(d.Ref) < len(r.series) && r.series[d.Ref] != noSeries && r.series[d.Ref] != id {
			return fmt.Errorf("reconcile: %w: number %d is %s and not %s", ErrFrame, d.Ref, r.cat.Series(r.series[d.Ref]), &d.Series)
		}
		if ref, ok := r.refs.get(id); ok && ref != d.Ref {
			return fmt.Errorf("reconcile: %w: %s has the numbers %d and %d", ErrFrame, &d.Series, ref, d.Ref)
		}
		kinds[d.Ref] = d.Series.Kind
	}
	for i := range f.Cells {
		c := &f.Cells[i]
		k, ok := kinds[c.Ref]
		if !ok && r.known(c.Ref) {
			k, ok = r.cat.Series(r.series[c.Ref]).Kind, true
		}
		if ok && k.CellKind(r.Origin.Class) != c.Value.Kind {
			return fmt.Errorf("reconcile: %w: a %s cell for a %s series", ErrFrame, c.Value.Kind, k)
		}
		if !ok && f.From <= r.Progress[f.Stream].Cursor {
			return fmt.Errorf("reconcile: %w: cell of series %d without its definition", ErrFrame, c.Ref)
		}
	}
	return nil
}

func (r *Replica) known(ref uint32) bool {
	return int(ref) < len(r.series) && r.series[ref] != noSeries
}

// Apply joins the cells of a frame that passed Check and moves the cursor if the frame connects to it. Cells whose
// definition is not here (a frame beyond a gap) are left out; they come again when the gap is filled. sink may be
// nil. It returns the number of cells that rose. Window cells are not kept by this version.
func (r *Replica) Apply(f *wire.Frame, sink Sink) (rose int, err error) {
	for i := range f.Defs {
		d := &f.Defs[i]
		id, err := r.cat.Intern(&d.Series)
		if err != nil {
			return rose, err
		}
		r.define(d.Ref, id, d.Seq)
	}
	order, near := bySeq(f.Cells), int32(-1)
	for i := range f.Cells {
		c := &f.Cells[i]
		if order != nil {
			c = &f.Cells[order[i]]
		}
		if c.Window != (crdt.Window{}) || !r.known(c.Ref) {
			continue
		}
		if r.cat.Gone(r.series[c.Ref]) {
			r.cat.Late++
			continue
		}
		up, err := r.join(c.Ref, &c.Value, c.Seq, sink, near)
		if err != nil {
			return rose, err
		}
		if up {
			rose++
			near = int32(c.Ref)
		}
	}
	before := r.Progress[f.Stream]
	r.Progress[f.Stream].Advance(f.From, f.To, f.Head)
	if rose > 0 || before != r.Progress[f.Stream] {
		r.Version++
	}
	return rose, nil
}

func (r *Replica) define(ref uint32, id SeriesID, seq uint64) {
	for uint32(len(r.series)) <= ref {
		r.series = append(r.series, noSeries)
		r.defSeq = append(r.defSeq, 0)
		r.cells = append(r.cells, cell{})
	}
	if r.series[ref] != noSeries {
		return
	}
	r.series[ref], r.defSeq[ref] = id, seq
	r.refs.put(id, ref)
	r.cells[ref].v = crdt.Bottom(r.cat.Series(id).Kind.CellKind(r.Origin.Class))
}

// join joins one cell. near is as in place.
func (r *Replica) join(ref uint32, d *crdt.Value, seq uint64, sink Sink, near int32) (bool, error) {
	c := &r.cells[ref]
	var sum *crdt.Value
	var stamp uint64
	if sink != nil {
		sum, stamp = sink.Target(r.series[ref])
	}
	up, err := c.v.Join(d, seq, sum, stamp)
	if err != nil || !up && c.linked { // a first write of zero is a change: the series exists from then on
		return false, err
	}
	r.place(ref, seq, near)
	if sink != nil {
		sink.Gained(r.series[ref])
	}
	return true, nil
}

// touch records that the cell of ref changed at seq.
func (r *Replica) touch(ref uint32, seq uint64) { r.place(ref, seq, -1) }

// place records that the cell of ref changed at seq and moves it to its place in the list: behind all that are not newer.
// near is a cell whose place is probably just before that, -1 if none is known; it changes how long the search takes only.
func (r *Replica) place(ref uint32, seq uint64, near int32) {
	r.moves++
	c := &r.cells[ref]
	if c.linked && seq <= c.seq {
		return
	}
	if c.linked {
		r.unlink(ref)
	}
	c.seq, c.linked = seq, true
	r.top = max(r.top, seq)
	newer, older := r.gap(ref, seq, near)
	c.older, c.newer = older, newer
	if older >= 0 {
		r.cells[older].newer = int32(ref)
	}
	if newer >= 0 {
		r.cells[newer].older = int32(ref)
	} else {
		r.newest = int32(ref)
	}
}

func (r *Replica) unlink(ref uint32) {
	r.moves++
	c := &r.cells[ref]
	if c.older >= 0 {
		r.cells[c.older].newer = c.newer
	}
	if c.newer >= 0 {
		r.cells[c.newer].older = c.older
	} else {
		r.newest = c.older
	}
	c.linked = false
}
