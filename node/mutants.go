package node

import (
	"meshd/crdt"
	"meshd/internal/mutant"
	"meshd/internal/wire"
	"meshd/reconcile"
)

// reexpress is a mutant: an edge counts anew, in its live incarnation, what a hub lacks of its earlier ones, and gives those up.
// Another hub may have had all of it.
func (c *Core) reexpress(s *session) {
	if !mutant.On("rest expressed anew") || c.hub != nil {
		return
	}
	batch, kept := &Batch{}, []*reconcile.Replica(nil)
	slot := c.slots.Slot(crdt.Origin{Class: crdt.ClassRegion, Region: c.cfg.Region, Node: s.peer.Node, Inc: s.peer.Inc})
	for _, r := range c.mine {
		if p := r.Progress[crdt.StreamLifetime]; r == c.live || s.marks[r.Origin].Cursor >= p.Cursor {
			kept = append(kept, r)
			continue
		}
		r.Each(func(id reconcile.SeriesID, v *crdt.Value, _ uint64) {
			batch.Items = append(batch.Items, Item{Series: c.cat.Series(id), Inc: slot.Lacks(r.Origin.Inc, id, v)})
		})
	}
	if c.mine = kept; len(batch.Items) > 0 {
		c.submit(Submit{Batch: batch})
	}
}

// bySeq is a mutant: a hub's totals contain of an edge what the hub acknowledged by seq, whatever their pairs say. They were
// read at another instant.
func (c *Core) bySeq(s *session, f *wire.Frame) error {
	if err := c.slots.Apply(f, nil, c.mine); err != nil {
		return err
	}
	for _, r := range c.mine {
		if err := c.slots.Slot(f.Origin).Acked(f, r, s.marks[r.Origin].Cursor); err != nil {
			return err
		}
	}
	return nil
}

// follow is a mutant: the clock moves on to what others stamped.
func (c *Core) follow(f *wire.Frame) {
	for i := range f.Cells {
		if g, ok := f.Cells[i].Value.X.(*crdt.Gauge); ok {
			c.clock.Moved(g.Time)
		}
	}
}
