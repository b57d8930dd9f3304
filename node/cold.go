package node

import (
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"slices"

	"meshd/crdt"
	"meshd/internal/mutant"
	"meshd/internal/wire"
	"meshd/reconcile"
)

// maxLoading bounds the frames that wait for one cold origin to be loaded: a catch-up sends some at once and the
// rest after an acknowledgement.
const maxLoading = 64

// coldBatch is how many origins go cold in one persist.
const coldBatch = 16

// coldStore keeps, of the incarnations that are over, an index and the sums of their cells. The cells themselves
// are on disk. The sums are committed together with the cells they stand for, so a start scans no cold cell.
type coldStore struct {
	cat     *reconcile.Catalog
	index   coldIndex
	sums    sums                 // over what is cold on disk, exactly as on disk
	thawed  map[crdt.Origin]sums // cells of origins that are in memory again but in the sums on disk
	waiting map[crdt.Origin][]queuedFrame
	loads   map[crdt.Origin][]func(*Loaded) // what waits for a load, in the order of asking; nil: the origin itself
	checked int64
}

// sums are values by series.
type sums map[reconcile.SeriesID]*crdt.Value

func newColdStore(cat *reconcile.Catalog) coldStore {
	return coldStore{
		cat: cat, index: newColdIndex(),
		sums: sums{}, thawed: map[crdt.Origin]sums{}, waiting: map[crdt.Origin][]queuedFrame{},
		loads: map[crdt.Origin][]func(*Loaded){},
	}
}

// cellsOf returns copies of what of r enters the sums.
func cellsOf(r *reconcile.Replica) sums {
	out := sums{}
	r.Each(func(id reconcile.SeriesID, v *crdt.Value, _ uint64) {
		if v.Kind != crdt.KindGauge {
			c := v.Clone()
			out[id] = &c
		}
	})
	return out
}

// add puts into next the sums as they are once r is cold on disk as it is now. What r had on disk before, if it was
// cold there, is taken out first. On an error next is unchanged.
func (s *coldStore) add(r *reconcile.Replica, next sums) error {
	was, out := s.thawed[r.Origin], sums{}
	var err error
	r.Each(func(id reconcile.SeriesID, v *crdt.Value, _ uint64) {
		if v.Kind == crdt.KindGauge || err != nil {
			return
		}
		sum := crdt.Bottom(v.Kind)
		if old := cmp.Or(next[id], s.sums[id]); old != nil {
			sum = old.Clone()
		}
		if was[id] != nil {
			sum.Remove(was[id])
		}
		err = sum.Combine(v)
		out[id] = &sum
	})
	if err == nil {
		maps.Copy(next, out)
	}
	return err
}

// ops appends the writes of sums, in the order of series.
func (s *coldStore) ops(ops []Op, next sums) []Op {
	for _, id := range slices.Sorted(maps.Keys(next)) {
		ops = append(ops, s.sumOp(id, next[id]))
	}
	return ops
}

// commit makes sums that are on disk now the ones in memory.
func (s *coldStore) commit(next sums) { maps.Copy(s.sums, next) }

// without returns the sum of series id without the origins that are in memory again, or nil.
func (s *coldStore) without(id reconcile.SeriesID) *crdt.Value {
	sum := s.sums[id]
	if sum == nil {
		return nil
	}
	out := sum.Clone()
	if mutant.On("cold and hot after a restart") {
		return &out
	}
	for _, was := range s.thawed { // subtraction: the order does not matter
		if was[id] != nil {
			out.Remove(was[id])
		}
	}
	return &out
}

func coldKey(s *crdt.Series) []byte {
	h := sha256.Sum256(s.AppendKey(nil))
	return append([]byte(prefixCold), h[:16]...)
}

// sumOp returns the write of one sum, as a frame of the node origin without a name.
func (s *coldStore) sumOp(id reconcile.SeriesID, v *crdt.Value) Op {
	def := s.cat.Series(id)
	raw, err := wire.AppendFrame(nil, &wire.Frame{
		Origin: crdt.Origin{Class: crdt.ClassRegion, Region: "cold", Node: "cold"}, Head: 1,
		Defs: []wire.Def{{Seq: 1, Series: *def}}, Cells: []wire.Cell{{Seq: 1, Value: *v}},
	})
	if err != nil {
		panic(fmt.Sprintf("node: sum of %s does not encode: %v", def, err))
	}
	return Op{Key: coldKey(def), Value: raw}
}

// startCooling moves incarnations that nobody writes any more out of memory: their cells and progress, marked cold,
// and the new sums go to disk in one persist; memory follows when it is back. It reports whether there were any.
func (c *Core) startCooling() bool {
	if c.hub == nil || c.now < c.hub.cold.checked+c.cfg.ColdAfter/10 {
		return false
	}
	c.hub.cold.checked = c.now
	var ops []Op
	var done []*reconcile.Replica
	next := sums{}
	for _, o := range c.hub.region.Origins() {
		r := c.hub.region.Held(o)
		if len(done) >= coldBatch || o == c.own || c.now < r.Touched+c.cfg.ColdAfter || c.named(o) || c.hasLeft(o) {
			continue
		}
		if c.countsGauges(o) && r.Gauges() { // a sibling hears it: what it said last holds
			continue
		}
		if err := c.hub.cold.add(r, next); err != nil {
			c.Counts.Rejected++
			continue
		}
		r.Changed = cmp.Or(r.Changed, c.wall)
		life := &r.Progress[crdt.StreamLifetime]
		life.Owed = max(life.Owed, r.Top()) // cells beyond a gap are nothing that the index could show otherwise
		ops, _ = c.disk.snapshotOps(ops, r, true, 0)
		done = append(done, r)
	}
	if len(done) == 0 {
		return false
	}
	c.persistCheckpoint(c.hub.cold.ops(ops, next), func() {
		c.hub.cold.commit(next)
		for _, r := range done {
			if c.queued(r.Origin) && !mutant.On("cold while frames wait") { // it was heard again meanwhile: cold on disk, as if it had been loaded
				c.hub.cold.thawed[r.Origin] = cellsOf(r)
				delete(c.disk.first, r)
				continue
			}
			c.hub.cold.index.put(r.Origin, r.Progress, r.Changed)
			delete(c.hub.cold.thawed, r.Origin)
			c.hub.region.Drop(r.Origin)
			delete(c.disk.first, r)
			delete(c.disk.parts, r.Origin)
			delete(c.hub.aged, r.Origin)
			c.unlearnAtHubs(r.Origin, r.Progress[crdt.StreamLifetime])
		}
	})
	return true
}

// queued reports whether frames of o wait for the disk.
func (c *Core) queued(o crdt.Origin) bool {
	return slices.ContainsFunc(c.queue.frames, func(q queuedFrame) bool { return q.frame.Origin == o })
}

// named reports whether a session's peer has o on its disk and not everything of it is here: it will be needed.
func (c *Core) named(o crdt.Origin) bool {
	for _, s := range c.sessions {
		if s.peer.Node != o.Node || s.peer.Region != o.Region {
			continue
		}
		for _, n := range s.named {
			if n.Inc == o.Inc && (n.Live || !c.whole(o, n)) {
				return true
			}
		}
	}
	return false
}

func (c *Core) whole(o crdt.Origin, n reconcile.Named) bool {
	r := c.hub.region.Held(o)
	return r != nil && r.Progress[crdt.StreamLifetime].Covered >= n.Head[crdt.StreamLifetime]
}

// thaw asks for a cold origin that a frame or a session needs. The frame, if any, waits.
func (c *Core) thaw(o crdt.Origin, q *queuedFrame) {
	w, asked := c.hub.cold.waiting[o]
	if q != nil {
		if len(w) >= maxLoading && q.from != 0 { // what is replayed comes in batches that are waited for
			c.Counts.FramesDropped++ // its sender resumes from what was acknowledged
		} else {
			w = append(w, *q)
		}
	}
	c.hub.cold.waiting[o] = w
	if !asked {
		c.load(o, nil)
	}
}

// load asks for the cells of an origin on disk: for f, or with nil to put it back into memory.
func (c *Core) load(o crdt.Origin, f func(*Loaded)) {
	c.Counts.Loads++
	c.hub.cold.loads[o] = append(c.hub.cold.loads[o], f)
	c.out.Loads = append(c.out.Loads, o)
}

// asker returns who asked for a load: loads are answered in the order of asking.
func (s *coldStore) asker(o crdt.Origin) func(*Loaded) {
	l := s.loads[o]
	if len(l) < 2 {
		delete(s.loads, o)
	} else {
		s.loads[o] = l[1:]
	}
	if len(l) == 0 {
		return nil
	}
	return l[0]
}

// loaded puts a cold origin back into memory. The totals contain it already. On disk it stays cold, in the sums,
// until it is written again.
func (c *Core) loaded(in Loaded) {
	if c.hub == nil {
		return
	}
	if f := c.hub.cold.asker(in.Origin); f != nil {
		f(&in)
		return
	}
	w := c.hub.cold.waiting[in.Origin]
	delete(c.hub.cold.waiting, in.Origin)
	if c.hub.forget.busy == in.Origin.Node && (c.isFrozen(in.Origin) || c.taking(in.Origin)) {
		c.Counts.FramesDropped += uint64(len(w)) // it is about to be forgotten
		return
	}
	p, ok := c.hub.cold.index.progress(in.Origin)
	if !ok {
		return
	}
	r, err := restore(in, c.cat)
	if err != nil {
		c.Counts.FramesDropped += uint64(len(w))
		return
	}
	r.Progress, r.Changed = p, c.hub.cold.index.changed(in.Origin)
	c.moved(in.Origin)
	c.disk.parts[in.Origin] = len(in.Snapshot)
	c.hub.cold.index.remove(in.Origin)
	c.hub.cold.thawed[in.Origin] = cellsOf(r)
	if !mutant.On("loaded for nobody") {
		c.hub.aged[in.Origin] = p[crdt.StreamLifetime].Cursor // what was cold is old: a hub that lacks it gets it at the next comparison
	}
	if mutant.On("cold loaded twice") {
		c.check(c.hub.region.Take(r))
	}
	c.hub.region.Restore(r, c.now)
	for _, q := range w {
		c.enqueue(q)
	}
}

// restore makes a replica of a snapshot.
func restore(in Loaded, cat *reconcile.Catalog) (*reconcile.Replica, error) {
	if in.Err != nil {
		return nil, in.Err
	}
	r := reconcile.NewReplica(in.Origin, cat)
	for _, f := range in.Snapshot {
		if f.Origin != in.Origin {
			return nil, errors.New("node: snapshot of another origin")
		}
		if err := r.Check(f); err != nil {
			return nil, err
		}
		if _, err := r.Apply(f, nil); err != nil {
			return nil, err
		}
	}
	return r, nil
}
