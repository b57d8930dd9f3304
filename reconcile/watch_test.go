package reconcile

import (
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"meshd/crdt"
)

// coversAll says that everything is covered.
func coversAll(crdt.Incarnation) uint64 { return 1 << 60 }

func TestASiblingsWordCountsWithItsCells(t *testing.T) {
	old, live := crdt.Incarnation{1}, crdt.Incarnation{2}
	w, covered := NewWatch(2000), map[crdt.Incarnation]uint64{}
	at := func(i crdt.Incarnation) uint64 { return covered[i] }
	w.Names("e", live, []Named{{Inc: old, Head: [crdt.NumStreams]uint64{7}}}, 0)
	w.Told("e", Claim{Inc: live, Head: 3, AtMs: 1000}, 0)
	for _, step := range []struct {
		old, live uint64
		asOf      int64
	}{{0, 0, 0}, {0, 3, 0}, {6, 3, 0}, {7, 2, 0}, {7, 3, 1000}} {
		covered[old], covered[live] = step.old, step.live
		if w.Settle("e", at); w.AsOf("e") != step.asOf {
			t.Errorf("with %d and %d covered: complete until %d, want %d", step.old, step.live, w.AsOf("e"), step.asOf)
		}
	}
	if len(w.Heard()) != 0 {
		t.Error("a process that only a sibling heard would be told on: its time gets later with every hub")
	}
}

// What a sibling names comes in one message with claims of other processes of the node, which are settled first.
func TestWhatWasNamedIsNeededWhateverIsClaimedBefore(t *testing.T) {
	first, old, live := crdt.Incarnation{1}, crdt.Incarnation{2}, crdt.Incarnation{3}
	w := NewWatch(2000)
	covered := func(i crdt.Incarnation) uint64 { return map[crdt.Incarnation]uint64{first: 9, old: 6, live: 9}[i] }
	w.Told("e", Claim{Inc: first, Head: 9, AtMs: 100_000}, 0)
	w.Names("e", live, []Named{{Inc: old, Head: [crdt.NumStreams]uint64{7}}}, 0)
	w.Told("e", Claim{Inc: first, Head: 9, AtMs: 100_500}, 0)
	w.Settle("e", covered)
	w.Told("e", Claim{Inc: live, Head: 3, AtMs: 101_000}, 0)
	w.Settle("e", covered)
	for _, p := range w.nodes["e"].procs {
		if p.Inc == live && p.asOf != 0 {
			t.Errorf("complete up to %d without what the process named", p.asOf)
		}
	}
}

func TestProcessesOfOneName(t *testing.T) {
	x, y, z := crdt.Incarnation{1}, crdt.Incarnation{2}, crdt.Incarnation{3}
	const silence = 1000
	type say struct {
		inc   crdt.Incarnation
		at    int64
		named []crdt.Incarnation
	}
	tests := map[string]struct {
		says  []say
		asOf  int64
		procs int
	}{
		"a restart takes over at once": {
			[]say{{x, 100, nil}, {x, 200, nil}, {y, 250, []crdt.Incarnation{x}}, {y, 300, nil}}, 300, 2,
		},
		"a claim that comes late changes nothing": {
			[]say{{x, 100, nil}, {y, 250, []crdt.Incarnation{x}}, {x, 260, nil}, {y, 300, nil}}, 300, 2,
		},
		"a wiped disk takes over after a silence": {
			[]say{{x, 100, nil}, {y, 200, nil}, {y, 1000, nil}}, 100, 2,
		},
		"a wiped disk took over": {
			[]say{{x, 100, nil}, {y, 200, nil}, {y, 1200, nil}}, 1200, 2,
		},
		"what is over is forgotten": {
			[]say{{x, 100, nil}, {y, 200, []crdt.Incarnation{x}}, {y, 2500, nil}}, 2500, 1,
		},
		"two live processes count both": {
			[]say{{x, 100, nil}, {y, 200, []crdt.Incarnation{x}}, {x, 1500, nil}, {y, 9000, nil}}, 1500, 2,
		},
		"the second of two that lived is waited for": {
			[]say{{x, 100, nil}, {y, 200, []crdt.Incarnation{x}}, {y, 1500, nil}, {x, 9000, nil}}, 1500, 2,
		},
		"until the node starts again": {
			[]say{{x, 100, nil}, {y, 200, []crdt.Incarnation{x}}, {x, 1500, nil}, {y, 9000, nil}, {z, 9500, []crdt.Incarnation{x, y}}, {z, 9600, nil}}, 9600, 2,
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			w := NewWatch(silence)
			for _, s := range tc.says {
				if s.named != nil {
					var named []Named
					for _, inc := range s.named {
						named = append(named, Named{Inc: inc})
					}
					w.Names("e", s.inc, named, s.at)
				}
				w.Claim("e", Claim{Inc: s.inc, AtMs: s.at})
				w.Settle("e", coversAll)
			}
			if n := w.nodes["e"]; n.asOf != tc.asOf || len(n.procs) != tc.procs || len(w.order) != tc.procs {
				t.Errorf("complete until %d with %d processes, want %d with %d", n.asOf, len(n.procs), tc.asOf, tc.procs)
			}
		})
	}
}

func TestProcessesOfANodeAreBounded(t *testing.T) {
	w := NewWatch(1000)
	for i := range 100 {
		w.Claim("e", Claim{Inc: crdt.Incarnation{byte(i)}, AtMs: int64(i)})
	}
	if n := len(w.nodes["e"].procs); n != maxProcesses || len(w.order) != maxProcesses {
		t.Errorf("%d processes, %d in order", n, len(w.order))
	}
}

// TestCoverageNeverReachesBeyondTheCells: a node restarts a few times on one disk; its claims come from itself and from
// siblings, in any order, and its cells come late. No time that is given out may be after a write that is not here.
func TestCoverageNeverReachesBeyondTheCells(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1))
		type life struct {
			inc    crdt.Incarnation
			writes []int64 // times, of head 1 on
		}
		var lives []life
		var named []Named
		var events []func(w *Watch)
		now := int64(1)
		for i := range 1 + rng.IntN(4) {
			l := life{inc: crdt.Incarnation{byte(i + 1)}}
			has := slices.Clone(named)
			for range rng.IntN(8) {
				now += rng.Int64N(700)
				if rng.IntN(2) == 0 {
					l.writes = append(l.writes, now)
					now++
				}
				c, told := Claim{Inc: l.inc, Head: uint64(len(l.writes)), AtMs: now}, rng.IntN(2) == 0
				events = append(events, func(w *Watch) {
					if told {
						w.Names("e", c.Inc, has, 0)
						w.Told("e", c, 0)
						return
					}
					w.Names("e", c.Inc, has, c.AtMs)
					w.Claim("e", c)
				})
			}
			named = append(named, Named{Inc: l.inc, Head: [crdt.NumStreams]uint64{uint64(len(l.writes))}})
			lives = append(lives, l)
			now += rng.Int64N(3000)
		}
		for i := range events { // mostly in order, some much later
			if j := i + rng.IntN(4); rng.IntN(3) == 0 && j < len(events) {
				events[i], events[j] = events[j], events[i]
			}
		}
		w, covered := NewWatch(1000), map[crdt.Incarnation]uint64{}
		for _, e := range events {
			e(w)
			l := &lives[rng.IntN(len(lives))]
			covered[l.inc] = min(covered[l.inc]+rng.Uint64N(4), uint64(len(l.writes)))
			was := w.AsOf("e")
			w.Settle("e", func(inc crdt.Incarnation) uint64 { return covered[inc] })
			asOf := w.AsOf("e")
			if asOf < was {
				t.Fatalf("complete until %d, and then %d", was, asOf)
			}
			for _, l := range lives {
				for i, at := range l.writes {
					if at < asOf && covered[l.inc] < uint64(i+1) {
						t.Fatalf("complete until %d, but write %d of process %d, at %d, is not here", asOf, i+1, l.inc[0], at)
					}
				}
			}
		}
	})
}

// TestTheLongestSilentProcessIsForgotten names more processes of a node than are remembered.
func TestTheLongestSilentProcessIsForgotten(t *testing.T) {
	w := NewWatch(1000)
	inc := func(i int) crdt.Incarnation { return crdt.Incarnation{byte(i)} }
	for i := range 30 {
		w.Names("e", inc(i), nil, 0)
		if !w.Knows("e", inc(i)) {
			t.Errorf("process %d is forgotten at once", i)
		}
		w.Told("e", Claim{Inc: inc(i), AtMs: int64(i + 1)}, 0)
	}
	w.Names("e", inc(30), nil, 0)
	w.Names("e", inc(31), nil, 0)
	for i := range 32 {
		if got := w.Knows("e", inc(i)); got != (i >= 16) {
			t.Errorf("process %d known: %v", i, got)
		}
	}
}

// A process that says that it speaks seldom is silent only after as much more, and a node after the most patient of its processes.
func TestWhoSpeaksSeldomIsWaitedFor(t *testing.T) {
	x, y := crdt.Incarnation{1}, crdt.Incarnation{2}
	w := NewWatch(2000)
	if got := w.Patience("e"); got != 2000 {
		t.Errorf("a node that was never heard of may be silent for %d ms", got)
	}
	w.Claim("e", Claim{Inc: x, AtMs: 1000})
	for i, step := range []struct {
		inc      crdt.Incarnation
		ms, want int64
		news     bool
	}{{x, 0, 2000, false}, {x, 30_000, 32_000, true}, {x, 30_000, 32_000, false}, {y, 5000, 32_000, true}, {x, 0, 7000, true}} {
		if news := w.Seldom("e", step.inc, step.ms); news != step.news || w.Patience("e") != step.want {
			t.Errorf("step %d: news %v, may be silent for %d ms, want %v and %d", i, news, w.Patience("e"), step.news, step.want)
		}
	}
	one := NewWatch(2000)
	one.Claim("e", Claim{Inc: x, AtMs: 1000})
	one.Seldom("e", x, 30_000)
	one.Settle("e", coversAll)
	for now, heard := range map[int64]int{32_500: 1, 33_500: 0} {
		if got := one.Extent(now); got.Heard != heard {
			t.Errorf("at %d %d nodes are heard, want %d", now, got.Heard, heard)
		}
	}
}

// Which processes run: those that were heard of and that no other one took over from.
func TestAProcessRunsUntilAnotherOneTakesOver(t *testing.T) {
	x, y := crdt.Incarnation{1}, crdt.Incarnation{2}
	w := NewWatch(1000)
	runs := func() [2]bool { return [2]bool{w.Runs("e", x), w.Runs("e", y)} }
	if runs() != [2]bool{} {
		t.Errorf("before anything was heard: %v", runs())
	}
	w.Claim("e", Claim{Inc: x, AtMs: 100, HeardMs: 100})
	w.Settle("e", coversAll)
	if runs() != [2]bool{true, false} {
		t.Errorf("after the first: %v", runs())
	}
	w.Names("e", y, []Named{{Inc: x}}, 200)
	w.Claim("e", Claim{Inc: y, AtMs: 300, HeardMs: 300})
	if changed := w.Settle("e", coversAll); !changed || runs() != [2]bool{false, true} {
		t.Errorf("after the second, which has the first on its disk: %v, news %v", runs(), changed)
	}
	if w.Settle("e", coversAll) {
		t.Error("nothing was said since, and it is news")
	}
	var names []string
	w.Claim("f", Claim{Inc: x, AtMs: 100})
	w.Each(func(node string) { names = append(names, node) })
	if slices.Sort(names); !slices.Equal(names, []string{"e", "f"}) {
		t.Errorf("nodes %v", names)
	}
}
