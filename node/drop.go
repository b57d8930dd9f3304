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
// than the highest known: of each matcher the highest counts, and a drop that is made later than another one drops what was
// counted since that.
type drops struct {
	*register[wire.Drop]
	generation uint32 // the highest known
}

func (c *Core) newDrops() drops {
	return drops{register: newRegister(orders[wire.Drop]{
		most:   wire.MaxDrops,
		prefix: prefixDrop,
		about:  matcherKey,
		number: func(d *wire.Drop) uint64 { return uint64(d.Gen) },
		disk: func(matcher string) []byte {
			h := sha256.Sum256([]byte(matcher))
			return append([]byte(prefixDrop), h[:16]...)
		},
		message: func(ds []wire.Drop) wire.Message { return &wire.Drops{Drops: ds} },
		records: func(m wire.Message) []wire.Drop {
			if m, ok := m.(*wire.Drops); ok {
				return m.Drops
			}
			return nil
		},
		toEdges: true,
		count:   c.countDrop,
	})}
}

func matcherKey(d *wire.Drop) string {
	return string((&crdt.Series{Name: d.Metric, Labels: d.Labels}).AppendKey(nil))
}

func (c *Core) dropSeries(in DropSeries) {
	d := wire.Drop{Metric: in.Metric, Labels: slices.Clone(in.Labels)}
	now := uint32(max(1, min(c.wall/1000, math.MaxUint32)))
	d.Gen = max(now, c.drops.generation+1)
	err := d.Check()
	switch {
	case c.hub == nil:
		err = errors.New("this node is an edge: ask a hub")
	case err != nil:
	case c.drops.generation == math.MaxUint32:
		err = errors.New("there is no higher generation: the clock of a node that dropped series was far ahead")
	case !c.drops.room(matcherKey(&d)):
		err = fmt.Errorf("%d different drops are remembered already: drop one of those again, or a wider one", wire.MaxDrops)
	}
	if err != nil {
		c.out.Replies = append(c.out.Replies, Reply{ID: in.ID, Result: Result{Err: fmt.Errorf("%w: %w", ErrDrop, err)}})
		return
	}
	c.drops.generation = d.Gen
	c.drops.order(d, in.ID)
}

// gotDrops takes records from a hub.
func (c *Core) gotDrops(s *session, m *wire.Drops) {
	if s.peer.Role != RoleHub {
		c.Counts.Refused++
		return
	}
	c.drops.got(m)
}

// countDrop makes a record count that is on disk: it comes before all cells.
func (c *Core) countDrop(d wire.Drop) {
	c.drops.generation = max(c.drops.generation, d.Gen)
	gone := c.cat.Drop(d)
	if c.hub != nil && c.hub.export != nil {
		c.renewExport() // sums cannot go on without what is gone of them
	}
	if len(gone) == 0 {
		return
	}
	c.Counts.SeriesDropped += uint64(len(gone))
	if c.hub == nil {
		for _, r := range c.mine {
			c.Counts.CellsDropped += uint64(r.Purge())
		}
		c.slots.Purge()
		c.views.Purge()
		return
	}
	c.Counts.CellsDropped += uint64(c.hub.region.Purge())
	c.hub.entries.Purge()
	c.hub.floor.Purge()
	c.hub.cold.purge(gone)
	c.hub.forget.purge()
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
