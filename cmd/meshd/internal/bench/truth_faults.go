package bench

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"
)

// phase is one load of scenario faults and what the nodes made of it.
type phase struct {
	Truth   int64     `json:"truth"`
	Faults  []string  `json:"faults"`
	Answers []settled `json:"answers"`
	Error   int64     `json:"error"` // the largest of any node
	ExactMs float64   `json:"exact_after_heal_ms"`
	Looks   int       `json:"looks"` // answers judged while the load ran
	tally
}

// withoutTokens is the same load without tokens: what retries alone cost.
type withoutTokens struct {
	phase
	HigherBy float64 `json:"higher_by"` // share of the truth
	Why      string  `json:"why"`
}

type faultsDetail struct {
	With    phase         `json:"with_tokens"`
	Without withoutTokens `json:"without_tokens"`
}

// truthFaults sends every batch twice and in another order, kills an edge right after an acknowledgement and cuts a
// region and another node for a while: once with tokens, once without.
func truthFaults(ctx context.Context, r *run, f *truthFlags) (*Report, error) {
	m, err := r.startMesh(ctx, twoRegions)
	if err != nil {
		return nil, err
	}
	defer m.Stop()
	v := &verdict{}
	with, err := m.faulty(ctx, f, "truth.tokens", true, v)
	if err != nil {
		return nil, err
	}
	without, err := m.faulty(ctx, f, "truth.bare", false, v)
	if err != nil {
		return nil, err
	}
	d := faultsDetail{With: *with, Without: withoutTokens{phase: *without}}
	d.Without.HigherBy = round(float64(without.Error)/float64(without.Truth), 4)
	d.Without.Why = fmt.Sprintf("every request was sent twice, and %d got no answer and were sent once more; without tokens a "+
		"node cannot know a request again, so each one that arrived counts", without.Unknown)
	return truthReport(with.Error, d, v), nil
}

// faulty runs the load once. What it finds wrong it notes in v.
func (m *mesh) faulty(ctx context.Context, f *truthFlags, metric string, tokens bool, v *verdict) (*phase, error) {
	batches, truth := newBatcher(metric, m.role("edge"), tokens, f.seed).batches(f.events, f.batch)
	twice := append(batches, batches...)
	random := rand.New(rand.NewPCG(f.seed, 2))
	random.Shuffle(len(twice), func(i, j int) { twice[i], twice[j] = twice[j], twice[i] })

	s := newSender(f.workers)
	defer s.close()
	const victim = "east-edge-1"
	m.run.say("%s: %d events twice in %d requests, a kill and two cuts", metric, f.events, len(twice))
	w := m.watch(ctx, metric, s, victim)
	load := &flow{sender: s, workers: f.workers, over: f.over}
	faults := newFaultPlan(m, load, victim, len(twice))
	load.onAck = faults.acked
	ended, done := make(chan struct{}), make(chan error, 1)
	go func() { done <- faults.run(ctx, ended) }()
	err := load.run(ctx, twice)
	close(ended)
	if faultErr := <-done; err == nil {
		err = faultErr
	}
	healed := time.Now()
	if err == nil {
		err = m.Heal("")
	}
	p := &phase{Truth: truth, Faults: faults.done, Looks: w.end(v), tally: s.counts()}
	if err != nil {
		return nil, err
	}
	p.wrongCounts(v, metric)
	if !tokens {
		return p, m.settleBare(ctx, metric, s, p, v)
	}
	p.Answers = m.waitExact(ctx, metric, truth, healed)
	p.Error, p.ExactMs = farthest(p.Answers)
	wrongAnswers(v, metric, truth, p.Answers)
	again, err := m.stillExact(ctx, metric, truth)
	wrongAnswers(v, metric+" some seconds later", truth, again)
	if p.Accepted > int64(f.events) {
		v.add("%s: %d events were accepted, only %d exist", metric, p.Accepted, f.events)
	}
	m.run.say("%s: every node within %d of %d, %.0f ms after the heal", metric, p.Error, truth, p.ExactMs)
	return p, err
}

// settleBare waits until all nodes answer the same: how much that is nobody knows before, since a request without an
// answer may have counted. It must be what was acknowledged, plus some of what was not answered.
func (m *mesh) settleBare(ctx context.Context, metric string, s *sender, p *phase, v *verdict) error {
	sure, maybe := s.sums()
	_ = m.waitExact(ctx, metric, sure, time.Now())
	answers, err := m.stillExact(ctx, metric, p.Truth)
	if err != nil {
		return err
	}
	p.Answers = answers
	p.Error, _ = farthest(answers)
	for _, a := range answers {
		if a.Answer < sure || a.Answer > sure+maybe {
			v.add("%s: %s answers %d: requests for %d were acknowledged, and for %d not answered", metric, a.Node, a.Answer, sure, maybe)
		}
		if a.Answer != answers[0].Answer {
			v.add("%s: %s answers %d, %s answers %d", metric, a.Node, a.Answer, answers[0].Node, answers[0].Answer)
		}
	}
	m.run.say("%s: %d counted for %d", metric, answers[0].Answer, p.Truth)
	return nil
}

// faultPlan does harm at set points of a load.
type faultPlan struct {
	m      *mesh
	load   *flow
	victim string
	total  int
	armed  chan struct{} // holds the one order to kill
	killed chan error
	done   []string
}

func newFaultPlan(m *mesh, load *flow, victim string, total int) *faultPlan {
	return &faultPlan{m: m, load: load, victim: victim, total: total, armed: make(chan struct{}, 1), killed: make(chan error, 1)}
}

// acked kills the victim if it is time and the victim just acknowledged something: nobody was told of that yet.
func (p *faultPlan) acked(b *batch) {
	if b.node.Name != p.victim {
		return
	}
	select {
	case <-p.armed:
		p.killed <- p.m.Kill(p.victim)
	default:
	}
}

// run follows the load until every step is done. The region stays cut off until the caller heals it. A load that ended
// (closing ended) before is an error: it was not what it was to be.
func (p *faultPlan) run(ctx context.Context, ended <-chan struct{}) error {
	const other = "east-hub-2"
	steps := []struct {
		what string
		at   int // percent of the load
		do   func() error
	}{
		{"cut off west until all is sent", 15, func() error { return p.m.Cut("west") }},
		{"killed " + p.victim + " after an acknowledgement", 30, func() error { return p.killAndRestart(ctx, ended) }},
		{"cut off " + other, 50, func() error { return p.m.Cut(other) }},
		{"healed " + other, 75, func() error { return p.m.Heal(other) }},
	}
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	for _, s := range steps {
		p.done = append(p.done, s.what)
		for int(p.load.begun.Load())*100 < s.at*p.total {
			select {
			case <-ticker.C:
			case <-ended:
				return errTooShort
			}
		}
		if err := s.do(); err != nil {
			return err
		}
	}
	return nil
}

// downFor is how long a killed edge stays down: long enough that requests meet nobody.
const downFor = 300 * time.Millisecond

var errTooShort = errors.New("the load was over before all faults were done: give more --events, or more time with --over")

func (p *faultPlan) killAndRestart(ctx context.Context, ended <-chan struct{}) error {
	p.armed <- struct{}{}
	select {
	case err := <-p.killed:
		if err != nil {
			return err
		}
	case <-ended:
		return errTooShort
	}
	if err := pause(ctx, downFor); err != nil {
		return err
	}
	if err := p.m.Restart(p.victim, nil); err != nil {
		return err
	}
	return p.m.waitReady(ctx, p.victim)
}
