package node

import (
	"encoding/binary"
	"fmt"
	"maps"
	"slices"

	"meshd/crdt"
	"meshd/internal/mutant"
	"meshd/internal/wire"
	"meshd/reconcile"
)

const (
	// maxFrameQueue bounds the memory of peers' frames that wait for the disk, as bytes and parsed: a quarter of what
	// a process aims for by default. These are some 700,000 counters, a third of a second of what a disk takes. At the
	// bound the driver stops reading from peers, which slows them down through QUIC's flow control.
	maxFrameQueue = 64 << 20
	// cellBytes is what a parsed cell takes besides its state.
	cellBytes = 88
	// maxCommitBytes bounds one commit, so that a commit takes tens of milliseconds and not seconds.
	maxCommitBytes = 1 << 20
	// recordBytes is when a log record is long enough and the commit goes on in another: stores like small values.
	recordBytes = 96 << 10
	// seqBytes is how much of a commit goes under one seq. Cells of one seq are never split over frames.
	seqBytes = 64 << 10
)

// OverflowMetric names the series that samples go to when a node has as many series as it may: their sum stays exact.
const OverflowMetric = "meshd.overflow"

// LostMetric counts samples lost before they could be counted, such as UDP packets that the kernel dropped.
const LostMetric = "meshd.lost"

// queue is what waits for the persist that runs.
type queue struct {
	batches    []Submit
	items      int
	frames     []queuedFrame
	frameBytes int
}

type queuedFrame struct {
	frame *wire.Frame
	raw   []byte
	from  uint64 // session
}

// cost is what a frame takes while it waits.
func (q *queuedFrame) cost() int { return len(q.raw) + cellBytes*len(q.frame.Cells) }

// pending is the persist that runs. Until it is back, nothing of it is in the cells.
type pending struct {
	token   uint64
	records records
	own     []*wire.Frame
	frames  []queuedFrame
	replies []Reply
	tokens  *tokenChanges
	config  *wire.MeshConfig // a document that is written
	sets    []openSet        // of open windows
	events  []Op             // that keep raw events
	raw     rawCommit        // what they are
	win     *windowPersist   // peers' frames of windows; nil: none
	after   func()           // of a checkpoint
	failed  func()           // nil: nothing else to do
}

func (c *Core) submit(in Submit) {
	if len(in.Batch.Items) > 0 && c.waitingItems()+len(in.Batch.Items) > c.cfg.Limits.Waiting || !c.hubWaits.admits(in.Batch) {
		c.Counts.Overfull++
		c.out.Replies = append(c.out.Replies, Reply{ID: in.ID, Result: Result{Err: ErrBusy}})
		return
	}
	c.queue.batches = append(c.queue.batches, in)
	c.queue.items += len(in.Batch.Items)
}

// startPersist begins the next persist if none runs: a commit of everything that waits, or a step of a checkpoint.
func (c *Core) startPersist() {
	if c.pending != nil {
		return
	}
	if c.hub != nil && startOrders(c, c.hub.removals) || startOrders(c, c.drops.register) || c.startBudget() || c.startForgets() || c.startWindows() {
		return
	}
	if len(c.queue.batches) == 0 && len(c.queue.frames) == 0 && c.config.next == nil {
		if !c.startEventTrim() {
			c.startCheckpoint()
		}
		return
	}
	p := &pending{token: c.disk.nextToken()}
	rec := &records{first: c.disk.lsn + 1}
	c.commitOwn(p, rec)
	n := 0
	for ; n < len(c.queue.frames) && rec.bytes < maxCommitBytes; n++ {
		q := c.queue.frames[n]
		c.queue.frameBytes -= q.cost()
		if q.frame.Stream == crdt.StreamWindow {
			c.storeWindows(p, &q)
			continue
		}
		rec.add(q.raw)
		p.frames = append(p.frames, q)
	}
	c.queue.frames = slices.Delete(c.queue.frames, 0, n)
	ops := append(c.configOps(p, p.tokens.ops(rec.ops())), p.events...)
	if p.win != nil {
		ops = append(ops, p.win.finish()...)
	}
	if len(ops) == 0 { // nothing new: only duplicates and refusals
		c.keepEvents(&p.raw)
		c.reply(p)
		return
	}
	if mutant.On("ack before persist") {
		c.out.Replies, p.replies = append(c.out.Replies, p.replies...), nil
	}
	if mutant.On("visible before durable") {
		for _, f := range p.own {
			c.check(c.applyOwn(f))
		}
	}
	p.records = *rec
	c.pending = p
	c.out.Persist = &Persist{Token: p.token, Ops: c.raw.trim(c.disk.trim(ops))}
}

// commitOwn turns the waiting batches into frames of the live incarnation and adds them to the log.
func (c *Core) commitOwn(p *pending, rec *records) {
	p.tokens = c.tokens.begin()
	c.holdLate()
	if len(c.queue.batches) == 0 {
		return
	}
	b := newBuilder(c)
	for _, s := range c.queue.batches {
		if err := p.tokens.room(s.Batch.Items, c.wall); err != nil { // all of it or nothing: its sender tries again
			c.Counts.Overfull++
			c.hubWaits.refused(s.Batch)
			c.out.Replies = append(c.out.Replies, Reply{ID: s.ID, Result: Result{Err: err}})
			continue
		}
		res, err := b.follow(s.Batch, p.tokens)
		if err != nil {
			c.refuseChain(&s, err)
			continue
		}
		p.replies = append(p.replies, Reply{ID: s.ID, Result: res, ackHub: s.Batch.AckHub})
	}
	c.Counts.SourcesForgotten = c.tokens.expired
	c.queue.batches, c.queue.items = nil, 0
	b.finish(p)
	for _, f := range p.own {
		raw, err := wire.AppendFrame(nil, f)
		if err != nil {
			panic(fmt.Sprintf("node: own frame does not encode: %v", err)) // the builder made what the wire refuses
		}
		rec.add(raw)
	}
	b.logWindows(p, rec)
	p.events = b.events(p, nil)
}

// records are the log records of one commit: frames, each behind its length, in values that a store likes.
type records struct {
	first  uint64 // lsn
	values [][]byte
	bytes  int
}

func (r *records) add(frame []byte) {
	if n := len(r.values); n == 0 || len(r.values[n-1]) >= recordBytes {
		r.values = append(r.values, nil)
	}
	last := &r.values[len(r.values)-1]
	was := len(*last)
	*last = append(binary.AppendUvarint(*last, uint64(len(frame))), frame...)
	r.bytes += len(*last) - was
}

func (r *records) ops() (ops []Op) {
	for i, v := range r.values {
		ops = append(ops, Op{Key: logKey(r.first + uint64(i)), Value: v})
	}
	return ops
}

// persisted applies what is on disk now, and only now: I7.
func (c *Core) persisted(in Persisted) {
	p := c.pending
	if p == nil || p.token != in.Token {
		return
	}
	c.pending = nil
	c.configWritten(p.config, in.Err)
	if in.Err != nil {
		if mutant.On("token kept without its counts") {
			c.tokens.commit(p.tokens)
		}
		c.Counts.CommitFailed++
		if p.failed != nil {
			p.failed()
		}
		if p.win != nil {
			c.Counts.FramesDropped += uint64(len(p.win.frames))
		}
		c.Counts.FramesDropped += uint64(len(p.frames)) // their senders resume from what was acknowledged
		for _, r := range p.replies {
			if r.ackHub > 0 {
				c.hubWaits.asked--
			}
			c.out.Replies = append(c.out.Replies, Reply{ID: r.ID, Result: Result{Err: in.Err}})
		}
		return
	}
	c.disk.trimDone()
	c.raw.trimDone()
	if p.after != nil {
		p.after()
		return
	}
	c.Counts.Commits++
	c.keepEvents(&p.raw)
	for i, v := range p.records.values {
		c.disk.committed(p.records.first+uint64(i), len(v))
	}
	c.tokens.commit(p.tokens)
	for _, f := range p.own {
		c.check(c.applyOwn(f))
		c.disk.dirty(c.live, p.records.first)
	}
	if len(p.sets) > 0 {
		c.win.live.apply(p.sets)
		c.disk.opened(p.records.first)
	}
	if p.win != nil {
		c.windowsStored(p.win)
	}
	for _, q := range p.frames {
		c.applyPeer(q, p.records.first)
	}
	for _, r := range p.replies {
		c.Counts.CommittedItems += uint64(r.Result.Accepted)
		c.Counts.Duplicates += uint64(r.Result.Duplicates)
		c.Counts.Rejected += uint64(len(r.Result.Rejected))
	}
	c.reply(p)
}

// check panics on an error that the checks before a persist exclude.
func (c *Core) check(err error) {
	if err != nil {
		panic(fmt.Sprintf("node: committed frame does not apply: %v", err))
	}
}

// builder collects the increments of a commit.
type builder struct {
	c      *Core
	incs   map[reconcile.SeriesID]*crdt.Value // what is added; for gauges the value that results
	failed map[reconcile.SeriesID]error
	wins   map[crdt.Window]map[reconcile.SeriesID]*crdt.Value // what is added to fine windows
	placed int                                                // how many of these there are
	refs   map[reconcile.SeriesID]uint32
	added  []addedBatch
}

// addedBatch remembers which series the items of a batch went to, should a cell turn out to be full.
type addedBatch struct {
	batch *Batch
	ids   []reconcile.SeriesID
}

func newBuilder(c *Core) *builder {
	return &builder{
		c: c, incs: map[reconcile.SeriesID]*crdt.Value{}, failed: map[reconcile.SeriesID]error{},
		wins: map[crdt.Window]map[reconcile.SeriesID]*crdt.Value{}, refs: map[reconcile.SeriesID]uint32{},
	}
}

// add merges a batch. Items that cannot be counted are rejected one by one.
func (b *builder) add(batch *Batch, tc *tokenChanges) Result {
	res := Result{}
	ids := make([]reconcile.SeriesID, len(batch.Items))
	for i := range batch.Items {
		it := &batch.Items[i]
		ids[i] = ^reconcile.SeriesID(0)
		if tc.seen(it.Token) {
			res.Duplicates++
			continue
		}
		if it.Series == nil { // a rule at the door dropped it, and it is kept as it was
			ids[i] = eventsNoCells
			tc.mark(it.Token, b.c.wall)
			res.Accepted++
			continue
		}
		id, err := b.series(it.Series)
		if err == nil {
			err = b.grow(id, &it.Inc)
		}
		if err != nil {
			res.Rejected = append(res.Rejected, Rejection{Index: i, Err: err})
			continue
		}
		ids[i] = id
		b.place(id, it)
		tc.mark(it.Token, b.c.wall)
		res.Accepted++
	}
	if batch.Lost > 0 {
		b.lost(batch.Lost)
	}
	b.added = append(b.added, addedBatch{batch, ids})
	return res
}

func (b *builder) lost(n uint64) {
	id, err := b.series(&crdt.Series{Name: LostMetric, Kind: crdt.KindCounter})
	if err == nil {
		it := &Item{Inc: crdt.Value{Kind: crdt.KindCounter, P: crdt.FixedFromUint(n)}}
		if err = b.grow(id, &it.Inc); err == nil {
			b.place(id, it)
		}
	}
	if err != nil {
		b.c.Counts.Rejected++
	}
}

// series returns the number of s, or that of the overflow series when the node may have no more.
func (b *builder) series(s *crdt.Series) (reconcile.SeriesID, error) {
	s = b.c.cat.Writable(s)
	if id, ok := b.c.cat.Find(s); ok {
		if v, _ := b.c.live.Cell(id); v != nil || b.incs[id] != nil {
			return id, nil
		}
	}
	if err := s.Check(); err != nil {
		return 0, err
	}
	if s.Get(crdt.RollupLabel) != "" {
		return 0, fmt.Errorf("node: %w: the label %s says what a sum lacks, nobody counts on it", crdt.ErrSeries, crdt.RollupLabel)
	}
	if b.c.live.Len()+len(b.incs) >= b.c.cfg.Limits.Series {
		b.c.Counts.Overflowed++
		s = &crdt.Series{Name: OverflowMetric, Kind: s.Kind}
	}
	return b.c.cat.Intern(s)
}

func (b *builder) grow(id reconcile.SeriesID, inc *crdt.Value) error {
	if kind := b.c.cat.Series(id).Kind; inc.Kind != kind {
		return fmt.Errorf("node: %w: a %s increment for a %s series", crdt.ErrKind, inc.Kind, kind)
	}
	cur := b.incs[id]
	if inc.Kind == crdt.KindGauge { // a setting replaces and an adjustment builds on the last value: order matters
		if cur == nil {
			cur = b.cell(id)
		}
		next, err := cur.Next(inc)
		if err == nil && next.X != nil { // a setting that comes late changes nothing
			b.incs[id] = &next
		}
		return err
	}
	if cur == nil {
		v := crdt.Bottom(inc.Kind)
		cur = &v
	}
	if err := cur.Grow(inc); err != nil {
		return err
	}
	b.incs[id] = cur
	return nil
}

func (b *builder) cell(id reconcile.SeriesID) *crdt.Value {
	if v, _ := b.c.live.Cell(id); v != nil {
		return v
	}
	v := crdt.Bottom(b.c.cat.Series(id).Kind)
	return &v
}

// finish makes frames of what was collected, each under a seq of its own.
func (b *builder) finish(p *pending) {
	head := b.c.live.Progress[crdt.StreamLifetime].Cursor
	ref := uint32(b.c.live.Refs())
	var f *wire.Frame
	size := 0
	for _, id := range slices.Sorted(maps.Keys(b.incs)) {
		v := *b.incs[id]
		if v.Kind != crdt.KindGauge {
			next, err := b.cell(id).Next(&v)
			if err != nil {
				b.failed[id] = err
				continue
			}
			if v.X != nil && next.X == nil {
				continue // seen before: the cell has all of it
			}
			v = next
		}
		if f == nil {
			head++
			f = &wire.Frame{Origin: b.c.own, From: head - 1, To: head, Head: head}
			p.own, size = append(p.own, f), 0
		}
		r, ok := b.c.live.Ref(id)
		if !ok {
			r, ref = ref, ref+1
			b.refs[id] = r
			s := b.c.cat.Series(id)
			f.Defs = append(f.Defs, wire.Def{Ref: r, Seq: f.To, Series: *s})
			size += 64 + len(s.Name) + 32*len(s.Labels)
		}
		f.Cells = append(f.Cells, wire.Cell{Ref: r, Seq: f.To, Value: v})
		size += 16
		if v.X != nil {
			size += v.X.Size()
		}
		if size >= seqBytes {
			f = nil
		}
	}
	b.reject(p)
}

// reject takes back the items of series whose cell cannot take the sum of this commit.
func (b *builder) reject(p *pending) {
	if len(b.failed) == 0 {
		return
	}
	for n := range p.replies {
		res := &p.replies[n].Result
		for i, id := range b.added[n].ids {
			if err := b.failed[id]; err != nil {
				res.Accepted--
				res.Rejected = append(res.Rejected, Rejection{Index: i, Err: err})
				p.tokens.unmark(b.added[n].batch.Items[i].Token)
			}
		}
	}
}
