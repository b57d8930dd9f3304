package reconcile

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"meshd/crdt"
	"meshd/internal/wire"
)

func counterOf(name string, labels ...string) *crdt.Series {
	s := &crdt.Series{Name: name, Kind: crdt.KindCounter}
	for i := 0; i < len(labels); i += 2 {
		s.Labels = append(s.Labels, crdt.Label{Name: labels[i], Value: labels[i+1]})
	}
	return s
}

func units(n uint64) *crdt.Value {
	return &crdt.Value{Kind: crdt.KindCounter, P: crdt.FixedFromUint(n)}
}

func rulesFor(t interface{ Fatal(...any) }, rules ...Rule) *Rules {
	r, err := ParseRules(rules)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// An export holds, whatever changes in which order: what travels as it is, sums as the sums over their series of the greatest
// that the totals and an earlier process said, and nothing of what stays.
func TestExportsAreTheSumsOfWhatTravels(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cat := NewCatalog()
		rules := rulesFor(t, Rule{Match: "stays", Scope: ScopeRegion}, Rule{Match: "sum", Drop: []string{"user"}})
		o := crdt.Origin{Class: crdt.ClassRegion, Region: "eu", Node: "h", Inc: crdt.Incarnation{1}}
		total, floor := NewDerived(o, cat), NewDerived(o, cat)
		x := NewExport(o, rules, cat, total, floor)
		have := [2]map[string]uint64{{}, {}}
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			name := rapid.SampledFrom([]string{"stays", "sum", "whole"}).Draw(t, "metric")
			user, code := rapid.IntRange(0, 2).Draw(t, "user"), rapid.IntRange(0, 1).Draw(t, "code")
			id, err := cat.Intern(counterOf(name, "code", fmt.Sprint(code), "user", fmt.Sprint(user)))
			if err != nil {
				t.Fatal(err)
			}
			i := rapid.IntRange(0, 1).Draw(t, "which")
			key := fmt.Sprintf("%s%d%d", name, code, user)
			have[i][key] += uint64(rapid.IntRange(0, 9).Draw(t, "more"))
			if _, err := []*Derived{total, floor}[i].Raise(id, units(have[i][key])); err != nil {
				t.Fatal(err)
			}
			if rapid.Bool().Draw(t, "update") {
				total.Close()
				floor.Close()
				if err := x.Update(); err != nil {
					t.Fatal(err)
				}
			}
		}
		total.Close()
		floor.Close()
		if err := x.Update(); err != nil {
			t.Fatal(err)
		}
		got := map[string]float64{}
		x.Each(func(id SeriesID, v *crdt.Value, _ uint64) {
			s := cat.Series(id)
			if (s.Name == "sum") != (s.Get(crdt.RollupLabel) == versionSum+"user") {
				t.Fatalf("%s is exported", s)
			}
			got[s.Name+s.Get("code")+s.Get("user")] += v.P.Float64()
		})
		want := map[string]float64{}
		for code := range 2 {
			for user := range 3 {
				whole, sum := fmt.Sprintf("whole%d%d", code, user), fmt.Sprintf("sum%d%d", code, user)
				want[whole] += float64(max(have[0][whole], have[1][whole]))
				want[fmt.Sprint("sum", code)] += float64(max(have[0][sum], have[1][sum]))
			}
		}
		for key, n := range got {
			if want[key] != n {
				t.Fatalf("%s is exported as %v, want %v", key, n, want[key])
			}
			delete(want, key)
		}
		for key, n := range want {
			if n != 0 {
				t.Fatalf("%s is not exported, want %v", key, n)
			}
		}
	})
}

func TestASumIsChosenOnceItContainsTheSeries(t *testing.T) {
	cat := NewCatalog()
	rules := rulesFor(t, Rule{Match: "m", Drop: []string{"user"}})
	d := NewDerived(crdt.Origin{Class: crdt.ClassView, Region: "us"}, cat)
	c := NewChoice(cat)
	set := func(s *crdt.Series, n uint64) SeriesID {
		id, err := cat.Intern(s)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := d.Raise(id, units(n)); err != nil {
			t.Fatal(err)
		}
		return id
	}
	settle := func() {
		t.Helper()
		if err := c.Settle(d, false, func(id SeriesID) (*crdt.Value, error) { v, _ := d.Cell(id); return v, nil }, rules); err != nil {
			t.Fatal(err)
		}
	}
	const version = versionSum + "user"
	whole := set(counterOf("m", "code", "1", "user", "a"), 5)
	set(counterOf("m", "code", "2", "user", "a"), 7)
	settle()
	sum := set(counterOf("m", "code", "1", crdt.RollupLabel, version), 100) // more in one combination, nothing in the other
	settle()
	if !c.Counts(whole) || c.Counts(sum) || !c.Open() || c.Passed(sum) {
		t.Fatal("a version that lacks something is answered with, or is said to lack nothing")
	}
	set(counterOf("m", "code", "2", crdt.RollupLabel, version), 7)
	settle()
	if c.Counts(whole) || !c.Counts(sum) || c.Open() || !c.Passed(whole) {
		t.Fatal("the version that contains the other is not answered with")
	}
	set(counterOf("m", "code", "2", "user", "b"), 1)
	settle()
	if !c.Counts(sum) || !c.Open() || c.Passed(whole) {
		t.Fatal("something came that the chosen version lacks, and it is not said")
	}
	if s := cat.Plain(sum); s.Get(crdt.RollupLabel) != "" || s.Get("code") != "1" {
		t.Errorf("people see %s", s)
	}
}

// A drop by a label that a sum lacks is about the sum, too: it contains what is dropped.
func TestSumsGoWithTheSeriesThatAreDropped(t *testing.T) {
	cat := NewCatalog()
	sum, err := cat.Intern(counterOf("m", crdt.RollupLabel, versionSum+"user"))
	if err != nil {
		t.Fatal(err)
	}
	other, err := cat.Intern(counterOf("m", crdt.RollupLabel, versionSum+"code"))
	if err != nil {
		t.Fatal(err)
	}
	cat.Drop(wireDrop("m", "user", "a"))
	if !cat.Gone(sum) || cat.Gone(other) {
		t.Errorf("the sum without the label is gone: %v, that with it: %v", cat.Gone(sum), cat.Gone(other))
	}
}

func wireDrop(metric, label, value string) wire.Drop {
	return wire.Drop{Metric: metric, Labels: []crdt.Label{{Name: label, Value: value}}, Gen: 5}
}
