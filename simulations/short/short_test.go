package short

import (
	"flag"
	"runtime"
	"sync"
	"testing"
)

var (
	schedules = flag.Int("schedules", quickSchedules, "how many schedules to run")
	from      = flag.Uint64("from", 1, "the seed of the first")
	seed      = flag.Uint64("seed", 0, "the one that TestSchedule runs and traces")
	shrink    = flag.Bool("shrink", true, "whether TestSchedule leaves out what a violation does not need")
)

// sum of many reports.
type sum struct {
	schedules, actions, reads, claims, lost int
	forgotten, taken                        int
	kept, reopened, left, windowsLost       int
	slowest                                 int64
	did                                     [numKinds]int
}

func (s *sum) add(r *Report) {
	s.schedules++
	for k, n := range r.Did {
		s.did[k] += n
		s.actions += n
	}
	s.reads += r.Reads
	s.claims += r.Claims
	s.forgotten += r.Forgotten
	s.taken += r.Taken
	s.kept += r.Windows
	s.reopened += r.Reopened
	s.left += r.Left
	s.windowsLost += r.WindowsLost
	s.slowest = max(s.slowest, r.ConvergedMs)
	if r.Lost {
		s.lost++
	}
}

// each runs n schedules from a seed on, one of every so many, on all processors, until f says that it has seen enough.
func each(first, every uint64, n int, f func(seed uint64, r *Report) bool) {
	var wg sync.WaitGroup
	var mu sync.Mutex
	next, enough := 0, false
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for {
				mu.Lock()
				at := next
				next++
				stop := enough || at >= n
				mu.Unlock()
				if stop {
					return
				}
				s := first + every*uint64(at)
				r := Run(Draw(s), false)
				mu.Lock()
				enough = f(s, r) || enough
				mu.Unlock()
			}
		})
	}
	wg.Wait()
}

// TestSchedules is the judge over many seeds.
func TestSchedules(t *testing.T) {
	if *seed != 0 {
		t.Skip("TestSchedule runs one")
	}
	var all sum
	failed := 0
	rules := map[string]int{}
	each(*from, 1, *schedules, func(seed uint64, r *Report) bool {
		all.add(r)
		if v := r.Violation; v != nil {
			rules[v.Rule]++
			if failed++; failed <= 5 {
				t.Errorf("seed %d, action %d: %s: %s\nrun it again: go test ./simulations/short -run Schedule -seed %d -v", seed, v.At, v.Rule, v.What, seed)
			}
		}
		return false
	})
	t.Logf("%d schedules, %d violations %v: %d actions, %d reads and %d claims judged, %d lost something, %d incarnations forgotten at first and %d times after, slowest convergence %d ms",
		all.schedules, failed, rules, all.actions, all.reads, all.claims, all.lost, all.forgotten, all.taken, all.slowest)
	t.Logf("%d windows published, %d opened again, %d publications of what was left, %d windows lost something", all.kept, all.reopened, all.left, all.windowsLost)
	if *schedules < quickSchedules {
		return
	}
	for k, n := range all.did {
		if t.Logf("%8d %s", n, kindNames[k]); n == 0 {
			t.Errorf("no schedule ever did: %s", kindNames[k])
		}
	}
	for what, n := range map[string]int{
		"a disaster took something": all.lost, "something was claimed": all.claims, "something was forgotten": all.forgotten,
		"a record was taken": all.taken, "a window was published": all.kept, "a window was opened again": all.reopened,
		"what was left was published": all.left, "a disaster took a window": all.windowsLost,
	} {
		if n == 0 {
			t.Errorf("in no schedule %s", what)
		}
	}
}

// TestSchedule runs one schedule and shows what happened, of a violation only what it needs.
func TestSchedule(t *testing.T) {
	if *seed == 0 {
		t.Skip("needs -seed")
	}
	s := Draw(*seed)
	r := Run(s, true)
	if v := r.Violation; v != nil {
		if *shrink {
			s = Shrink(s, v.Rule, 3000)
			r = Run(s, true)
		}
		t.Errorf("%s: %s", v.Rule, v.What)
	}
	t.Logf("%+v, %d actions:\n%s", s.Plan, len(s.Actions), r.Trace)
}

// TestASeedIsARun: the same seed gives the same events.
func TestASeedIsARun(t *testing.T) {
	for seed := range uint64(20) {
		first, second := Run(Draw(seed), true), Run(Draw(seed), true)
		if first.Trace != second.Trace {
			t.Errorf("seed %d ran differently the second time", seed)
		}
	}
}

// BenchmarkSchedule measures what a schedule costs.
func BenchmarkSchedule(b *testing.B) {
	b.ReportAllocs()
	for i := range b.N {
		Run(Draw(uint64(i)), false)
	}
}
