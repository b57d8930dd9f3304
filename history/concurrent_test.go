package history

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"meshd/crdt"
)

// Whatever moves meanwhile: a read shows all that was applied before it began, each window once.
func TestReadersMissNothingWhileItMoves(t *testing.T) {
	s := open(t, newFakeKV())
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	const series, windows = 5, 600
	var all [series]*crdt.Series
	for i := range all {
		all[i] = &crdt.Series{Name: fmt.Sprint("m", i), Kind: crdt.KindCounter}
	}
	var applied atomic.Int64 // windows of each series
	var running sync.WaitGroup
	running.Go(func() {
		for ctx.Err() == nil {
			if err := s.Fold(ctx); err != nil && ctx.Err() == nil {
				t.Error(err)
			}
			if err := s.Expire(ctx, never); err != nil && ctx.Err() == nil {
				t.Error(err)
			}
		}
	})
	running.Go(func() {
		defer cancel()
		for i := range int64(windows) {
			for _, m := range all {
				if err := s.Apply(uint64(i+1), nodeB, counts(m, ten, base+i*ten, base+(i+1)*ten)); err != nil {
					t.Error(err)
				}
			}
			applied.Store(i + 1)
		}
	})
	for range 2 {
		running.Go(func() {
			for reads := 0; ctx.Err() == nil || reads == 0; reads++ {
				least := applied.Load()
				if err := s.Curves(context.Background(), Selection{ByNode: true, From: base, To: base + windows*ten}, func(c *Curve) error {
					if int64(len(c.Points)) < least {
						t.Errorf("%s: %d windows, want at least %d", c.Series, len(c.Points), least)
					}
					for i, p := range c.Points {
						if p.Window.Start != base+int64(i)*ten || p.Value.P != crdt.FixedFromUint(1) {
							t.Errorf("%s: window %d is %v", c.Series, i, p)
							return context.Canceled
						}
					}
					return nil
				}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	running.Wait()
}
