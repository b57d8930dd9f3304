package reconcile

import (
	"meshd/crdt"
	"meshd/internal/wire"
)

// seqBytes is how many bytes of changes a writer of derived cells (a hub's totals and views) puts under one seq.
// Cells of one seq are never split over frames, so a seq must stay well below a frame.
const seqBytes = 64 << 10

// Derived is the replica of cells that this process writes from others' cells: a hub's region totals and its views
// of other regions. It needs no disk: its incarnation is the process', and a restart derives it anew.
type Derived struct {
	Replica
	open bool // the seq Cursor+1 has changes
	size int
}

// NewDerived returns an empty derived origin.
func NewDerived(o crdt.Origin, cat *Catalog) *Derived {
	return &Derived{Replica: *NewReplica(o, cat)}
}

// next returns the seq for a change, a new one when the open one is large enough.
func (d *Derived) next() uint64 {
	if d.open && d.size >= seqBytes {
		d.Close()
	}
	d.open = true
	return d.Progress[crdt.StreamLifetime].Cursor + 1
}

// Close ends the open seq: what changed until now may be sent. It reports whether there was a change.
func (d *Derived) Close() bool {
	if !d.open {
		return false
	}
	for s := range d.Progress {
		p := &d.Progress[s]
		p.Advance(p.Cursor, p.Cursor+1, p.Cursor+1)
	}
	d.open, d.size = false, 0
	return true
}

// Seq returns the last closed seq.
func (d *Derived) Seq() uint64 { return d.Progress[crdt.StreamLifetime].Cursor }

// ref returns the ref of series id, defining it at the open seq if it is new.
func (d *Derived) ref(id SeriesID) uint32 {
	if ref, ok := d.refs.get(id); ok {
		return ref
	}
	seq, ref := d.next(), uint32(len(d.series))
	d.define(ref, id, seq)
	d.size += d.defBytes(ref)
	return ref
}

// Target implements Sink: gains of raw cells are added to the totals. Gauges are not added up.
func (d *Derived) Target(id SeriesID) (*crdt.Value, uint64) {
	if d.cat.Series(id).Kind == crdt.KindGauge {
		return nil, 0
	}
	return &d.cells[d.ref(id)].v, d.next()
}

// Gained implements Sink.
func (d *Derived) Gained(id SeriesID) {
	if d.cat.Series(id).Kind == crdt.KindGauge {
		return
	}
	d.touch(d.ref(id), d.next())
	d.size += 2 * counterBytes
}

// Raise joins v into the cell of series id and reports whether it rose.
func (d *Derived) Raise(id SeriesID, v *crdt.Value) (bool, error) { return d.raise(d.ref(id), v) }

func (d *Derived) raise(ref uint32, v *crdt.Value) (bool, error) {
	seq := d.next()
	c := &d.cells[ref]
	up, err := c.v.Join(v, seq, nil, 0)
	if err != nil || !up && c.linked {
		return false, err
	}
	d.touch(ref, seq)
	d.size += 2 * counterBytes
	return up, nil
}

// Add adds v to the cell of series id: how the sums of cold incarnations enter the totals at a start.
func (d *Derived) Add(id SeriesID, v *crdt.Value) error {
	ref, seq := d.ref(id), d.next()
	c := &d.cells[ref]
	sum := c.v.Clone()
	if err := sum.Combine(v); err != nil {
		return err
	}
	if _, err := c.v.Join(&sum, seq, nil, 0); err != nil {
		return err
	}
	d.touch(ref, seq)
	d.size += 2 * counterBytes
	return nil
}

// Frame is Build on the lifetime stream.
func (d *Derived) Frame(from uint64, maxBytes int) (*wire.Frame, bool) {
	return d.Build(crdt.StreamLifetime, from, maxBytes)
}
