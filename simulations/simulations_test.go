package simulations

import (
	"flag"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
)

var (
	seeds    = flag.Int("seeds", quickSeeds, "how many seeds of large meshes to run")
	small    = flag.Int("small", quickSmall, "how many seeds of small meshes to run")
	from     = flag.Uint64("from", 1, "the first seed")
	biased   = flag.Int("biased", quickBiased, "how many seeds of small meshes to run with each profile")
	profile  = flag.String("profile", "", "the profile of those, if not all")
	verbose  = flag.Bool("trace", false, "write every event")
	shrink   = flag.Bool("shrink", false, "look for the faults that a failing seed needs")
	progress = flag.Bool("progress", false, "say after every 100 seeds how far they are")
)

// each runs f for n seeds from first, on all processors. A small run itself has one thread.
func each(first uint64, n int, f func(seed uint64)) {
	var wg sync.WaitGroup
	next := make(chan uint64)
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for s := range next {
				f(s)
			}
		})
	}
	for i := range n {
		next <- first + uint64(i)
	}
	close(next)
	wg.Wait()
}

// TestSeeds runs large meshes, then small ones, which meet rare states more often. Both together have to meet every
// situation and every kind of fault, the large ones every pair of kinds.
func TestSeeds(t *testing.T) {
	large := runSeeds(t, "seeds", *seeds, Draw)
	large.again(t)
	all := runSeeds(t, "small", *small, DrawSmall)
	for _, p := range Profiles {
		if *profile != "" && p.Name != *profile {
			continue
		}
		more := runSeeds(t, "profile "+p.Name+" -biased", *biased, func(seed uint64) *Plan { return DrawBiased(seed, p) })
		all.seen.Add(&more.seen)
	}
	if *seeds < quickSeeds || *small < quickSmall {
		return
	}
	large.pairs(t)
	all.seen.Add(&large.seen)
	all.sights(t)
}

// seedsRun is what became of a set of seeds.
type seedsRun struct {
	seen   Sometimes
	total  Stats
	hashes map[uint64]uint64 // of every againEvery-th seed
}

// runSeeds runs n seeds and fails the test for each that breaks a promise. option is what asks for such seeds alone.
func runSeeds(t *testing.T, option string, n int, draw func(uint64) *Plan) *seedsRun {
	var mu sync.Mutex
	run := &seedsRun{seen: newSometimes(), hashes: map[uint64]uint64{}}
	done, failed := 0, 0
	each(*from, n, func(seed uint64) {
		p := draw(seed)
		p.Verbose = *verbose
		rep := Run(p)
		mu.Lock()
		defer mu.Unlock()
		run.seen.Add(&rep.Seen)
		run.total.add(&rep.Stats)
		if seed%againEvery == 0 {
			run.hashes[seed] = rep.Hash
		}
		for _, v := range rep.Violations {
			failed++
			t.Errorf("seed %d: %s\nrun it again: go test ./simulations -run TestSeeds -seeds 0 -small 0 -biased 0 -%s 1 -from %d -trace", seed, v, option, seed)
			if *shrink {
				t.Log(schedule(Shrink(draw(seed), v.Rule, 200)))
			}
		}
		if done++; *progress && done%100 == 0 {
			fmt.Printf("%d of %d seeds from %d, %d failed, %.1f node-hours\n", done, n, *from, failed, float64(run.total.NodeSeconds)/3600)
		}
	})
	t.Logf("%d seeds: %.1f node-hours, %+v", n, float64(run.total.NodeSeconds)/3600, run.total)
	return run
}

// sights demands that the seeds met every situation and every kind of fault.
func (run *seedsRun) sights(t *testing.T) {
	for s, count := range run.seen.Sights {
		t.Logf("%8d %s", count, sightNames[s])
		if count == 0 && (slowSeeds || !rare[sight(s)]) {
			t.Errorf("no run met: %s", sightNames[s])
		}
	}
	for _, k := range allFaults {
		t.Logf("%8d %s", run.seen.Faults[k], k)
		if run.seen.Faults[k] == 0 {
			t.Errorf("no fault of kind %s", k)
		}
	}
}

// pairs demands that every two kinds of faults met.
func (run *seedsRun) pairs(t *testing.T) {
	least := allPairs[0]
	for _, pair := range allPairs {
		n := run.seen.Pairs[pair]
		if n < run.seen.Pairs[least] {
			least = pair
		}
		if n == 0 {
			t.Errorf("%s and %s never met", pair[0], pair[1])
		}
	}
	t.Logf("%d pairs of faults met, the rarest, %s and %s, %d times", len(run.seen.Pairs), least[0], least[1], run.seen.Pairs[least])
}

// schedule lists the faults of a plan.
func schedule(p *Plan) string {
	var b strings.Builder
	for i, n := range p.Nodes {
		fmt.Fprintf(&b, "%d %s, ", i, n.Name)
	}
	for _, f := range p.Faults {
		fmt.Fprintf(&b, "\n%s", f)
	}
	return b.String()
}
