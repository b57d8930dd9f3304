package short

import (
	"fmt"
	"math/rand/v2"
)

// Schedule is a small mesh and what happens in it. A seed draws it; leaving out actions gives another schedule, in which
// the others mean the same as far as that is possible.
type Schedule struct {
	Seed    uint64
	Plan    Plan
	Actions []Action
}

// Plan is the mesh and its limits. Times are milliseconds.
type Plan struct {
	Hubs       int   // a region
	Edges      int   // of both regions; copied disks add to them
	FrameBytes int   // 0 = the core's default: a flush is one frame
	LogBytes   int64 // 1 writes a checkpoint at every opportunity
	ColdAfter  int64
	HubsWrite  bool
	Disasters  bool // all hubs of a region may lose their disks at once
	Joined     bool // every session stands when the schedule begins
	KeepLinks  bool // the sessions of the safety phase live on when everything heals
	Forgets    bool // what is over may be forgotten at once, and there is much of it
	Windows    bool // the mesh keeps windows
	Named      int  // incarnations that a node names to hubs; 0: all that it has
}

const (
	numRegions  = 2
	maxMachines = 2*3 + 8
	maxEdges    = 8

	forgetsEvery = 3 // of so many seeds one draws a schedule in which much is forgotten

	windowsEvery = 2 // of so many groups of forgetsEvery seeds those of one keep windows

	fineWidth    = 1000 // of windows: two comparisons
	flushEvery   = 25
	compareEvery = 20 * flushEvery
	coldAfter    = 30 * flushEvery
	beatEvery    = 10_000 * flushEvery // statements come with flushes
	silentAfter  = 1000 * flushEvery
)

// Action is one step of the scheduler. What it does not find enabled at machine M, it looks for at the next; what is enabled
// nowhere does nothing.
type Action struct {
	Kind    kind
	M, P, N uint16 // machine, peer, how
}

type kind uint8

const (
	write   kind = iota // a client writes
	persist             // a write to disk ends: well, with an error, or in a crash
	deliver             // a peer takes messages
	settle              // some nodes take all that is under way to them
	tick                // a moment passes, one node or all that want it notice
	pass                // time passes: a comparison, until incarnations go cold, until a retry
	dial                // a node opens sessions
	cut                 // a session dies
	down                // one end of a dead session notices
	load                // a cold incarnation is read
	backup              // a disk is copied, for later
	restart             // a crash, and a start from some disk or none
	start               // a node that was down comes back
	clone               // a disk is copied to another machine, which starts beside the first
	damage              // a message arrives that does not parse
	wipeAll             // all hubs of a region lose their disks
	forget              // hubs and those who talk to them are left alone for a while, so that what is over is forgotten
	numKinds
)

var kindNames = [numKinds]string{
	"write", "persist", "deliver", "settle", "tick", "pass", "dial", "cut", "down", "load", "backup", "restart", "start", "clone", "damage",
	"wipe all", "forget",
}

// weights say how often each kind is drawn.
var weights = [numKinds]int{
	write: 12, persist: 12, deliver: 50, settle: 3, tick: 28, pass: 7, dial: 5, cut: 3, down: 4, load: 3,
	backup: 2, restart: 4, start: 2, clone: 1, damage: 1, wipeAll: 1,
}

// String shows an action as it is written in a trace.
func (a Action) String() string { return fmt.Sprintf("%s %d/%d/%d", kindNames[a.Kind], a.M, a.P, a.N) }

// Draw returns the schedule of a seed.
func Draw(seed uint64) *Schedule {
	r := rand.New(rand.NewPCG(seed, 0x5107))
	s := &Schedule{Seed: seed}
	s.Plan = Plan{
		Hubs:       2 + r.IntN(4)/3,
		Edges:      4 + r.IntN(5)/2,
		FrameBytes: []int{1, 30, 60, 0}[r.IntN(4)],
		LogBytes:   []int64{1, 400, 0}[r.IntN(3)],
		ColdAfter:  []int64{coldAfter, coldAfter, 1000 * coldAfter}[r.IntN(3)],
		HubsWrite:  r.IntN(4) == 0,
		Disasters:  r.IntN(4) == 0,
		Joined:     r.IntN(4) > 0,
		KeepLinks:  r.IntN(2) == 0,
		Forgets:    seed%forgetsEvery == 0,
		Windows:    seed/forgetsEvery%windowsEvery == 0, // so that of those that forget every second one does
	}
	if seed%7 == 0 {
		s.Plan.Named = 2 + int(seed/7%2)
	}
	n := 100 + r.IntN(150)
	if s.Plan.Forgets {
		s.Plan.ColdAfter = coldAfter
		n = 60 + r.IntN(60) // in each of them time passes
	}
	s.Actions = make([]Action, n)
	for i := range s.Actions {
		s.Actions[i] = Action{drawKind(r, s.Plan.Forgets), uint16(r.Uint32()), uint16(r.Uint32()), uint16(r.Uint32())}
	}
	return s
}

// drawKind draws an action; where much is forgotten, one of five is about it.
func drawKind(r *rand.Rand, forgets bool) kind {
	if forgets && r.IntN(5) == 0 {
		return []kind{forget, forget, forget, restart, restart, backup}[r.IntN(6)]
	}
	sum := 0
	for _, n := range weights {
		sum += n
	}
	at := r.IntN(sum)
	for k, n := range weights {
		if at -= n; at < 0 {
			return kind(k)
		}
	}
	return tick
}
