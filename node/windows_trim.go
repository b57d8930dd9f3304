package node

import (
	"encoding/binary"
	"errors"
	"fmt"

	"meshd/crdt"
	"meshd/internal/wire"
)

const (
	// keepFramesMs is how long a published frame is kept at least: a hub that was away no longer than that misses nothing.
	keepFramesMs = 24 * crdt.HourMillis
	// trimEveryMs is how long nothing is looked for once the oldest frame is young.
	trimEveryMs = 600_000
	// trimFrames is how many frames one read looks at and one persist deletes at most.
	trimFrames = 1000
)

// OldFramesRead asks which stored frames come after a tag, to be answered with OldFrames.
type OldFramesRead struct{ After uint64 }

// OldFrames answers an OldFramesRead: at most some frames, in the order of tags, none if there are none.
type OldFrames struct {
	Frames []StoredFrame
	Folded uint64 // what the history has of them on its own
	Err    error
}

// StoredFrame is a published frame on disk.
type StoredFrame struct {
	Tag   uint64
	Wall  int64  // when it was stored
	index string // what its key in the index ends in
	bytes int
}

func (OldFrames) event() {}

// trimmer deletes the frames that nobody needs any more.
type trimmer struct {
	asked  bool
	after  uint64
	next   int64
	ops    []Op
	forget []*windowOrigin // whose last frame is among them
}

// errEnough ends a scan.
var errEnough = errors.New("enough")

// ReadOldFrames reads which frames are stored: what an OldFramesRead wants to know.
func ReadOldFrames(r Reader, want OldFramesRead) (out OldFrames) {
	one := func(key, value []byte) error {
		if len(value) < windowFrameBytes {
			return fmt.Errorf("node: stored frame of %d bytes", len(value))
		}
		out.Frames = append(out.Frames, StoredFrame{
			Tag: binary.BigEndian.Uint64(key[len(prefixWindowFrame):]), Wall: int64(binary.BigEndian.Uint64(value)),
			index: string(value[8:windowFrameBytes]), bytes: len(value),
		})
		return nil
	}
	tag := want.After + 1
	if want.After == 0 {
		out.Err = r.Scan([]byte(prefixWindowFrame), func(key, value []byte) error { return errors.Join(one(key, value), errEnough) })
		if errors.Is(out.Err, errEnough) && len(out.Frames) == 1 {
			out.Err = nil
			tag = out.Frames[0].Tag + 1
		}
	}
	for range trimFrames { // tags follow one another, but for those that were deleted
		if out.Err == nil {
			out.Err = r.Scan(windowFrameKey(tag), one)
			tag++
		}
	}
	return out
}

// trimWindows asks for the oldest frames now and then.
func (c *Core) trimWindows() {
	if c.win == nil {
		return
	}
	t := &c.win.trim
	if t.asked || len(t.ops) > 0 || c.now < t.next {
		return
	}
	t.asked = true
	c.out.OldFrames = append(c.out.OldFrames, OldFramesRead{t.after})
}

// oldFrames lets those go that are in the history's chunks, old, and, at an edge, on a hub's disk.
func (c *Core) oldFrames(in OldFrames) {
	if c.win == nil {
		return
	}
	t := &c.win.trim
	t.asked, t.next = false, c.now+publishMs
	byIndex := map[string]*windowOrigin{}
	for _, o := range c.win.order {
		byIndex[string(originKey("", o.origin))] = o
	}
	for _, f := range in.Frames {
		if f.Wall+keepFramesMs > c.wall || f.Tag > in.Folded || c.archiveWants(f.Tag, f.Wall) {
			t.after, t.next = 0, c.now+trimEveryMs
			return
		}
		t.after = f.Tag
		o, number := byIndex[f.index[:len(f.index)-8]], binary.BigEndian.Uint64([]byte(f.index[len(f.index)-8:]))
		if c.hub == nil && o != nil && number > o.acked {
			continue
		}
		t.ops = append(t.ops, Op{Key: windowFrameKey(f.Tag), Delete: true}, Op{Key: append([]byte(prefixWindowIndex), f.index...), Delete: true})
		if o != nil && number == o.cursor && c.over(o.origin) {
			t.ops = append(t.ops, Op{Key: originKey(prefixWindowProgress, o.origin), Delete: true})
			t.forget = append(t.forget, o)
		}
	}
	if len(in.Frames) == 0 {
		t.after, t.next = 0, c.now+trimEveryMs
	}
}

// over reports whether a stream is that of a process that has no session here. Should it come back, its publications are
// taken anew, which changes nothing.
func (c *Core) over(o crdt.Origin) bool {
	if o.Inc == c.cfg.Inc {
		return false
	}
	for _, s := range c.order {
		if s.peer.Inc == o.Inc {
			return false
		}
	}
	return true
}

// startTrim deletes frames. It reports whether there were any.
func (c *Core) startTrim() bool {
	t := &c.win.trim
	if len(t.ops) == 0 {
		return false
	}
	ops, forget := t.ops, t.forget
	t.ops, t.forget = nil, nil
	c.persistCheckpoint(ops, func() {
		for _, o := range forget {
			c.win.forget(o)
			for _, s := range c.order {
				delete(s.win.told, o.origin)
				delete(s.win.marks, o.origin)
			}
		}
	})
	c.pending.failed = func() { t.after = 0 }
	return true
}

// gap is what a sender says that has not kept the publications which a peer lacks: those up to a number come from
// nobody here any more.
func gap(o crdt.Origin, from, to uint64) *wire.Frame {
	return &wire.Frame{Origin: o, Stream: crdt.StreamWindow, From: from, To: to, Head: to}
}

// isGap reports whether a frame says that there is nothing up to its end.
func isGap(f *wire.Frame) bool {
	return len(f.Cells) == 0 && len(f.Defs) == 0 && f.To > f.From && f.Head == f.To
}
