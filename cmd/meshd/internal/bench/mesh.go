package bench

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"meshd/cmd/meshd/internal/cluster"
	"meshd/query"
)

const (
	askTimeout  = 5 * time.Second
	readyEvery  = 20 * time.Millisecond // between two questions whether a node is up
	readyWithin = time.Minute
	exactEvery  = 10 * time.Millisecond // between two questions for a total
	exactWithin = 60 * time.Second      // a mesh that is not exact by then is wrong
)

// twoRegions is the demo's mesh: two regions of two hubs and three edges each. Its ports are far from the demo's and
// below those that systems give to whoever asks for any.
var twoRegions = cluster.Layout{Regions: []string{"east", "west"}, Hubs: 2, Edges: 3, MeshPort: 28946, StatsDPort: 28125}

// mesh is a running cluster and clients for its nodes.
type mesh struct {
	*cluster.Cluster
	run *run

	mu      sync.Mutex
	clients map[string]*query.Client // by address
}

// startMesh runs the nodes of a layout and waits until each hears all. The caller must Stop it, error or not. Nodes do
// not count their host unless args say so.
func (r *run) startMesh(ctx context.Context, layout cluster.Layout, args ...string) (*mesh, error) {
	nodes, claim, err := layout.FreePlan()
	if err != nil {
		return nil, err
	}
	c, err := cluster.New(cluster.Config{
		Executable: r.executable, Dir: r.dir, Mesh: "bench", Nodes: nodes, Claim: claim,
		Args: append([]string{"--host-metrics=off"}, args...),
	})
	if err != nil {
		return nil, err
	}
	m := &mesh{Cluster: c, run: r, clients: make(map[string]*query.Client)}
	started := time.Now()
	err = m.Start()
	if err == nil {
		err = m.WaitFormed(ctx)
	}
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		m.Stop()
		return nil, err
	}
	r.say("%d nodes hear each other after %.1f s", len(nodes), time.Since(started).Seconds())
	return m, nil
}

// role lists the nodes of a role.
func (m *mesh) role(role string) []cluster.Node {
	return slices.DeleteFunc(m.Nodes(), func(n cluster.Node) bool { return n.Role != role })
}

// node returns the node with this name, which exists.
func (m *mesh) node(name string) cluster.Node {
	nodes := m.Nodes()
	return nodes[cluster.Find(nodes, name)[0]]
}

func (m *mesh) client(n cluster.Node) (*query.Client, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if c := m.clients[n.HTTP]; c != nil {
		return c, nil
	}
	c, err := query.NewClient(n.HTTP, "")
	m.clients[n.HTTP] = c
	return c, err
}

// answer asks one node for the total of a metric that only whole numbers were counted in. What nobody counted is 0.
func (m *mesh) answer(ctx context.Context, n cluster.Node, metric string) (total int64, complete bool, err error) {
	c, err := m.client(n)
	if err != nil {
		return 0, false, err
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	a, err := c.Total(ctx, query.TotalRequest{Metric: metric})
	if err != nil {
		return 0, false, err
	}
	for i := range a.Results {
		v, err := strconv.ParseInt(a.Results[i].ValueExact, 10, 64)
		if err != nil {
			return 0, false, fmt.Errorf("%s answers %q for %s: not a whole number", n.Name, a.Results[i].ValueExact, metric)
		}
		total += v
	}
	return total, a.Coverage.Complete, nil
}

// waitReady waits until a node takes requests.
func (m *mesh) waitReady(ctx context.Context, name string) error {
	n := m.node(name)
	deadline := time.Now().Add(readyWithin)
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+n.HTTP+"/readyz", http.NoBody)
		if err != nil {
			return err
		}
		resp, err := http.DefaultClient.Do(req)
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return nil
			}
		}
		if state := m.Ended(name); state != "" {
			return fmt.Errorf("%s is %s: its log is %s", name, state, m.Log(name))
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s is not ready after %s: its log is %s", name, readyWithin, m.Log(name))
		}
		if err := pause(ctx, readyEvery); err != nil {
			return err
		}
	}
}

// settled is what one node answered in the end.
type settled struct {
	Node   string  `json:"node"`
	Answer int64   `json:"answer"`
	Error  int64   `json:"error"` // answer - truth
	After  float64 `json:"exact_after_ms,omitempty"`
}

// waitExact asks all nodes at once until each answers truth, or gives up on those that do not. The times are from since
// on.
func (m *mesh) waitExact(ctx context.Context, metric string, truth int64, since time.Time) []settled {
	nodes := m.Nodes()
	out := make([]settled, len(nodes))
	var all sync.WaitGroup
	for i, n := range nodes {
		all.Go(func() { out[i] = m.waitOne(ctx, n, metric, truth, since) })
	}
	all.Wait()
	return out
}

func (m *mesh) waitOne(ctx context.Context, n cluster.Node, metric string, truth int64, since time.Time) settled {
	s := settled{Node: n.Name}
	for deadline := time.Now().Add(exactWithin); ctx.Err() == nil; {
		v, _, err := m.answer(ctx, n, metric)
		if err == nil {
			s.Answer = v
		}
		s.Error = s.Answer - truth
		s.After = ms(time.Since(since))
		if err == nil && v >= truth || time.Now().After(deadline) { // what is above never comes down
			return s
		}
		_ = pause(ctx, exactEvery) // the loop looks at ctx
	}
	return s
}

// stillExact asks again after a while in which nodes compare what they hold: an answer that goes on moving was right by
// accident.
func (m *mesh) stillExact(ctx context.Context, metric string, truth int64) ([]settled, error) {
	const compared = 3 * time.Second // three comparisons of every node with every peer
	if err := pause(ctx, compared); err != nil {
		return nil, err
	}
	var out []settled
	for _, n := range m.Nodes() {
		v, _, err := m.answer(ctx, n, metric)
		if err != nil {
			return nil, err
		}
		out = append(out, settled{Node: n.Name, Answer: v, Error: v - truth})
	}
	return out, nil
}

// farthest returns the largest deviation from the truth, and the longest time to exactness in milliseconds.
func farthest(answers []settled) (deviation int64, after float64) {
	for _, s := range answers {
		deviation, after = max(deviation, s.Error, -s.Error), max(after, s.After)
	}
	return deviation, after
}

// pause waits, or returns why not.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-t.C:
		return nil
	}
}
