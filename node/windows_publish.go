package node

import (
	"maps"
	"slices"

	"meshd/crdt"
	"meshd/internal/mutant"
	"meshd/internal/wire"
	"meshd/reconcile"
)

// pass is what one persist publishes of a table, and what becomes of the table by it.
type pass struct {
	table *openTable
	cells map[reconcile.SeriesID][]wire.Cell
	n     int
	gone  []openKey           // published
	fed   map[openKey]openSet // wider windows that fine ones entered
	ends  []int64             // by width: the greatest end of any window that is published
	most  int                 // fine windows, or wide ones, in one persist
	more  bool                // there was more
}

// collect takes the windows of a table that due allows. Fine windows enter the wider ones around them first, and wider
// ones are published only when no fine window in them waits: so each amount enters each width once.
func (c *Core) collect(t *openTable, due func(crdt.Window) bool) *pass {
	p := &pass{table: t, cells: map[reconcile.SeriesID][]wire.Cell{}, fed: map[openKey]openSet{}, ends: slices.Clone(c.win.published), most: c.cfg.Publish}
	order := t.order()
	if !c.collectFine(p, order, due) && !mutant.On("minute before what is in it") {
		return p
	}
	for _, key := range slices.SortedFunc(maps.Keys(p.fed), compareOpen) {
		if due(key.win) {
			c.take(p, key, p.fed[key].v)
			delete(p.fed, key)
		}
	}
	for _, win := range order {
		if win.Width == c.win.widths[0] || !due(win) {
			continue
		}
		w := t.windows[win]
		for _, id := range w.ids() {
			if p.full() {
				return p
			}
			if cell := w.get(id); cell.dirty && !p.has(openKey{win, id}) {
				c.take(p, openKey{win, id}, cell.v)
			}
		}
	}
	return p
}

// collectFine takes the fine windows and reports whether it took all.
func (c *Core) collectFine(p *pass, order []crdt.Window, due func(crdt.Window) bool) bool {
	for _, win := range order {
		if win.Width != c.win.widths[0] || !due(win) {
			continue
		}
		w := p.table.windows[win]
		for _, id := range w.ids() {
			if p.full() {
				return false
			}
			if cell := w.get(id); cell.dirty && (!cell.counted || !mutant.On("late change not published")) {
				c.widen(p, openKey{win, id}, cell)
				c.take(p, openKey{win, id}, cell.v)
			}
		}
	}
	return true
}

// full reports whether the next persist has to publish what is left. A window of which a part is published is as one of which a
// late event came: what is left of it is in the table still, and enters the wider ones from there.
func (p *pass) full() bool {
	p.more = p.n >= p.most
	return p.more
}

// has reports whether a window is among those that p publishes.
func (p *pass) has(key openKey) bool {
	return slices.ContainsFunc(p.cells[key.id], func(c wire.Cell) bool { return c.Window == key.win })
}

// isAll reports whether nothing is open any more in the table once p is published. Then its checkpoint has to go with the same
// write: the record that tells of the publication is needed no longer than something is open, and without it what the
// checkpoint holds would be open again after a restart.
func (p *pass) isAll() bool {
	for win, w := range p.table.windows {
		for id, at := range w.at {
			if w.cells[at].dirty && !p.has(openKey{win, id}) {
				return false
			}
		}
	}
	return len(p.fed) == 0
}

// widen adds a fine window to the wider ones around it.
func (c *Core) widen(p *pass, key openKey, cell *openCell) {
	if cell.counted && !mutant.On("late event enters the wider windows twice") {
		return
	}
	for _, width := range c.win.widths[1:] {
		wide := openKey{crdt.WindowAt(key.win.Start, width), key.id}
		s, ok := p.fed[wide]
		if !ok {
			s = openSet{openKey: wide, v: crdt.Bottom(cell.v.Kind), counted: true}
			if old := p.table.get(wide.win, wide.id); old != nil {
				s.v = old.v.Clone()
			}
		}
		c.addWindow(&s.v, &cell.v)
		p.fed[wide] = s
	}
}

func (c *Core) take(p *pass, key openKey, v crdt.Value) {
	p.cells[key.id] = append(p.cells[key.id], wire.Cell{Window: key.win, Value: v})
	p.gone = append(p.gone, key)
	p.n++
	if tier := c.win.tier(key.win.Width); tier >= 0 {
		p.ends[tier] = max(p.ends[tier], key.win.End())
	}
}

// startWindows publishes what is due: first what earlier processes left behind. It reports whether there was anything.
func (c *Core) startWindows() bool {
	w := c.win
	if w == nil || c.now < w.retry {
		return false
	}
	if w.turn && len(c.queue.batches)+len(c.queue.frames) > 0 && !mutant.On("publications first") {
		w.turn = false
		return false
	}
	if len(w.left) > 0 {
		return c.publishLeft(w.left[0])
	}
	if c.disk.openParts > 0 && c.disk.openOf != c.own {
		c.dropLeft()
		return true
	}
	full := c.historyFull()
	if c.hub != nil && !full && c.startTotals() || c.startTrim() {
		return true
	}
	if full || c.now < w.nextPass {
		return false
	}
	c.forgetRead()
	p := c.collect(w.live, func(win crdt.Window) bool { return win.End()+w.grace <= c.wall })
	switch w.nextPass = c.now + publishMs; {
	case p.more:
		w.nextPass = c.now
	case w.live.cells < maxOpenCells/2:
		w.nextPass = c.nextPublication()
	}
	if p.n == 0 {
		return false
	}
	c.publishPass(p)
	return true
}

// publishPass writes what is published of this process' windows, and what became of those that stay open by it.
func (c *Core) publishPass(p *pass) {
	w, wp := c.win, c.newWindowPersist()
	s := w.origin(c.own)
	from := s.cursor
	c.publish(wp, s, crdt.Incarnation{}, p.cells)
	fed := make([]openSet, 0, len(p.fed))
	for _, key := range slices.SortedFunc(maps.Keys(p.fed), compareOpen) {
		fed = append(fed, p.fed[key])
	}
	rec := &records{first: c.disk.lsn + 1}
	to := wp.cursor(s)
	rec.add(encode(&wire.Frame{Origin: c.own, Stream: crdt.StreamWindow, From: from, To: to, Head: to}).raw)
	if !mutant.On("wider window lost at a crash") {
		ref := func(id reconcile.SeriesID) uint32 { ref, _ := c.live.Ref(id); return ref }
		for _, f := range c.openFrames(c.own, fed, ref) {
			rec.add(encode(f).raw)
		}
	}
	drops := c.disk.openParts > 0 && p.isAll() && !mutant.On("checkpoint outlives its windows")
	if drops {
		wp.ops = c.disk.dropOpen(wp.ops)
	}
	c.persistWindows(wp, rec, func() {
		c.Counts.WindowsPublished += uint64(p.n)
		for _, key := range p.gone {
			w.live.remove(key.win, key.id)
		}
		w.live.apply(fed)
		w.published = p.ends
		if drops {
			c.disk.openParts = 0
		}
		if w.live.cells == 0 {
			c.disk.openFirst = 0
		} else {
			c.disk.opened(rec.first)
		}
	})
}

// historyFull reports whether windows have to wait until the history has written others: one that is over stays open, and at the limit of
// those a new one is lost and counted. Counting does not wait.
func (c *Core) historyFull() bool {
	return c.out.Full != nil && c.out.Full() && !mutant.On("windows to a full history")
}

// nextPublication returns when to look for windows that are over again: on a line that is used seldom just before each use, so
// that what is published in one interval shares its names and its packets.
func (c *Core) nextPublication() int64 {
	every := c.interval()
	if c.hub != nil || every <= publishMs || mutant.On("windows published at any pace") {
		return c.now + publishMs
	}
	return c.nextOnGrid(c.now+publishMs, every) - publishMs
}

// persistWindows starts a persist that is no commit: frames of window streams, and records of the log.
func (c *Core) persistWindows(wp *windowPersist, rec *records, after func()) {
	c.win.turn = true
	ops := wp.finish()
	c.persistCheckpoint(append(ops, rec.ops()...), func() {
		for i, v := range rec.values {
			c.disk.committed(rec.first+uint64(i), len(v), c.now)
		}
		c.windowsStored(wp)
		after()
		c.epoch++
	})
	c.pending.failed = func() { c.win.retry = c.now + c.cfg.Retry }
}

// publish puts cells under the next numbers of a stream, in frames that say all that is needed to read them. of is who
// counted them, if not the stream's process.
func (c *Core) publish(wp *windowPersist, s *windowOrigin, of crdt.Incarnation, cells map[reconcile.SeriesID][]wire.Cell) {
	var f *wire.Frame
	size := 0
	flush := func() {
		if f != nil {
			wp.add(s, f, encode(f).raw)
			f = nil
		}
	}
	for _, id := range slices.Sorted(maps.Keys(cells)) {
		if f == nil {
			n := wp.cursor(s) + 1
			if mutant.On("publication number reused") && n > 1 && size == 0 {
				n--
			}
			f, size = &wire.Frame{Origin: s.origin, Of: of, Stream: crdt.StreamWindow, From: n - 1, To: n, Head: n}, 0
		}
		ref := uint32(len(f.Defs))
		def := c.cat.Series(id)
		f.Defs = append(f.Defs, wire.Def{Ref: ref, Seq: f.To, Series: *def})
		size += seriesBytes(def)
		for _, cell := range cells[id] {
			cell.Ref, cell.Seq = ref, f.To
			f.Cells = append(f.Cells, cell)
			size += valueBytes(&cell.Value)
		}
		if size >= c.cfg.FrameBytes || len(f.Cells) >= wire.MaxFrameCells/2 {
			flush()
		}
	}
	flush()
}

// seriesBytes is about what a definition takes in a frame.
func seriesBytes(s *crdt.Series) int {
	n := 16 + len(s.Name)
	for _, l := range s.Labels {
		n += 4 + len(l.Name) + len(l.Value)
	}
	return n
}

// forgetRead closes windows that were read for a late event which never came to be counted.
func (c *Core) forgetRead() {
	w := c.win
	kept := w.read[:0]
	for _, key := range w.read {
		cell := w.live.get(key.win, key.id)
		switch {
		case cell == nil || cell.dirty:
		case c.now >= cell.since+keepReadMs:
			w.live.remove(key.win, key.id)
		default:
			kept = append(kept, key)
		}
	}
	w.read = kept
}
