package node

import (
	"fmt"
	"maps"
	"slices"

	"meshd/crdt"
	"meshd/internal/mutant"
	"meshd/internal/wire"
	"meshd/reconcile"
)

const (
	// maxTouched bounds the windows whose totals are not published yet: a region of a million series, twice. They take 60
	// bytes each. At the bound no publications of others are taken, and their writers send them again.
	maxTouched = 2_000_000
	// totalsKeys is how many totals one read and one persist bring.
	totalsKeys = 20_000
)

// windowTotals is what a hub has to do for the totals of its region: of every window that a node's publication touched
// the sum over all node origins is read anew and published in the hub's own stream. It is a function of what is on disk,
// so doing it twice is doing it once.
type windowTotals struct {
	touched map[openKey]struct{}
	frames  map[crdt.Origin]uint64 // publications that touched them, by stream the last
	round   *totalsRound
	next    int64
}

// totalsRound is the windows that are being summed.
type totalsRound struct {
	keys    []openKey
	frames  map[crdt.Origin]uint64
	reading uint64 // id of the read that is under way; 0: none
	values  []crdt.Value
	read    bool
}

func newWindowTotals() windowTotals {
	return windowTotals{touched: map[openKey]struct{}{}, frames: map[crdt.Origin]uint64{}}
}

func (t *windowTotals) full() bool { return len(t.touched) >= maxTouched }

// totalOrigin is whose stream the totals of the region are published in.
func (c *Core) totalOrigin() crdt.Origin { return c.hub.region.Total.Origin }

// touchWindows notes that a publication that is on disk changed windows of the region.
func (c *Core) touchWindows(f *wire.Frame, cells []PublishedCell) {
	if c.hub == nil || f.Origin.Class != crdt.ClassNode {
		return
	}
	t := &c.win.totals
	for i := range cells {
		if id, ok := c.cat.Find(cells[i].Series); ok {
			t.touched[openKey{cells[i].Window, id}] = struct{}{}
		}
	}
	if f.To <= c.win.origin(f.Origin).cursor { // what was replayed beyond a gap is not all that is there
		t.frames[f.Origin] = f.To
	}
	t.next = max(t.next, c.now+publishMs/2)
}

// retotal notes the publications whose windows were not summed before the process ended.
func (rec *recovery) retotal() error {
	c := rec.c
	if c.hub == nil || mutant.On("totals of windows forgotten at a crash") {
		return nil
	}
	for _, o := range c.win.order {
		for n := o.totaled + 1; n <= o.cursor && o.origin.Class == crdt.ClassNode; n++ {
			raw, err := readFrame(rec.r, o.origin, n)
			if err != nil {
				return err
			}
			if raw == nil {
				continue
			}
			f, err := wire.ParseFrame(raw)
			if err != nil {
				return fmt.Errorf("publication %d of %s: %w", n, o.origin, err)
			}
			c.touchWindows(f, c.publishedOf(storedFrame{frame: f}).Cells)
		}
	}
	return nil
}

// readTotals begins a round, or the next part of one, if none is under way.
func (c *Core) readTotals() {
	t := &c.win.totals
	if t.round == nil {
		if len(t.touched) == 0 || c.now < t.next {
			return
		}
		keys := slices.SortedFunc(maps.Keys(t.touched), compareOpen)
		t.round = &totalsRound{keys: keys, frames: t.frames}
		t.touched, t.frames = map[openKey]struct{}{}, map[crdt.Origin]uint64{}
	}
	r := t.round
	if r.reading != 0 || r.read || c.now < t.next {
		return
	}
	r.reading = c.nextWindowRead()
	want := WindowRead{ID: r.reading}
	for _, k := range r.keys[:min(len(r.keys), totalsKeys)] {
		want.Keys = append(want.Keys, WindowKey{c.cat.Series(k.id), k.win})
	}
	c.out.WindowReads = append(c.out.WindowReads, want)
}

// windowsRead takes an answer of the history.
func (c *Core) windowsRead(in WindowsRead) {
	switch {
	case c.win == nil:
	case in.ID == c.win.late.reading && in.ID != 0:
		c.gotLate(in)
	case c.win.totals.round != nil && in.ID == c.win.totals.round.reading:
		r := c.win.totals.round
		r.reading = 0
		if in.Err != nil {
			c.Counts.WindowReadsFailed++
			c.win.totals.next = c.now + publishMs
			return
		}
		r.values, r.read = in.Values, true
	}
}

// startTotals publishes the sums that were read. It reports whether there were any.
func (c *Core) startTotals() bool {
	t := &c.win.totals
	r := t.round
	if r == nil || !r.read {
		return false
	}
	cells := map[reconcile.SeriesID][]wire.Cell{}
	for i := range r.values {
		v, key := r.values[i], r.keys[i]
		if v.Kind == 0 || c.cat.Gone(key.id) {
			continue
		}
		if x, ok := v.X.(*crdt.Rollup); ok { // as Rollup.Join and other hubs want it
			sum := *x
			sum.StampCount()
			v.X = &sum
		}
		cells[key.id] = append(cells[key.id], wire.Cell{Window: key.win, Value: v})
	}
	n := len(r.values)
	wp := c.newWindowPersist()
	if c.publish(wp, c.win.origin(c.totalOrigin()), crdt.Incarnation{}, cells); len(wp.frames) == 0 {
		c.totaled(n)
		return false
	}
	c.persistWindows(wp, &records{first: c.disk.lsn + 1}, func() { c.totaled(n) })
	return true
}

// totaled ends a part of a round. What it summed is on disk: of the publications behind it nothing is left to do.
func (c *Core) totaled(n int) {
	t := &c.win.totals
	r := t.round
	r.keys, r.values, r.read = r.keys[n:], nil, false
	if len(r.keys) > 0 {
		return
	}
	for o, number := range r.frames {
		s := c.win.origin(o)
		s.totaled = max(s.totaled, number)
	}
	t.round, t.next = nil, c.now+publishMs
}
