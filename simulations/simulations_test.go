package simulations

import (
	"flag"
	"fmt"
	"runtime"
	"sync"
	"testing"
)

var (
	seeds   = flag.Int("seeds", 200, "how many seeds to run")
	from    = flag.Uint64("from", 1, "the first seed")
	verbose = flag.Bool("trace", false, "write every event")
)

// each runs f for the seeds, on all processors.
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

func TestSeeds(t *testing.T) {
	var mu sync.Mutex
	var seen Sometimes
	var total Stats
	each(*from, *seeds, func(seed uint64) {
		p := Draw(seed)
		p.Verbose = *verbose
		rep := Run(p)
		mu.Lock()
		defer mu.Unlock()
		seen.Add(&rep.Seen)
		total.add(&rep.Stats)
		for _, v := range rep.Violations {
			t.Errorf("seed %d: %s\nrun it again: go test ./simulations -run TestSeeds -seeds 1 -from %d -trace", seed, v, seed)
		}
	})
	t.Logf("%d seeds: %+v", *seeds, total)
	for s, n := range seen.Sights {
		t.Logf("%7d %s", n, sightNames[s])
	}
	for _, k := range allFaults {
		t.Logf("%7d %s", seen.Faults[k], k)
	}
	_ = fmt.Sprint
}
