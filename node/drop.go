package node

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"math"
	"slices"

	"meshd/crdt"
	"meshd/internal/wire"
	"meshd/reconcile"
)

// ErrDrop is wrapped by every refusal to drop series.
var ErrDrop = errors.New("series not dropped")

// DropSeries asks to drop series: what was counted on them until now is gone, everywhere, and what is counted from now
// on begins at zero. The answer is a Reply with the same ID, once that is on disk here; from here it spreads to all
// nodes. What a node counts until it hears of it is lost.
type DropSeries struct {
	ID     uint64
	Metric string       // name; * is any run of characters, ? is one
	Labels []crdt.Label // each has to match, sorted by name; values as Metric
}

func (DropSeries) event() {}

// drops is which series operators dropped. A record has a generation, that of its maker's clock in seconds or one more
// than the highest known: of each matcher the highest counts, wherever records meet, and a drop that is made later than
// another one drops what was counted since that.
type drops struct {
	all     map[string]wire.Drop // by matcher
	highest uint32
	waiting []waitingDrop // for the disk
	retry   int64
}

type waitingDrop struct {
	wire.Drop
	id uint64 // of the DropSeries; 0: nobody waits
}

func matcherKey(d *wire.Drop) string {
	return string((&crdt.Series{Name: d.Metric, Labels: d.Labels}).AppendKey(nil))
}

func (c *Core) dropSeries(in DropSeries) {
	d := wire.Drop{Metric: in.Metric, Labels: slices.Clone(in.Labels)}
	now := uint32(max(1, min(c.wall/1000, math.MaxUint32)))
	d.Gen = max(now, c.drops.highest+1)
	err := d.Check()
	switch {
	case c.hub == nil:
		err = errors.New("this node is an edge: ask a hub")
	case err != nil:
	case c.drops.highest == math.MaxUint32:
		err = errors.New("there is no higher generation: the clock of a node that dropped series was far ahead")
	case !c.mayKeep(&d):
		err = fmt.Errorf("%d different drops are remembered already: drop one of those again, or a wider one", wire.MaxDrops)
	}
	if err != nil {
		c.out.Replies = append(c.out.Replies, Reply{ID: in.ID, Result: Result{Err: fmt.Errorf("%w: %w", ErrDrop, err)}})
		return
	}
	c.drops.highest = d.Gen
	c.drops.waiting = append(c.drops.waiting, waitingDrop{d, in.ID})
}

func (c *Core) mayKeep(d *wire.Drop) bool {
	_, known := c.drops.all[matcherKey(d)]
	return known || len(c.drops.all)+len(c.drops.waiting) < wire.MaxDrops
}

// gotDrops takes records from a hub.
func (c *Core) gotDrops(s *session, m *wire.Drops) {
	if s.peer.Role != RoleHub {
		c.Counts.Refused++
		return
	}
	for _, d := range m.Drops {
		if d.Gen > c.drops.all[matcherKey(&d)].Gen && c.mayKeep(&d) {
			c.drops.waiting = append(c.drops.waiting, waitingDrop{d, 0})
		}
	}
}

// startDrops writes the records that wait. It reports whether there were any.
func (c *Core) startDrops() bool {
	w := &c.drops
	if len(w.waiting) == 0 || c.now < w.retry {
		return false
	}
	done := w.waiting
	w.waiting, w.retry = nil, 0
	var ops []Op
	var replies []Reply
	for _, d := range done {
		ops = append(ops, Op{Key: dropKey(&d.Drop), Value: encodeMessage(&wire.Drops{Drops: []wire.Drop{d.Drop}})})
		if d.id != 0 {
			replies = append(replies, Reply{ID: d.id})
		}
	}
	c.persistCheckpoint(ops, func() {
		news := &wire.Drops{}
		for _, d := range done {
			if c.takeDrop(d.Drop) {
				news.Drops = append(news.Drops, d.Drop)
			}
		}
		c.out.Replies = append(c.out.Replies, replies...)
		for _, s := range c.order {
			if len(news.Drops) > 0 && c.hub != nil {
				c.send(s, news)
			}
		}
	})
	c.pending.replies = replies // that it failed, should it: who asked tries again
	c.pending.failed = func() {
		for _, d := range done {
			if d.id == 0 {
				w.waiting = append(w.waiting, d)
			}
		}
		w.retry = c.now + c.cfg.Retry
	}
	return true
}

func dropKey(d *wire.Drop) []byte {
	h := sha256.Sum256([]byte(matcherKey(d)))
	return append([]byte(prefixDrop), h[:16]...)
}

// takeDrop makes a record count that is on disk: it comes before all cells.
func (c *Core) takeDrop(d wire.Drop) bool {
	key := matcherKey(&d)
	if d.Gen <= c.drops.all[key].Gen {
		return false
	}
	c.drops.all[key] = d
	c.drops.highest = max(c.drops.highest, d.Gen)
	gone := c.cat.Drop(d)
	if c.hub != nil && c.hub.export != nil {
		c.renewExport() // sums cannot go on without what is gone of them
	}
	if len(gone) == 0 {
		return true
	}
	c.Counts.SeriesDropped += uint64(len(gone))
	if c.hub == nil {
		for _, r := range c.mine {
			c.Counts.CellsDropped += uint64(r.Purge())
		}
		c.slots.Purge()
		c.views.Purge()
		return true
	}
	c.Counts.CellsDropped += uint64(c.hub.region.Purge())
	c.hub.entries.Purge()
	c.hub.floor.Purge()
	c.hub.cold.purge(gone)
	c.hub.forget.purge()
	return true
}

// purge forgets what cold origins counted on series that are gone. What is left of it on disk, in sums and in cells, is
// passed over by whoever reads it.
func (s *coldStore) purge(gone []reconcile.SeriesID) {
	for _, id := range gone {
		delete(s.sums, id)
		for _, was := range s.thawed {
			delete(was, id)
		}
	}
}

// tellDrops tells a peer all records, before any cell: a session begins.
func (c *Core) tellDrops(s *session) {
	if c.hub == nil || len(c.drops.all) == 0 {
		return
	}
	m := &wire.Drops{}
	for _, d := range c.drops.all {
		m.Drops = append(m.Drops, d)
	}
	slices.SortFunc(m.Drops, func(a, b wire.Drop) int { return slices.Compare([]byte(matcherKey(&a)), []byte(matcherKey(&b))) })
	c.send(s, m)
}

// drops reads which series were dropped, before any cell is read.
func (rec *recovery) drops() error {
	return rec.r.Scan([]byte(prefixDrop), func(_, value []byte) error {
		m, err := wire.ParseMessage(value)
		if err != nil {
			return err
		}
		if m, ok := m.(*wire.Drops); ok {
			for i := range m.Drops {
				rec.c.takeDrop(m.Drops[i])
			}
		}
		return nil
	})
}
