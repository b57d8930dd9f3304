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
	const metric = "truth.cut"
	rep := truthReport(0, nil)
	all := newBatcher(metric, m.Nodes(), true, f.seed) // hubs count too
	batches, truth := all.batches(f.events, f.batch)
	s := newSender(f.workers)
	defer s.close()
	w := m.watch(ctx, metric, s)
	// A part before the cut, most of it during, so that there is something to lose and something to find.
	before := len(batches) / 10
	load := &flow{sender: s, workers: f.workers, over: f.cut / 10}
	err = load.run(ctx, batches[:before])
	cutAt := time.Now()
	if err == nil {
		err = m.Cut("west")
	}
	r.say("west is cut off for %s", f.cut)
	if err == nil {
		load.over = f.cut - min(f.cut/10, time.Second) // the last ones are acknowledged before the heal
		err = load.run(ctx, batches[before:])
	}
	if err == nil {
		err = pause(ctx, f.cut-time.Since(cutAt))
	}
	var d cutDetail
	if err == nil {
		d.CutAnswers, err = m.whileCut(ctx, metric, truth, f.cut > silence, rep)
	}
	if err == nil {
		d.CutMs = ms(time.Since(cutAt))
		err = m.Heal("")
	}
	healed := time.Now()
	if err == nil {
		d.Answers = m.waitExact(ctx, metric, truth, healed)
	}
	d.Looks = w.end(rep)
	if err != nil {
		return nil, err
	}
	d.Truth, d.tally, d.BarMs = truth, s.counts(), healBar
	deviation, after := farthest(d.Answers)
	d.ExactMs = after
	d.wrongCounts(rep, metric)
	wrongAnswers(rep, metric, truth, d.Answers)
	again, err := m.stillExact(ctx, metric, truth)
	wrongAnswers(rep, metric+" some seconds later", truth, again)
	wrong := rep.Wrong
	rep = truthReport(deviation, d)
	rep.Wrong = wrong
	rep.miss(after > healBar)
	r.say("every node within %d of %d, %.0f ms after the heal (bar %d ms)", deviation, truth, after, healBar)
	return rep, err
}

// silence is after how long nodes that are not heard of are missing, with room for a busy machine.
const silence = 15 * time.Second

// whileCut asks every node. None may know all, and none may claim to after a while.
func (m *mesh) whileCut(ctx context.Context, metric string, truth int64, silent bool, rep *Report) ([]cutAnswer, error) {
	nodes := m.Nodes()
	out := make([]cutAnswer, len(nodes))
	errs := make([]error, len(nodes))
	var all sync.WaitGroup
	for i, n := range nodes {
		all.Go(func() {
			out[i].Node = n.Name
			out[i].Answer, out[i].Complete, errs[i] = m.answer(ctx, n, metric)
		})
	}
	all.Wait()
	for i, a := range out {
		if errs[i] != nil {
			return nil, errs[i]
		}
		if a.Complete && silent {
			rep.wrong("%s says that its answer is complete, while the other region is cut off", a.Node)
		}
		if a.Answer >= truth {
			rep.wrong("%s answers %d of %d, while the other region is cut off", a.Node, a.Answer, truth)
		}
	}
	return out, nil
}
