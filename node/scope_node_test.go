package node

import (
	"fmt"
	"strings"
	"testing"

	"meshd/crdt"
	"meshd/reconcile"
)

// TestWhatIsOfScopeNode: hubs of its region answer for all of it, an edge for what it counted itself, nobody else at all. Edges are not
// sent it, and each answer says what it lacks. When the rule is lifted everybody answers for everything again.
func TestWhatIsOfScopeNode(t *testing.T) {
	w := newWorld(t, 98)
	mesh(w)
	w.run(3000)
	all := func() {
		for _, p := range w.sorted() {
			w.hit(p.name, "web.hits", 1)
			w.hit(p.name, "host.reads", 1)
		}
		w.run(5000)
	}
	is := func(counted uint64, alone bool) {
		t.Helper()
		for _, p := range w.sorted() {
			want := 10 * counted
			if alone {
				want = 5 * counted
			}
			if alone && p.role == RoleEdge {
				want = counted
			}
			got, err := p.core.Totals(w.at(), Select{Names: []string{"host.reads"}, Match: func(s *crdt.Series) bool { return s.Name == "host.reads" }})
			if err != nil {
				t.Fatal(err)
			}
			var sum crdt.Fixed
			for _, r := range got.Rows {
				sum, _ = sum.Add(r.Value.P)
			}
			if sum != crdt.FixedFromUint(want) {
				t.Errorf("%s answers host.reads with %s, want %d", p.name, sum, want)
			}
			said := fmt.Sprint(got.Shortfalls)
			if (len(got.Shortfalls) > 0) != alone || alone && !strings.Contains(said, "ask a hub of that region") ||
				(alone && p.role == RoleEdge) != strings.Contains(said, "of region "+p.region+" is what this node counted") {
				t.Errorf("%s says that it lacks %s", p.name, said)
			}
			w.wholeSince(p.name, p.region, 5, w.now-5000)
		}
	}
	all()
	is(1, false)
	w.configure("east-edge0", `{"rollup":[{"match":"host.*","scope":"node"}]}`)
	all()
	w.mustTotal("web.hits", 20)
	is(2, true)
	w.run(20_000)
	for _, p := range w.sorted() {
		if p.role == RoleHub {
			continue
		}
		for _, sl := range p.core.slots.All() {
			sl.Total.Each(func(id reconcile.SeriesID, _ *crdt.Value, _ uint64) {
				if s := p.core.cat.Series(id); s.Name == "host.reads" {
					t.Errorf("%s holds %s of %s", p.name, s, sl.Total.Origin)
				}
			})
		}
	}
	w.configure("west-hub0", `{"rollup":[{"match":"none","scope":"node"}]}`)
	is(2, false)
	w.configure("west-hub0", `{"rollup":[{"match":"*","scope":"node"}]}`)
	w.hit("east-edge0", "host.reads", 1)
	w.run(200) // it reads its own at once
	if got, err := w.procs["east-edge0"].core.Totals(w.at(), Select{}); err != nil || len(got.Rows) != 2 {
		t.Errorf("east-edge0 answers %d rows, %v; want its own two series", len(got.Rows), err)
	}
	w.run(5000)
	w.wholeSince("east-edge0", "east", 5, w.now-5000) // of which nothing else is sent
	w.configure("east-hub1", `{}`)
	for _, p := range w.sorted() {
		if p.name != "east-edge0" {
			w.hit(p.name, "host.reads", 1)
		}
	}
	w.run(5000)
	is(3, false)
}
