package bench

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"meshd/cmd/meshd/internal/cluster"
)

// killRound is one kill: what the edge had acknowledged, what was under way, and what it answered after its restart.
type killRound struct {
	Acked    int64   `json:"acked"`
	InFlight int64   `json:"in_flight"`
	Answer   int64   `json:"answer"`  // of the edge, as soon as it is back
	Resent   int     `json:"resent"`  // requests without an answer, sent again with the same tokens
	Settled  int64   `json:"settled"` // the edge's answer afterwards: must be all that was ever acknowledged
	BackMs   float64 `json:"back_after_ms"`
}

type killDetail struct {
	Truth   int64       `json:"truth"`
	Rounds  []killRound `json:"rounds"`
	Answers []settled   `json:"answers"`
	tally
}

// truthKill kills an edge again and again, each time right after it acknowledged something and with more under way.
func truthKill(ctx context.Context, r *run, f *truthFlags) (*Report, error) {
	m, err := r.startMesh(ctx, twoRegions)
	if err != nil {
		return nil, err
	}
	defer m.Stop()
	k := &killer{
		m: m, f: f, victim: m.node("east-edge-1"), sender: newSender(f.workers), random: rand.New(rand.NewPCG(f.seed, 3)),
	}
	k.batches = newBatcher(killMetric, []cluster.Node{k.victim}, true, f.seed)
	defer k.sender.close()
	var d killDetail
	for i := range f.rounds {
		round, err := k.round(ctx)
		if err != nil {
			return nil, err
		}
		r.say("kill %d: %d acknowledged + %d in flight, %d after %.0f ms, %d once those were sent again",
			i+1, round.Acked, round.InFlight, round.Answer, round.BackMs, round.Settled)
		d.Rounds = append(d.Rounds, *round)
	}
	d.Truth, d.tally = k.truth, k.sender.counts()
	d.wrongCounts(&k.verdict, killMetric)
	d.Answers = m.waitExact(ctx, killMetric, d.Truth, time.Now())
	wrongAnswers(&k.verdict, killMetric, d.Truth, d.Answers)
	again, err := m.stillExact(ctx, killMetric, d.Truth)
	wrongAnswers(&k.verdict, killMetric+" some seconds later", d.Truth, again)
	deviation, _ := farthest(d.Answers)
	return truthReport(deviation, d, &k.verdict), err
}

const killMetric = "truth.kill"

// killer is scenario kill under way.
type killer struct {
	m       *mesh
	f       *truthFlags
	victim  cluster.Node
	sender  *sender
	random  *rand.Rand
	batches *batcher
	verdict verdict
	truth   int64 // values of all batches acknowledged in any round
}

// round sends until the kill, restarts the edge, compares, sends again what got no answer, and compares again.
func (k *killer) round(ctx context.Context) (*killRound, error) {
	unanswered, err := k.sendUntilKilled(ctx)
	if err != nil {
		return nil, err
	}
	back := time.Now()
	if err := k.m.Restart(k.victim.Name, nil); err != nil {
		return nil, err
	}
	if err := k.m.waitReady(ctx, k.victim.Name); err != nil {
		return nil, err
	}
	round := &killRound{Acked: k.truth, Resent: len(unanswered), BackMs: ms(time.Since(back))}
	for _, b := range unanswered {
		round.InFlight += b.sum
	}
	if round.Answer, _, err = k.m.answer(ctx, k.victim, killMetric); err != nil {
		return nil, err
	}
	if round.Answer < round.Acked || round.Answer > round.Acked+round.InFlight {
		k.verdict.add("%s answers %d after a kill: %d were acknowledged and %d in flight", k.victim.Name, round.Answer, round.Acked, round.InFlight)
	}
	for _, b := range unanswered {
		if err := k.sender.sendUntilAcked(ctx, b); err != nil {
			return nil, err
		}
		k.truth += b.sum
	}
	if round.Settled, _, err = k.m.answer(ctx, k.victim, killMetric); err != nil {
		return nil, err
	}
	if round.Settled != k.truth {
		k.verdict.add("%s answers %d once everything was acknowledged, not %d", k.victim.Name, round.Settled, k.truth)
	}
	return round, nil
}

// sendUntilKilled sends batches from all workers until the edge, at a random acknowledgement, is killed. It returns those
// that got no answer, and adds the others to the truth.
func (k *killer) sendUntilKilled(ctx context.Context) (unanswered []*batch, err error) {
	killAt := int64(20 + k.random.IntN(200))
	per := min(k.f.batch, 5) // small requests: the more, the more are under way
	var mu sync.Mutex        // over batches, truth and unanswered
	var acks atomic.Int64
	var killed atomic.Bool
	var killErr error
	var workers sync.WaitGroup
	for range k.f.workers {
		workers.Go(func() {
			for !killed.Load() && ctx.Err() == nil {
				mu.Lock()
				b := k.batches.next(per)
				mu.Unlock()
				out := k.sender.send(ctx, b)
				if out == acked && acks.Add(1) == killAt {
					killErr = k.m.Kill(k.victim.Name)
					killed.Store(true)
				}
				mu.Lock()
				if out == acked {
					k.truth += b.sum
				} else { // a refused one will be sent again too
					unanswered = append(unanswered, b)
				}
				mu.Unlock()
			}
		})
	}
	workers.Wait()
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	if killErr != nil {
		return nil, fmt.Errorf("kill %s: %w", k.victim.Name, killErr)
	}
	return unanswered, nil
}
