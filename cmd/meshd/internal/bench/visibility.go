package bench

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/spf13/pflag"

	"meshd/cmd/meshd/internal/cluster"
)

// visibilityBarMs is the bar of the 99th percentile over all nodes of the other region.
const visibilityBarMs = 400

// visibility measures how long after its acknowledgement at one edge an event is in the answers of every node of the
// other region.
type visibility struct {
	samples int
	every   time.Duration
	poll    time.Duration
	seed    uint64
}

func visibilityBench() Bench {
	return Bench{
		Name: "visibility", Summary: "time from a 202 at one edge until every node of the other region shows it",
		bind: func(fs *pflag.FlagSet) job {
			v := &visibility{}
			fs.IntVar(&v.samples, "samples", 1000, "`number` of events")
			fs.DurationVar(&v.every, "every", 100*time.Millisecond, "mean `time` between two events; each is random up to twice that")
			fs.DurationVar(&v.poll, "poll", 5*time.Millisecond, "`pause` between two questions to a node")
			fs.Uint64Var(&v.seed, "seed", 1, "`number` that the moments come from")
			return v
		},
		quick: map[string]string{"samples": "20"},
	}
}

func (v *visibility) check() error {
	if v.samples < 1 || v.every <= 0 || v.poll <= 0 {
		return errors.New("--samples, --every and --poll must be above 0")
	}
	return nil
}

type visibilityDetail struct {
	Nodes map[string]spread `json:"nodes"`
	// All is over the moments at which the last node showed a sample.
	All spread `json:"all_nodes"`
	// PollError is how much later than it became so a sample may have been seen: the time between two answers.
	PollError spread `json:"poll_error"`
	Commit    spread `json:"commit"` // from the request to its 202, not part of the figure
}

// sighting is when one node first answered with at least so many samples.
type sighting struct {
	at   []time.Time // by sample
	gaps []time.Duration
}

const visibilityMetric = "visibility"

func (v *visibility) measure(ctx context.Context, r *run) (*Report, error) {
	m, err := r.startMesh(ctx, twoRegions)
	if err != nil {
		return nil, err
	}
	defer m.Stop()
	var watched []cluster.Node
	for _, n := range m.Nodes() {
		if n.Region == "west" {
			watched = append(watched, n)
		}
	}
	seen := make([]sighting, len(watched))
	watching, stop := context.WithCancel(ctx)
	defer stop()
	var pollers sync.WaitGroup
	for i, n := range watched {
		pollers.Go(func() { v.follow(watching, m, n, &seen[i]) })
	}
	acks, commits, err := v.send(ctx, m.node("east-edge-1"))
	if err != nil {
		return nil, err
	}
	waited := time.AfterFunc(exactWithin, stop) // pollers end by themselves when they have seen all
	pollers.Wait()
	waited.Stop()
	return v.report(watched, seen, acks, commits)
}

// send posts the samples one after the other and returns when each was acknowledged.
func (v *visibility) send(ctx context.Context, edge cluster.Node) (acks []time.Time, commits []time.Duration, err error) {
	s := newSender(1)
	defer s.close()
	random := rand.New(rand.NewPCG(v.seed, 4))
	for i := range v.samples {
		if err := pause(ctx, time.Duration(random.Int64N(int64(2*v.every)))); err != nil {
			return nil, nil, err
		}
		b := &batch{node: edge, events: 1, sum: 1, body: fmt.Appendf(nil, `{"event":%q}`, visibilityMetric)}
		began := time.Now()
		if s.send(ctx, b) != acked {
			return nil, nil, fmt.Errorf("%s did not acknowledge sample %d", edge.Name, i+1)
		}
		acks = append(acks, time.Now())
		commits = append(commits, acks[i].Sub(began))
	}
	return acks, commits, nil
}

// follow asks a node until it shows all samples. An answer of k means that the first k samples are visible: there is
// one sender, which waits for every acknowledgement.
func (v *visibility) follow(ctx context.Context, m *mesh, n cluster.Node, s *sighting) {
	last := time.Now()
	for len(s.at) < v.samples && pause(ctx, v.poll) == nil {
		total, _, err := m.answer(ctx, n, visibilityMetric)
		now := time.Now()
		s.gaps = append(s.gaps, now.Sub(last))
		last = now
		for err == nil && len(s.at) < min(int(total), v.samples) {
			s.at = append(s.at, now)
		}
	}
}

func (v *visibility) report(watched []cluster.Node, seen []sighting, acks []time.Time, commits []time.Duration) (*Report, error) {
	d := visibilityDetail{Nodes: make(map[string]spread), Commit: newSpread(commits)}
	last := make([]time.Duration, len(acks))
	var all, gaps []time.Duration
	for i, n := range watched {
		if len(seen[i].at) < len(acks) {
			return nil, fmt.Errorf("%s showed %d of %d samples", n.Name, len(seen[i].at), len(acks))
		}
		times := make([]time.Duration, len(acks))
		for k := range acks {
			// Seen before the sender had read its acknowledgement: visible at once.
			times[k] = max(0, seen[i].at[k].Sub(acks[k]))
			last[k] = max(last[k], times[k])
		}
		all = append(all, times...)
		gaps = append(gaps, seen[i].gaps...)
		d.Nodes[n.Name] = newSpread(times)
	}
	every := newSpread(all)
	d.All, d.PollError = newSpread(last), newSpread(gaps)
	return newReport(
		Quantity{d.All.P99, "ms", fmt.Sprintf("99th percentile of %d samples from 202 to every node of the other region; of one node: %g", len(acks), every.P99)},
		visibilityBarMs,
		Quantity{d.PollError.P50, "ms", "median time between two answers of a node: nothing is seen faster"}, d), nil
}
