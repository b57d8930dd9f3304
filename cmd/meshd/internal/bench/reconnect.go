package bench

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/spf13/pflag"

	"meshd/gossip"
)

// reconnectBar is within what time, in seconds, all edges of a restarted hub have caught up.
const reconnectBar = 10

// reconnect measures how long many edges need after their hub was killed and started again.
type reconnect struct {
	edges, series int
	flush         time.Duration
}

func reconnectBench() Bench {
	return Bench{
		Name: "reconnect", Summary: "time until all edges have caught up with a hub that was killed and started again",
		bind: func(fs *pflag.FlagSet) job {
			b := &reconnect{}
			fs.IntVar(&b.edges, "edges", 1000, "`number` of edges, in this process")
			fs.IntVar(&b.series, "series", 100, "`number` of series that every edge counts, the same ones")
			fs.DurationVar(&b.flush, "flush", time.Second, "`pause` between two flushes")
			return b
		},
		quick: map[string]string{"edges": "10", "series": "10"},
	}
}

func (b *reconnect) check() error {
	if b.edges < 1 || b.series < 1 || b.flush < 10*time.Millisecond {
		return errors.New("--edges and --series must be at least 1, --flush at least 10ms")
	}
	return nil
}

type reconnectDetail struct {
	// CaughtUp is when edges answered all that the others had counted meanwhile, from when the hub took requests again.
	CaughtUp spread `json:"caught_up"`
	Sessions spread `json:"sessions"` // when they had a session with its new process
	// WithoutSession is how many had none in the end. What did not come counts above as if it came then.
	WithoutSession int `json:"without_session"`
}

// replaceZeros puts at in the place of what never happened and returns how often.
func replaceZeros(times []time.Duration, at time.Duration) (n int) {
	for i := range times {
		if times[i] == 0 {
			times[i] = at
			n++
		}
	}
	return n
}

func (b *reconnect) measure(ctx context.Context, r *run) (*Report, error) {
	c, err := r.startCrowd(ctx, b.edges, b.series, b.flush, gossip.LAN)
	if err != nil {
		return nil, err
	}
	defer c.stop()
	if err := c.count(ctx); err != nil {
		return nil, err
	}
	exact := func(e *crowdEdge) bool {
		n, err := c.total(ctx, e)
		return err == nil && n == c.counted.Load()
	}
	if err := c.await(ctx, exactWithin, exact); err != nil {
		return nil, fmt.Errorf("before the hub was killed: %w", err)
	}
	was := c.edges[0].gossip.Peers()[0].Inc // an edge keeps the old session until its silence is noticed
	if err := c.mesh.Kill(c.hub.Name); err != nil {
		return nil, err
	}
	if err := c.count(ctx); err != nil { // what the others lack
		return nil, err
	}
	if err := c.mesh.Restart(c.hub.Name, nil); err != nil {
		return nil, err
	}
	if err := c.mesh.waitReady(ctx, c.hub.Name); err != nil {
		return nil, err
	}
	began := time.Now()
	r.say("the hub is killed and started again")
	sessions, caughtUp := make([]time.Duration, len(c.edges)), make([]time.Duration, len(c.edges))
	var all sync.WaitGroup
	for i, e := range c.edges {
		all.Go(func() {
			for time.Since(began) < exactWithin && ctx.Err() == nil {
				if p := e.gossip.Peers(); sessions[i] == 0 && len(p) > 0 && p[0].Inc != was {
					sessions[i] = time.Since(began)
				}
				// Who has no session cannot have caught up, and asking costs the processors that it waits for.
				if sessions[i] != 0 && exact(e) {
					caughtUp[i] = time.Since(began)
					return
				}
				_ = pause(ctx, 200*time.Millisecond)
			}
		})
	}
	all.Wait()
	d := reconnectDetail{WithoutSession: replaceZeros(sessions, exactWithin)}
	starved := replaceZeros(caughtUp, exactWithin)
	d.CaughtUp, d.Sessions = newSpread(caughtUp), newSpread(sessions)
	rep := newReport(Quantity{round(d.CaughtUp.Max/1000, 2), "s", fmt.Sprintf("until the last of %d edges had what %d others counted in %d series while their hub was gone; median %.1f s",
		b.edges, b.edges-1, b.series, d.CaughtUp.P50/1000)}, reconnectBar, Quantity{}, &d)
	if starved > 0 {
		rep.wrong("%d of %d edges had not caught up after %s", starved, b.edges, exactWithin)
	}
	return rep, nil
}
