package node

import (
	"slices"

	"meshd/crdt"
	"meshd/internal/mutant"
	"meshd/reconcile"
)

// keepReadMs is how long a value that was read from the history waits for the batch that asked for it: batches take it at
// the next commit.
const keepReadMs = 10_000

// lateBatches are batches that count in windows that may have been published: what was published is read first.
type lateBatches struct {
	batches []Submit
	items   int
	ordered bool      // one of them sets a gauge to what it is now: what comes behind waits, too
	keys    []openKey // that are wanted
	asked   map[openKey]bool
	reading uint64 // id of the read that is under way; 0: none
	ids     uint64
	retry   int64
}

// needs returns the windows of a batch that have to be read before it can be counted.
func (c *Core) needs(b *Batch) (keys []openKey) {
	if c.win == nil || mutant.On("late event begins at zero") {
		return nil
	}
	for i := range b.Items {
		it := &b.Items[i]
		at := c.eventTime(it)
		if it.Series == nil || !it.Inc.Kind.Windowed() || at > c.wall+crdt.MaxEarlyMillis || at < c.wall-crdt.MaxLateMillis {
			continue
		}
		id, ok := c.cat.Find(c.cat.Writable(it.Series))
		if !ok || !c.counts(id) {
			id, ok = c.cat.Find(&crdt.Series{Name: OverflowMetric, Kind: it.Series.Kind})
			if !ok || !c.counts(id) || c.live.Len() < c.cfg.Limits.Series {
				continue // this process published nothing of it
			}
		}
		for tier, width := range c.win.widths {
			key := openKey{crdt.WindowAt(at, width), id}
			if c.win.mayBePublished(tier, key.win) && c.win.live.get(key.win, id) == nil {
				keys = append(keys, key)
			}
		}
	}
	return keys
}

// waitingItems returns how many items wait for the disk, or for what has to be read before.
func (c *Core) waitingItems() int {
	if c.win == nil {
		return c.queue.items
	}
	return c.queue.items + c.win.late.items
}

// holdLate takes the batches out of the queue that have to wait for the history.
func (c *Core) holdLate() {
	if c.win == nil || c.win.published[0] == 0 {
		return
	}
	l := &c.win.late
	ready := c.queue.batches[:0]
	for _, s := range c.queue.batches {
		keys := c.needs(s.Batch)
		if len(keys) == 0 && !l.ordered {
			ready = append(ready, s)
			continue
		}
		l.ordered = l.ordered || slices.ContainsFunc(s.Batch.Items, func(it Item) bool {
			g, ok := it.Inc.X.(*crdt.Gauge)
			return ok && !g.Dated
		})
		l.batches = append(l.batches, s)
		l.items += len(s.Batch.Items)
		if l.asked == nil {
			l.asked = map[openKey]bool{}
		}
		for _, k := range keys {
			if !l.asked[k] {
				l.asked[k] = true
				l.keys = append(l.keys, k)
			}
		}
	}
	c.queue.batches = ready
}

// readWindows asks the history for what is wanted next.
func (c *Core) readWindows() {
	if c.win == nil {
		return
	}
	c.readLate()
	if c.hub != nil {
		c.readTotals()
	}
}

// readLate asks for the windows that batches wait for.
func (c *Core) readLate() {
	if len(c.win.late.keys) == 0 || c.win.late.reading != 0 || c.now < c.win.late.retry {
		return
	}
	l := &c.win.late
	l.reading = c.nextWindowRead()
	keys := make([]WindowKey, len(l.keys))
	for i, k := range l.keys {
		keys[i] = WindowKey{c.cat.Series(k.id), k.win}
	}
	c.out.WindowReads = append(c.out.WindowReads, WindowRead{ID: l.reading, From: c.own, Keys: keys})
}

func (c *Core) nextWindowRead() uint64 {
	c.win.late.ids++
	return c.win.late.ids
}

// gotLate opens the windows that were read and lets the batches go on. What the history did not have begins at nothing.
func (c *Core) gotLate(in WindowsRead) {
	l := &c.win.late
	l.reading = 0
	if in.Err != nil {
		l.retry = c.now + publishMs
		c.Counts.WindowReadsFailed++
		return
	}
	n := len(in.Values)
	c.Counts.WindowsReopened += uint64(n)
	for i, k := range l.keys[:n] {
		delete(l.asked, k)
		if c.win.live.get(k.win, k.id) != nil {
			continue
		}
		v := in.Values[i]
		if v.Kind == 0 {
			v = crdt.Bottom(c.windowKind(k.id))
		}
		c.win.live.put(k.win, k.id, openCell{v: v.Clone(), counted: true, since: c.now})
		c.win.read = append(c.win.read, k)
	}
	l.keys = l.keys[n:]
	c.queue.batches = append(l.batches, c.queue.batches...)
	l.batches, l.ordered = nil, false
	c.queue.items += l.items
	l.items = 0
}

// counts reports whether this process counted on a series.
func (c *Core) counts(id reconcile.SeriesID) bool {
	v, _ := c.live.Cell(id)
	return v != nil
}

func (c *Core) windowKind(id reconcile.SeriesID) crdt.Kind { return c.cat.Series(id).Kind.WindowKind() }
