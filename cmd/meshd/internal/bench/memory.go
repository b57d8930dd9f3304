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

const (
	idleBarMiB   = 64
	seriesBarMiB = 120
)

// memory measures what a hub and an edge keep in RAM.
type memory struct {
	commits, series int
	settle          time.Duration
	limit           string
	seed            uint64
}

func memoryBench() Bench {
	return Bench{
		Name: "memory", Summary: "resident memory of a hub after many commits: idle, and with many series",
		bind: func(fs *pflag.FlagSet) job {
			m := &memory{}
			fs.IntVar(&m.commits, "commits", 10_000, "`number` of commits of each node before it is measured")
			fs.IntVar(&m.series, "series", 10_000, "`number` of series of the second figure")
			fs.DurationVar(&m.settle, "settle", 20*time.Second, "`time` without load before each figure")
			fs.StringVar(&m.limit, "memory", "", "`size` that nodes are told to stay below (default the nodes' own)")
			fs.Uint64Var(&m.seed, "seed", 1, "`number` that values come from")
			return m
		},
		quick: map[string]string{"commits": "50", "series": "500", "settle": "2s"},
	}
}

func (b *memory) check() error {
	if b.commits < 1 || b.series < 1 || b.settle < time.Second {
		return errors.New("--commits and --series must be at least 1, --settle at least 1s")
	}
	return nil
}

type memoryDetail struct {
	Commits map[string]float64  `json:"commits"` // of each node, when it was measured idle
	Started map[string]resident `json:"started"` // by node, when it had done nothing yet
	Idle    map[string]resident `json:"idle"`
	Series  map[string]resident `json:"with_series"`
	// SeriesBar is held by the hub with series; the figure is the hub idle.
	SeriesBar  float64 `json:"with_series_bar_mib"`
	SeriesHeld int     `json:"series_held"` // by the hub, its host's included
}

func (b *memory) measure(ctx context.Context, r *run) (*Report, error) {
	args := []string{"--host-metrics=on"}
	if b.limit != "" {
		args = append(args, "--memory", b.limit)
	}
	m, err := r.startMesh(ctx, cluster.Layout{
		Regions: twoRegions.Regions[:1], Hubs: 1, Edges: 1, MeshPort: twoRegions.MeshPort, StatsDPort: twoRegions.StatsDPort,
	}, args...)
	if err != nil {
		return nil, err
	}
	defer m.Stop()
	var d memoryDetail
	if d.Started, err = b.residents(ctx, m); err != nil {
		return nil, err
	}
	r.say("%d commits of each node", b.commits)
	if d.Commits, err = b.commitMany(ctx, m); err != nil {
		return nil, err
	}
	if d.Idle, err = b.residents(ctx, m); err != nil {
		return nil, err
	}
	r.say("%d series", b.series)
	if err := b.countSeries(ctx, m); err != nil {
		return nil, err
	}
	if d.Series, err = b.residents(ctx, m); err != nil {
		return nil, err
	}
	hub := m.role("hub")[0]
	c, err := m.client(hub)
	if err != nil {
		return nil, err
	}
	st, err := c.Status(ctx)
	if err != nil {
		return nil, err
	}
	d.SeriesHeld, d.SeriesBar = st.Series, seriesBarMiB
	rep := newReport(
		Quantity{d.Idle[hub.Name].RSS, "MiB", fmt.Sprintf("resident memory of an idle hub after %.0f commits; %.0f MiB with %d series", d.Commits[hub.Name], d.Series[hub.Name].RSS, b.series)},
		idleBarMiB,
		Quantity{d.Started[hub.Name].RSS, "MiB", "the same hub when it had done nothing yet"}, d)
	rep.miss(d.Series[hub.Name].RSS > seriesBarMiB)
	if st.Series < b.series {
		rep.wrong("the hub holds %d series, %d were counted", st.Series, b.series)
	}
	return rep, nil
}

// commitMany makes every node commit, one small request after the other.
func (b *memory) commitMany(ctx context.Context, m *mesh) (map[string]float64, error) {
	nodes := m.Nodes()
	done := make([]float64, len(nodes))
	errs := make([]error, len(nodes))
	var all sync.WaitGroup
	for i, n := range nodes {
		all.Go(func() { done[i], errs[i] = b.commitAt(ctx, m, n) })
	}
	all.Wait()
	out := make(map[string]float64)
	for i, n := range nodes {
		out[n.Name] = done[i]
	}
	return out, errors.Join(errs...)
}

func (b *memory) commitAt(ctx context.Context, m *mesh, n cluster.Node) (float64, error) {
	s := newSender(1)
	defer s.close()
	load := newBatcher("memory.commits", []cluster.Node{n}, true, b.seed)
	for {
		got, err := m.metrics(ctx, n)
		if err != nil {
			return 0, err
		}
		commits := got["meshd_core_commits_total"]
		if commits >= float64(b.commits) {
			return commits, nil
		}
		for range min(b.commits-int(commits), 500) {
			if err := s.sendUntilAcked(ctx, load.next(1)); err != nil {
				return 0, err
			}
		}
	}
}

// countSeries makes the edge count in many series, and then in some of them again and again.
func (b *memory) countSeries(ctx context.Context, m *mesh) error {
	const perRequest, rounds = 1000, 20
	s := newSender(1)
	defer s.close()
	edge := m.role("edge")[0]
	random := rand.New(rand.NewPCG(b.seed, 6))
	post := func(series []int) error {
		out := &batch{node: edge, events: len(series)}
		for _, k := range series {
			out.body = fmt.Appendf(out.body, `{"event":"memory.series","value":%d,"labels":{"path":"/item/%d"}}`+"\n", 1+random.IntN(1000), k)
		}
		return s.sendUntilAcked(ctx, out)
	}
	order := random.Perm(b.series)
	for from := 0; from < len(order); from += perRequest {
		if err := post(order[from:min(len(order), from+perRequest)]); err != nil {
			return err
		}
	}
	for range rounds {
		if err := post(random.Perm(b.series)[:min(b.series, perRequest)]); err != nil {
			return err
		}
		if err := pause(ctx, 100*time.Millisecond); err != nil {
			return err
		}
	}
	return nil
}

// residents waits and takes the largest of some looks at each node.
func (b *memory) residents(ctx context.Context, m *mesh) (map[string]resident, error) {
	const looks = 10
	if err := pause(ctx, b.settle); err != nil {
		return nil, err
	}
	out := make(map[string]resident)
	for range looks {
		for _, n := range m.Nodes() {
			got, err := residentOf(m.pid(n.Name))
			if err != nil {
				return nil, err
			}
			if got.RSS > out[n.Name].RSS {
				out[n.Name] = got
			}
		}
		if err := pause(ctx, min(b.settle, 10*time.Second)/looks); err != nil {
			return nil, err
		}
	}
	return out, nil
}
