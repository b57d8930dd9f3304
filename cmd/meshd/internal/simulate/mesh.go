package simulate

import (
	"cmp"
	"fmt"
	"time"

	"meshd/crdt"
	"meshd/node"
	"meshd/simulations"
)

// Mesh is what a user asks for. Zero fields take the default.
type Mesh struct {
	Nodes    int           // hubs and edges together, default 20; 5,000 need about 6 GB
	Regions  int           // default 4, at most MaxRegions
	Hubs     int           // of a region; default 2, fewer when there are not so many nodes
	Duration time.Duration // of the phase with faults and writes, in virtual time; default 1 min, at least 5 s
	Seed     uint64
	Flush    time.Duration // between two flushes to a peer; default 100 ms
	Loss     float64       // share of messages that need a retransmission; default 0
	Series   int           // default 20
	Change   int           // series that an edge changes in one write; default 5
	Every    time.Duration // between two writes of an edge; default: as often as it flushes, at most once a second
	Spread   bool          // instead: every edge writes one series of its own, and all updates are followed to all nodes
	Reads    float64       // checked reads a virtual second in the whole mesh; default 100
	Schedule *Schedule     // nil = no faults
}

// Limits of a mesh: memory grows with nodes x series x regions, and a second of virtual time costs about 40 us of one
// core for each node and region.
const (
	MaxNodes  = 10_000
	MaxSeries = 10_000
)

// maxSpread bounds the series of Spread: a node holds one cell of each for each region, 2,000 at most.
const maxSpread = 100

func (m *Mesh) defaults() {
	m.Nodes = cmp.Or(m.Nodes, 20)
	m.Regions = cmp.Or(m.Regions, min(4, m.Nodes))
	m.Hubs = cmp.Or(m.Hubs, max(1, min(2, m.Nodes/max(m.Regions, 1))))
	m.Duration = cmp.Or(m.Duration, time.Minute)
	m.Flush = cmp.Or(m.Flush, 100*time.Millisecond)
	m.Series = cmp.Or(m.Series, 20)
	m.Change = cmp.Or(m.Change, min(5, m.Series))
	m.Every = cmp.Or(m.Every, max(m.Flush, time.Second))
	m.Reads = cmp.Or(m.Reads, 100)
}

func (m *Mesh) validate() error {
	switch {
	case m.Nodes < 1 || m.Nodes > MaxNodes:
		return fmt.Errorf("nodes %d: want 1 to %d", m.Nodes, MaxNodes)
	case m.Regions < 1 || m.Regions > MaxRegions:
		return fmt.Errorf("regions %d: want 1 to %d", m.Regions, MaxRegions)
	case m.Hubs < 1 || m.Hubs*m.Regions > m.Nodes:
		return fmt.Errorf("%d hubs in each of %d regions: want at least one, and at most the %d nodes", m.Hubs, m.Regions, m.Nodes)
	case m.Duration < 5*time.Second || m.Duration > 30*24*time.Hour:
		return fmt.Errorf("duration %v: want 5s to 30 days", m.Duration)
	case m.Flush < 10*time.Millisecond || m.Flush > 10*time.Minute:
		return fmt.Errorf("flush %v: want 10ms to 10m", m.Flush)
	case m.Loss < 0 || m.Loss > 0.5:
		return fmt.Errorf("loss %v: want a share from 0 to 0.5", m.Loss)
	case m.Series < 1 || m.Series > MaxSeries:
		return fmt.Errorf("series %d: want 1 to %d", m.Series, MaxSeries)
	case m.Change < 1 || m.Change > m.Series:
		return fmt.Errorf("%d of %d series changed by a write: want 1 to %d", m.Change, m.Series, m.Series)
	case m.Every < 10*time.Millisecond:
		return fmt.Errorf("a write every %v: want at least 10ms", m.Every)
	case m.Reads < 0 || m.Reads > 10_000:
		return fmt.Errorf("%v checked reads a second: want 0 to 10000", m.Reads)
	}
	return nil
}

// Plan makes the plan of the mesh: who is where, how far apart, what they write, what strikes them. It changes m only
// by filling in defaults.
func (m *Mesh) Plan() (*simulations.Plan, error) {
	m.defaults()
	if err := m.validate(); err != nil {
		return nil, err
	}
	names, table, err := Regions(m.Regions)
	if err != nil {
		return nil, err
	}
	var far time.Duration
	for _, row := range table {
		for _, d := range row {
			far = max(far, d)
		}
	}
	p := &simulations.Plan{
		Seed: m.Seed, Safety: m.Duration.Milliseconds(), Nodes: m.specs(names),
		Core: node.CoreConfig{Flush: m.Flush.Milliseconds(), AntiEntropy: max(1000, m.Flush.Milliseconds()), Beat: max(1000, m.Flush.Milliseconds()), Silence: max(10_000, 3*m.Flush.Milliseconds())},
		Net: simulations.Net{
			Local: 2, Far: far.Milliseconds() + 1, Jitter: 3, Loss: m.Loss, Idle: 3000, Redial: 2000, Table: table,
		},
		Disk:   simulations.Disk{Write: 4, Read: 4},
		Clocks: simulations.Clocks{PPM: 50, Offset: 20},
		Load: simulations.Load{
			Kinds: kinds, Series: m.Series, Pause: m.Every.Milliseconds(), Batch: m.Change, Amount: 1000, Edges: true,
			Reads: int64(1000 / max(m.Reads, 1e-3)), Uniques: 3, Tokens: 0.1, Again: 0.05,
		},
	}
	writers := m.Nodes/m.Regions - m.Hubs
	if m.Hubs*m.Regions == m.Nodes {
		p.Load.Edges, writers = false, m.Hubs // no edges: hubs count themselves
	}
	p.Load.Probes = 1
	if m.Spread {
		p.Load.Series, p.Load.Batch, p.Load.Probes = 0, 0, max(1, min(writers, maxSpread))
	}
	if m.Schedule != nil {
		if p.Faults, err = m.Schedule.faults(p); err != nil {
			return nil, err
		}
	}
	p.Bound = bound(m, p)
	return p, nil
}

// kinds are what is counted; every fourth series is one of the others than counters.
var kinds = []crdt.Kind{crdt.KindCounter, crdt.KindCounter, crdt.KindCounter, crdt.KindUpDown, crdt.KindCounter, crdt.KindCounter, crdt.KindCounter, crdt.KindDistribution}

// bound is how long the mesh may take to converge once everything heals: a session is noticed dead and redialed, a
// write that failed is tried again, a few comparisons carry everything over the three hops of the longest way, and
// edges are heard again one beat later.
func bound(m *Mesh, p *simulations.Plan) int64 {
	c := &p.Core
	hop := p.Net.Far + p.Net.Jitter + 4*p.Disk.Write + int64(1000*m.Loss)
	return 15_000 + 2*p.Net.Idle + 2*p.Net.Redial + 8*(c.AntiEntropy+c.Flush+c.Beat+hop)
}

func (m *Mesh) specs(regions []string) []simulations.Spec {
	var out []simulations.Spec
	for i, region := range regions {
		n := m.Nodes / len(regions)
		if i < m.Nodes%len(regions) {
			n++
		}
		for j := range n {
			s := simulations.Spec{Region: region, Role: node.RoleHub, Name: fmt.Sprintf("%s-hub-%d", region, j+1), Copy: -1}
			if j >= m.Hubs {
				s.Role, s.Name = node.RoleEdge, fmt.Sprintf("%s-%d", region, j-m.Hubs+1)
			}
			out = append(out, s)
		}
	}
	return out
}
