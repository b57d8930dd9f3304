package simulations

import (
	"sync"
	"testing"
)

// windowSeeds are runs in which every mesh keeps windows, beside those among the seeds of TestSeeds.
const windowSeeds = 12

// drawPast makes the plan of a small mesh that keeps windows.
func drawPast(seed uint64) *Plan {
	p := DrawSmall(seed)
	p.Core.Window = 1000
	p.Core.Publish = int(seed % 4) // 0: all at once
	p.Bound = bound(p)
	return p
}

func TestWindowsOfEveryHubAreTheTruth(t *testing.T) {
	seen := newSometimes()
	var mu sync.Mutex
	each(*from, windowSeeds, func(seed uint64) {
		if t.Failed() {
			return
		}
		p := drawPast(seed)
		p.Verbose = *verbose
		rep := Run(p)
		mu.Lock()
		defer mu.Unlock()
		seen.Add(&rep.Seen)
		for _, v := range rep.Violations {
			t.Errorf("seed %d: %s", seed, v)
		}
	})
	if t.Failed() {
		return
	}
	for _, s := range []sight{sawWindowTotals, sawWindowReopened, sawWindowsLeft} {
		t.Logf("%8d %s", seen.Sights[s], sightNames[s])
		if seen.Sights[s] == 0 {
			t.Errorf("no run met: %s", sightNames[s])
		}
	}
}
