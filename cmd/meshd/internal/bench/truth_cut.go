package bench

import (
	"context"
	"sync"
	"time"
)

// healBar is how soon every node must be exact after a heal, in milliseconds.
const healBar = 3000

type cutDetail struct {
	Truth   int64     `json:"truth"`
	CutMs   float64   `json:"cut_ms"`
	ExactMs float64   `json:"exact_after_heal_ms"`
	BarMs   float64   `json:"exact_after_heal_bar_ms"`
	Answers []settled `json:"answers"`
	// CutAnswers are what nodes said right before the heal: each side knows its own part.
	CutAnswers []cutAnswer `json:"answers_while_cut"`
	Looks      int         `json:"looks"`
	tally
}

type cutAnswer struct {
	Node     string `json:"node"`
	Answer   int64  `json:"answer"`
	Complete bool   `json:"complete"` // what the node says of its answer
}

// truthCut cuts a region off for long while both sides count on, and heals it.
func truthCut(ctx context.Context, r *run, f *truthFlags) (*Report, error) {
	m, err := r.startMesh(ctx, twoRegions)
	if err != nil {
		return nil, err
	}
	defer m.Stop()
	batches, truth := newBatcher(cutMetric, m.Nodes(), true, f.seed).batches(f.events, f.batch) // hubs count too
	s := newSender(f.workers)
	defer s.close()
	d := cutDetail{Truth: truth, BarMs: healBar}
	v := &verdict{}
	w := m.watch(ctx, cutMetric, s)
	healed, err := m.countWhileCut(ctx, f, s, batches, &d, v)
	if err == nil {
		d.Answers = m.waitExact(ctx, cutMetric, truth, healed)
	}
	d.Looks, d.tally = w.end(v), s.counts()
	if err != nil {
		return nil, err
	}
	deviation, after := farthest(d.Answers)
	d.ExactMs = after
	d.wrongCounts(v, cutMetric)
	wrongAnswers(v, cutMetric, truth, d.Answers)
	again, err := m.stillExact(ctx, cutMetric, truth)
	wrongAnswers(v, cutMetric+" some seconds later", truth, again)
	rep := truthReport(deviation, d, v)
	rep.miss(after > healBar)
	r.say("every node within %d of %d, %.0f ms after the heal (bar %d ms)", deviation, truth, after, healBar)
	return rep, err
}

const cutMetric = "truth.cut"

// countWhileCut counts a part before the cut, so that there is something to lose, and the rest during it, so that there
// is something to find. It returns when the heal began.
func (m *mesh) countWhileCut(ctx context.Context, f *truthFlags, s *sender, batches []*batch, d *cutDetail, v *verdict) (healed time.Time, err error) {
	before := len(batches) / 10
	load := &flow{sender: s, workers: f.workers, over: f.cut / 10}
	if err := load.run(ctx, batches[:before]); err != nil {
		return healed, err
	}
	cutAt := time.Now()
	if err := m.Cut("west"); err != nil {
		return healed, err
	}
	m.run.say("west is cut off for %s", f.cut)
	load.over = f.cut - min(f.cut/10, time.Second) // the last ones are acknowledged before the heal
	if err := load.run(ctx, batches[before:]); err != nil {
		return healed, err
	}
	if err := pause(ctx, f.cut-time.Since(cutAt)); err != nil {
		return healed, err
	}
	if d.CutAnswers, err = m.whileCut(ctx, d.Truth, f.cut > silence, v); err != nil {
		return healed, err
	}
	d.CutMs = ms(time.Since(cutAt))
	healed = time.Now()
	return healed, m.Heal("")
}

// silence is after how long nodes that are not heard of are missing, with room for a busy machine.
const silence = 15 * time.Second

// whileCut asks every node. None may know all, and none may claim to after a while.
func (m *mesh) whileCut(ctx context.Context, truth int64, silent bool, v *verdict) ([]cutAnswer, error) {
	nodes := m.Nodes()
	out := make([]cutAnswer, len(nodes))
	errs := make([]error, len(nodes))
	var all sync.WaitGroup
	for i, n := range nodes {
		all.Go(func() {
			out[i].Node = n.Name
			out[i].Answer, out[i].Complete, errs[i] = m.answer(ctx, n, cutMetric)
		})
	}
	all.Wait()
	for i, a := range out {
		if errs[i] != nil {
			return nil, errs[i]
		}
		if a.Complete && silent {
			v.add("%s says that its answer is complete, while the other region is cut off", a.Node)
		}
		if a.Answer >= truth {
			v.add("%s answers %d of %d, while the other region is cut off", a.Node, a.Answer, truth)
		}
	}
	return out, nil
}
