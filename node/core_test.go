package node

import (
	"fmt"
	"maps"
	"testing"
	"time"
)

func TestTotalsReachEveryNode(t *testing.T) {
	w := newWorld(t, 1)
	mesh(w)
	w.run(1000)
	id := w.count("east-edge0", "clicks", 41, Token{})
	w.count("west-hub1", "clicks", 1, Token{})
	w.run(1000)
	if r := w.procs["east-edge0"].replies[id]; r.Accepted != 1 || r.Err != nil {
		t.Fatalf("reply %+v", r)
	}
	w.mustTotal("clicks", 42)
	w.run(3000)
	for _, p := range w.sorted() {
		for _, c := range p.core.Coverage() {
			if c.NodesExpected != 5 || c.NodesHeard != 5 || c.Age > 3*time.Second {
				t.Errorf("%s says of %s: %+v", p.name, c.Region, c)
			}
		}
	}
}

// TestARegionThatCountedNothingIsCovered asks before anything was counted anywhere: an edge that did not know of the other
// region would call its answer complete.
func TestARegionThatCountedNothingIsCovered(t *testing.T) {
	w := newWorld(t, 1)
	mesh(w)
	w.run(3000)
	for _, p := range w.sorted() {
		heard := map[string]int{}
		for _, c := range p.core.Coverage() {
			heard[c.Region] = c.NodesHeard
		}
		if want := map[string]int{"east": 5, "west": 5}; !maps.Equal(heard, want) {
			t.Errorf("%s hears %v, want %v", p.name, heard, want)
		}
	}
}

func TestBothSidesOfACutCountOn(t *testing.T) {
	w := newWorld(t, 2)
	mesh(w)
	w.run(1000)
	split := func(cut bool) {
		for i := range 2 {
			for j := range 2 {
				w.setCut(fmt.Sprintf("east-hub%d", i), fmt.Sprintf("west-hub%d", j), cut)
			}
		}
	}
	split(true)
	for i := range 60 {
		w.count(fmt.Sprintf("east-edge%d", i%3), "clicks", 1, Token{})
		w.count(fmt.Sprintf("west-edge%d", i%3), "clicks", 100, Token{})
		w.run(100)
	}
	w.run(500)
	if got := w.total("east-edge0", "clicks"); got != "60" {
		t.Errorf("east answers %s during the cut, want its own 60", got)
	}
	w.run(11_000)
	for _, p := range w.sorted() {
		for _, c := range p.core.Coverage() {
			if heard := map[bool]int{true: 5, false: 0}[c.Region == p.region]; c.NodesExpected != 5 || c.NodesHeard != heard {
				t.Errorf("%s hears %d of %d in %s during the cut, want %d of 5", p.name, c.NodesHeard, c.NodesExpected, c.Region, heard)
			}
		}
	}
	split(false)
	w.run(1000)
	w.mustTotal("clicks", 6060)
}

func TestRestartsOfEveryNodeLoseAndRepeatNothing(t *testing.T) {
	for name, cfg := range map[string]CoreConfig{
		"as deployed":                       {},
		"checkpoint at every commit":        {LogBytes: 1},
		"cold at once, no checkpoint":       {ColdAfter: 300},
		"cold at once, checkpoint at every": {ColdAfter: 300, LogBytes: 1},
	} {
		t.Run(name, func(t *testing.T) { restarts(t, cfg) })
	}
}

func restarts(t *testing.T, cfg CoreConfig) {
	w := newWorld(t, 3)
	w.cfg = cfg
	mesh(w)
	w.run(500)
	want := uint64(0)
	for round := range 30 {
		for i, p := range w.sorted() {
			if p.role == RoleEdge || i%2 == 0 {
				w.count(p.name, "clicks", uint64(round+1), Token{})
				want += uint64(round + 1)
			}
		}
		w.run(10) // committed, hardly sent
		victim := w.sorted()[round%len(w.procs)]
		w.kill(victim.name)
		w.run(200)
		w.start(victim.name, victim.region, victim.role)
		w.run(int64(round) * 20)
	}
	w.run(4000)
	w.mustTotal("clicks", want)
	var n Counters
	for _, p := range w.sorted() {
		n.Checkpoints += p.core.Counts.Checkpoints
		if p.role == RoleHub {
			n.Loads += uint64(p.core.hub.cold.index.len)
		}
	}
	if cfg.LogBytes > 0 && n.Checkpoints == 0 || cfg.ColdAfter > 0 && n.Loads == 0 {
		t.Errorf("the case never happened: %d checkpoints, %d cold incarnations", n.Checkpoints, n.Loads)
	}
}

func TestTokensSurviveRestart(t *testing.T) {
	w := newWorld(t, 4)
	mesh(w)
	w.run(500)
	for _, tok := range []Token{{Source: "till", Seq: 1}, {Source: "till", Seq: 2}, {Key: "a"}} {
		w.count("east-edge0", "clicks", 10, tok)
	}
	w.run(20)
	w.kill("east-edge0")
	w.start("east-edge0", "east", RoleEdge)
	w.run(500)
	dup := w.count("east-edge0", "clicks", 10, Token{Source: "till", Seq: 1})
	key := w.count("east-edge0", "clicks", 10, Token{Key: "a"})
	w.count("east-edge0", "clicks", 10, Token{Source: "till", Seq: 3})
	w.run(1000)
	for _, id := range []uint64{dup, key} {
		if r := w.procs["east-edge0"].replies[id]; r.Duplicates != 1 || r.Accepted != 0 {
			t.Errorf("repeated item: %+v", r)
		}
	}
	w.mustTotal("clicks", 40)
}

func TestWipedHubOldBackupAndCopiedDisk(t *testing.T) {
	w := newWorld(t, 5)
	mesh(w)
	w.run(500)
	want := uint64(0)
	add := func(names ...string) {
		for _, n := range names {
			w.count(n, "clicks", 7, Token{})
			want += 7
		}
		w.run(300)
	}
	add("east-edge0", "east-edge1", "west-edge0")
	backup := maps.Clone(w.procs["east-edge0"].disk)
	add("east-edge0", "east-edge0", "west-edge1")

	w.kill("east-edge0") // restored from a backup: the newer increments live on at the hubs
	w.procs["east-edge0"].disk = backup
	w.start("east-edge0", "east", RoleEdge)
	add("east-edge0", "east-edge1")

	w.kill("east-hub0")
	clear(w.procs["east-hub0"].disk)
	w.start("east-hub0", "east", RoleHub)
	add("east-edge0", "east-edge2")

	copied := maps.Clone(w.procs["west-edge1"].disk)
	w.kill("west-edge1") // the copy takes over the name, then the original comes back
	old := w.procs["west-edge1"].disk
	w.procs["west-edge1"].disk = copied
	w.start("west-edge1", "west", RoleEdge)
	add("west-edge1")
	w.kill("west-edge1")
	w.procs["west-edge1"].disk = old
	w.start("west-edge1", "west", RoleEdge)
	add("west-edge1", "west-edge1")
	w.run(4000)
	w.mustTotal("clicks", want)
}

func TestARegionWhoseHubsLostTheirDisksSaysSo(t *testing.T) {
	w := newWorld(t, 6)
	mesh(w)
	w.run(500)
	w.count("east-edge0", "clicks", 100, Token{})
	w.count("east-edge1", "clicks", 20, Token{})
	w.run(1000)
	w.kill("east-edge0") // with its disk, and then both hubs of the region with theirs
	for _, hub := range []string{"east-hub0", "east-hub1"} {
		w.kill(hub)
		clear(w.procs[hub].disk)
	}
	w.run(100)
	w.kill("east-edge1") // what its memory held of the region is gone too
	for _, p := range []string{"east-hub0", "east-hub1"} {
		w.start(p, "east", RoleHub)
	}
	w.start("east-edge1", "east", RoleEdge)
	w.run(4000)
	w.mustTotal("clicks", 120)
	incomplete := func() (n int) {
		for _, p := range w.sorted() {
			if p.core == nil {
				continue
			}
			for _, c := range p.core.Coverage() {
				if c.Region == "east" && c.CompleteUntil.IsZero() {
					n++
				}
			}
		}
		return n
	}
	if n := incomplete(); n != 9 {
		t.Errorf("%d of 9 nodes say that the east is incomplete", n)
	}
	w.start("east-edge0", "east", RoleEdge) // its disk lives after all
	w.run(4000)
	w.mustTotal("clicks", 120)
	if n := incomplete(); n != 0 {
		t.Errorf("%d nodes still say that the east is incomplete", n)
	}
}
