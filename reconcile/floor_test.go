package reconcile

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"meshd/crdt"
)

// After the hubs of a region lost their disks, the entry of an earlier one comes back from other regions.
func TestTheFloorHoldsWhatDeadHubsKnewUntilTheTotalsContainIt(t *testing.T) {
	now := region(t, 2, map[string]uint64{"a": 3})
	e := NewEntries("hub", crdt.Incarnation{2}, now.Total.cat)
	// The dead process, and what it knew at its end.
	early, late := region(t, 1, map[string]uint64{"a": 3, "b": 4}), region(t, 1, map[string]uint64{"a": 3, "b": 6})
	f := NewFloor(crdt.Origin{Class: crdt.ClassView, Region: "r", Node: "hub", Inc: crdt.Incarnation{2}}, now.Total.cat)
	dead := func(o crdt.Origin) bool { return o.Inc == crdt.Incarnation{1} }
	update := func(dead func(crdt.Origin) bool, above int, cell string) {
		t.Helper()
		if err := f.Update(e, now.Total, dead); err != nil {
			t.Fatal(err)
		}
		if got := clicks(t, f.Cells); f.Above() != above || got != cell {
			t.Errorf("%d entries above the totals, floor %s, want %d and %s", f.Above(), got, above, cell)
		}
	}
	comes := func(g *Region) {
		t.Helper()
		if _, err := e.Apply(entryFrame(t, g, 0)); err != nil {
			t.Fatal(err)
		}
	}
	grows := func(seq, b uint64) {
		t.Helper()
		fr := frame(nodeOrigin("b"), seq-1, seq, nil, 0, b)
		if seq == 1 {
			fr = frame(nodeOrigin("b"), 0, 1, []string{"clicks"}, 0, b)
		}
		if _, err := now.Apply(fr); err != nil {
			t.Fatal(err)
		}
		now.Total.Close()
	}

	update(dead, 0, "none")
	comes(early)
	update(func(crdt.Origin) bool { return false }, 0, "none") // a living hub answers for itself
	update(dead, 1, "7")
	grows(1, 4) // the edge tells its hub again
	update(dead, 0, "7")
	comes(late)
	update(dead, 1, "9")
	grows(2, 6)
	update(dead, 0, "9")
}

func TestSeriesAreSortedByTheirKeysAsTheyCome(t *testing.T) {
	cat := NewCatalog()
	for n, name := range []string{"m", "z", "a", "m"} {
		mustIntern(t, cat, name)
		var last string
		for _, id := range cat.Sorted() {
			if name := cat.Series(id).Name; name <= last {
				t.Errorf("%q comes after %q", name, last)
			} else {
				last = name
			}
		}
		if want := min(n+1, 3); cat.Len() != want || len(cat.Sorted()) != want {
			t.Errorf("%d series, %d of them sorted, want %d", cat.Len(), len(cat.Sorted()), want)
		}
	}
}

// TestFloorsNeverFall: whatever comes of dead hubs, with all labels or as sums, a floor holds what they had beyond the totals
// when it was looked at, it never loses any of it, and an entry is contained exactly if the totals have as much
// in every part, for every combination of the labels that it has.
func TestFloorsNeverFall(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cat := NewCatalog()
		const version = versionSum + "user"
		totals := NewDerived(crdt.Origin{Class: crdt.ClassRegion, Region: "r", Node: "hub", Inc: crdt.Incarnation{9}}, cat)
		floor := NewFloor(crdt.Origin{Class: crdt.ClassView, Region: "r", Node: "hub", Inc: crdt.Incarnation{9}}, cat)
		e := NewEntries("hub", crdt.Incarnation{9}, cat)
		raise := func(d *Derived, s *crdt.Series, n uint64) SeriesID {
			id, err := cat.Intern(s)
			if err == nil {
				_, err = d.Raise(id, units(n))
			}
			if err != nil {
				t.Fatal(err)
			}
			return id
		}
		amount := func(d *Derived, s *crdt.Series) (n float64) {
			if id, ok := cat.Find(s); ok {
				if v, _ := d.Cell(id); v != nil {
					return v.P.Float64()
				}
			}
			return 0
		}
		var dead []*Derived
		for i := range 2 {
			dead = append(dead, NewDerived(crdt.Origin{Class: crdt.ClassRegion, Region: "r", Node: "old", Inc: crdt.Incarnation{byte(i)}}, cat))
		}
		plain := func(code, user int) *crdt.Series {
			return counterOf("m", "code", fmt.Sprint(code), "user", fmt.Sprint(user))
		}
		sum := func(code int) *crdt.Series {
			return counterOf("m", "code", fmt.Sprint(code), crdt.RollupLabel, version)
		}
		last := map[SeriesID]crdt.Value{}
		for range rapid.IntRange(1, 30).Draw(t, "steps") {
			code, user := rapid.IntRange(0, 1).Draw(t, "code"), rapid.IntRange(0, 1).Draw(t, "user")
			n := rapid.Uint64Range(0, 9).Draw(t, "n")
			switch d := dead[rapid.IntRange(0, 1).Draw(t, "hub")]; rapid.IntRange(0, 2).Draw(t, "what") {
			case 0:
				raise(totals, plain(code, user), n)
			case 1:
				raise(d, plain(code, user), n)
			case 2:
				raise(d, sum(code), n)
			}
			totals.Close()
			for _, d := range dead {
				d.Close()
				from := uint64(0)
				if r := e.Held(d.Origin); r != nil {
					from = r.Progress[0].Cursor
				}
				if f, ok := d.Frame(from, 1<<20); ok {
					if _, err := e.Apply(f); err != nil {
						t.Fatal(err)
					}
				}
			}
			if err := floor.Update(e, totals, func(crdt.Origin) bool { return true }); err != nil {
				t.Fatal(err)
			}
			above := 0
			for _, d := range dead {
				want := true
				for code := range 2 {
					have := 0.0
					for user := range 2 {
						have += amount(totals, plain(code, user))
						want = want && amount(d, plain(code, user)) <= amount(totals, plain(code, user))
					}
					want = want && amount(d, sum(code)) <= have
				}
				if r := e.Held(d.Origin); r != nil && floor.Contains(r) != want {
					t.Fatalf("contained %v, want %v", !want, want)
				}
				if !want {
					above++
				}
				d.Each(func(id SeriesID, v *crdt.Value, _ uint64) {
					if s := cat.Series(id); !want && s.Get(crdt.RollupLabel) == "" && v.P.Float64() > max(amount(totals, s), amount(floor.Cells, s)) {
						t.Fatalf("the floor lacks %s of %s", v.P, s)
					}
				})
			}
			if floor.Above() != above {
				t.Fatalf("%d entries above the totals, want %d", floor.Above(), above)
			}
			floor.Cells.Each(func(id SeriesID, v *crdt.Value, _ uint64) {
				if was, ok := last[id]; ok && !contains(t, *v, was) {
					t.Fatalf("the floor of %s fell from %v to %v", cat.Series(id), was, *v)
				}
				last[id] = v.Clone()
			})
		}
	})
}
