package node

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"meshd/crdt"
	"meshd/internal/wire"
	"meshd/reconcile"
)

const (
	// maxOpenCells bounds the windows of this process that are not published: 100,000 series in two fine windows, one of
	// them over and waiting for what is late by less than a second or two, a minute and an hour, and half as much again
	// for late events. They take 90 to 150 bytes each: 90 MB at most.
	maxOpenCells = 600_000
	// publishMs is how often windows that are over are looked for: late events of a second are published together.
	publishMs = 1000
	// graceMs is how long after its end a window waits for events that are on their way through the door; nodes add up
	// to as much again, each another part of it, so that not all publish in one instant.
	graceMs = 1000
	// usualPublish bounds the fine windows, or else the wide ones, that one persist publishes: see CoreConfig.Publish. 100,000
	// series in one persist were a second.
	usualPublish = 16_384
	// frameCacheBytes bounds the frames of windows that are kept in memory because sessions want them next.
	frameCacheBytes = 8 << 20
)

// windows is the part of a core that keeps amounts by the time of events. Nil: it keeps none.
//
// What the live incarnation counts is added to its open windows, which are durable in the log and seen by nobody. When a
// window is over it is published: its value goes into the next number of the origin's window stream, a list of frames
// that never change. So of a stream nothing but how long it is needs to be known, and sending it is copying frames from disk.
// A late event opens its window again, at the value that was published; that is read from the history.
type windows struct {
	widths    []int64 // fine, minute, hour
	grace     int64
	live      *openTable
	left      []*openTable // what earlier processes of this node did not publish
	published []int64      // by width: the greatest end of any window that was published
	late      lateBatches
	nextPass  int64
	turn      bool      // what waits to be counted goes before the next persist of windows
	read      []openKey // cells that were opened for a late event, until that came or is given up
	retry     int64     // after a persist that failed

	origins map[crdt.Origin]*windowOrigin
	order   []*windowOrigin
	tag     uint64 // of the newest frame on disk
	cache   frameCache
	reads   map[crdt.Origin]bool // frames that are being read from disk
	totals  windowTotals
	trim    trimmer
}

// windowOrigin is how long the stream of one origin is here.
type windowOrigin struct {
	origin  crdt.Origin
	cursor  uint64 // publications up to here are on disk
	tag     uint64 // of the last
	totaled uint64 // those up to here are in the region's totals
	aged    uint64 // cursor at the comparison before
	older   uint64 // and at the one before that
	acked   uint64 // the highest mark of any hub
	first   uint64 // of those that are kept, once somebody lacked an older one
}

// WindowKey names one window of one series.
type WindowKey struct {
	Series *crdt.Series
	Window crdt.Window
}

// WindowRead asks the history for values, to be answered with WindowsRead.
type WindowRead struct {
	ID   uint64
	From crdt.Origin // whose cells; zero: the sums over all node origins, in the order of origins
	Keys []WindowKey
}

// WindowsRead answers a WindowRead: one value for each key, of kind 0 where there is none.
type WindowsRead struct {
	ID     uint64
	Values []crdt.Value
	Err    error
}

// FrameRead asks for frames of a window stream that are on disk, to be answered with FramesRead.
type FrameRead struct {
	Origin crdt.Origin
	After  uint64 // the number before the first
}

// FramesRead answers a FrameRead: frames with the numbers After+1, After+2, ..., at least one if it is there.
type FramesRead struct {
	FrameRead
	Frames [][]byte
	First  uint64 // if there are none: the lowest number that is there, 0 if there is none
	Err    error
}

func (WindowsRead) event() {}
func (FramesRead) event()  {}

// Published is what a frame of windows that is on disk now says. Cells are absolute values of their owner: those of a
// node's incarnation are joined, those of a region too, whichever hub they come from.
type Published struct {
	Tag   uint64 // grows with every frame that this node stores
	Owner crdt.Origin
	Cells []PublishedCell
}

// PublishedCell is the value of one window. Nothing of it is modified any more.
type PublishedCell struct {
	WindowKey
	Value crdt.Value
}

func newWindows(cfg *CoreConfig, own crdt.Origin) (*windows, error) {
	if cfg.Window == 0 {
		return nil, nil
	}
	if !crdt.FineWidth(cfg.Window) {
		return nil, fmt.Errorf("node: windows of %d ms, want 1 to 60 s that divide a minute", cfg.Window)
	}
	w := &windows{
		widths:  slices.Compact([]int64{cfg.Window, crdt.MinuteMillis, crdt.HourMillis}),
		grace:   graceMs + int64(own.Inc[1])*graceMs/256,
		live:    newOpenTable(own),
		origins: map[crdt.Origin]*windowOrigin{}, reads: map[crdt.Origin]bool{},
		cache:  frameCache{frames: map[frameID][]byte{}},
		totals: newWindowTotals(),
	}
	w.published = make([]int64, len(w.widths))
	w.origin(own)
	return w, nil
}

// origin returns the stream of o, an empty one if it was not heard of.
func (w *windows) origin(o crdt.Origin) *windowOrigin {
	if s := w.origins[o]; s != nil {
		return s
	}
	s := &windowOrigin{origin: o}
	w.origins[o] = s
	at, _ := slices.BinarySearchFunc(w.order, o, func(s *windowOrigin, o crdt.Origin) int { return s.origin.Compare(o) })
	w.order = slices.Insert(w.order, at, s)
	return s
}

func (w *windows) forget(o *windowOrigin) {
	delete(w.origins, o.origin)
	w.order = slices.DeleteFunc(slices.Clone(w.order), func(s *windowOrigin) bool { return s == o })
}

// tier returns the place of a width among those that are kept, -1 if it is none of them.
func (w *windows) tier(width int64) int { return slices.Index(w.widths, width) }

// mayBePublished reports whether this process may have published a window: then what is counted in it now adds to that.
func (w *windows) mayBePublished(tier int, win crdt.Window) bool {
	return win.End() <= w.published[tier]
}

// windowPersist is what a persist writes of window streams.
type windowPersist struct {
	tag     uint64
	wall    int64
	ops     []Op
	frames  []storedFrame
	cursors map[*windowOrigin]uint64
	from    []windowSource
}

// windowSource is who brought a publication.
type windowSource struct {
	session uint64
	stream  *windowOrigin
}

type storedFrame struct {
	frame *wire.Frame
	raw   []byte
	tag   uint64
}

func (c *Core) newWindowPersist() *windowPersist {
	return &windowPersist{tag: c.win.tag, wall: c.wall, cursors: map[*windowOrigin]uint64{}}
}

// cursor returns how long a stream is with what this persist writes.
func (p *windowPersist) cursor(s *windowOrigin) uint64 { return max(s.cursor, p.cursors[s]) }

// add stores the next frame of a stream.
func (p *windowPersist) add(s *windowOrigin, f *wire.Frame, raw []byte) {
	p.tag++
	p.cursors[s] = f.To
	p.frames = append(p.frames, storedFrame{f, raw, p.tag})
	p.ops = append(p.ops, windowOps(p.tag, p.wall, s.origin, f.To, raw)...)
}

// skip notes that a stream has nothing up to a number.
func (p *windowPersist) skip(s *windowOrigin, to uint64) { p.cursors[s] = to }

// finish returns the writes, with how long the streams are then.
func (p *windowPersist) finish() []Op {
	for _, s := range slices.SortedFunc(maps.Keys(p.cursors), func(a, b *windowOrigin) int { return a.origin.Compare(b.origin) }) {
		next := *s
		next.cursor, next.tag = p.cursors[s], p.tag
		p.ops = append(p.ops, next.op())
	}
	return p.ops
}

// windowsStored makes what a persist wrote of window streams count.
func (c *Core) windowsStored(p *windowPersist) {
	w := c.win
	w.tag = p.tag
	for s, to := range p.cursors {
		s.cursor, s.tag = to, p.tag
	}
	for _, f := range p.frames {
		w.cache.put(frameID{f.frame.Origin, f.frame.To}, f.raw)
		pub := c.publishedOf(f)
		c.touchWindows(f.frame, pub.Cells)
		if len(pub.Cells) > 0 {
			c.out.Published = append(c.out.Published, pub)
		}
		c.Counts.WindowCells += uint64(len(pub.Cells))
	}
	c.acknowledgeWindows(p)
}

// publishedOf reads a frame of windows. Cells of series that were dropped, or that this process cannot take, are left out.
func (c *Core) publishedOf(f storedFrame) Published {
	pub := Published{Tag: f.tag, Owner: f.frame.Owner(), Cells: make([]PublishedCell, 0, len(f.frame.Cells))}
	ids := map[uint32]reconcile.SeriesID{}
	for i := range f.frame.Defs {
		d := &f.frame.Defs[i]
		id, err := c.cat.Intern(&d.Series)
		if err != nil {
			c.Counts.WindowsRefused++
			continue
		}
		if !c.cat.Gone(id) {
			ids[d.Ref] = id
		}
	}
	for i := range f.frame.Cells {
		cell := &f.frame.Cells[i]
		if id, ok := ids[cell.Ref]; ok {
			pub.Cells = append(pub.Cells, PublishedCell{WindowKey{c.cat.Series(id), cell.Window}, cell.Value})
		}
	}
	return pub
}

// checkWindows reports why a frame cannot be a publication.
func checkWindows(f *wire.Frame) error {
	if f.To != f.From+1 || f.Head != f.To {
		return fmt.Errorf("reconcile: %w: publication (%d, %d] of %d", reconcile.ErrFrame, f.From, f.To, f.Head)
	}
	kinds := make(map[uint32]crdt.Kind, len(f.Defs))
	for i := range f.Defs {
		kinds[f.Defs[i].Ref] = f.Defs[i].Series.Kind
	}
	for i := range f.Cells {
		cell := &f.Cells[i]
		k, ok := kinds[cell.Ref]
		if !ok || k.WindowKind() != cell.Value.Kind || cell.Window == (crdt.Window{}) {
			return fmt.Errorf("reconcile: %w: publication %d: cell %d of series %d", reconcile.ErrFrame, f.To, i, cell.Ref)
		}
	}
	return nil
}

// frameCache keeps the frames that were written or read last.
type frameCache struct {
	frames map[frameID][]byte
	order  []frameID
	bytes  int
}

type frameID struct {
	origin crdt.Origin
	number uint64
}

func (f *frameCache) put(id frameID, raw []byte) {
	if _, ok := f.frames[id]; ok || len(raw) > frameCacheBytes {
		return
	}
	f.frames[id] = raw
	f.order = append(f.order, id)
	for f.bytes += len(raw); f.bytes > frameCacheBytes; f.order = f.order[1:] {
		f.bytes -= len(f.frames[f.order[0]])
		delete(f.frames, f.order[0])
	}
}

// compareWindows orders windows by width and start.
func compareWindows(a, b crdt.Window) int {
	return cmp.Or(cmp.Compare(a.Width, b.Width), cmp.Compare(a.Start, b.Start))
}
