package wire

import (
	"fmt"

	"meshd/crdt"
)

// check reports what is wrong with a frame whose Defs and Cells are in order: what holds for every frame that
// is sent and that is received. Names are checked where they are written and read.
func (f *Frame) check() error {
	switch {
	case !f.Origin.Class.Valid():
		return fmt.Errorf("%w: %v", ErrInvalid, f.Origin.Class)
	case f.Stream >= crdt.NumStreams:
		return fmt.Errorf("%w: stream %d", ErrInvalid, f.Stream)
	case f.From > f.To || f.To > f.Head:
		return fmt.Errorf("%w: from %d, to %d, head %d", ErrInvalid, f.From, f.To, f.Head)
	case f.Of != crdt.Incarnation{} && (f.Stream != crdt.StreamWindow || f.Origin.Class != crdt.ClassNode || f.Of == f.Origin.Inc):
		return fmt.Errorf("%w: cells of incarnation %s in stream %d of %s", ErrInvalid, f.Of.Short(), f.Stream, f.Origin)
	case len(f.Defs) > MaxFrameDefs:
		return fmt.Errorf("%w: %d definitions, want at most %d", ErrLimit, len(f.Defs), MaxFrameDefs)
	case len(f.Cells) > MaxFrameCells:
		return fmt.Errorf("%w: %d cells, want at most %d", ErrLimit, len(f.Cells), MaxFrameCells)
	}
	for i := range f.Defs {
		d := &f.Defs[i]
		if err := d.Series.Check(); err != nil {
			return fmt.Errorf("%w: ref %d: %w", ErrInvalid, d.Ref, err)
		}
		if d.Ref > MaxRef || d.Seq == 0 || d.Seq > f.Head || i > 0 && f.Defs[i-1].Ref >= d.Ref {
			return fmt.Errorf("%w: definition %d: ref %d, seq %d", ErrInvalid, i, d.Ref, d.Seq)
		}
	}
	for i := range f.Cells {
		if err := f.checkCell(&f.Cells[i]); err != nil {
			return fmt.Errorf("%w: cell %d: %w", ErrInvalid, i, err)
		}
	}
	return f.checkUnique()
}

// checkCell reports why c cannot be a cell of f.
func (f *Frame) checkCell(c *Cell) error {
	switch {
	case c.Ref > MaxRef:
		return fmt.Errorf("ref %d, want at most %d", c.Ref, MaxRef)
	case c.Seq == 0 || c.Seq > f.Head:
		return fmt.Errorf("ref %d: seq %d, want 1 to %d", c.Ref, c.Seq, f.Head)
	case hasState(c.Value.Kind) && c.Value.X == nil:
		return fmt.Errorf("ref %d: %v without a value", c.Ref, c.Value.Kind)
	case c.Window != crdt.Window{}:
		if err := f.checkWindow(c); err != nil {
			return fmt.Errorf("ref %d: %w", c.Ref, err)
		}
		return nil
	}
	if err := checkValue(f.Origin.Class, &c.Value); err != nil {
		return fmt.Errorf("ref %d: %w", c.Ref, err)
	}
	return nil
}

// checkWindow reports why c cannot be a cell of a window.
func (f *Frame) checkWindow(c *Cell) error {
	w, k, ms := c.Window, c.Value.Kind, int64(1000)
	switch {
	case f.Stream == crdt.StreamLifetime:
		return fmt.Errorf("window in the lifetime stream")
	case w.Width <= 0 || w.Width%ms != 0 || w.Width > maxWindowSeconds*ms:
		return fmt.Errorf("window of %d ms", w.Width)
	case w.Start < 0 || w.Start%w.Width != 0 || w.Start > maxWindowStart*ms:
		return fmt.Errorf("window of %d ms at %d", w.Width, w.Start)
	case !k.Valid() || k.WindowKind() != k || k == crdt.KindSet:
		return fmt.Errorf("%v cell of a window", k)
	case f.Origin.Class == crdt.ClassNode:
		return checkAmounts(&c.Value)
	}
	return nil
}

// checkValue reports why v cannot be the value of a cell of an origin of class c. States were checked when they
// were parsed.
func checkValue(c crdt.Class, v *crdt.Value) error {
	switch k := v.Kind; {
	case !k.Valid() || k.CellKind(c) != k || c == crdt.ClassNode && k == crdt.KindRollup:
		return fmt.Errorf("%v cell of a %v origin", k, c)
	case c == crdt.ClassNode:
		return checkAmounts(v)
	}
	return nil
}

// checkAmounts reports why no node can have written v.
func checkAmounts(v *crdt.Value) error {
	if crdt.MaxCell.Less(v.P) || crdt.MaxCell.Less(v.N) {
		return fmt.Errorf("%v and %v, want at most %v", v.P, v.N, crdt.MaxCell)
	}
	return nil
}

// hasState reports whether the values of kind k live in a State.
func hasState(k crdt.Kind) bool { return k != crdt.KindCounter && k != crdt.KindUpDown }

// checkUnique reports a cell (ref, window) that appears twice. The cells of one kind are in order of window and ref;
// the lists of two kinds are walked side by side.
func (f *Frame) checkUnique() error {
	var byKind [crdt.LastKind + 1][]Cell
	for rest := f.Cells; len(rest) > 0; {
		k, n := rest[0].Value.Kind, 1
		for n < len(rest) && rest[n].Value.Kind == k {
			if compareCells(rest[n-1], rest[n]) == 0 {
				return fmt.Errorf("%w: ref %d appears twice", ErrInvalid, rest[n].Ref)
			}
			n++
		}
		for other := range k {
			if ref, ok := common(byKind[other], rest[:n]); ok {
				return fmt.Errorf("%w: ref %d appears as %v and as %v", ErrInvalid, ref, other, k)
			}
		}
		byKind[k], rest = rest[:n], rest[n:]
	}
	return nil
}

// common returns the ref of a cell (ref, window) that is in both lists.
func common(a, b []Cell) (uint32, bool) {
	for len(a) > 0 && len(b) > 0 {
		x, y := &a[0], &b[0]
		c := compareWindows(x.Window, y.Window)
		switch {
		case c == 0 && x.Ref == y.Ref:
			return x.Ref, true
		case c < 0 || c == 0 && x.Ref < y.Ref:
			a = a[1:]
		default:
			b = b[1:]
		}
	}
	return 0, false
}
