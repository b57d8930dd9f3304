package reconcile

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"meshd/crdt"
	"meshd/internal/wire"
)

// TestAChoiceIsSettledAnewWhenSomethingChanged holds a choice that skips what it is sure of to one that never does, over what
// changes the cells of a region, the rules and what is dropped.
func TestAChoiceIsSettledAnewWhenSomethingChanged(t *testing.T) {
	const user, code, both = versionSum + "user", versionSum + "code", versionSum + "code,user"
	labels := [][]string{
		{"code", "1", "user", "a"},
		{"code", "2", "user", "a"},
		{"code", "1", crdt.RollupLabel, user},
		{"code", "2", crdt.RollupLabel, user},
		{"user", "a", crdt.RollupLabel, code},
		{crdt.RollupLabel, both},
	}
	rules := []*Rules{
		nil, rulesFor(t, Rule{Match: "m", Scope: ScopeRegion}), rulesFor(t, Rule{Match: "m", Scope: ScopeGlobal, Drop: []string{"user"}}),
	}
	skipped := 0
	rapid.Check(t, func(t *rapid.T) {
		cat := NewCatalog()
		d, c, anew := NewDerived(crdt.Origin{Class: crdt.ClassView, Region: "us"}, cat), NewChoice(cat), NewChoice(cat)
		held := func(id SeriesID) (*crdt.Value, error) {
			v, _ := d.Cell(id)
			return v, nil
		}
		in, gen := rules[0], uint32(0)
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			switch rapid.IntRange(0, 9).Draw(t, "step") {
			case 0:
				in = rapid.SampledFrom(rules).Draw(t, "rules")
			case 1:
				gen++
				cat.Drop(wire.Drop{Metric: "m", Gen: gen})
				d.Purge()
			case 2, 3, 4: // nothing happens between two looks
			default:
				s := counterOf("m", rapid.SampledFrom(labels).Draw(t, "labels")...)
				id, err := cat.Intern(cat.Writable(s))
				if err != nil {
					t.Fatal(err)
				}
				if _, err := d.Raise(id, units(rapid.Uint64Range(1, 9).Draw(t, "amount"))); err != nil {
					t.Fatal(err)
				}
			}
			anew.settled = settledOn{}
			was := c.settled
			if err := anew.Settle(d, false, held, in); err != nil {
				t.Fatal(err)
			}
			if err := c.Settle(d, false, held, in); err != nil {
				t.Fatal(err)
			}
			if was != (settledOn{}) && c.settled == was {
				skipped++
			}
			if got, want := chosenOf(c), chosenOf(anew); got != want {
				t.Fatalf("settled as %s, want %s", got, want)
			}
		}
	})
	if skipped == 0 {
		t.Error("nothing was ever skipped")
	}
}

// chosenOf tells all that a choice says.
func chosenOf(c *Choice) (out string) {
	for id := range SeriesID(c.cat.Len()) {
		v := "nothing"
		if all := c.Together(id); all != nil {
			v = all.P.String()
		}
		out += fmt.Sprintf("%s: %v %q %v %v %s, ", c.cat.Series(id), c.Counts(id), c.Version(id), c.Passed(id), c.Left(id), v)
	}
	return out + fmt.Sprint(c.Open(), c.Several(), c.Turned())
}
