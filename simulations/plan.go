package simulations

import (
	"fmt"
	"math/rand/v2"

	"meshd/crdt"
	"meshd/node"
)

// Plan is everything that a run is made of: the mesh, its environment and its faults. Draw makes one of a seed; a
// plan may be edited and run again. Times are milliseconds.
type Plan struct {
	Seed    uint64
	Nodes   []Spec
	Safety  int64 // length of the safety phase
	Bound   int64 // convergence takes at most this long after everything healed (I10)
	Core    node.CoreConfig
	Net     Net
	Disk    Disk
	Clocks  Clocks
	Load    Load
	Faults  []Fault
	Verbose bool  // write every event to standard output
	Follow  bool  // measure how updates spread: Report.Spread
	Warm    int64 // updates are followed from then on: meshes form first
	Watch   *Watch
	Workers int // processors that run steps; 0 = all there are if the mesh is large enough. A run does not depend on it
}

// Spec is one machine. Copy is the machine whose disk a spare one takes over when it is started by a fault; -1 for
// machines of their own.
type Spec struct {
	Name, Region string
	Role         node.Role
	Copy         int
}

// Net is how links behave when nothing is cut.
type Net struct {
	Local, Far int64   // one-way delay within a region and between regions, at most
	Jitter     int64   // added at random
	Loss       float64 // probability that a message waits for a retransmission
	Corrupt    float64 // probability that a message arrives damaged
	Idle       int64   // a session without a sign of life ends after this long
	Redial     int64   // longest pause between two attempts
	Queue      int     // bytes that wait for one peer, at most; 0 = 4 MiB
	Table      Table   // if there is one: delays between regions, instead of Far
}

// Disk is how long writes and reads take, at most.
type Disk struct{ Write, Read int64 }

// Clocks is how wrong clocks are.
type Clocks struct {
	PPM    int64 // drift, at most
	Offset int64 // at the start, at most
}

// Load is what clients do.
type Load struct {
	Kinds   []crdt.Kind
	Series  int
	Pause   int64   // between two requests of a node's clients, on average
	Items   int     // of a request, at most
	Tokens  float64 // share of requests with a token
	Again   float64 // probability that a request with a token is sent again although it was answered
	Reads   int64   // between two checked reads in the whole mesh, on average
	Uniques int     // values of a unique increment, at most
	Batch   int     // if not 0: every request changes so many different series
	Amount  uint64  // largest increment; 0 = 2^40
	Edges   bool    // only edges have clients
	Configs int     // how often somebody sets the mesh's configuration
	Probes  int     // so many more series are counters that one machine of a region writes alone, with every request
}

// pick returns one of its arguments.
func pick[T any](r *rand.Rand, of ...T) T { return of[r.IntN(len(of))] }

// stream returns the random numbers of one concern. Streams are split from the seed by name, so that a draw more of
// one changes no other.
func stream(seed uint64, name string) *rand.Rand {
	h := uint64(14695981039346656037)
	for i := range len(name) {
		h = (h ^ uint64(name[i])) * 1099511628211
	}
	return rand.New(rand.NewPCG(seed, h))
}

// Draw makes the plan of a seed. Most meshes are small, since small ones meet more states in the same time; every
// tenth has 20 to 50 nodes.
func Draw(seed uint64) *Plan {
	r := stream(seed, "plan")
	p := &Plan{
		Seed: seed, Safety: int64(6000 + r.IntN(10_000)),
		Core: node.CoreConfig{
			Flush: pick[int64](r, 20, 100, 100, 300), AntiEntropy: pick[int64](r, 200, 500, 1000, 1000),
			Beat: pick[int64](r, 300, 1000), Silence: pick[int64](r, 2000, 5000),
			LogBytes: pick[int64](r, 1, 3000, 50_000, 8<<20), ColdAfter: pick[int64](r, 600, 3000, 300_000),
			FrameBytes: pick(r, 30, 100, 400, 0),
		},
		Net: Net{
			Local: pick[int64](r, 1, 5, 20), Far: pick[int64](r, 20, 80, 200), Jitter: pick[int64](r, 0, 2, 30),
			Loss: pick(r, 0, 0, 0.01, 0.1), Corrupt: pick(r, 0, 0, 0, 0.002), Idle: pick[int64](r, 600, 2100), Redial: pick[int64](r, 300, 2000),
		},
		Disk:   Disk{Write: pick[int64](r, 1, 5, 5, 50), Read: pick[int64](r, 1, 50)},
		Clocks: Clocks{PPM: pick[int64](r, 0, 0, 200), Offset: pick[int64](r, 0, 0, 100, 5000)},
		Load: Load{
			Series: 2 + r.IntN(12), Pause: pick[int64](r, 40, 100, 300), Items: pick(r, 1, 4), Tokens: pick(r, 0.2, 0.6), Again: pick(r, 0.1, 0.5),
			Reads: pick[int64](r, 20, 50), Uniques: pick(r, 3, 3, 40),
		},
	}
	p.Core.ColdAfter = max(p.Core.ColdAfter, 3*p.Core.AntiEntropy) // what was loaded to be relayed must stay that long
	p.Load.Kinds = drawKinds(r)
	drawThrift(p, stream(seed, "thrift"))
	drawMesh(p, r, seed%10 == 9)
	p.Faults = drawFaults(p, stream(seed, "faults"))
	p.Load.Configs = stream(seed, "configurations").IntN(6)
	p.Bound = bound(p)
	return p
}

// drawThrift draws the limits that large meshes reach by themselves: queues that are smaller than what a peer lacks, and
// catch-ups that take several turns.
func drawThrift(p *Plan, r *rand.Rand) {
	p.Net.Queue = pick(r, 0, 0, 5000, 20_000)
	p.Core.CatchUp = pick(r, 0, 0, 1, 3000)
}

// bound is how long convergence may take: until a write that failed is tried again (10 s), sessions are redialed, and
// a few comparisons have carried everything over the three hops of the longest way. A node is heard again one beat
// later.
func bound(p *Plan) int64 {
	c := &p.Core
	hop := p.Net.Far + p.Net.Jitter + p.Disk.Write*4 + 1000*int64(100*p.Net.Loss)/100
	return 12_000 + 2*p.Net.Idle + 2*p.Net.Redial + 8*(c.AntiEntropy+c.Flush+c.Beat+hop)
}

var allKinds = []crdt.Kind{crdt.KindCounter, crdt.KindUpDown, crdt.KindDistribution, crdt.KindUnique, crdt.KindGauge}

// drawKinds returns some kinds: rarely all, so that each is often tested alone and much.
func drawKinds(r *rand.Rand) []crdt.Kind {
	var out []crdt.Kind
	for _, k := range allKinds {
		if r.IntN(2) == 0 {
			out = append(out, k)
		}
	}
	if len(out) == 0 {
		return allKinds
	}
	return out
}

func drawMesh(p *Plan, r *rand.Rand, large bool) {
	regions, hubs, edges := 1+r.IntN(3), 1+r.IntN(3), r.IntN(4)
	if large {
		regions, hubs, edges = 2+r.IntN(4), 2+r.IntN(2), 6+r.IntN(4)
		p.Safety /= 2
		p.Load.Pause *= 4
	} else if regions*(hubs+edges) < 3 {
		hubs, edges = 2, 1
	}
	for i := range regions {
		region := fmt.Sprintf("r%d", i)
		for j := range hubs {
			p.Nodes = append(p.Nodes, Spec{fmt.Sprintf("%s-h%d", region, j), region, node.RoleHub, -1})
		}
		for j := range edges {
			p.Nodes = append(p.Nodes, Spec{fmt.Sprintf("%s-e%d", region, j), region, node.RoleEdge, -1})
		}
	}
}
