package node

import (
	"errors"
	"testing"

	"meshd/crdt"
)

func (w *world) dropSeries(at, metric string, labels ...crdt.Label) error {
	w.t.Helper()
	w.ids++
	p, id := w.procs[at], w.ids
	w.step(p, DropSeries{ID: id, Metric: metric, Labels: labels})
	w.run(200)
	r, ok := p.replies[id]
	if !ok {
		w.t.Fatalf("%s does not answer", at)
	}
	return r.Err
}

// TestWhatWasDroppedStaysDropped: whoever was cut off, goes on to count, restarts, or went cold.
func TestWhatWasDroppedStaysDropped(t *testing.T) {
	w := newWorld(t, 51)
	w.cfg = CoreConfig{LogBytes: 1, ColdAfter: 1000, AntiEntropy: 200}
	mesh(w)
	w.start("east-edge9", "east", RoleEdge) // will be an incarnation that is cold
	names := []string{"east-edge0", "east-edge9", "west-edge0", "west-hub0"}
	for _, n := range names {
		w.count(n, "clicks", 10, Token{})
		w.count(n, "kept", 1, Token{})
	}
	w.run(3000)
	w.mustTotal("clicks", 40)
	w.kill("east-edge9")
	w.run(4000)

	if err := w.dropSeries("east-edge0", "clicks"); !errors.Is(err, ErrDrop) {
		t.Errorf("an edge drops series: %v", err)
	}
	for _, p := range w.sorted() { // one edge and one hub hear nothing of it
		w.setCut("west-edge0", p.name, true)
		w.setCut("west-hub1", p.name, true)
	}
	w.run(100)
	if err := w.dropSeries("east-hub0", "clicks"); err != nil {
		t.Fatal(err)
	}
	w.count("west-edge0", "clicks", 1000, Token{}) // lost: it has not heard
	w.count("east-edge0", "clicks", 5, Token{})
	w.run(3000)
	for _, n := range []string{"east-hub1", "east-edge1", "west-hub0"} {
		if got := w.total(n, "clicks"); got != "5" {
			t.Errorf("%s answers %s after the drop, want 5", n, got)
		}
	}
	for _, p := range w.sorted() {
		w.setCut("west-edge0", p.name, false)
		w.setCut("west-hub1", p.name, false)
	}
	w.run(5000)
	w.mustTotal("clicks", 5)
	w.mustTotal("kept", 4)
	if n := w.procs["west-edge0"].core.Counts.CellsDropped; n == 0 {
		t.Error("the edge does not count what it lost")
	}
	w.start("east-edge9", "east", RoleEdge) // comes back with what it had
	w.count("west-edge0", "clicks", 2, Token{})
	w.run(3000)
	w.mustTotal("clicks", 7)
	for _, p := range w.sorted() {
		w.kill(p.name)
		w.start(p.name, p.region, p.role)
		w.run(300)
	}
	w.run(6000)
	w.mustTotal("clicks", 7)
	w.mustTotal("kept", 4)
	if err := w.dropSeries("west-hub0", "cl*"); err != nil { // and once more
		t.Fatal(err)
	}
	w.count("east-edge9", "clicks", 3, Token{})
	w.run(5000)
	w.mustTotal("clicks", 3)
	w.mustTotal("kept", 4)
}

func TestDropsThatCannotBeAreRefused(t *testing.T) {
	w := newWorld(t, 52)
	mesh(w)
	w.run(1000)
	for _, bad := range []DropSeries{{}, {Metric: "m", Labels: []crdt.Label{{Name: "b"}, {Name: "a"}}}} {
		if err := w.dropSeries("east-hub0", bad.Metric, bad.Labels...); !errors.Is(err, ErrDrop) {
			t.Errorf("%+v: %v", bad, err)
		}
	}
}
