package node

import (
	"errors"
	"testing"
)

// remove asks a node to remove another and returns the answer.
func (w *world) remove(at, region, name string) error {
	w.t.Helper()
	w.ids++
	p, id := w.procs[at], w.ids
	w.step(p, RemoveNode{ID: id, Region: region, Node: name})
	w.run(200)
	r, ok := p.replies[id]
	if !ok {
		w.t.Fatalf("%s does not answer", at)
	}
	return r.Err
}

// expects returns how many nodes of a region a node expects.
func (w *world) expects(at, region string) int {
	for _, c := range w.procs[at].core.Coverage() {
		if c.Region == region {
			return c.NodesExpected
		}
	}
	return 0
}

func (w *world) mustExpect(region string, want int) {
	w.t.Helper()
	for _, p := range w.sorted() {
		if p.core != nil && w.expects(p.name, region) != want {
			w.t.Errorf("%s expects %d nodes in %s, want %d", p.name, w.expects(p.name, region), region, want)
		}
	}
}

func TestARemovedNodeIsNotExpectedUntilItIsHeardAgain(t *testing.T) {
	w := newWorld(t, 41)
	w.cfg = CoreConfig{LogBytes: 1}
	mesh(w)
	w.count("east-edge0", "clicks", 40, Token{})
	w.run(3000)
	w.mustExpect("east", 5)
	for _, bad := range [][3]string{
		{"east-edge1", "east", "east-edge0"}, // an edge
		{"east-hub0", "east", "east-edge0"},  // connected
		{"east-hub0", "east", "east-hub0"},   // itself
		{"east-hub0", "east", "nobody"},
	} {
		if err := w.remove(bad[0], bad[1], bad[2]); !errors.Is(err, ErrRemove) {
			t.Errorf("%s removes %s: %v", bad[0], bad[2], err)
		}
	}
	w.kill("east-edge0")
	w.run(12_000)
	for range 2 { // the second time changes nothing
		if err := w.remove("west-hub1", "east", "east-edge0"); err != nil { // any hub will do
			t.Fatal(err)
		}
	}
	w.run(3000)
	w.mustExpect("east", 4)
	w.mustTotal("clicks", 40)
	for _, h := range []string{"east-hub0", "east-hub1", "west-hub1"} {
		w.kill(h)
		w.start(h, h[:4], RoleHub)
	}
	w.run(5000)
	w.mustExpect("east", 4)
	w.mustTotal("clicks", 40)

	w.start("east-edge0", "east", RoleEdge) // it comes back, and goes again for the night
	w.count("east-edge0", "clicks", 2, Token{})
	w.run(3000)
	w.mustExpect("east", 5)
	w.kill("east-edge0")
	for _, h := range []string{"east-hub0", "east-hub1"} {
		w.kill(h)
		w.start(h, "east", RoleHub)
	}
	w.run(12_000)
	w.mustExpect("east", 5)
	w.mustTotal("clicks", 42)
	if err := w.remove("east-hub0", "east", "east-edge0"); err != nil {
		t.Fatal(err)
	}
	w.run(3000)
	w.mustExpect("east", 4)
	for _, h := range []string{"east-hub0", "west-hub0"} {
		if got := w.procs[h].core.Removed(); len(got) != 1 || got[0] != "east/east-edge0" {
			t.Errorf("%s has removed %v", h, got)
		}
	}
}

// TestARemovalOfAConnectedNodeIsUndone: a hub that it is not connected to cannot know.
func TestARemovalOfAConnectedNodeIsUndone(t *testing.T) {
	w := newWorld(t, 42)
	mesh(w)
	w.run(3000)
	if err := w.remove("west-hub0", "east", "east-edge0"); err != nil {
		t.Fatal(err)
	}
	w.run(3000)
	w.mustExpect("east", 5)
}

// TestARemovalThatIsNotOnDiskIsNotTold: the disk refuses it, whoever asked hears so, and a record of a peer waits.
func TestARemovalThatIsNotOnDiskIsNotTold(t *testing.T) {
	w := newWorld(t, 43)
	mesh(w)
	w.run(3000)
	w.kill("east-edge0")
	w.run(1000)
	hub := w.procs["east-hub0"]
	fail := func(e Event) Output {
		var out Output
		hub.core.Step(w.at(), e, &out)
		if out.Persist == nil {
			t.Fatal("nothing is written")
		}
		if len(out.Replies) > 0 {
			t.Fatal("answered before it is on disk")
		}
		hub.core.Step(w.at(), Persisted{Token: out.Persist.Token, Err: ErrFull}, &out)
		return out
	}
	out := fail(RemoveNode{ID: 7, Region: "east", Node: "east-edge0"})
	if len(out.Replies) != 1 || !errors.Is(out.Replies[0].Result.Err, ErrFull) || out.Persist != nil {
		t.Errorf("a full disk: %+v", out)
	}
	if n := w.expects("east-hub0", "east"); n != 5 {
		t.Errorf("%d nodes expected although the removal is not on disk", n)
	}
	if err := w.remove("east-hub1", "east", "east-edge0"); err != nil {
		t.Fatal(err)
	}
	w.run(15_000)
	w.mustExpect("east", 4)
}

// TestARemovedHubIsDead: it was the only one of its region. What it said stays, and is dropped once another one says as
// much.
func TestARemovedHubIsDead(t *testing.T) {
	w := newWorld(t, 44)
	w.start("east-hub0", "east", RoleHub)
	w.start("west-hub0", "west", RoleHub)
	w.start("east-edge0", "east", RoleEdge)
	w.count("east-edge0", "clicks", 42, Token{})
	w.run(3000)
	w.kill("east-hub0")
	if err := w.remove("west-hub0", "east", "east-hub0"); err != nil {
		t.Fatal(err)
	}
	w.run(3000)
	entries := func() int { return len(w.procs["west-hub0"].core.hub.entries.Origins()) }
	if got := w.total("west-hub0", "clicks"); got != "42" || entries() != 1 {
		t.Errorf("west answers %s from %d entries, want 42 from what the removed hub said", got, entries())
	}
	w.start("east-hub1", "east", RoleHub) // takes its place, with what the edge has
	w.run(5000)
	w.mustTotal("clicks", 42)
	if entries() != 1 {
		t.Errorf("west holds %d entries, want that of the new hub", entries())
	}
}

// TestANodeThatMovesIsANewNodeInItsNewRegion: names belong to a region. Its data directory belongs to the old one, so it
// starts with an empty one; what it had counted stays where it was counted.
func TestANodeThatMovesIsANewNodeInItsNewRegion(t *testing.T) {
	w := newWorld(t, 45)
	mesh(w)
	w.start("mover", "east", RoleEdge)
	w.count("mover", "clicks", 40, Token{})
	w.run(3000)
	w.kill("mover")
	delete(w.procs, "mover")
	w.start("mover", "west", RoleEdge)
	w.count("mover", "clicks", 2, Token{})
	w.run(3000)
	w.mustTotal("clicks", 42)
	w.mustExpect("east", 6)
	w.mustExpect("west", 6)
	if err := w.remove("east-hub0", "east", "mover"); err != nil {
		t.Fatal(err)
	}
	w.run(3000)
	w.mustTotal("clicks", 42)
	w.mustExpect("east", 5)
	w.mustExpect("west", 6)
}
