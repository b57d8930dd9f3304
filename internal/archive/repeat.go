package archive

import (
	"context"
	"crypto/rand"
	"log/slog"
	"math/big"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// retryMost is the longest pause after failures, which double from the usual one.
const retryMost = 30 * time.Second

// repeated is what is done again and again, seldom while it fails.
type repeated struct {
	every        time.Duration
	pass         func(context.Context) error
	log          *slog.Logger
	failures     prometheus.Counter
	fails, works string // what is said when it begins to fail and when it works again
}

// run repeats until ctx ends.
func (r *repeated) run(ctx context.Context) {
	pause := r.every
	for ctx.Err() == nil {
		err := r.pass(ctx)
		switch {
		case ctx.Err() != nil:
		case err != nil:
			r.failures.Inc()
			if pause == r.every {
				r.log.Error(r.fails, "err", err)
			}
			pause = min(2*pause, max(retryMost, r.every))
		case pause != r.every:
			r.log.Info(r.works)
			pause = r.every
		}
		select {
		case <-ctx.Done():
		case <-time.After(jittered(pause, r.every)):
		}
	}
}

// jittered spreads retries of many hubs over the pause.
func jittered(pause, poll time.Duration) time.Duration {
	if pause == poll {
		return pause
	}
	n, err := rand.Int(rand.Reader, big.NewInt(int64(pause)))
	if err != nil {
		return pause
	}
	return poll + time.Duration(n.Int64())
}
