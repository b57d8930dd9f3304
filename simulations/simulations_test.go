package simulations

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"testing"
)

var (
	seeds   = flag.Int("seeds", quickSeeds, "how many seeds to run")
	from    = flag.Uint64("from", 1, "the first seed")
	verbose = flag.Bool("trace", false, "write every event")
	shrink  = flag.Bool("shrink", false, "look for the faults that a failing seed needs")
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
			if *shrink {
				t.Log(schedule(Shrink(Draw(seed), v.Rule, 200)))
			}
		}
	})
	t.Logf("%d seeds: %+v", *seeds, total)
	for s, n := range seen.Sights {
		t.Logf("%8d %s", n, sightNames[s])
		if n == 0 && *seeds >= quickSeeds && (*seeds >= 2000 || !rare[sight(s)]) {
			t.Errorf("no run met: %s", sightNames[s])
		}
	}
	for _, k := range allFaults {
		t.Logf("%8d %s", seen.Faults[k], k)
		if seen.Faults[k] == 0 && *seeds >= quickSeeds {
			t.Errorf("no fault of kind %s", k)
		}
	}
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

const childSeed = "MESHD_SIMULATIONS_SEED"

// TestASeedIsARun: the same seed gives the same events in two processes, whatever the number of processors.
func TestASeedIsARun(t *testing.T) {
	var hashes []string
	for _, procs := range []string{"1", "4"} {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestChild$", "-test.v")
		cmd.Env = append(os.Environ(), childSeed+"=1", "GOMAXPROCS="+procs)
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		_, hash, ok := strings.Cut(string(out), "hashes ")
		if hash, _, _ = strings.Cut(hash, "\n"); !ok || hash == "" {
			t.Fatalf("no hash in %s", out)
		}
		hashes = append(hashes, hash)
	}
	if hashes[0] != hashes[1] {
		t.Errorf("with 1 and 4 processors the same seeds ran differently: %s and %s", hashes[0], hashes[1])
	}
}

// TestChild prints the hashes of some seeds for TestASeedIsARun.
func TestChild(t *testing.T) {
	if os.Getenv(childSeed) == "" {
		t.Skip("runs in a process of its own")
	}
	var out []string
	for _, seed := range []uint64{3, 9, 50, 51} {
		p := Draw(seed)
		p.Workers = runtime.GOMAXPROCS(0) // steps run ahead, although the mesh is small
		out = append(out, fmt.Sprintf("%016x", Run(p).Hash))
	}
	fmt.Println("hashes " + strings.Join(out, " "))
}
