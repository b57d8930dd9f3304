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
	all := func(id SeriesID, want uint64) {
		t.Helper()
		if v := c.Together(id); c.Counts(whole) || !c.Counts(id) || v == nil || v.P != crdt.FixedFromUint(want) || !c.Open() {
			t.Fatalf("%s is answered with %v, want the greater %d, and that something is lacking", cat.Series(id), v, want)
		}
	}
	if all(sum, 100); c.Passed(whole) || c.Passed(sum) {
		t.Fatal("a version that another one lacks something of is given up")
	}
	rest := set(counterOf("m", "code", "2", crdt.RollupLabel, version), 7)
	settle()
	if c.Together(sum) != nil || c.Counts(whole) || !c.Counts(sum) || c.Open() || !c.Passed(whole) {
		t.Fatal("the version that contains the other is not answered with")
	}
	set(counterOf("m", "code", "2", "user", "b"), 1)
	settle()
	all(sum, 100)
	if all(rest, 8); c.Passed(whole) {
		t.Fatal("a version is given up that holds something that the chosen one lacks")
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

// TestSumsOfGaugesDescribeAllTheirSeries: a sum of gauges is the description of all values, in whatever order they came.
func TestSumsOfGaugesDescribeAllTheirSeries(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cat := NewCatalog()
		o := crdt.Origin{Class: crdt.ClassRegion, Region: "eu", Node: "h", Inc: crdt.Incarnation{1}}
		total := NewDerived(o, cat)
		x := NewExport(o, rulesFor(t, Rule{Match: "load", Drop: []string{"core"}}), cat, total)
		said := map[int]*crdt.Rollup{}
		for step := range rapid.IntRange(1, 30).Draw(t, "steps") {
			core := rapid.IntRange(0, 3).Draw(t, "core")
			id, err := cat.Intern(&crdt.Series{Name: "load", Kind: crdt.KindGauge, Labels: []crdt.Label{{Name: "core", Value: fmt.Sprint(core)}}})
			if err != nil {
				t.Fatal(err)
			}
			n := float64(rapid.IntRange(-9, 9).Draw(t, "value"))
			said[core] = &crdt.Rollup{Stamp: crdt.HLCFrom(int64(1000+step), 0), Count: 1, Expected: 2, Sum: n, Min: n, Max: n, Last: crdt.HLCFrom(int64(step), 0), LastValue: n}
			if _, err := total.Raise(id, &crdt.Value{Kind: crdt.KindRollup, X: said[core].Clone()}); err != nil {
				t.Fatal(err)
			}
			if !rapid.Bool().Draw(t, "update") {
				continue
			}
			total.Close()
			if err := x.Update(); err != nil {
				t.Fatal(err)
			}
			want := &crdt.Rollup{Min: 99, Max: -99}
			for _, r := range said {
				want.Count, want.Expected, want.Sum = want.Count+r.Count, want.Expected+r.Expected, want.Sum+r.Sum
				want.Min, want.Max = min(want.Min, r.Min), max(want.Max, r.Max)
			}
			x.Each(func(id SeriesID, v *crdt.Value, _ uint64) {
				got := v.X.(*crdt.Rollup)
				if got.Count != want.Count || got.Expected != want.Expected || got.Sum != want.Sum || got.Min != want.Min || got.Max != want.Max || got.LastValue != said[core].LastValue {
					t.Fatalf("%s is %+v, want %+v", cat.Series(id), got, want)
				}
			})
			if x.Len() != 1 || total.Len() != len(said) {
				t.Fatalf("%d series are exported of %d", x.Len(), total.Len())
			}
		}
	})
}

// TestASumAtItsLimitStays: what does not fit is left out and counted, and the sum is what it was: less than there is.
func TestASumAtItsLimitStays(t *testing.T) {
	cat := NewCatalog()
	o := crdt.Origin{Class: crdt.ClassRegion, Region: "eu", Node: "h", Inc: crdt.Incarnation{1}}
	total := NewDerived(o, cat)
	x := NewExport(o, rulesFor(t, Rule{Match: "m", Drop: []string{"user"}}), cat, total)
	half := crdt.Fixed{Hi: 1 << 63} // of what a sum has room for
	var sum SeriesID
	for i := range 3 {
		id, err := cat.Intern(counterOf("m", "user", fmt.Sprint(i)))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := total.Raise(id, &crdt.Value{Kind: crdt.KindCounter, P: half}); err != nil {
			t.Fatal(err)
		}
		total.Close()
		if err := x.Update(); err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			sum, _ = cat.Find(counterOf("m", crdt.RollupLabel, versionSum+"user"))
		}
		if v, _ := x.Cell(sum); v.P != half || x.Full != uint64(i) {
			t.Fatalf("after %d series the sum is %s, %d were left out", i+1, v.P, x.Full)
		}
	}
}

// A version of a gauge that the reader's rules name is answered with unless it is much older: of gauges nothing is contained in
// anything. Each metric and kind has a version of its own.
func TestAGaugeIsAnsweredInTheVersionOfTheReadersRules(t *testing.T) {
	const version = versionSum + "core"
	cat := NewCatalog()
	d := NewDerived(crdt.Origin{Class: crdt.ClassView, Region: "us"}, cat)
	c := NewChoice(cat)
	say := func(name string, ms int64, labels ...string) SeriesID {
		s := counterOf(name, labels...)
		s.Kind = crdt.KindGauge
		id, err := cat.Intern(s)
		if err == nil {
			_, err = d.Raise(id, &crdt.Value{Kind: crdt.KindRollup, X: &crdt.Rollup{Stamp: crdt.HLCFrom(ms, 0), Count: 1}})
		}
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	whole, sum := say("load", 100_000, "core", "1"), say("load", 90_000, crdt.RollupLabel, version)
	other, otherSum := say("heat", 100_000, "core", "1"), say("heat", 100_000, crdt.RollupLabel, version)
	sums, wholes := rulesFor(t, Rule{Match: "*", Drop: []string{"core"}}), rulesFor(t, Rule{Match: "*"})
	for i, step := range []struct {
		id         SeriesID
		ms         int64
		rules      *Rules
		sums, open bool
	}{
		{whole, 100_001, sums, false, false},
		{sum, 94_000, sums, false, false}, // more than 5 s older
		{sum, 96_000, sums, true, false},
		{whole, 120_000, sums, false, false}, // the hub that sums up is silent
		{whole, 120_001, wholes, false, false},
		{sum, 121_000, sums, true, false},
	} {
		s := cat.Series(step.id)
		say("load", step.ms, s.Labels[0].Name, s.Labels[0].Value)
		if err := c.Settle(d, false, func(id SeriesID) (*crdt.Value, error) { v, _ := d.Cell(id); return v, nil }, step.rules); err != nil {
			t.Fatal(err)
		}
		if c.Counts(sum) != step.sums || c.Counts(whole) == step.sums || c.Open() != step.open || !c.Several() {
			t.Errorf("step %d: sums are answered %v, something is lacking %v; want %v, %v", i, c.Counts(sum), c.Open(), step.sums, step.open)
		}
		if c.Counts(otherSum) != (step.rules == sums) || c.Counts(other) == c.Counts(otherSum) {
			t.Errorf("step %d: another metric follows this one", i)
		}
	}
}

// TestTheOwnRegionIsAnsweredWithAllLabels: sums of what hubs had before they lost their disks come to a node that has nothing else yet.
// What is counted from then on is in totals alone, which may never hold as much.
func TestTheOwnRegionIsAnsweredWithAllLabels(t *testing.T) {
	cat := NewCatalog()
	rules := rulesFor(t, Rule{Match: "m", Drop: []string{"user"}})
	d, c := NewDerived(crdt.Origin{Class: crdt.ClassView, Region: "us"}, cat), NewChoice(cat)
	whole, err := cat.Intern(counterOf("m", "user", "a"))
	if err != nil {
		t.Fatal(err)
	}
	sum, err := cat.Intern(counterOf("m", crdt.RollupLabel, versionSum+"user"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Raise(sum, units(100)); err != nil {
		t.Fatal(err)
	}
	total := (*crdt.Value)(nil)
	for range 2 {
		if err := c.Settle(d, true, func(id SeriesID) (*crdt.Value, error) {
			if id == whole {
				return total, nil
			}
			v, _ := d.Cell(id)
			return v, nil
		}, rules); err != nil {
			t.Fatal(err)
		}
		if !c.Counts(whole) || c.Counts(sum) || !c.Open() {
			t.Errorf("with the total %v the region is answered in sums, or said to lack nothing", total)
		}
		total = units(7)
	}
}
