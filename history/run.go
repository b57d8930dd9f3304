package history

import (
	"context"
	"time"
)

const (
	// expireEvery is how often Run looks for what expired: what is read is cut off at the moment it expires anyway.
	expireEvery = time.Hour
	// ExpirePause between two commits of deletions leaves the disk to others nine tenths of the time.
	ExpirePause = 20 * time.Millisecond
	// checkEvery bounds how much later than due a pass begins.
	checkEvery = time.Minute
)

// Run folds and expires until ctx ends. A pass that fails, as it does on a full disk, is tried again a minute later; nothing is
// lost meanwhile, and memory is bounded, since Apply folds too.
func (s *Store) Run(ctx context.Context) error {
	tick := time.NewTicker(checkEvery)
	defer tick.Stop()
	folded, expired := s.cfg.Now(), time.Time{}
	for {
		full := false
		select {
		case <-ctx.Done():
			return nil
		case <-s.wake:
			full = true
		case <-tick.C:
		}
		if now := s.cfg.Now(); full || now.Sub(folded).Abs() >= s.cfg.FoldEvery { // a clock may jump
			if err := s.Fold(ctx); err != nil && ctx.Err() == nil {
				s.cfg.Logger.Error("windows stay in memory", "error", err)
			} else {
				folded = now
			}
		}
		if now := s.cfg.Now(); now.Sub(expired).Abs() >= expireEvery {
			expired = now
			if err := s.Expire(ctx, func() error { return pause(ctx, ExpirePause) }); err != nil && ctx.Err() == nil {
				s.cfg.Logger.Error("expired windows stay on disk", "error", err)
			}
		}
	}
}

// pause waits for d, or for the end of ctx.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
