package node

import (
	"maps"
	"slices"

	"meshd/crdt"
	"meshd/internal/mutant"
	"meshd/internal/wire"
	"meshd/reconcile"
)

// openTable is the windows of one process of this node that hold something that is not published. It holds what is on
// disk, no more.
type openTable struct {
	of      crdt.Origin
	windows map[crdt.Window]*openWindow
	cells   int
}

// openWindow is the cells of one window: side by side, since a map of a million pointers is a million objects to a collector.
type openWindow struct {
	at    map[reconcile.SeriesID]uint32 // where in cells
	cells []openCell
	free  []uint32             // of cells
	order []reconcile.SeriesID // ascending, of at and some that were removed since; nil: not known
}

// openCell is one open window of one series: all that its process counted in it, published or not.
type openCell struct {
	v crdt.Value
	// counted: the wider windows contain it. A fine window enters those when it is published; one that was reopened by
	// a late event is in them at once.
	counted bool
	dirty   bool  // it has something that is not published
	since   int64 // when it was read from the history; 0: it was not
}

func newOpenTable(o crdt.Origin) *openTable {
	return &openTable{of: o, windows: map[crdt.Window]*openWindow{}}
}

// get returns a cell, nil if there is none. It is valid until the next put.
func (t *openTable) get(win crdt.Window, id reconcile.SeriesID) *openCell {
	return t.windows[win].get(id)
}

func (w *openWindow) get(id reconcile.SeriesID) *openCell {
	if w == nil {
		return nil
	}
	if at, ok := w.at[id]; ok {
		return &w.cells[at]
	}
	return nil
}

func (t *openTable) put(win crdt.Window, id reconcile.SeriesID, c openCell) {
	w := t.windows[win]
	if w == nil {
		w = &openWindow{at: map[reconcile.SeriesID]uint32{}}
		t.windows[win] = w
	}
	if old := w.get(id); old != nil {
		*old = c
		return
	}
	t.cells++
	w.order = nil
	if n := len(w.free); n > 0 {
		w.at[id], w.free = w.free[n-1], w.free[:n-1]
		w.cells[w.at[id]] = c
		return
	}
	w.at[id] = uint32(len(w.cells))
	w.cells = append(w.cells, c)
}

func (t *openTable) remove(win crdt.Window, id reconcile.SeriesID) {
	w := t.windows[win]
	if w.get(id) == nil {
		return
	}
	t.cells--
	at := w.at[id]
	w.cells[at] = openCell{}
	w.free = append(w.free, at)
	if len(w.order) > 0 && w.order[0] == id { // as it is published
		w.order = w.order[1:]
	}
	if delete(w.at, id); len(w.at) == 0 {
		delete(t.windows, win)
	}
}

// order returns the windows by width and start.
func (t *openTable) order() []crdt.Window {
	return slices.SortedFunc(maps.Keys(t.windows), compareWindows)
}

// ids returns the series of a window in order. Sorting them is done once for all persists that publish a part of them.
func (w *openWindow) ids() []reconcile.SeriesID {
	if w.order == nil {
		w.order = slices.Sorted(maps.Keys(w.at))
	} else if len(w.order) > len(w.at) {
		w.order = slices.DeleteFunc(w.order, func(id reconcile.SeriesID) bool { return w.get(id) == nil })
	}
	return w.order
}

// openKey names one window of one series.
type openKey struct {
	win crdt.Window
	id  reconcile.SeriesID
}

func compareOpen(a, b openKey) int {
	if c := compareWindows(a.win, b.win); c != 0 || a.id == b.id {
		return c
	}
	if a.id < b.id {
		return -1
	}
	return 1
}

// openSet is a new value of an open window. Fine windows come with whether the wider ones contain them.
type openSet struct {
	openKey
	v       crdt.Value
	counted bool
}

// apply makes values that are on disk count.
func (t *openTable) apply(sets []openSet) {
	for i := range sets {
		s := &sets[i]
		t.put(s.win, s.id, openCell{v: s.v, counted: s.counted, dirty: true})
	}
}

// eventTime returns when an item happened, in milliseconds since the Unix epoch.
func (c *Core) eventTime(it *Item) int64 {
	if it.At != 0 {
		return it.At
	}
	switch x := it.Inc.X.(type) {
	case *crdt.Gauge:
		if x.Time != 0 {
			return x.Time.Millis()
		}
	case *crdt.Observed:
		for s := range x.Samples() {
			return s.Time
		}
	}
	return c.wall
}

// place adds what an item counted to the window that it happened in. What no window can take is counted in the lifetime
// cell alone, and as lost here.
func (b *builder) place(id reconcile.SeriesID, it *Item) {
	w := b.c.win
	if w == nil || !it.Inc.Kind.Windowed() {
		return
	}
	at := b.c.eventTime(it)
	switch {
	case at > b.c.wall+crdt.MaxEarlyMillis:
		b.c.Counts.WindowsEarly++
		return
	case at < b.c.wall-crdt.MaxLateMillis:
		b.c.Counts.WindowsLate++
		return
	}
	key := openKey{crdt.WindowAt(at, w.widths[0]), id}
	if !b.c.readIn(key) && !mutant.On("late event begins at zero") {
		b.c.Counts.WindowsFull++ // the commit before this one filled the last place of a series
		return
	}
	in := b.wins[key.win]
	if in == nil {
		in = b.c.tallies.next()
		b.wins[key.win] = in
	}
	v := in.get(id)
	if v == nil {
		if w.live.cells+len(w.widths)*b.placed >= b.c.cfg.Limits.Windows {
			b.c.Counts.WindowsFull++
			return
		}
		v = in.put(id, crdt.Bottom(it.Inc.Kind.WindowKind()))
		b.placed++
	}
	inc := it.Inc
	if g, ok := inc.X.(*crdt.Gauge); ok {
		inc = b.setting(id, g, at)
	}
	b.c.addWindow(v, &inc)
}

// setting returns what a setting of a gauge adds to a window: the value that results, also of one that came too late to be
// the last.
func (b *builder) setting(id reconcile.SeriesID, g *crdt.Gauge, at int64) crdt.Value {
	set := crdt.Gauge{Time: crdt.HLCFrom(at, 0), Value: g.Value}
	if v := b.incs.get(id); g.Adjust && v != nil {
		set.Value = v.X.(*crdt.Gauge).Value
	}
	return set.Sample()
}

// windowSets returns the values of the open windows with what was collected, and the frames of the log that hold them.
func (b *builder) windowSets() (sets []openSet) {
	if b.placed == 0 {
		return nil
	}
	sets = make([]openSet, 0, b.placed)
	wide := map[openKey]int{} // places in sets of the windows that several fine ones may enter
	for _, win := range slices.SortedFunc(maps.Keys(b.wins), compareWindows) {
		late, open, in := b.c.late(win), b.c.win.live.windows[win], b.wins[win]
		for _, id := range in.sorted() {
			if b.failed[id] != nil || !b.numbered(id) {
				continue
			}
			inc, counted, held := in.get(id), late, open.get(id)
			if held != nil {
				counted = held.counted
			}
			sets = append(sets, b.grown(openKey{win, id}, held, inc, counted))
			for _, width := range b.c.win.widths[1:] {
				if counted {
					sets = b.widen(sets, wide, openKey{crdt.WindowAt(win.Start, width), id}, inc)
				}
			}
		}
	}
	return sets
}

// grown returns an open window with inc in it. held is what is held of it, nil if nothing is.
func (b *builder) grown(key openKey, held *openCell, inc *crdt.Value, counted bool) openSet {
	s := openSet{openKey: key, v: crdt.Bottom(inc.Kind), counted: counted}
	if held != nil {
		s.v = held.v.Clone()
	}
	b.c.addWindow(&s.v, inc)
	return s
}

// widen adds inc to a wide window, which may be among sets already.
func (b *builder) widen(sets []openSet, wide map[openKey]int, key openKey, inc *crdt.Value) []openSet {
	if at, ok := wide[key]; ok {
		b.c.addWindow(&sets[at].v, inc)
		return sets
	}
	wide[key] = len(sets)
	return append(sets, b.grown(key, b.c.win.live.get(key.win, key.id), inc, true))
}

// addWindow adds inc to a window. What does not fit is counted.
func (c *Core) addWindow(v, inc *crdt.Value) {
	if err := v.AddWindow(inc); err != nil {
		c.Counts.WindowsFull++
	}
}

// readIn reports whether what was published of a fine window and of those around it is in the table.
func (c *Core) readIn(key openKey) bool {
	if !c.counts(key.id) {
		return true // nothing was
	}
	for tier, width := range c.win.widths {
		win := crdt.WindowAt(key.win.Start, width)
		if c.win.mayBePublished(tier, win) && c.win.live.get(win, key.id) == nil {
			return false
		}
	}
	return true
}

// late reports whether a fine window, or a wider one around it, may have been published.
func (c *Core) late(win crdt.Window) bool {
	for tier, width := range c.win.widths {
		if c.win.mayBePublished(tier, crdt.WindowAt(win.Start, width)) {
			return true
		}
	}
	return false
}

// Open windows are in the log as frames of the window stream that move no cursor. Their head says which they are.
const (
	openHead    = 1 // above the cursor: not in the wider windows yet
	countedHead = 2 // in the wider windows, or wide themselves
)

// openFrames returns the frames of the log for values of open windows. ref numbers the series, as the lifetime cells do.
func (c *Core) openFrames(of crdt.Origin, sets []openSet, ref func(reconcile.SeriesID) uint32) (out []*wire.Frame) {
	cursor := c.win.origin(of).cursor
	for _, counted := range []bool{false, true} {
		head := cursor + openHead
		if counted {
			head = cursor + countedHead
		}
		var f *wire.Frame
		size, room := 0, 0
		for i := range sets {
			if sets[i].counted == counted {
				room++
			}
		}
		for i := range sets {
			s := &sets[i]
			if s.counted != counted {
				continue
			}
			if f != nil && size >= recordBytes {
				f, room = nil, min(room, len(f.Cells)) // of about the same size as this one
			}
			if f == nil {
				f, size = &wire.Frame{Origin: of, Stream: crdt.StreamWindow, From: cursor, To: cursor, Head: head, Cells: make([]wire.Cell, 0, room)}, 0
				out = append(out, f)
			}
			f.Cells = append(f.Cells, wire.Cell{Ref: ref(s.id), Window: s.win, Seq: head, Value: s.v})
			size += valueBytes(&s.v)
		}
	}
	return out
}

// valueBytes is about what a value takes in a frame.
func valueBytes(v *crdt.Value) int {
	if v.X != nil {
		return 8 + v.X.Size()
	}
	return 16
}

// logWindows adds what a commit counted in windows to the log.
func (b *builder) logWindows(p *pending, rec *records) {
	if b.c.win == nil {
		return
	}
	p.sets = b.windowSets()
	if mutant.On("window lost at a crash") {
		return
	}
	for _, f := range b.c.openFrames(b.c.own, p.sets, b.ref) {
		rec.add(encode(f).raw)
	}
}

// numbered reports whether the origin has a number for a series: not if all that came for it was nothing.
func (b *builder) numbered(id reconcile.SeriesID) bool {
	_, live := b.c.live.Ref(id)
	_, now := b.refs[id]
	return live || now
}

// ref returns the origin's number of a series that is in this commit or was in one before.
func (b *builder) ref(id reconcile.SeriesID) uint32 {
	if ref, ok := b.c.live.Ref(id); ok {
		return ref
	}
	return b.refs[id]
}
