package gossip

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"meshd/gossip/memnet"
)

func someHubs(n int) (hubs []*target) {
	for i := range n {
		hubs = append(hubs, &target{hub: hub{Node: fmt.Sprintf("h%d", i), Addr: fmt.Sprint(i)}})
	}
	return hubs
}

func TestLoadOverHubsIsEven(t *testing.T) {
	const edges = 6000
	for _, n := range []int{2, 3, 6} {
		first, home := map[string]int{}, map[string]int{}
		for e := range edges {
			names := hubNames(rank(fmt.Sprint("edge-", e), someHubs(n)))
			first[names[0]]++
			home[names[0]]++
			home[names[1]]++
		}
		for h := range home {
			if d := float64(first[h]*n) / edges; d < 0.9 || d > 1.1 {
				t.Errorf("%d hubs: %s is first for %d of %d edges", n, h, first[h], edges)
			}
			if d := float64(home[h]*n) / (2 * edges); d < 0.93 || d > 1.07 {
				t.Errorf("%d hubs: %s is a home of %d of %d edges", n, h, home[h], edges)
			}
		}
	}
}

// A hub that goes, or comes back, moves only the edges that have it among their first two, and each by one session.
func TestRankMovesFew(t *testing.T) {
	hubs := someHubs(6)
	moved := 0
	for e := range 3000 {
		edge := fmt.Sprintf("edge-%d", e)
		all := hubNames(rank(edge, hubs))
		without := hubNames(rank(edge, hubs[1:]))
		if want := slices.DeleteFunc(slices.Clone(all), func(n string) bool { return n == "h0" }); !slices.Equal(without, want) {
			t.Fatalf("%s: %v became %v", edge, all, without)
		}
		if slices.Contains(all[:2], "h0") {
			moved++
		}
	}
	if moved < 900 || moved > 1100 {
		t.Errorf("%d of 3000 edges move, want a third", moved)
	}
}

func TestFarHubsAreFirstForFew(t *testing.T) {
	hubs := someHubs(2)
	hubs[0].quality = quality{class: 3, at: time.Unix(1, 0)} // four times as far
	hubs[1].quality = quality{class: 1, at: time.Unix(1, 0)}
	far := 0
	for e := range 17_000 {
		if hubNames(rank(fmt.Sprint("edge-", e), hubs))[0] == "h0" {
			far++
		}
	}
	if far < 900 || far > 1100 {
		t.Errorf("the far hub is first for %d of 17,000 edges, want about 1,000", far)
	}
}

func TestNoiseMovesNobodyAndARealChangeDoes(t *testing.T) {
	now := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	rapid.Check(t, func(t *rapid.T) {
		base := time.Duration(rapid.Int64Range(int64(time.Microsecond), int64(time.Second)).Draw(t, "base"))
		var q quality
		at := now
		q.sample(base, at)
		class := q.class
		for _, percent := range rapid.SliceOfN(rapid.IntRange(85, 115), 0, 100).Draw(t, "noise") {
			at = at.Add(measureEvery)
			q.sample(base*time.Duration(percent)/100, at)
			if q.class != class {
				t.Fatalf("class %d became %d around %v", class, q.class, base)
			}
		}
		was := q.changed
		for i := range 12 {
			at = at.Add(measureEvery)
			q.sample(16*(base+costFloor), at)
			if q.changed != was {
				if q.changed.Sub(was) < classStay {
					t.Fatalf("class changed twice within %v", q.changed.Sub(was))
				}
				was = q.changed
			}
			if i == 11 && q.class < min(maxClass, class+2) {
				t.Fatalf("class %d after two minutes of 16 times the cost, was %d", q.class, class)
			}
		}
	})
}

// homesOf starts hubs and an edge and returns the edge with its homes when all is quiet.
func homesOf(m *mesh, hubs int) (e *node, homes []string) {
	first := m.start(m.config("eu-h1"))
	for i := 2; i <= hubs; i++ {
		m.start(m.config(fmt.Sprint("eu-h", i), first.addr))
	}
	e = m.start(m.config("eu-e1", first.addr))
	m.until("knows all hubs", time.Minute, func() bool { return len(e.alive()) == hubs })
	time.Sleep(2 * (homeSettle + minStay))
	if homes = e.up(); len(homes) != 2 {
		m.t.Fatalf("homes %v", homes)
	}
	return e, homes
}

func (m *mesh) link(a, b string, l memnet.Link) {
	m.net.SetLink(a, b, l)
	m.net.SetLink(b, a, l)
}

func TestEdgeBehindABadLinkMovesAndComesBackWhenItIsGood(t *testing.T) {
	good := memnet.Link{Delay: 5 * time.Millisecond}
	for name, bad := range map[string]memnet.Link{
		"far":   {Delay: 120 * time.Millisecond},
		"lossy": {Delay: 5 * time.Millisecond, Loss: 0.3},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := newMesh(t)
				defer m.stop()
				e, homes := homesOf(m, 3)
				lost := homes[0]
				at := m.nodes[lost].addr
				m.link(e.addr, at, bad)
				away := func() bool { return len(e.up()) == 2 && !slices.Contains(e.up(), lost) }
				took := m.until("leaves the bad link", 3*time.Minute, func() bool {
					if len(e.up()) == 0 {
						t.Fatal("no session at all")
					}
					for _, p := range e.Peers() { // something to lose
						e.Send(p.ID, false, []byte("data"))
					}
					return away()
				})
				time.Sleep(time.Minute)
				if !away() {
					t.Error("went back to the bad link")
				}
				if name == "lossy" || !slow { // the way back takes an hour, and probes see little of loss
					return
				}
				m.link(e.addr, at, good)
				back := m.until("return", 2*time.Hour, func() bool { return slices.Equal(e.up(), homes) })
				if n := e.metric(t, "home_moves_total"); n > 4 {
					t.Errorf("%v sessions given up", n)
				}
				t.Logf("left after %v, back after %v", took, back)
			})
		})
	}
}

// A hub that comes and goes every quarter of a minute is relied on once or twice, then only tried.
func TestFlappingHubDoesNotMoveItsEdges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMesh(t)
		defer m.stop()
		e, homes := homesOf(m, 3)
		at := m.addrs(homes[0])
		before := e.metric(t, "home_moves_total")
		for range 10 {
			m.net.Cut(at, []string{e.addr})
			time.Sleep(15 * time.Second)
			if len(e.up()) != 2 || slices.Contains(e.up(), homes[0]) {
				t.Fatalf("while %s is away: %v", homes[0], e.up())
			}
			m.net.Heal(at, []string{e.addr})
			time.Sleep(15 * time.Second)
			if len(e.up()) < 2 {
				t.Fatalf("while %s is back: %v", homes[0], e.up())
			}
		}
		if n := e.metric(t, "home_moves_total") - before; n > 2 {
			t.Errorf("%v sessions given up for a hub that flaps", n)
		}
		took := m.until("return after the last time", homeSettle<<maxFlaps+minStay+time.Minute, func() bool { return slices.Equal(e.up(), homes) })
		t.Logf("returned after %v", took)
	})
}
