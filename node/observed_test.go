package node

import (
	"fmt"
	"testing"

	"meshd/crdt"
)

// observe has a node see that a source counted n since start, as a counter and as a histogram of as many samples.
func (w *world) observe(name, source string, start int64, n uint64) {
	w.t.Helper()
	o, h, d := new(crdt.Observed), new(crdt.Histograms), new(crdt.Distribution)
	for _, err := range []error{
		o.Put(crdt.Sample{Source: source, Start: start, Time: w.now, Value: crdt.FixedFromUint(n)}),
		d.Observe(2, n), h.Put(source, start, d),
	} {
		if err != nil {
			w.t.Fatal(err)
		}
	}
	w.ids++
	w.step(w.procs[name], Submit{ID: w.ids, Batch: &Batch{Items: []Item{
		{Series: &crdt.Series{Name: "seen", Kind: crdt.KindObserved}, Inc: crdt.Value{Kind: crdt.KindObserved, X: o}},
		{Series: &crdt.Series{Name: "seen", Kind: crdt.KindHistogram}, Inc: crdt.Value{Kind: crdt.KindHistogram, X: h}},
	}}})
}

// seen returns what a node answers over all regions for both kinds.
func (w *world) seen(name string) string {
	w.t.Helper()
	t, err := w.procs[name].core.Totals(w.at(), Select{Match: func(s *crdt.Series) bool { return s.Name == "seen" }})
	if err != nil {
		w.t.Fatal(err)
	}
	o, h := new(crdt.Observed), new(crdt.Histograms)
	for _, r := range t.Rows {
		var err error
		switch x := r.Value.X.(type) {
		case *crdt.Observed:
			err = o.Combine(x)
		case *crdt.Histograms:
			err = h.Combine(x)
		}
		if err != nil {
			w.t.Fatal(err)
		}
	}
	return fmt.Sprintf("%v, %d samples", o.Total(), h.Total().Count())
}

func (w *world) mustSee(want string) {
	w.t.Helper()
	for _, p := range w.sorted() {
		if p.core == nil {
			continue
		}
		if got := w.seen(p.name); got != want {
			w.t.Errorf("at %d: %s answers %s, want %s", w.now, p.name, got, want)
		}
	}
}

// TestObserversAreJoinedOverTheMesh lets nodes of both regions see the same sources, early and late, and restarts one
// that saw the most: the mesh answers as if one of them had seen all.
func TestObserversAreJoinedOverTheMesh(t *testing.T) {
	w := newWorld(t, 7)
	mesh(w)
	w.run(2000)
	for i, name := range []string{"east-edge0", "east-edge1", "east-hub0", "west-edge0", "west-hub1"} {
		w.observe(name, "till", 100, 5+uint64(i)) // the last one sees the most: 9
		w.observe(name, "till", 200, 3)           // after a restart of the source
		w.observe(name, "scale", 0, 4)
	}
	w.run(5000)
	w.mustSee("16, 16 samples")

	w.observe("west-edge1", "till", 200, 8)
	w.observe("west-edge1", "till", 100, 6) // late: known already
	w.run(100)
	w.kill("west-edge1")
	w.run(3000)
	w.start("west-edge1", "west", RoleEdge)
	w.observe("east-edge2", "till", 200, 7)
	w.observe("west-edge1", "till", 200, 8) // a retry after the restart
	w.run(5000)
	w.mustSee("21, 21 samples")
}

// TestObserversOfAPartition: two sides of a cut see the same source and agree once it heals.
func TestObserversOfAPartition(t *testing.T) {
	w := newWorld(t, 8)
	mesh(w)
	w.run(2000)
	cut := func(on bool) {
		for _, a := range []string{"east-hub0", "east-hub1"} {
			for _, b := range []string{"west-hub0", "west-hub1"} {
				w.setCut(a, b, on)
			}
		}
	}
	cut(true)
	w.observe("east-edge0", "till", 100, 10)
	w.observe("west-edge0", "till", 100, 12)
	w.run(3000)
	if east, west := w.seen("east-edge1"), w.seen("west-edge1"); east != "10, 10 samples" || west != "12, 12 samples" {
		t.Errorf("cut off, east answers %s and west %s, want 10 and 12", east, west)
	}
	cut(false)
	w.run(5000)
	w.mustSee("12, 12 samples")
}

// TestSeenTwiceCostsNothing: what a node has seen already makes no frame.
func TestSeenTwiceCostsNothing(t *testing.T) {
	w := newWorld(t, 9)
	w.start("hub", "east", RoleHub)
	w.observe("hub", "till", 100, 10)
	w.run(1000)
	head := w.procs["hub"].core.live.Progress[crdt.StreamLifetime].Cursor
	w.now -= 1000 // the counter's time of observation must not rise either
	w.observe("hub", "till", 100, 9)
	w.now += 1000
	id := w.ids
	w.run(1000)
	if res, ok := w.procs["hub"].replies[id]; !ok || res.Err != nil || res.Accepted != 2 {
		t.Errorf("a retry is answered %+v, %v, want two accepted", res, ok)
	}
	if again := w.procs["hub"].core.live.Progress[crdt.StreamLifetime].Cursor; again != head {
		t.Errorf("the head went from %d to %d for nothing new", head, again)
	}
}
