package node

import (
	"meshd/crdt"
	"meshd/internal/wire"
	"meshd/reconcile"
)

// Replicas returns the copies of single origins that are in memory, in order: at a hub those of its region's nodes and
// the entries of other hubs, at an edge its own incarnations. They must not be modified and are valid until the next
// Step. For tests and simulations.
func (c *Core) Replicas() []*reconcile.Replica {
	out := c.raws()
	if c.hub == nil {
		return out
	}
	return append(out, c.hub.entries.Replicas()...)
}

// Entry returns a hub's totals of its region, which are its entry at other hubs. For tests and simulations.
func (c *Core) Entry() *reconcile.Replica { return &c.hub.region.Total.Replica }

// Exported returns the totals that other regions get. For tests and simulations.
func (c *Core) Exported() *reconcile.Replica {
	if c.hub.export != nil {
		return &c.hub.export.Replica
	}
	return c.Entry()
}

// FromDead reports whether this edge's answer for a metric of its own region may be what hub processes that are over
// had, to which nothing of its own is added. For tests and simulations.
func (c *Core) FromDead(metric string) (dead bool) {
	if d := c.views.Region(c.cfg.Region); d != nil {
		d.Each(func(id reconcile.SeriesID, _ *crdt.Value, _ uint64) { dead = dead || c.cat.Series(id).Name == metric })
	}
	return dead
}

// Cold returns the origins that are on disk only, in order.
func (c *Core) Cold() []crdt.Origin {
	if c.hub == nil {
		return nil
	}
	var out []crdt.Origin
	for o := range c.hub.cold.index.all(c.cfg.Region) {
		out = append(out, o)
	}
	return out
}

// Series returns a series of this process by its number. It must not be modified.
func (c *Core) Series(id reconcile.SeriesID) *crdt.Series { return c.cat.Series(id) }

// Peek returns the answer for one series and region, which Totals would also give; false if there is none. Of a gauge it
// may be the rollup before the last. For tests and simulations.
func (c *Core) Peek(s *crdt.Series, region string) (crdt.Value, bool) {
	id, ok := c.cat.Find(s)
	if !ok {
		return crdt.Value{}, false
	}
	c.choice(region)
	v, ok, err := c.answer(id, region)
	return v, ok && err == nil
}

// ReadCold reads the snapshot of a cold origin: what a Load wants to know.
func ReadCold(r Reader, o crdt.Origin) (snapshot []*wire.Frame, err error) {
	err = r.Scan(originKey(prefixCells, o), func(_, value []byte) error {
		f, err := wire.ParseFrame(append([]byte(nil), value...))
		snapshot = append(snapshot, f)
		return err
	})
	return snapshot, err
}

// Derived calls f for what a hub writes for others from others' cells: its totals, what it floors them with, and its views
// of other regions. The replicas must not be modified. For tests and simulations.
func (c *Core) Derived(f func(*reconcile.Replica)) {
	if c.hub == nil {
		return
	}
	f(&c.hub.region.Total.Replica)
	if c.hub.export != nil {
		f(&c.hub.export.Replica)
	}
	f(&c.hub.floor.Cells.Replica)
	for _, r := range c.hub.entries.Regions() {
		if r != c.cfg.Region {
			f(&c.hub.entries.View(r).Replica)
		}
	}
}

// Received calls f, in order, for every origin that others write and that is in memory here: with how far it was received
// and with the copy that holds its cells. At an edge those are the totals that hubs of its region sent, and the views of
// others, which share one copy a region. Nothing of it may be modified. For tests and simulations.
func (c *Core) Received(f func(o crdt.Origin, p crdt.Progress, cells *reconcile.Replica)) {
	one := func(r *reconcile.Replica) { f(r.Origin, r.Progress[crdt.StreamLifetime], r) }
	if c.hub != nil {
		for _, r := range c.Replicas() {
			if r != c.live {
				one(r)
			}
		}
		return
	}
	for _, sl := range c.slots.All() {
		one(&sl.Total)
	}
	for _, v := range c.views.All() {
		if d := c.views.Region(v.Origin.Region); d != nil {
			f(v.Origin, v.Progress[crdt.StreamLifetime], &d.Replica)
		}
	}
}

// SumsOf is the origin under which hubs store the sums of what they forgot of a node. For tests and simulations.
func SumsOf(region, node string) crdt.Origin { return sumsOf(region, node) }
