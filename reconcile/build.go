package reconcile

import (
	"cmp"
	"slices"

	"meshd/crdt"
	"meshd/internal/mutant"
	"meshd/internal/wire"
)

// counterBytes is what a counter cell is taken to cost in a frame when a frame's size is planned.
const counterBytes = 8

// defBytes is the same for a definition, without its names.
const defBytes = 16

// change is one thing that a frame may have to carry: size bytes that belong to seq.
type change struct {
	seq  uint64
	size int
}

// Build returns the frame that takes a peer that got to from as far towards the cursor as fits into about maxBytes,
// always by at least one seq. ok is false when the peer has everything up to the cursor. The frame's values share
// no memory with the replica except immutable parts; series definitions are shared and must not be modified.
//
// A cell that changed again after the frame's end is left out, or with kinds that have parts, those parts of it;
// the frame's head says so, and a later frame brings them.
func (r *Replica) Build(s crdt.Stream, from uint64, maxBytes int) (f *wire.Frame, ok bool) {
	p := r.Progress[s]
	if from >= p.Cursor {
		return nil, false
	}
	f = &wire.Frame{Origin: r.Origin, Stream: s, From: from, To: p.Cursor, Head: max(p.Cursor, p.Owed, r.top)}
	if mutant.On("relay head without top") {
		f.Head = p.Cursor
	}
	if s != crdt.StreamLifetime {
		return f, true
	}
	refs, total := r.since(from)
	if total > maxBytes {
		f.To = r.cut(refs, from, p.Cursor, maxBytes)
	}
	r.fill(f, refs, from, f.To)
	if r.Origin.Class == crdt.ClassView { // readers of views keep no seqs of cells: equal ones take no bytes
		for i := range f.Cells {
			f.Cells[i].Seq = f.To
		}
	}
	return f, true
}

// Extras returns what is held beyond the replica's own cursor, as frames that move no cursor: cells that came over a
// gap would otherwise reach nobody else if their origin died. Each brings the definitions of its cells.
func (r *Replica) Extras(maxBytes int) []*wire.Frame {
	p := r.Progress[crdt.StreamLifetime]
	if r.top <= p.Cursor {
		return nil
	}
	refs, _ := r.since(p.Cursor)
	var out []*wire.Frame
	var f *wire.Frame
	size := 0
	for _, ref := range refs {
		d, tag, ok := r.cells[ref].v.Delta(p.Cursor, r.top, r.cells[ref].seq)
		if !ok {
			continue
		}
		if f == nil || size >= maxBytes {
			f, size = &wire.Frame{Origin: r.Origin, From: p.Cursor, To: p.Cursor, Head: max(p.Owed, r.top)}, 0
			out = append(out, f)
		}
		f.Defs = append(f.Defs, r.def(ref))
		f.Cells = append(f.Cells, wire.Cell{Ref: ref, Seq: tag, Value: d})
		size += counterBytes + r.defBytes(ref)
		if d.X != nil {
			size += d.X.Size()
		}
	}
	return out
}

// Snapshot calls emit with frames of at most about maxBytes that together hold every cell and definition and move
// no cursor. It is what a checkpoint writes beside the progress.
func (r *Replica) Snapshot(maxBytes int, emit func(*wire.Frame) error) error {
	f, size := r.emptySnapshot(), 0
	n := min(len(r.cells), maxBytes/(defBytes+counterBytes)+1) // no frame has more
	f.Defs, f.Cells = make([]wire.Def, 0, n), make([]wire.Cell, 0, n)
	for ref := range r.cells {
		if r.series[ref] == noSeries {
			continue
		}
		f.Defs = append(f.Defs, r.def(uint32(ref)))
		f.Head = max(f.Head, r.defSeq[ref]) // its cell may have been left out for a newer one that is not here yet
		size += r.defBytes(uint32(ref))
		if c := &r.cells[ref]; c.linked {
			f.Cells = append(f.Cells, wire.Cell{Ref: uint32(ref), Seq: c.seq, Value: c.v})
			size += counterBytes
			if c.v.X != nil {
				size += c.v.X.Size()
			}
		}
		if size >= maxBytes {
			if err := emit(f); err != nil {
				return err
			}
			f, size = r.emptySnapshot(), 0
		}
	}
	if len(f.Defs) == 0 {
		return nil
	}
	return emit(f)
}

func (r *Replica) emptySnapshot() *wire.Frame {
	return &wire.Frame{Origin: r.Origin, Head: r.top}
}

// since returns the refs of all cells that changed after from, oldest change first, and about how many bytes their
// changes and the definitions since from take.
func (r *Replica) since(from uint64) (refs []uint32, bytes int) {
	for ref := r.newest; ref >= 0 && r.cells[ref].seq > from; ref = r.cells[ref].older {
		refs = append(refs, uint32(ref))
		if x := r.cells[ref].v.X; x != nil {
			x.Stamps(from, func(_ uint64, size int) { bytes += size })
		}
		bytes += counterBytes
	}
	slices.Reverse(refs)
	r.defsSince(from, func(ref uint32) { bytes += r.defBytes(ref) })
	return refs, bytes
}

// cut returns the highest seq, at most to, up to which the changes after from fit into maxBytes; at least the first
// seq that has any.
func (r *Replica) cut(refs []uint32, from, to uint64, maxBytes int) uint64 {
	var cs []change
	for _, ref := range refs {
		c := &r.cells[ref]
		if c.v.X == nil {
			cs = append(cs, change{c.seq, counterBytes})
			continue
		}
		c.v.X.Stamps(from, func(seq uint64, size int) { cs = append(cs, change{seq, size}) })
	}
	r.defsSince(from, func(ref uint32) { cs = append(cs, change{r.defSeq[ref], r.defBytes(ref)}) })
	slices.SortFunc(cs, func(a, b change) int { return cmp.Compare(a.seq, b.seq) })
	size := 0
	for i, c := range cs {
		if c.seq > to {
			break
		}
		if size += c.size; size > maxBytes && i > 0 && cs[i-1].seq < c.seq && cs[i-1].seq > from {
			return cs[i-1].seq
		}
	}
	return to
}

// fill puts the definitions and the parts that changed in (from, to] into f.
func (r *Replica) fill(f *wire.Frame, refs []uint32, from, to uint64) {
	r.defsSince(from, func(ref uint32) {
		if r.defSeq[ref] <= to {
			f.Defs = append(f.Defs, r.def(ref))
		}
	})
	f.Cells = make([]wire.Cell, 0, len(refs))
	for _, ref := range refs {
		c := &r.cells[ref]
		if d, tag, ok := c.v.Delta(from, to, c.seq); ok {
			f.Cells = append(f.Cells, wire.Cell{Ref: ref, Seq: tag, Value: d})
		}
	}
	f.Sort()
}

// defsSince calls f for the refs of the definitions with a seq after from. Refs are given in the order of seqs by
// the origin, so that the walk from the end can stop at the first older one.
func (r *Replica) defsSince(from uint64, f func(ref uint32)) {
	for i, id := range slices.Backward(r.series) {
		if id == noSeries {
			continue
		}
		if r.defSeq[i] <= from {
			return
		}
		f(uint32(i))
	}
}

func (r *Replica) def(ref uint32) wire.Def {
	return wire.Def{Ref: ref, Seq: r.defSeq[ref], Series: *r.cat.Series(r.series[ref])}
}

func (r *Replica) defBytes(ref uint32) int {
	s := r.cat.Series(r.series[ref])
	n := defBytes + len(s.Name)
	for _, l := range s.Labels {
		n += 4 + len(l.Name) + len(l.Value)
	}
	return n
}
