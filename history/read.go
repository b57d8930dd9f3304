package history

import (
	"context"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"meshd/crdt"
)

// matchBlock series are looked at in one go, by one goroutine and under one lock: 0.1 ms at most, so that no cell waits long.
const matchBlock = 4096

// matching calls found, from several goroutines, with the series of the selection that have an owner it asks for, in blocks.
func (s *Store) matching(ctx context.Context, sel *Selection, found func(block int, es []*seriesEntry) error) error {
	ids, all, err := s.candidates(ctx, sel)
	if err != nil {
		return err
	}
	n := len(ids)
	if all {
		s.mu.RLock()
		n = len(s.tables.byID)
		s.mu.RUnlock()
	}
	blocks := (n + matchBlock - 1) / matchBlock
	return parallel(ctx, blocks, func() func(int) error {
		scratch := make([]*seriesEntry, 0, min(n, matchBlock))
		return func(block int) error {
			scratch = scratch[:0]
			s.mu.RLock()
			for i := block * matchBlock; i < min((block+1)*matchBlock, n); i++ {
				id := uint32(i)
				if !all {
					id = ids[i]
				}
				if e := s.tables.byID[id]; e != nil && slices.ContainsFunc(e.pairs, sel.owns) {
					scratch = append(scratch, e)
				}
			}
			s.mu.RUnlock()
			es := slices.DeleteFunc(scratch, func(e *seriesEntry) bool { return !sel.Wants(e.series) })
			return found(block, es)
		}
	})
}

// owns reports whether the selection asks for the owner of p.
func (sel *Selection) owns(p *pair) bool {
	o := &p.owner.origin
	return sel.ByNode == (o.Class == crdt.ClassNode) && (sel.Regions == nil || slices.Contains(sel.Regions, o.Region))
}

// parallel calls a function of each worker for 0..n-1, on all processors, until one fails or ctx ends.
func parallel(ctx context.Context, n int, worker func() func(i int) error) error {
	workers := min(runtime.GOMAXPROCS(0), n)
	if workers <= 1 {
		if n == 0 {
			return ctx.Err()
		}
		work := worker()
		for i := range n {
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := work(i); err != nil {
				return err
			}
		}
		return nil
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var next atomic.Int64
	var running sync.WaitGroup
	for range workers {
		running.Go(func() {
			work := worker()
			for i := int(next.Add(1)) - 1; i < n && ctx.Err() == nil; i = int(next.Add(1)) - 1 {
				if err := work(i); err != nil {
					cancel(err)
					return
				}
			}
		})
	}
	running.Wait()
	return context.Cause(ctx)
}

// Series implements Source.
func (s *Store) Series(ctx context.Context, sel Selection, yield func(*crdt.Series) error) error {
	var mu sync.Mutex
	return s.matching(ctx, &sel, func(_ int, es []*seriesEntry) error {
		mu.Lock()
		defer mu.Unlock()
		for _, e := range es {
			if err := yield(e.series); err != nil {
				return err
			}
		}
		return nil
	})
}

// Curves implements Source. It takes the memory of one curve a processor, and of a pointer for every series.
func (s *Store) Curves(ctx context.Context, sel Selection, yield func(*Curve) error) error {
	var mu sync.Mutex
	var found []*seriesEntry
	err := s.matching(ctx, &sel, func(_ int, es []*seriesEntry) error {
		mu.Lock()
		defer mu.Unlock()
		found = append(found, es...)
		return nil
	})
	if err != nil {
		return err
	}
	return parallel(ctx, len(found), func() func(int) error {
		r := reader{store: s, sel: &sel, now: s.cfg.Now()}
		return func(i int) error {
			return r.series(found[i], func(c *Curve) error {
				mu.Lock()
				defer mu.Unlock()
				return yield(c)
			})
		}
	})
}
