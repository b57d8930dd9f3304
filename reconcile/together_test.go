package reconcile

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"meshd/crdt"
)

// TestWhoHoldsTheSameAnswersTheSame: a region lost its disks, sums of what was counted before are left, and what is counted since has
// all labels. Neither will ever hold all that the other does. It may not matter which of them a node heard of first, or
// whether it was started anew since and read both from its disk.
func TestWhoHoldsTheSameAnswersTheSame(t *testing.T) {
	const user, code, both = versionSum + "user", versionSum + "code", versionSum + "code,user"
	cell := func(n uint64, labels ...string) cellOfM { return cellOfM{counterOf("m", labels...), n} }
	for name, c := range map[string]struct {
		cells  []cellOfM
		answer string
		open   bool
	}{
		"sums of before and cells since": {
			cells: []cellOfM{
				cell(100, "code", "1", crdt.RollupLabel, user), cell(5, "code", "1", "user", "a"), cell(7, "code", "2", "user", "a"), cell(1, "code", "2", "user", "b"),
			},
			answer: "code=1 100, code=2 8", open: true,
		},
		"sums hold all": {
			cells:  []cellOfM{cell(6, "code", "1", crdt.RollupLabel, user), cell(5, "code", "1", "user", "a")},
			answer: "code=1 6",
		},
		"sums by different labels": {
			cells:  []cellOfM{cell(6, "code", "1", crdt.RollupLabel, user), cell(8, "code", "2", crdt.RollupLabel, user), cell(9, "user", "a", crdt.RollupLabel, code)},
			answer: "code=1 6, code=2 8",
		},
		// The sum without labels is more than each of the others holds, and less than the two hold by code.
		"two that hold more together": {
			cells: []cellOfM{
				cell(100, "code", "1", crdt.RollupLabel, user), cell(1, "code", "2", crdt.RollupLabel, user),
				cell(1, "code", "1", "user", "a"), cell(100, "code", "2", "user", "a"), cell(150, crdt.RollupLabel, both),
			},
			answer: " 200", open: true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			for from := range c.cells {
				for _, atOnce := range []bool{false, true} {
					cells := slices.Concat(c.cells[from:], c.cells[:from])
					if got, open := answerM(t, cells, atOnce); got != c.answer || open != c.open {
						t.Errorf("from cell %d on, all at once %v: %q, lacking %v; want %q, %v", from, atOnce, got, open, c.answer, c.open)
					}
				}
			}
		})
	}
}

type cellOfM struct {
	s *crdt.Series
	n uint64
}

// answerM returns what somebody answers who hears of cells in this order, and whether something is lacking.
func answerM(t *testing.T, cells []cellOfM, atOnce bool) (rows string, open bool) {
	cat := NewCatalog()
	d, c := NewDerived(crdt.Origin{Class: crdt.ClassView, Region: "us"}, cat), NewChoice(cat)
	held := func(id SeriesID) (*crdt.Value, error) {
		v, _ := d.Cell(id)
		return v, nil
	}
	for i, x := range cells {
		id, err := cat.Intern(x.s)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := d.Raise(id, units(x.n)); err != nil {
			t.Fatal(err)
		}
		if atOnce && i < len(cells)-1 {
			continue
		}
		if err := c.Settle(d, false, held, nil); err != nil {
			t.Fatal(err)
		}
	}
	var out []string
	for _, id := range cat.Sorted() {
		v, _ := d.Cell(id)
		if all := c.Together(id); all != nil {
			v = all
		}
		if v != nil && c.Counts(id) {
			labels := ""
			for _, l := range cat.Plain(id).Labels {
				labels += l.Name + "=" + l.Value
			}
			out = append(out, fmt.Sprintf("%s %s", labels, v.P))
		}
	}
	return strings.Join(out, ", "), c.Open()
}

// TestWhatStaysIsNotLacking: a rule keeps a metric in its region of which two versions are held, neither of which holds all. Nothing of
// it is answered with, so the region may be complete; once the rule is lifted it is not. Rules come and go, and what is chosen
// stays as it is meanwhile: otherwise what is answered once they are lifted would be less than before.
func TestWhatStaysIsNotLacking(t *testing.T) {
	cat := NewCatalog()
	d, c := NewDerived(crdt.Origin{Class: crdt.ClassView, Region: "us"}, cat), NewChoice(cat)
	for _, s := range []*crdt.Series{
		counterOf("m", "code", "1", "user", "a"), counterOf("m", "code", "2", crdt.RollupLabel, versionSum+"user"),
	} {
		id, err := cat.Intern(s)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := d.Raise(id, units(5)); err != nil {
			t.Fatal(err)
		}
	}
	stays := rulesFor(t, Rule{Match: "m", Scope: ScopeRegion})
	for i, rules := range []*Rules{nil, stays, nil} {
		if err := c.Settle(d, false, func(id SeriesID) (*crdt.Value, error) { v, _ := d.Cell(id); return v, nil }, rules); err != nil {
			t.Fatal(err)
		}
		if c.Open() != (rules == nil) || c.Passed(0) || c.Passed(1) {
			t.Errorf("step %d: something is said to lack: %v, given up: %v, %v", i, c.Open(), c.Passed(0), c.Passed(1))
		}
		if !c.Joins(0) || c.Counts(0) {
			t.Errorf("step %d: one version is chosen, and the other has what it lacks", i)
		}
	}
}

// TestWhoHasCellsFromBeforeTheRulesAnswersMore is the case that ADR 14 leaves: cells from before a rule, and those that are counted
// after a disaster, make more than the sum that was exported in between, in which the old ones are. Who let go of those in time
// cannot know. Both answer less than or as much as the 14 that were counted.
func TestWhoHasCellsFromBeforeTheRulesAnswersMore(t *testing.T) {
	before := cellOfM{counterOf("m", "user", "a"), 10}
	between := cellOfM{counterOf("m", crdt.RollupLabel, versionSum+"user"), 10}
	since := cellOfM{counterOf("m", "user", "b"), 4}
	for _, c := range []struct {
		cells []cellOfM
		want  string
	}{
		{[]cellOfM{before, since, between}, "user=a 10, user=b 4"},
		{[]cellOfM{between, since}, " 10"},
	} {
		for _, atOnce := range []bool{false, true} {
			if got, _ := answerM(t, c.cells, atOnce); got != c.want {
				t.Errorf("%v, all at once %v: %q, want %q", c.cells, atOnce, got, c.want)
			}
		}
	}
}
