package simulate

import (
	"fmt"
	"slices"
	"time"

	"meshd/simulations"
)

// Sample is what the mesh looked like at one instant.
type Sample struct {
	At        time.Duration
	Truth     float64    // sum of all counters that clients were told are accepted
	Low       float64    // and what nodes answer: the least,
	Middle    float64    // the median,
	High      float64    // and the most
	Age       [2]float64 // seconds: the median and the oldest of what nodes say of regions
	Undated   int        // statements without a date: nobody ever heard
	Up, Asked int        // nodes
	Bytes     [simulations.NumLinks]int64
}

const (
	// samples is how many instants a run is looked at: as many as a chart can show.
	samples = 150
	// asked is how many nodes are asked at most at each of them, evenly spread over the mesh: a node of a mesh of 20
	// regions takes 0.2 ms to answer.
	asked = 64
	// minEvery bounds how often: a mesh changes with its flushes.
	minEvery = 100 * time.Millisecond
)

// Run is one simulation with what was seen on the way.
type Run struct {
	Mesh    Mesh
	Plan    *simulations.Plan
	Report  *simulations.Report
	Samples []Sample
	Wall    time.Duration
	ages    ages
}

// ages counts statements about regions by age, in 10 ms.
type ages struct {
	count [100_001]int64 // the last one takes all that are older
	total int64
}

func (a *ages) add(d time.Duration) {
	a.count[min(max(d.Milliseconds()/10, 0), int64(len(a.count)-1))]++
	a.total++
}

// quantile returns an upper bound in milliseconds.
func (a *ages) quantile(q float64) int64 {
	seen := int64(0)
	for i, n := range a.count {
		if seen += n; n > 0 && float64(seen) >= q*float64(a.total) {
			return int64(10 * (i + 1))
		}
	}
	return 0
}

// Start runs the mesh to its end or to the first violation. progress may be nil; it is called at every sample.
func Start(m Mesh, progress func(*simulations.World, *simulations.Plan)) (*Run, error) {
	p, err := m.Plan()
	if err != nil {
		return nil, err
	}
	r := &Run{Mesh: m, Plan: p}
	who := spread(len(m.specsOf(p)), asked)
	p.Watch = &simulations.Watch{
		Every: max(m.Duration/samples, minEvery).Milliseconds(),
		Look: func(w *simulations.World) {
			r.sample(w, who)
			if progress != nil {
				progress(w, p)
			}
		},
	}
	p.Follow, p.Warm = true, min(3000+3*m.Flush.Milliseconds(), m.Duration.Milliseconds()/2)
	began := time.Now()
	r.Report = simulations.Run(p)
	r.Wall = time.Since(began)
	return r, nil
}

// specsOf returns the machines without the spare ones.
func (m *Mesh) specsOf(p *simulations.Plan) []simulations.Spec { return p.Nodes[:m.Nodes] }

// spread returns up to n of the numbers below all, evenly spaced.
func spread(all, n int) (out []int) {
	n = min(n, all)
	for i := range n {
		out = append(out, i*all/n)
	}
	return out
}

func (r *Run) sample(w *simulations.World, who []int) {
	stats := w.Stats()
	s := Sample{At: w.Now(), Truth: w.Counted(), Asked: len(who)}
	for i, l := range stats.Links {
		s.Bytes[i] = l.Bytes
	}
	var totals []float64
	var old []time.Duration
	for _, v := range w.Views(who) {
		if !v.Up {
			continue
		}
		s.Up++
		totals = append(totals, v.Total)
		old = append(old, v.Ages...)
		s.Undated += r.Mesh.Regions - len(v.Ages)
		for _, a := range v.Ages {
			r.ages.add(a)
		}
	}
	if slices.Sort(totals); len(totals) > 0 {
		s.Low, s.Middle, s.High = totals[0], totals[len(totals)/2], totals[len(totals)-1]
	}
	if slices.Sort(old); len(old) > 0 {
		s.Age = [2]float64{old[len(old)/2].Seconds(), old[len(old)-1].Seconds()}
	}
	r.Samples = append(r.Samples, s)
}

// Result is what `meshd simulate --json` prints.
type Result struct {
	TraceHash   string       `json:"trace_hash"` // 16 hexadecimal digits, equal for equal runs
	Violations  []Violation  `json:"violations"`
	Replay      string       `json:"replay"`
	Seed        uint64       `json:"seed"`
	Nodes       int          `json:"nodes"`
	Regions     int          `json:"regions"`
	HubsEach    int          `json:"hubs_per_region"`
	DurationS   float64      `json:"duration_s"` // virtual, with faults and writes
	Faults      int          `json:"faults"`
	ConvergedMs int64        `json:"converged_ms"` // after everything healed
	Total       float64      `json:"total"`        // sum of all counters that clients were told are accepted
	Answered    float64      `json:"answered"`     // what the median node answers at the end; more if requests went unanswered
	Requests    int          `json:"requests"`
	Accepted    int          `json:"accepted"` // increments
	Reads       int          `json:"checked_reads"`
	Events      int          `json:"events"`
	Messages    int          `json:"messages"`
	Links       []LinkResult `json:"links"`
	Staleness   Staleness    `json:"staleness_ms"`
	Convergence Convergence  `json:"convergence"`
	WallS       float64      `json:"wall_s"` // on this machine; all else is the same everywhere
}

// Violation is a promise that did not hold.
type Violation struct {
	Rule string `json:"rule"`
	AtMs int64  `json:"at_ms"`
	What string `json:"what"`
}

// LinkResult is what one class of links carried.
type LinkResult struct {
	Class    string `json:"class"`
	Messages int64  `json:"messages"`
	Bytes    int64  `json:"bytes"`
}

// Staleness is how old the statements of the asked nodes about regions were, at all samples.
type Staleness struct {
	P50 int64 `json:"p50"`
	P99 int64 `json:"p99"`
	Max int64 `json:"max"`
}

// Convergence is how long followed updates took from their acceptance to the answers of other nodes.
type Convergence struct {
	Updates        int     `json:"updates"`
	PairsP50Ms     int64   `json:"pairs_p50_ms"`
	PairsP99Ms     int64   `json:"pairs_p99_ms"`
	HubsP99Ms      int64   `json:"hubs_p99_ms"`
	LastP50Ms      int64   `json:"last_node_p50_ms"`
	LastP99Ms      int64   `json:"last_node_p99_ms"`
	Unseen         int64   `json:"unseen_pairs"`
	SendsPerUpdate float64 `json:"messages_per_node_and_update"` // messages of all kinds / (nodes x updates of all series)
	CellsPerUpdate float64 `json:"cells_per_node_and_update"`    // cells in those messages / (nodes x updates of all series)
}

// Result sums the run up. replay is the command that runs it again.
func (r *Run) Result(replay string) *Result {
	rep, st := r.Report, r.Report.Stats
	out := &Result{
		TraceHash: fmt.Sprintf("%016x", rep.Hash), Violations: []Violation{}, Replay: replay, Seed: r.Mesh.Seed, Nodes: r.Mesh.Nodes, Regions: r.Mesh.Regions,
		HubsEach: r.Mesh.Hubs, DurationS: r.Mesh.Duration.Seconds(), Faults: len(r.Plan.Faults), ConvergedMs: st.ConvergedMs,
		Requests: st.Requests, Accepted: st.Accepted, Reads: st.Reads, Events: st.Events, Messages: st.Messages, WallS: r.Wall.Seconds(),
		Staleness: Staleness{P50: r.ages.quantile(0.5), P99: r.ages.quantile(0.99), Max: r.ages.quantile(1)},
	}
	for _, v := range rep.Violations {
		out.Violations = append(out.Violations, Violation{v.Rule, v.AtMs, v.What})
	}
	for i, l := range st.Links {
		out.Links = append(out.Links, LinkResult{simulations.LinkNames[i], l.Messages, l.Bytes})
	}
	if n := len(r.Samples); n > 0 {
		out.Total, out.Answered = r.Samples[n-1].Truth, r.Samples[n-1].Middle
	}
	if s := rep.Spread; s != nil {
		c := &out.Convergence
		c.Updates, c.Unseen = s.Updates, s.Unseen
		c.PairsP50Ms, c.PairsP99Ms, c.HubsP99Ms = s.Pairs.Quantile(0.5), s.Pairs.Quantile(0.99), s.Hubs.Quantile(0.99)
		c.LastP50Ms, c.LastP99Ms = s.Last.Quantile(0.5), s.Last.Quantile(0.99)
		if all := float64(s.Accepted) * float64(r.Mesh.Nodes); all > 0 {
			c.SendsPerUpdate, c.CellsPerUpdate = float64(s.Messages)/all, float64(s.Cells)/all
		}
	}
	return out
}
