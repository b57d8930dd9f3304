package node

import (
	"fmt"

	"meshd/crdt"
	"meshd/internal/mutant"
	"meshd/internal/wire"
	"meshd/reconcile"
)

// builder collects the increments of a commit.
type builder struct {
	c      *Core
	incs   *tally // what is added; for gauges the value that results
	failed map[reconcile.SeriesID]error
	wins   map[crdt.Window]*tally // what is added to fine windows
	placed int                    // how many of these there are
	refs   map[reconcile.SeriesID]uint32
	added  []addedBatch

	corrects bool // the batch at hand is of a correction
}

// addedBatch remembers which series the items of a batch went to, should a cell turn out to be full.
type addedBatch struct {
	batch *Batch
	ids   []reconcile.SeriesID
}

// newBuilder returns a builder, of which there is one at a time: close ends it.
func newBuilder(c *Core) *builder {
	return &builder{
		c: c, incs: c.tallies.next(), failed: map[reconcile.SeriesID]error{}, wins: map[crdt.Window]*tally{}, refs: map[reconcile.SeriesID]uint32{},
	}
}

func (b *builder) close() { b.c.tallies.clear() }

// add merges a batch. Items that cannot be counted are rejected one by one.
func (b *builder) add(batch *Batch, tc *tokenChanges) Result {
	res := Result{}
	b.corrects = batch.Corrects
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
		if own := b.c.cat.Series(id); batch.Share && own != it.Series && own.Equal(it.Series) {
			it.Series = own
		}
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

// maySide reports why nobody may count on s: it is a side of another series, or should be one.
func (b *builder) maySide(s *crdt.Series) error {
	if !b.corrects {
		if s.IsSide() && !mutant.On("clients write sides") {
			return fmt.Errorf("node: %w: the label %s says how a series is corrected, nobody counts on it", crdt.ErrSeries, crdt.CorrectionLabel)
		}
		return nil
	}
	if _, _, ok := s.Side(); !ok {
		return fmt.Errorf("node: %w: %s is no difference of a correction", crdt.ErrSeries, s)
	}
	return nil
}

// series returns the number of s, or that of the overflow series when the node may have no more.
func (b *builder) series(s *crdt.Series) (reconcile.SeriesID, error) {
	s = b.c.cat.Writable(s)
	if id, ok := b.c.cat.Find(s); ok {
		if v, _ := b.c.live.Cell(id); v != nil || b.incs.get(id) != nil {
			if b.c.cat.IsSide(id) == b.corrects {
				return id, nil
			}
			return id, b.maySide(s)
		}
	}
	if err := b.maySide(s); err != nil {
		return 0, err
	}
	if err := s.Check(); err != nil {
		return 0, err
	}
	if s.Get(crdt.RollupLabel) != "" {
		return 0, fmt.Errorf("node: %w: the label %s says what a sum lacks, nobody counts on it", crdt.ErrSeries, crdt.RollupLabel)
	}
	if b.c.live.Len()+b.incs.len() >= b.c.cfg.Limits.Series && !b.corrects {
		b.c.Counts.Overflowed++
		s = &crdt.Series{Name: OverflowMetric, Kind: s.Kind}
	}
	return b.c.cat.Intern(s)
}

func (b *builder) grow(id reconcile.SeriesID, inc *crdt.Value) error {
	if kind := b.c.cat.Series(id).Kind; inc.Kind != kind {
		return fmt.Errorf("node: %w: a %s increment for a %s series", crdt.ErrKind, inc.Kind, kind)
	}
	cur := b.incs.get(id)
	if inc.Kind == crdt.KindGauge { // a setting replaces and an adjustment builds on the last value: order matters
		from := cur
		if from == nil {
			from = b.cell(id)
		}
		next, err := from.Next(inc)
		switch {
		case err != nil || next.X == nil: // a setting that comes late changes nothing
		case cur == nil:
			b.incs.put(id, next)
		default:
			*cur = next
		}
		return err
	}
	if cur != nil {
		return cur.Grow(inc)
	}
	v := crdt.Bottom(inc.Kind)
	err := v.Grow(inc)
	if err == nil {
		b.incs.put(id, v)
	}
	return err
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
	size, room := 0, b.incs.len()
	for _, id := range b.incs.sorted() {
		v := *b.incs.get(id)
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
			f = &wire.Frame{Origin: b.c.own, From: head - 1, To: head, Head: head, Cells: make([]wire.Cell, 0, room)}
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
			f, room = nil, min(room, len(f.Cells)) // of about the same size as this one
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
