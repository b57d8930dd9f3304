package node

import (
	"encoding/binary"
	"fmt"
	"maps"
	"slices"

	"meshd/crdt"
	"meshd/internal/mutant"
	"meshd/internal/wire"
	"meshd/reconcile"
)

// windowRecovery rebuilds what earlier processes of this node had open: the tables at their last checkpoint, and what the
// log says happened then. Of a process whose log begins later than its windows, less is found, never more.
type windowRecovery struct {
	rec    *recovery
	tables map[crdt.Origin]*openTable
}

// streams reads how long the window streams are.
func (rec *recovery) streams() error {
	w := rec.c.win
	if w == nil {
		return nil
	}
	return rec.r.Scan([]byte(prefixWindowProgress), func(_, value []byte) error {
		p, err := wire.ParseStoredProgress(value)
		if err != nil {
			return err
		}
		s, at := w.origin(p.Origin), p.Progress[crdt.StreamWindow]
		s.cursor, s.tag, s.totaled = at.Cursor, at.Owed, at.Covered
		w.tag = max(w.tag, s.tag)
		return nil
	})
}

// open finds the windows that are not published. It runs when the replicas know their series, and not yet where they belong.
func (rec *recovery) open() error {
	if rec.c.win == nil {
		return nil
	}
	wr := &windowRecovery{rec: rec, tables: map[crdt.Origin]*openTable{}}
	err := rec.r.Scan([]byte(prefixOpenWindows), func(_, value []byte) error {
		f, err := wire.ParseFrame(value)
		if err != nil {
			return err
		}
		rec.c.disk.openParts, rec.c.disk.openOf = rec.c.disk.openParts+1, f.Origin
		wr.opened(f)
		return nil
	})
	if err != nil {
		return err
	}
	err = rec.frames(func(_ uint64, f *wire.Frame) error {
		switch {
		case f.Stream != crdt.StreamWindow:
			return nil
		case len(f.Cells) > 0:
			wr.opened(f)
			return nil
		}
		return wr.published(f)
	})
	if err != nil {
		return err
	}
	for _, o := range slices.SortedFunc(maps.Keys(wr.tables), crdt.Origin.Compare) {
		if t := wr.tables[o]; t.cells > 0 {
			rec.c.win.left = append(rec.c.win.left, t)
		}
	}
	if len(rec.c.win.left) > 0 || rec.c.disk.openParts > 0 {
		rec.c.disk.leftFirst = rec.c.disk.trimmed + 1
	}
	return rec.retotal()
}

// opened takes values of open windows. A series that is not known was of a process that is cold: what it left was
// published before it went cold.
func (wr *windowRecovery) opened(f *wire.Frame) {
	r := wr.rec.hot[hotKey(f.Origin)]
	if r == nil {
		return
	}
	t := wr.tables[f.Origin]
	if t == nil {
		t = newOpenTable(f.Origin)
		wr.tables[f.Origin] = t
	}
	for i := range f.Cells {
		cell := &f.Cells[i]
		id, ok := r.Series(cell.Ref)
		if !ok || wr.rec.c.cat.Gone(id) {
			continue
		}
		v := cell.Value
		if old := t.get(cell.Window, id); old != nil {
			if _, err := v.Join(&old.v, 0, nil, 0); err != nil {
				continue
			}
		}
		counted := f.Head-f.To == countedHead
		t.put(cell.Window, id, openCell{v: v, counted: counted, dirty: true})
	}
}

// published closes what a process published.
func (wr *windowRecovery) published(marker *wire.Frame) error {
	t := wr.tables[marker.Origin]
	if t == nil || mutant.On("published windows recovered as open") {
		return nil
	}
	for n := marker.From + 1; n <= marker.To; n++ {
		raw, err := readFrame(wr.rec.r, marker.Origin, n)
		if err != nil {
			return err
		}
		if raw == nil { // older than what is kept
			continue
		}
		f, err := wire.ParseFrame(raw)
		if err != nil {
			return fmt.Errorf("publication %d of %s: %w", n, marker.Origin, err)
		}
		for _, cell := range wr.rec.c.publishedOf(storedFrame{frame: f}).Cells {
			if id, ok := wr.rec.c.cat.Find(cell.Series); ok {
				t.remove(cell.Window, id)
			}
		}
	}
	return nil
}

// publishLeft publishes all that an earlier process left open. It does so under this process' numbers: nobody adds one
// to another's stream, since a copy of the disk may live elsewhere. Values are absolute, so whoever does it again
// does nothing.
func (c *Core) publishLeft(t *openTable) bool {
	w := c.win
	p := c.collect(t, func(crdt.Window) bool { return true })
	wp := c.newWindowPersist()
	c.publish(wp, w.origin(c.own), t.of.Inc, p.cells)
	gone := 0
	for _, key := range p.gone {
		if t.get(key.win, key.id) != nil {
			gone++
		}
	}
	last := gone == t.cells && len(p.fed) == 0 && len(w.left) == 1
	if last {
		wp.ops = c.disk.dropOpen(wp.ops)
	}
	fed := slices.Collect(maps.Values(p.fed))
	c.persistWindows(wp, &records{first: c.disk.lsn + 1}, func() {
		c.Counts.WindowsPublished += uint64(p.n)
		for _, key := range p.gone {
			t.remove(key.win, key.id)
		}
		t.apply(fed)
		if t.cells == 0 {
			w.left = w.left[1:]
		}
		if last {
			c.disk.openParts, c.disk.leftFirst = 0, 0
		}
	})
	return true
}

// hasLeft reports whether an earlier process of this node left windows open that are not published yet. At a start they are read
// by its cells: it stays in memory until then.
func (c *Core) hasLeft(o crdt.Origin) bool {
	return c.win != nil && slices.ContainsFunc(c.win.left, func(t *openTable) bool { return t.of == o }) && !mutant.On("cold with open windows")
}

// dropLeft deletes the checkpoint of what an earlier process had open, once none of it is.
func (c *Core) dropLeft() {
	c.persistCheckpoint(c.disk.dropOpen(nil), func() { c.disk.openParts, c.disk.leftFirst = 0, 0 })
	c.pending.failed = func() { c.win.retry = c.now + c.cfg.Retry }
}

// opened records that the record lsn holds values of open windows.
func (d *diskLog) opened(lsn uint64) {
	if d.openFirst == 0 {
		d.openFirst = lsn
	}
}

func openPartKey(o crdt.Origin, part int) []byte {
	return binary.BigEndian.AppendUint32(append([]byte(prefixOpenWindows), o.Inc[:]...), uint32(part))
}

// dropOpen appends the deletion of the checkpoint of open windows. Only one process' are there at a time.
func (d *diskLog) dropOpen(ops []Op) []Op {
	for part := range d.openParts {
		ops = append(ops, Op{Key: openPartKey(d.openOf, part), Delete: true})
	}
	return ops
}

// startOpenCheckpoint writes all open windows when nothing else needs the old end of the log.
func (c *Core) startOpenCheckpoint() bool {
	if c.win == nil || len(c.win.left) > 0 || c.disk.openFirst == 0 || c.disk.openFirst > c.disk.needed() {
		return false
	}
	var sets []openSet
	for _, win := range c.win.live.order() {
		w := c.win.live.windows[win]
		for _, id := range w.ids() {
			if cell := w.get(id); cell.dirty {
				sets = append(sets, openSet{openKey{win, id}, cell.v, cell.counted})
			}
		}
	}
	ops := c.disk.dropOpen(nil)
	ref := func(id reconcile.SeriesID) uint32 { ref, _ := c.live.Ref(id); return ref }
	fs := c.openFrames(c.own, sets, ref)
	for part, f := range fs {
		ops = append(ops, Op{Key: openPartKey(c.own, part), Value: encode(f).raw})
	}
	c.persistCheckpoint(ops, func() {
		c.disk.openOf, c.disk.openParts, c.disk.openFirst = c.own, len(fs), 0
		c.Counts.Checkpoints++
	})
	return true
}
