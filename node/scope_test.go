package node

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"meshd/crdt"
	"meshd/internal/wire"
	"meshd/reconcile"
)

// hit counts at a node on a series of its own.
func (w *world) hit(name, metric string, n uint64) {
	w.ids++
	w.step(w.procs[name], Submit{ID: w.ids, Batch: &Batch{Items: []Item{{
		Series: &crdt.Series{Name: metric, Kind: crdt.KindCounter, Labels: []crdt.Label{{Name: "till", Value: name}}},
		Inc:    crdt.Value{Kind: crdt.KindCounter, P: crdt.FixedFromUint(n)},
	}}}})
}

func (w *world) configure(name, doc string) {
	w.t.Helper()
	w.ids++
	w.step(w.procs[name], SetConfig{ID: w.ids, Doc: []byte(doc)})
	w.run(5000)
	for _, p := range w.sorted() {
		if got := string(p.core.Config().Doc); got != doc {
			w.t.Fatalf("%s has the configuration %s", p.name, got)
		}
	}
}

// series returns how many rows of a metric and region a node answers with, of which none shows how it was exported.
func (w *world) series(name, metric, region string) (n int) {
	t, err := w.procs[name].core.Totals(w.at(), Select{Match: func(s *crdt.Series) bool { return s.Name == metric }})
	if err != nil {
		w.t.Fatal(err)
	}
	for _, r := range t.Rows {
		if r.Series.Get(crdt.RollupLabel) != "" {
			w.t.Errorf("%s answers with %s", name, r.Series)
		}
		if r.Region == region {
			n++
		}
	}
	return n
}

func TestRulesSayWhatTravelsAndWithWhichLabels(t *testing.T) {
	w := newWorld(t, 91)
	mesh(w)
	w.run(3000)
	all := func() {
		for _, p := range w.sorted() {
			w.hit(p.name, "web.hits", 1)
			w.hit(p.name, "host.reads", 1)
		}
		w.run(5000)
	}
	all()
	w.mustTotal("web.hits", 10)
	w.configure("east-edge0", `{"rollup":[{"match":"web.*","drop":["till"]},{"match":"host.*","scope":"region"}]}`)
	all()
	w.mustTotal("web.hits", 20)
	w.mustTotal("host.reads", 10) // of the own region
	for _, name := range []string{"east-hub0", "east-edge1"} {
		if own, far := w.series(name, "web.hits", "east"), w.series(name, "web.hits", "west"); own != 5 || far != 1 {
			t.Errorf("%s answers web.hits with %d series of its region and %d of the other, want 5 and 1", name, own, far)
		}
		got, err := w.procs[name].core.Totals(w.at(), Select{Labels: []string{"till"}})
		if err != nil || len(got.Shortfalls) != 2 || !strings.Contains(fmt.Sprint(got.Shortfalls), "host.* of region west stays there") {
			t.Errorf("%s lacks %v, %v", name, got.Shortfalls, err)
		}
		if got, _ = w.ask(name, "web.hits", "web.hits"); len(got.Shortfalls) != 0 {
			t.Errorf("%s lacks %v of a sum without the label", name, got.Shortfalls)
		}
		w.wholeSince(name, "west", 5, w.now-5000)
	}
	w.configure("west-hub1", `{"rollup":[]}`)
	w.mustTotal("web.hits", 20)
	w.mustTotal("host.reads", 20)
	if n := w.series("east-edge2", "web.hits", "west"); n != 5 {
		t.Errorf("%d series without rules, want 5", n)
	}
}

// What an older rule let travel does not outlive it: hubs let go of the entries that were written before, and of the views,
// and edges of the series.
func TestWhatRulesCutIsForgotten(t *testing.T) {
	w := newWorld(t, 92)
	mesh(w)
	w.run(3000)
	for _, p := range w.sorted() {
		w.hit(p.name, "web.hits", 1)
	}
	w.run(5000)
	w.configure("east-hub0", `{"rollup":[{"match":"web.*","drop":["till"]}]}`)
	w.run(20_000)
	for _, name := range []string{"east-hub0", "east-edge0"} {
		c := w.procs[name].core
		if c.hub != nil {
			for _, o := range c.hub.entries.Origins() {
				if o.Region == "west" && c.hub.entries.Held(o).Len() != 1 {
					t.Errorf("%s holds %d series of %s", name, c.hub.entries.Held(o).Len(), o)
				}
			}
			if n := c.hub.entries.View("west").Len(); n != 1 {
				t.Errorf("%s has a view of %d series", name, n)
			}
			continue
		}
		if n := c.views.Region("west").Len(); n != 1 {
			t.Errorf("%s holds %d series of the other region", name, n)
		}
	}
}

// A hub that takes other rules than its peers is not believed to be complete until they are the same.
func TestARegionIsNotCompleteByOtherRules(t *testing.T) {
	w := newWorld(t, 93)
	mesh(w)
	w.run(3000)
	w.configure("west-hub0", `{"rollup":[{"match":"host.*","scope":"region"}]}`)
	for _, p := range w.sorted() {
		w.hit(p.name, "host.reads", 1)
	}
	w.run(5000)
	for _, name := range []string{"west-hub0", "west-hub1"} {
		for _, far := range []string{"east-hub0", "east-hub1"} {
			w.setCut(name, far, true)
		}
	}
	w.run(1000)
	w.ids++
	w.step(w.procs["east-hub0"], SetConfig{ID: w.ids, Doc: []byte(`{}`)})
	w.run(4000)
	for _, name := range []string{"east-hub0", "east-edge0"} {
		for _, c := range w.procs[name].core.Coverage() {
			if c.Region == "west" && !c.CompleteUntil.IsZero() {
				t.Errorf("%s says that west is complete until %v, of which host.reads stayed there", name, c.CompleteUntil)
			}
		}
	}
}

// What has no sum stays in its region under a rule that drops labels, and a total of it says so, whatever labels are asked for.
func TestATotalSaysThatItsKindHasNoSum(t *testing.T) {
	w := newWorld(t, 96)
	mesh(w)
	w.run(3000)
	w.hit("west-edge0", "hits", 1)
	w.observe("east-edge0", "src", 1, 5)
	w.observe("west-edge0", "src", 1, 7)
	w.run(5000)
	w.configure("east-hub0", `{"rollup":[{"match":"web.*"},{"match":"*","drop":["till"]}]}`)
	for name, want := range map[string]int{"seen": 1, "hits": 0, "": 1, "never.heard.of": 1, "web.seen": 0} {
		sel := Select{Names: []string{name}, Match: func(s *crdt.Series) bool { return s.Name == name }}
		if name == "" {
			sel = Select{}
		}
		got, err := w.procs["east-edge1"].core.Totals(w.at(), sel)
		if err != nil || len(got.Shortfalls) != want || want > 0 && !strings.Contains(fmt.Sprint(got.Shortfalls), "of region west stays there if it is a set") {
			t.Errorf("%q lacks %v, %v; want %d", name, got.Shortfalls, err, want)
		}
	}
}

// A hub lets go of what stays in another region. When that rule is lifted, and a hub there has not stated anything since it was
// made, its statement from before names the same rules, but nothing is held of what it speaks of.
func TestAStatementAboutWhatWasLetGoOfHasNoDate(t *testing.T) {
	w := newWorld(t, 95)
	mesh(w)
	w.run(3000)
	for _, p := range w.sorted() {
		w.hit(p.name, "web.hits", 1)
		w.hit(p.name, "host.reads", 1)
	}
	w.run(5000)
	c := w.procs["east-hub0"].core
	if c.coverage("west").CompleteUntil.IsZero() {
		t.Fatal("west is not complete to begin with")
	}
	before := map[heardName]wire.RegionCoverage{}
	for _, h := range c.stated["west"] {
		before[h.who] = *h.current
	}
	w.configure("east-edge0", `{"rollup":[{"match":"host.*","scope":"region"}]}`)
	w.run(20_000)
	w.ids++
	w.step(w.procs["east-hub0"], SetConfig{ID: w.ids, Doc: []byte(`{}`)})
	for range 1000 {
		if c.scopes.rules == nil {
			break
		}
		w.run(1)
	}
	for _, h := range c.stated["west"] {
		old, ok := before[h.who]
		if !ok {
			t.Fatalf("%s began anew", h.who.node)
		}
		h.current, h.waiting = &old, nil
	}
	if n := w.series("east-hub0", "host.reads", "west"); n != 0 {
		t.Fatalf("%d series of host.reads were not let go of", n)
	}
	if until := c.coverage("west").CompleteUntil; !until.IsZero() {
		t.Errorf("west is complete until %v without host.reads", until)
	}
}

func TestNobodyCountsOnASum(t *testing.T) {
	w := newWorld(t, 94)
	mesh(w)
	w.run(3000)
	s := &crdt.Series{Name: "m", Kind: crdt.KindCounter, Labels: []crdt.Label{{Name: crdt.RollupLabel, Value: "sum-x"}}}
	w.ids++
	w.step(w.procs["east-edge0"], Submit{ID: w.ids, Batch: &Batch{Items: []Item{{Series: s, Inc: crdt.Value{Kind: crdt.KindCounter, P: crdt.FixedFromUint(1)}}}}})
	w.run(3000)
	w.mustTotal("m", 0)
	o := crdt.Origin{Class: crdt.ClassNode, Region: "east", Node: "east-edge0", Inc: crdt.Incarnation{7}}
	f := &wire.Frame{Origin: o, To: 1, Head: 1, Defs: []wire.Def{{Seq: 1, Series: *s}}}
	if err := reconcile.NewReplica(o, reconcile.NewCatalog()).Check(f); !errors.Is(err, reconcile.ErrFrame) {
		t.Errorf("a node's frame defines a sum: %v", err)
	}
}

// An observed counter leaves its region as one sum if a rule says so: with the answer of its own region, which has every source,
// it adds up to what the sources counted, whoever saw them.
func TestObservedCountersTravelAsSums(t *testing.T) {
	w := newWorld(t, 97)
	mesh(w)
	w.run(3000)
	answers := func(doc, want string) {
		t.Helper()
		w.configure("east-hub0", doc)
		w.run(5000)
		for _, p := range w.sorted() {
			sources, sum := map[string]int{}, crdt.Fixed{}
			got, err := p.core.Totals(w.at(), Select{Match: func(s *crdt.Series) bool { return s.Kind == crdt.KindObserved }})
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range got.Rows {
				o := r.Value.X.(*crdt.Observed)
				sum, _ = sum.Add(o.Total())
				for range o.Samples() {
					sources[r.Region]++
				}
			}
			far := map[string]string{"east": "west", "west": "east"}[p.region]
			if said := fmt.Sprintf("%s, %d sources of the other region", sum, sources[far]); said != want {
				t.Errorf("with %s %s answers %s, want %s", doc, p.name, said, want)
			}
		}
	}
	for i, name := range []string{"east-edge0", "east-edge1", "east-hub0"} { // all of them see both
		w.observe(name, "till", 100, 5+uint64(i))
		w.observe(name, "scale", 0, 4)
		w.observe(strings.Replace(name, "east", "west", 1), "door", 100, 1+uint64(i))
		w.observe(strings.Replace(name, "east", "west", 1), "lift", 100, 6)
	}
	w.run(5000)
	answers(`{}`, "20, 2 sources of the other region")
	answers(`{"rollup":[{"match":"seen","observed":"sum"}]}`, "20, 1 sources of the other region")
	w.observe("west-edge1", "door", 200, 5)
	w.observe("east-edge1", "till", 100, 8)
	answers(`{"series":9,"rollup":[{"match":"seen","observed":"sum"}]}`, "26, 1 sources of the other region")
	const sums = `{"rollup":[{"match":"seen","observed":"sum","drop":["till"]}]}`
	for _, name := range []string{"east-hub0", "west-edge0"} {
		if n := w.series(name, "seen", map[byte]string{'e': "west", 'w': "east"}[name[0]]); n != 2 { // and the histogram, as it is
			t.Errorf("%s answers %d series of the other region, want 2", name, n)
		}
	}
	answers(sums, "26, 1 sources of the other region")
	for _, p := range w.sorted() {
		if got, err := p.core.Totals(w.at(), Select{Names: []string{"seen"}, Match: func(s *crdt.Series) bool { return s.Name == "seen" }}); err != nil ||
			len(got.Shortfalls) != 1 || !strings.Contains(got.Shortfalls[0].Why, "stays there if it is a set or a cumulative histogram") {
			t.Errorf("%s lacks %v, %v", p.name, got.Shortfalls, err)
		}
	}
}
