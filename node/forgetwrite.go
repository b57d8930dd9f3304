package node

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"meshd/crdt"
	"meshd/internal/mutant"
	"meshd/internal/wire"
	"meshd/reconcile"
)

// ErrForgotten ends a process whose incarnation the hubs of its region have frozen or forgotten, because a later process of
// this node said that all of it was there.
var ErrForgotten = errors.New("hubs have closed this process' incarnation: another process of this node ran after it; it has to start again, and only one may run")

// startForgets begins the next write that forgetting needs. It reports whether there was any. Commits that wait go between
// two of them.
func (c *Core) startForgets() bool {
	if c.hub == nil || c.now < c.hub.forget.retry {
		return false
	}
	f := &c.hub.forget
	if f.yield && len(c.queue.batches)+len(c.queue.frames) > 0 {
		f.yield = false
		return false
	}
	for len(f.due) > 0 {
		start := f.due[0]
		f.due = f.due[1:]
		if start() {
			f.yield = true
			return true
		}
	}
	return false
}

// persistForget writes what concerns one node, or with "" the freezing of several.
func (c *Core) persistForget(name string, ops []Op, after func()) {
	f := &c.hub.forget
	f.busy = name
	c.persistCheckpoint(ops, func() {
		f.busy = ""
		after()
	})
	c.pending.failed = func() {
		f.busy = ""
		f.retry = c.now + c.cfg.AntiEntropy
	}
}

func forgottenKey(node string) []byte { return []byte(prefixForgot + node) }

func frozenKey(node string) []byte { return []byte(prefixFrozen + node) }

// frozenOp writes which incarnations of a node are frozen.
func frozenOp(node string, frozen []crdt.Incarnation) Op {
	if len(frozen) == 0 {
		return Op{Key: frozenKey(node), Delete: true}
	}
	return Op{Key: frozenKey(node), Value: encodeMessage(&wire.Freeze{Nodes: []wire.FrozenNode{{Node: node, Frozen: frozen}}})}
}

// recordOps writes a record whole, and deletes what is more of the sums that it replaces.
func (c *Core) recordOps(ops []Op, node string, ids []crdt.Incarnation, sums *reconcile.Replica, was *resting) []Op {
	o := sumsOf(c.cfg.Region, node)
	ops = append(ops, Op{Key: forgottenKey(node), Value: encodeMessage(&wire.Forgotten{Node: node, Parts: 1, Incs: ids})})
	part := 0
	err := sums.Snapshot(snapshotBytes, func(f *wire.Frame) error {
		raw, err := wire.AppendFrame(nil, f)
		ops = append(ops, Op{Key: cellsKey(o, part), Value: raw})
		part++
		return err
	})
	if err != nil {
		panic(fmt.Sprintf("node: sums of %s do not encode: %v", o, err))
	}
	for ; was != nil && part < was.parts; part++ {
		ops = append(ops, Op{Key: cellsKey(o, part), Delete: true})
	}
	return ops
}

// erase deletes an origin from disk, of which the cells take some values there.
func erase(ops []Op, o crdt.Origin, parts int) []Op {
	for part := range parts {
		ops = append(ops, Op{Key: cellsKey(o, part), Delete: true})
	}
	return append(ops, Op{Key: originKey(prefixProgress, o), Delete: true})
}

// startFreeze makes durable what was chosen.
func (c *Core) startFreeze() bool {
	f := &c.hub.forget
	var ops []Op
	done := map[string][]crdt.Incarnation{}
	for _, name := range slices.Sorted(maps.Keys(f.nodes)) {
		n := f.nodes[name]
		n.closing = slices.DeleteFunc(n.closing, func(inc crdt.Incarnation) bool { return c.inUse(c.nodeOrigin(name, inc)) })
		if len(n.closing) > 0 {
			done[name] = union(n.frozen, n.closing)
			ops = append(ops, frozenOp(name, done[name]))
		}
	}
	if len(ops) == 0 {
		return false
	}
	c.persistForget("", ops, func() {
		for name, frozen := range done {
			n := f.nodes[name]
			c.Counts.Frozen += uint64(len(frozen) - len(n.frozen))
			n.frozen, n.closing = frozen, nil
			n.version++
		}
	})
	return true
}

// startForget adds to the record of a node what all hubs of the region state frozen, with equal cells.
func (c *Core) startForget(name string) bool {
	n := c.hub.forget.nodes[name]
	b := n.batch
	if !b.ready() || n.take != nil || !c.agreed(name, n) {
		return false
	}
	for _, inc := range b.frozen {
		if _, thawing := c.hub.cold.waiting[c.nodeOrigin(name, inc)]; thawing {
			return false
		}
	}
	ids := union(n.ids, b.frozen)
	sums, err := c.sumUp(name, b)
	if err != nil || len(ids) > wire.MaxForgotten {
		c.Counts.Rejected++
		return false
	}
	ops := c.recordOps([]Op{frozenOp(name, nil)}, name, ids, sums, b.sums)
	for _, inc := range b.frozen {
		ops = erase(ops, c.nodeOrigin(name, inc), b.cells[inc].parts)
	}
	c.persistForget(name, ops, func() { // the sums over all that is cold stay as they are: the record is part of them
		for _, inc := range b.frozen {
			c.hub.cold.index.remove(c.nodeOrigin(name, inc))
		}
		c.Counts.Forgotten += uint64(len(b.frozen))
		c.nowForgotten(name, n, ids)
	})
	return true
}

// sumUp returns the sums of a record with all that is frozen.
func (c *Core) sumUp(name string, b *batch) (*reconcile.Replica, error) {
	next := sums{}
	add := func(r *resting) error { return addCells(next, r.Replica, nil) }
	if b.sums != nil {
		if err := add(b.sums); err != nil {
			return nil, err
		}
	}
	for _, inc := range b.frozen {
		if err := add(b.cells[inc]); err != nil {
			return nil, err
		}
	}
	d := reconcile.NewDerived(sumsOf(c.cfg.Region, name), c.cat)
	for _, id := range slices.Sorted(maps.Keys(next)) {
		if _, err := d.Raise(id, next[id]); err != nil {
			return nil, err
		}
	}
	return &d.Replica, nil
}

// addCells adds the cells of r that enter sums to next, in which a sum begins as it is in base.
func addCells(next sums, r *reconcile.Replica, base sums) (err error) {
	r.Each(func(id reconcile.SeriesID, v *crdt.Value, _ uint64) {
		if v.Kind == crdt.KindGauge || err != nil {
			return
		}
		err = next.from(base, id, v.Kind).Combine(v)
	})
	return err
}

// from returns the sum of a series in s, which begins as a copy of that in base.
func (s sums) from(base sums, id reconcile.SeriesID, k crdt.Kind) *crdt.Value {
	if s[id] == nil {
		sum := crdt.Bottom(k)
		if old := base[id]; old != nil {
			sum = old.Clone()
		}
		s[id] = &sum
	}
	return s[id]
}

// nowForgotten makes a record count that is on disk.
func (c *Core) nowForgotten(name string, n *forgotten, ids []crdt.Incarnation) {
	c.hub.forget.ids += len(ids) - len(n.ids)
	for _, inc := range ids {
		if !searchInc(n.ids, inc) {
			o := c.nodeOrigin(name, inc)
			delete(c.hub.aged, o)
			for _, s := range c.order {
				s.unlearn(o)
			}
		}
	}
	n.ids, n.sum = ids, wire.SumForgotten(ids)
	n.frozen = slices.DeleteFunc(slices.Clone(n.frozen), func(inc crdt.Incarnation) bool { return searchInc(ids, inc) })
	n.closing = slices.DeleteFunc(slices.Clone(n.closing), func(inc crdt.Incarnation) bool { return searchInc(ids, inc) })
	n.batch, n.take = nil, nil
	n.version++
	n.grown = c.now
	c.settleNode(name)
}

// startTake replaces the own record of a node, and all own cells of what it names, by a sibling's record.
func (c *Core) startTake(name string) bool {
	n := c.hub.forget.nodes[name]
	t := n.take
	if t == nil {
		return false
	}
	if !within(n.ids, t.ids) || len(n.ids) == len(t.ids) || mutant.On("record taken by the fresh only") && len(n.ids) > 0 {
		if !within(t.ids, n.ids) {
			c.Counts.ForgottenApart++
		}
		n.take = nil
		return false
	}
	if name == c.cfg.Node && searchInc(t.ids, c.cfg.Inc) {
		c.out.Fatal = fmt.Errorf("node: %w: a hub of region %s forgot it", ErrForgotten, c.cfg.Region)
		return false
	}
	if !c.gather(name, n) {
		return false
	}
	own := t.cells[sumsOf(c.cfg.Region, name).Inc]
	ops := c.recordOps(nil, name, t.ids, t.sums, own)
	ops = append(ops, frozenOp(name, slices.DeleteFunc(slices.Clone(n.frozen), func(inc crdt.Incarnation) bool { return searchInc(t.ids, inc) })))
	next := sums{}
	var out []*reconcile.Replica // what the totals contain of it, to be replaced
	if own != nil {
		out = append(out, own.Replica)
		next.take(own.Replica, c.hub.cold.sums)
	}
	for _, inc := range t.ids {
		if mutant.On("record beside the cells") {
			break
		}
		o := c.nodeOrigin(name, inc)
		if cold := t.cells[inc]; cold != nil {
			out, ops = append(out, cold.Replica), erase(ops, o, cold.parts)
			next.take(cold.Replica, c.hub.cold.sums)
		} else if r := c.hub.region.Held(o); r != nil {
			out, ops = append(out, r), erase(ops, o, c.disk.parts[o])
			for id, v := range c.hub.cold.thawed[o] {
				next.from(c.hub.cold.sums, id, v.Kind).Remove(v)
			}
		}
	}
	if err := addCells(next, t.sums, c.hub.cold.sums); err != nil {
		c.Counts.Rejected++
		n.take = nil
		return false
	}
	c.persistForget(name, c.hub.cold.ops(ops, next), func() { c.taken(name, n, t, next, out) })
	return true
}

// take takes the cells of r, which base contains, out of the sums in s.
func (s sums) take(r *reconcile.Replica, base sums) {
	r.Each(func(id reconcile.SeriesID, v *crdt.Value, _ uint64) {
		if v.Kind != crdt.KindGauge && base[id] != nil {
			s.from(base, id, v.Kind).Remove(v)
		}
	})
}

// taken makes a sibling's record count that is on disk.
func (c *Core) taken(name string, n *forgotten, t *takeover, next sums, out []*reconcile.Replica) {
	c.hub.cold.commit(next)
	if mutant.On("totals keep what a record replaces") {
		out = nil
	}
	c.check(c.hub.region.Replace(out, t.sums))
	for _, inc := range t.ids {
		o := c.nodeOrigin(name, inc)
		if r := c.hub.region.Held(o); r != nil {
			delete(c.disk.first, r)
			delete(c.disk.parts, o)
			c.hub.region.Drop(o)
		}
		delete(c.hub.cold.thawed, o)
		c.hub.cold.index.remove(o)
	}
	c.Counts.ForgottenTaken++
	c.nowForgotten(name, n, t.ids)
}

// forgotten reads the records, and what is frozen.
func (rec *recovery) forgotten() error {
	if rec.c.hub == nil {
		return nil
	}
	f := &rec.c.hub.forget
	for _, prefix := range []string{prefixForgot, prefixFrozen} {
		err := rec.r.Scan([]byte(prefix), func(_, value []byte) error {
			m, err := wire.ParseMessage(slices.Clone(value))
			switch m := m.(type) {
			case *wire.Forgotten:
				n := f.node(m.Node)
				n.ids, n.sum = m.Incs, wire.SumForgotten(m.Incs)
				n.version++
				f.ids += len(m.Incs)
			case *wire.Freeze:
				for i := range m.Nodes {
					n := f.node(m.Nodes[i].Node)
					n.frozen = m.Nodes[i].Frozen
					n.version++
				}
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}
