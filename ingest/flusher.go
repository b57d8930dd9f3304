package ingest

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"meshd/node"
)

// Submitter takes batches to disk: *node.Node. When Submit returns with Result.Err, nothing of the batch was counted
// and the batch is the caller's again.
type Submitter interface {
	Submit(ctx context.Context, b *node.Batch) node.Result
}

const (
	// flushInterval is how much a crash of the process can lose of what came without an answer.
	flushInterval = 100 * time.Millisecond

	// batchItems is how many increments are a batch: with two million spellings a batch is at most twice that. The node
	// takes a tenth of a second for them, in which it answers nobody.
	batchItems = 16_384

	// An accumulator that was idle for forgetAfter batches (10 minutes) makes room for others.
	forgetAfter = 6000
	forgetEvery = 600
)

// flusher carries the increments of accumulators to the node, one batch at a time: while a batch is written, the
// accumulators fill for the next. Many increments are several batches, taken one after the other, so that neither the
// node nor this door holds all of them twice. What the node does not take goes back and is part of the next batch, so a full disk
// costs memory only for new series, which the accumulators bound.
type flusher struct {
	acc      *accumulators
	own      []*counts // of readers that count by themselves
	to       Submitter
	meter    *meter
	log      *slog.Logger
	examples *examples
	interval time.Duration
	before   func() // each batch, unless nil: it may add to lost

	lost   atomic.Uint64 // samples or packets lost since the last batch on disk
	rounds uint64
	last   int  // increments in the last batch
	failed bool // the last batch was not taken
}

// run flushes every interval until ctx ends and once more then: callers end what fills the accumulators before.
func (f *flusher) run(ctx context.Context) {
	tick := time.NewTicker(f.interval)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			f.flush(ctx)
		case <-ctx.Done():
			f.flush(ctx)
			if left := f.pending(); left > 0 {
				f.meter.lost.WithLabelValues("shutdown").Add(float64(left))
				f.log.Error("samples lost: the node did not take the last batch before the end", "samples", left)
			}
			return
		}
	}
}

// flush submits what there is, and waits for the node's answers, also when ctx has ended: an unknown outcome would have to
// be counted as lost or be counted twice. A batch that the node does not take ends it: the rest stays where it is.
func (f *flusher) flush(ctx context.Context) {
	if f.rounds++; f.rounds%forgetEvery == 0 {
		f.meter.spellings.Set(float64(f.acc.forget(forgetAfter)))
	}
	if f.before != nil {
		f.before()
	}
	for _, t := range f.own {
		t.drain()
	}
	began, busy := time.Now(), false
	for next, took := 0, true; next < numShards && took; {
		var items []node.Item
		var from []taken
		items, from, next = f.acc.take(next, f.last)
		f.last = len(items)
		took = f.submit(context.WithoutCancel(ctx), items, from)
		busy = busy || len(items) > 0
	}
	if busy {
		f.meter.flushes.Observe(time.Since(began).Seconds())
	}
	f.examples.show(time.Now())
}

// pending returns how many samples are held that no batch took.
func (f *flusher) pending() uint64 {
	samples := f.acc.pending()
	for _, t := range f.own {
		samples += t.pending()
	}
	return samples
}

// submit hands over one batch, if there is something in it, and reports whether the node took it.
func (f *flusher) submit(ctx context.Context, items []node.Item, from []taken) bool {
	lost := f.lost.Swap(0)
	if len(items) == 0 && lost == 0 {
		return true
	}
	res := f.to.Submit(ctx, &node.Batch{Items: items, Lost: lost, Share: true})
	if res.Err != nil {
		f.keep(items, from, lost, res.Err)
		return false
	}
	if f.failed {
		f.failed = false
		f.log.Info("the node takes batches again")
	}
	var stored uint64
	for i := range from {
		stored += from[i].samples
		from[i].share(items[i].Series)
		f.acc.settle(&from[i])
	}
	for _, r := range res.Rejected {
		n := from[r.Index].samples
		f.meter.rejected[reasonOf(r.Err)].Add(float64(n))
		f.examples.noteSeries(reasonOf(r.Err), items[r.Index].Series)
		stored -= n
	}
	f.meter.commits.Inc()
	f.meter.stored.Add(float64(stored))
	return true
}

// keep returns a batch that was not counted to where it came from.
func (f *flusher) keep(items []node.Item, from []taken, lost uint64, err error) {
	for i := range items {
		from[i].giveBack(items[i].Inc)
	}
	f.lost.Add(lost)
	f.meter.deferred.Inc()
	if !f.failed {
		f.failed = true
		f.log.Warn("the node takes no batch: samples are kept in memory and tried again", "err", err)
	}
}
