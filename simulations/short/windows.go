package short

import (
	"encoding/binary"
	"errors"
	"slices"

	"meshd/crdt"
	"meshd/internal/wire"
	"meshd/node"
)

// widths are those of the windows that a node keeps.
var widths = [...]int64{fineWidth, crdt.MinuteMillis, crdt.HourMillis}

// past is what is known of windows, by whose they are. Values are joined.
type past map[pastKey]amounts

type pastKey struct {
	owner crdt.Incarnation // of a process; of a region: see totalsOf
	crdt.Window
}

// totalsOf stands for the owner of a region's totals: those of all its hubs are joined.
func totalsOf(region int) crdt.Incarnation { return crdt.Incarnation{15: byte(region + 1)} }

func ownerOf(o crdt.Origin) crdt.Incarnation {
	if o.Class == crdt.ClassNode {
		return o.Inc
	}
	return totalsOf(slices.Index(regionNames[:], o.Region))
}

func (p past) join(k pastKey, a *amounts) {
	was := p[k]
	was.raise(a)
	p[k] = was
}

// when draws a time of an event: mostly now, else a moment, minutes or more ago, or in one of a few windows that fill again and
// again; 0, the time of the writer, where no windows are kept.
func (w *World) when(bits uint16) int64 {
	if !w.s.Plan.Windows {
		return 0
	}
	more := int64(bits >> 3)
	switch bits % 8 {
	case 4:
		return w.now - fineWidth
	case 5:
		return w.now - 3*fineWidth
	case 6:
		return w.now - more%3*crdt.MinuteMillis
	case 7:
		return began - crdt.HourMillis*(more%2) - fineWidth*(more>>1%2)
	}
	return w.now
}

// wants does what a core wants of its history and of the frames on its disk.
func (w *World) wants(m *machine, out *node.Output) {
	p := m.proc
	for i := range out.Published {
		pub := &out.Published[i]
		for j := range pub.Cells {
			c := &pub.Cells[j]
			k := pastKey{ownerOf(pub.Owner), c.Window}
			var a amounts
			if at := indexOf(c.Series.Name); at < 0 || !a.set(at, &c.Value) {
				w.fail("I3", "%s tells its history of %s, which nobody wrote", m.name, c.Series)
			}
			if durable := m.disk.past[k]; !a.within(&durable) {
				w.fail("I7", "%s tells its history %v of %s, and %v is on its disk", m.name, &a, pub.Owner, &durable)
			}
			p.past.join(k, &a)
		}
	}
	for _, want := range out.WindowReads {
		if w.ids++; w.ids%16 == 0 {
			p.reads = append(p.reads, func() node.Event { return node.WindowsRead{ID: want.ID, Err: errors.New("short: not now")} })
			continue
		}
		p.reads = append(p.reads, func() node.Event { return w.history(m, &want) })
	}
	for _, want := range out.FrameReads {
		p.reads = append(p.reads, func() node.Event { return node.ReadFrames(m.disk, want) })
	}
	for _, want := range out.OldFrames {
		p.reads = append(p.reads, func() node.Event { return node.ReadOldFrames(m.disk, want) })
	}
}

// history answers for what a process told its history: cells of one process, or sums over all of its region.
func (w *World) history(m *machine, want *node.WindowRead) node.WindowsRead {
	out := node.WindowsRead{ID: want.ID}
	for i := range want.Keys {
		k := &want.Keys[i]
		var sum amounts
		if want.From != (crdt.Origin{}) {
			w.report.Reopened++
			sum = m.proc.past[pastKey{want.From.Inc, k.Window}]
		} else {
			for _, by := range w.truth.order {
				if a := m.proc.past[pastKey{by.origin.Inc, k.Window}]; by.region == m.region {
					sum.add(&a)
				}
			}
		}
		out.Values = append(out.Values, valueOf(indexOf(k.Series.Name), &sum))
	}
	return out
}

// The parts of a stored publication before its frame: when it was stored, and whose number it is.
const (
	storedAt    = 8
	storedIndex = 1 + 16 + 8
)

// readPublication joins a frame of windows into the oracle's reading. No publication ever changes; the first to store one is
// held to what was asked for.
func (w *World) readPublication(d *disk, value []byte) {
	index, raw := string(value[storedAt:storedAt+storedIndex]), value[storedAt+storedIndex:]
	first, known := w.truth.published[index]
	if known && string(first) != string(raw) {
		w.fail("I1", "publication %x has two contents", index)
	}
	f, err := w.parser.Parse(raw)
	if err != nil {
		w.fail("I2", "a publication on disk does not parse: %v", err)
		return
	}
	owner := f.Owner()
	if by := w.truth.writers[owner.Inc]; by == nil || owner.Class == crdt.ClassNode && by.origin != owner {
		w.fail("I6", "windows of %s, which never ran", owner)
	}
	w.truth.published[index] = raw
	if !known {
		w.report.Windows += len(f.Cells)
	}
	series := map[uint32]int{}
	for i := range f.Defs {
		series[f.Defs[i].Ref] = indexOf(f.Defs[i].Series.Name)
	}
	for i := range f.Cells {
		c := &f.Cells[i]
		var a amounts
		if at := series[c.Ref]; at < 0 || !a.set(at, &c.Value) {
			w.fail("I3", "windows of %s in which nobody counted", owner)
		}
		if most := w.mostIn(owner, c.Window); !known && !a.within(&most) {
			w.fail("I3", "%s publishes %v at %d of %d ms, where %v was asked for", owner, &a, c.Window.Start-began, c.Window.Width, &most)
		}
		d.past.join(pastKey{ownerOf(owner), c.Window}, &a)
	}
	if f.Of != (crdt.Incarnation{}) {
		w.report.Left++
	}
}

// readOpen joins the open windows of a process into the oracle's reading.
func (w *World) readOpen(d *disk, by *writer, f *wire.Frame) {
	for i := range f.Cells {
		if at, ok := by.series(f.Cells[i].Ref); ok {
			var a amounts
			a.set(at, &f.Cells[i].Value)
			d.open.join(pastKey{by.origin.Inc, f.Cells[i].Window}, &a)
		}
	}
}

// checkStream holds a disk to how far it says it has the publications of a stream (I13). All up to the one before were there
// when it said so of that.
func (w *World) checkStream(d *disk, value []byte) {
	p, err := wire.ParseStoredProgress(value)
	if err != nil {
		w.fail("I2", "how far a stream is does not parse: %v", err)
		return
	}
	for n := p.Progress[crdt.StreamWindow].Cursor; n > 0 && n+1 >= p.Progress[crdt.StreamWindow].Cursor; n-- {
		key := append([]byte{'n', '/', byte(p.Origin.Class)}, p.Origin.Inc[:]...)
		if _, ok := d.find(string(binary.BigEndian.AppendUint64(key, n))); !ok {
			w.fail("I13", "a disk claims publication %d of %s and does not have it", n, p.Origin)
		}
	}
}

// mostIn returns what may be in a window of an owner at most.
func (w *World) mostIn(owner crdt.Origin, win crdt.Window) (sum amounts) {
	if owner.Class == crdt.ClassNode {
		return w.truth.writers[owner.Inc].mostIn(win)
	}
	for _, by := range w.truth.order {
		if by.origin.Region == owner.Region {
			a := by.mostIn(win)
			sum.add(&a)
		}
	}
	return sum
}

func (by *writer) mostIn(win crdt.Window) (sum amounts) {
	for _, r := range by.requests {
		if r.outcome != refused && crdt.WindowAt(r.at, win.Width) == win {
			sum.add(&r.amounts)
		}
	}
	return sum
}

// span is what a window has at least and at most: they differ where nobody knows whether a request was counted.
type span struct{ least, most amounts }

// spans returns the windows of a process.
func (by *writer) spans() map[crdt.Window]span {
	var sure, all amounts
	for _, r := range by.requests {
		if r.outcome == accepted {
			sure.add(&r.amounts)
		}
		if r.outcome != refused {
			all.add(&r.amounts)
		}
	}
	out := map[crdt.Window]span{}
	for _, r := range by.requests {
		for _, width := range widths {
			win := crdt.WindowAt(r.at, width)
			s := out[win]
			if r.outcome == accepted || r.outcome == unknown && by.counted(r, &all) {
				s.least.add(&r.amounts)
			}
			if r.outcome == accepted || r.outcome == unknown && !by.lacks(r, &sure) {
				s.most.add(&r.amounts)
			}
			out[win] = s
		}
	}
	return out
}

// counted reports whether a process' cells are all that it was asked for, in the parts of a request.
func (by *writer) counted(r *request, all *amounts) bool {
	top := by.top()
	for part, n := range r.amounts {
		if n > 0 && (part == partSeen || top[part] != all[part]) { // seen things may have been so before
			return false
		}
	}
	return true
}

// lacks reports whether a process' cells have no room for a request: all that is there was accepted.
func (by *writer) lacks(r *request, sure *amounts) bool {
	top := by.top()
	for part, n := range r.amounts {
		if n > 0 && (part == partSeen && n&^top[part] != 0 || part != partSeen && top[part] == sure[part]) {
			return true
		}
	}
	return false
}
