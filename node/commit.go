package node

import (
	"encoding/binary"
	"fmt"
	"slices"

	"meshd/crdt"
	"meshd/internal/mutant"
	"meshd/internal/wire"
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
	if c.hub != nil && startOrders(c, c.hub.removals) || startOrders(c, c.drops.register) || startOrders(c, c.corrections.register) ||
		c.startCounting() || c.startBudget() || c.startForgets() || c.startWindows() {
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
	defer b.close()
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
		c.disk.committed(p.records.first+uint64(i), len(v), c.now)
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
