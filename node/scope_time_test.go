package node

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"meshd/crdt"
)

// How windows are answered with turns when lifetimes do, and with them: what says so is another one exactly then.
func TestWindowsAreAnsweredWithAsLifetimesAre(t *testing.T) {
	w := newWorld(t, 96)
	mesh(w)
	w.run(3000)
	ask := func(name string) *Totals {
		t.Helper()
		all, err := w.procs[name].core.Totals(w.at(), Select{Windows: true, Labels: []string{"till"}})
		if err != nil {
			t.Fatal(err)
		}
		for _, row := range all.Rows {
			if row.Region == "west" && all.Rollup != nil {
				for _, label := range all.Rollup.Lacks("west", row.Series.Name, row.Series.Kind) {
					if row.Series.Get(label) != "" {
						t.Errorf("%s: windows lack %s, lifetimes have %s", name, label, row.Series)
					}
				}
				if !all.Rollup.Travels(row.Series.Name, row.Series.Kind) {
					t.Errorf("%s: lifetimes of %s, no windows", name, row.Series)
				}
			}
		}
		return all
	}
	all := func() {
		for _, p := range w.sorted() {
			w.hit(p.name, "web.hits", 1)
			w.hit(p.name, "host.reads", 1)
		}
		w.run(5000)
	}
	all()
	names := []string{"east-hub0", "east-edge1"}
	for _, name := range names {
		if r := ask(name).Rollup; r != nil {
			t.Errorf("%s has rules %+v, there are none", name, r)
		}
	}
	w.ids++
	w.step(w.procs["east-hub0"], SetConfig{ID: w.ids, Doc: []byte(`{"rollup":[{"match":"web.*","drop":["till"]},{"match":"host.*","scope":"node"},{"match":"seen","observed":"sum"}]}`)})
	for range 50 { // right through the change, at every moment of it
		w.run(100)
		for _, name := range names {
			ask(name)
		}
	}
	all()
	for _, name := range names {
		got := ask(name)
		r := got.Rollup
		if lacks := r.Lacks("west", "web.hits", crdt.KindCounter); !slices.Equal(lacks, []string{"till"}) || !r.Lacked()["till"] || r.Lacks("east", "web.hits", crdt.KindCounter) != nil {
			t.Errorf("%s: windows of west lack %v, of east %v", name, lacks, r.Lacks("east", "web.hits", crdt.KindCounter))
		}
		if r.Travels("host.reads", crdt.KindCounter) || r.Travels("seen", crdt.KindObserved) || !r.Travels("seen", crdt.KindCounter) || r.Alone("host.reads") != strings.Contains(name, "edge") {
			t.Errorf("%s: travels %v, alone %v", name, r.Travels("host.reads", crdt.KindCounter), r.Alone("host.reads"))
		}
		if short := fmt.Sprint(got.Shortfalls); !strings.Contains(short, "web.* of region west comes without till") || !strings.Contains(short, "seen of region west stays there over time") {
			t.Errorf("%s lacks %s", name, short)
		}
		bare, err := w.procs[name].core.Totals(w.at(), Select{Windows: true, Bare: true, Names: []string{"web.hits"}})
		if err != nil || bare.Rollup != r || len(bare.Rows)+len(bare.Shortfalls) != 0 {
			t.Errorf("%s answers %+v, %v; the same rules before: %v", name, bare, err, bare.Rollup == r)
		}
	}
	w.configure("west-hub1", `{"rollup":[]}`)
	all()
	for _, name := range names {
		if r := ask(name).Rollup; r != nil {
			t.Errorf("%s has rules %+v, they were lifted", name, r)
		}
	}
}
