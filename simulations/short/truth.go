package short

import (
	"meshd/crdt"
	"meshd/internal/wire"
	"meshd/node"
	"meshd/reconcile"
)

// truth is what every process ever wrote, known from what it was asked for and from what reached its disk.
type truth struct {
	writers map[crdt.Incarnation]*writer
	order   []*writer
	derived map[crdt.Origin]*history // totals and views, which hubs write and keep on no disk
	upper   [numRegions]amounts      // sums over all writers

	published map[string][]byte // frames of windows, by class, incarnation and number
}

// writer is one process as a writer of its own cells.
type writer struct {
	origin  crdt.Origin
	region  int
	refs    []int // series by the origin's own number
	history       // by seq
	asked   amounts

	requests []*request

	forgotten *amounts // what hubs forgot it with; nil: none has
	older     bool     // a disk came back from a backup that had more of it than the disk before
}

// request is what a client asked for.
type request struct {
	amounts
	at      int64 // when it happened
	outcome outcome
}

// outcome of a request: unknown until it is answered.
type outcome uint8

const (
	unknown outcome = iota
	accepted
	refused
)

// history is what a writer's cells were at each seq.
type history []amounts

func (h history) top() amounts { return h[len(h)-1] }

// at returns the cells at a seq; false if the writer never got there.
func (h history) at(seq uint64) (amounts, bool) {
	if seq >= uint64(len(h)) {
		return amounts{}, false
	}
	return h[seq], true
}

func newTruth() *truth {
	return &truth{writers: map[crdt.Incarnation]*writer{}, derived: map[crdt.Origin]*history{}, published: map[string][]byte{}}
}

func (t *truth) begin(o crdt.Origin, region int) *writer {
	by := &writer{origin: o, region: region, history: history{{}}}
	t.writers[o.Inc] = by
	t.order = append(t.order, by)
	return by
}

// total adds up what was written in a region.
func (t *truth) total(region int) {
	t.upper[region] = amounts{}
	for _, by := range t.order {
		if by.region == region {
			top := by.top()
			t.upper[region].add(&top)
		}
	}
}

func (by *writer) define(ref uint32, at int) {
	for uint32(len(by.refs)) <= ref {
		by.refs = append(by.refs, -1)
	}
	by.refs[ref] = at
}

func (by *writer) series(ref uint32) (int, bool) {
	if int(ref) >= len(by.refs) || by.refs[ref] < 0 {
		return 0, false
	}
	return by.refs[ref], true
}

// commit adds the seq of an own frame to the history.
func (by *writer) commit(f *wire.Frame) {
	next := by.top()
	for i := range f.Cells {
		if at, ok := by.series(f.Cells[i].Ref); ok {
			var a amounts
			a.set(at, &f.Cells[i].Value)
			next.raise(&a)
		}
	}
	for uint64(len(by.history)) < f.To {
		by.history = append(by.history, by.top())
	}
	by.history = append(by.history[:f.To], next)
}

// watch records what a hub's totals and views are at the seqs that this step closed.
func (w *World) watch(c *node.Core) {
	c.Derived(func(r *reconcile.Replica) {
		seq := r.Progress[crdt.StreamLifetime].Cursor
		h := w.truth.derived[r.Origin]
		if h == nil {
			h = &history{{}}
			w.truth.derived[r.Origin] = h
		}
		if seq < uint64(len(*h)) {
			return
		}
		for uint64(len(*h)) < seq { // closed in the same step, with less in them
			*h = append(*h, h.top())
		}
		*h = append(*h, w.cellsOf(c, r))
	})
}

// cellsOf reads a copy of an origin.
func (w *World) cellsOf(c *node.Core, r *reconcile.Replica) (a amounts) {
	r.Each(func(id reconcile.SeriesID, v *crdt.Value, _ uint64) {
		if at := indexOf(c.Series(id).Name); at < 0 || !a.set(at, v) {
			w.fail("I6", "a copy of %s holds %s, which nobody wrote", r.Origin, c.Series(id))
		}
	})
	return a
}
