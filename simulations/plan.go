package simulations

import (
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
	bias    Profile
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
	Rollups bool    // configurations have rollup rules, and every machine a label of its own
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

// bound is how long convergence may take: until a write that failed is tried again (10 s at most), sessions are redialed, and
// a few comparisons have carried everything over the three hops of the longest way. A node is heard again one beat
// later.
func bound(p *Plan) int64 {
	c := &p.Core
	hop := p.Net.Far + p.Net.Jitter + p.Disk.Write*4 + 1000*int64(100*p.Net.Loss)/100
	if c.Inflight > 0 { // a relay goes on with every comparison
		hop += c.AntiEntropy * 10_000 / int64(c.Inflight)
	}
	windows := int64(0)
	if c.Window > 0 { // until they are over, published, relayed, summed and the sums are relayed
		windows = c.Window + closes + 6000 + 4*(c.AntiEntropy+hop)
	}
	return windows + 12_000 + 2*p.Net.Idle + 2*p.Net.Redial + 8*(c.AntiEntropy+c.Flush+c.Beat+hop)
}
