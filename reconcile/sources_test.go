package reconcile

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"meshd/crdt"
)

// TestASumOverSourcesIsWhatTheyCounted: whichever hub process saw which run of which source in which order, and whatever an earlier
// one had seen, what travels is the sum of what the sources of all series counted. It never falls, and saying it
// again or by two hubs does not add it again.
func TestASumOverSourcesIsWhatTheyCounted(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cat := NewCatalog()
		o := crdt.Origin{Class: crdt.ClassRegion, Region: "eu", Node: "h", Inc: crdt.Incarnation{1}}
		total, floor := NewDerived(o, cat), NewDerived(o, cat)
		rules := rulesFor(t, Rule{Match: "seen", Drop: []string{"job"}, Observed: ObservedSum})
		x := NewExport(o, rules, cat, total, floor)
		joined, last := map[int]*crdt.Observed{}, crdt.Fixed{}
		for range rapid.IntRange(1, 30).Draw(t, "steps") {
			job := rapid.IntRange(0, 2).Draw(t, "job")
			s := counterOf("seen", "job", fmt.Sprint(job))
			s.Kind = crdt.KindObserved
			id, err := cat.Intern(s)
			if err != nil {
				t.Fatal(err)
			}
			seen := new(crdt.Observed)
			if err := seen.Put(crdt.Sample{
				Source: rapid.SampledFrom([]string{"a", "b", sourceOf("eu")}).Draw(t, "source"), Start: rapid.Int64Range(0, 2).Draw(t, "start"),
				Time: rapid.Int64Range(0, 9).Draw(t, "time"), Value: crdt.FixedFromUint(rapid.Uint64Range(0, 99).Draw(t, "count")),
			}); err != nil {
				t.Fatal(err)
			}
			if _, err := rapid.SampledFrom([]*Derived{total, floor}).Draw(t, "who").Raise(id, &crdt.Value{Kind: crdt.KindObserved, X: seen}); err != nil {
				t.Fatal(err)
			}
			if joined[job] == nil {
				joined[job] = new(crdt.Observed)
			}
			if err := joined[job].Combine(seen); err != nil {
				t.Fatal(err)
			}
			total.Close()
			floor.Close()
			if err := x.Update(); err != nil {
				t.Fatal(err)
			}
			if rapid.Bool().Draw(t, "anew") {
				x = NewExport(o, rules, cat, total, floor)
				if err := x.Update(); err != nil {
					t.Fatal(err)
				}
			}
			var want crdt.Fixed
			for _, j := range joined {
				want, _ = want.Add(j.Total())
			}
			cells, both := 0, new(crdt.Observed)
			x.Each(func(id SeriesID, v *crdt.Value, _ uint64) {
				cells++
				if s := cat.Series(id); s.Get(crdt.RollupLabel) != versionSum+"job" || s.Kind != crdt.KindObserved {
					t.Fatalf("%s is exported", s)
				}
				for range 2 { // as two hubs say it
					if err := both.Combine(v.X); err != nil {
						t.Fatal(err)
					}
				}
			})
			if got := both.Total(); cells != 1 || got != want || got.Less(last) {
				t.Fatalf("%d series say %s after %s, want one that says %s", cells, got, last, want)
			}
			last = want
		}
	})
}

// TestASumOverSourcesThatIsTooLargeStays: more than one source may count is more than a sample may say.
func TestASumOverSourcesThatIsTooLargeStays(t *testing.T) {
	cat := NewCatalog()
	o := crdt.Origin{Class: crdt.ClassRegion, Region: "eu", Node: "h", Inc: crdt.Incarnation{1}}
	total := NewDerived(o, cat)
	x := NewExport(o, rulesFor(t, Rule{Match: "seen", Observed: ObservedSum}), cat, total)
	id, err := cat.Intern(&crdt.Series{Name: "seen", Kind: crdt.KindObserved})
	if err != nil {
		t.Fatal(err)
	}
	for i, source := range []string{"a", "b"} {
		seen := new(crdt.Observed)
		if err := seen.Put(crdt.Sample{Source: source, Start: 1, Value: crdt.MaxSample}); err != nil {
			t.Fatal(err)
		}
		if _, err := total.Raise(id, &crdt.Value{Kind: crdt.KindObserved, X: seen}); err != nil {
			t.Fatal(err)
		}
		total.Close()
		if err := x.Update(); err != nil || x.Full != uint64(i) {
			t.Fatalf("after %d sources: %v, %d sums were left as they are", i+1, err, x.Full)
		}
		x.Each(func(_ SeriesID, v *crdt.Value, _ uint64) {
			if got := v.X.(*crdt.Observed).Total(); got != crdt.MaxSample {
				t.Errorf("after %d sources the sum is %s", i+1, got)
			}
		})
	}
}
