//go:build mutants

package short

import (
	"flag"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"meshd/internal/mutant"
)

var (
	budget  = flag.Int("budget", 60_000, "how many schedules a mutant may survive")
	kills   = flag.Int("kills", 0, "how many kills make a rate; 0: one is enough, of the test that is directed at a mutant, too")
	most    = flag.Int("most", 8_000, "how many schedules a rate is taken over at most, if one of them killed")
	only    = flag.String("mutant", "", "judge one mutant, of any package")
	publish = flag.Bool("publish", false, "write the table into docs/testing.md, of 10 kills each unless -kills says otherwise")
)

// rule is a variant of a rule that failed when the rules were found, and the mutant that is its like here.
type rule struct{ variant, mutant string }

// rules are all of those; then mutants that only such schedules find, or find best.
var rules = []rule{
	{"a: P and N from the entry with the greatest sum", "P and N of one entry"},
	{"b2: a statement for all totals that are held", "whole for all totals"},
	{"b3: covered incarnations are not named in pairs", "whole said as nothing"},
	{"c: a relay's head is its own cursor", "relay head without top"},
	{"f: what a hub lacks is expressed anew", "rest expressed anew"},
	{"h: hubs relay no entries", "entries from their writers only"},
	{"j: cells of one seq in two frames", "seq split over frames"},
	{"p: an older pair replaces a newer one", "pairs in any order"},
	{"x: nothing is relayed beyond the own cursor", "extras not relayed"},
	{"y: hubs resume at the cursor", "hub resumed at its cursor"},
	{"g: statements without freezing", "frozen takes from edges"},
	{"g2, F2: only a fresh hub takes a record", "record taken by the fresh only"},
	{"g, F3: statements of hubs that are not heard", "absent hubs are not asked"},
	{"g4, F4: no later process has confirmed", "forgotten unconfirmed"},
	{"", "an earlier process confirms"},
	{"", "forgotten young"},
	{"", "forgotten without a print"},
	{"", "forgotten comes back"},
	{"", "forgotten alone"},
	{"", "record beside the cells"},
	{"", "totals keep what a record replaces"},
	{"", "cursor over a gap"},
	{"", "coverage from cursor"},
	{"", "late frame of cold dropped"},
	{"", "cold while frames wait"},
	{"", "live is whole"},
	{"", "cold in part for good"},
	{"", "loaded for nobody"},
	{"", "marks never fall"},
	{"", "records left in the log"},
	{"", "checkpoint outlives its windows"},
	{"", "cold with open windows"},
	{"", "unnamed is added"},
	{"", "unnamed is not there"},
}

// TestMutantsAreKilled plants one fault after another and demands that the test that is directed at it notices, or some
// schedule. Not parallel: there is one mutant at a time in the process.
func TestMutantsAreKilled(t *testing.T) {
	if *publish && *kills == 0 {
		*kills = 10
	}
	todo := rules
	if *only != "" {
		todo = slices.DeleteFunc(slices.Clone(rules), func(r rule) bool { return r.mutant != *only })
		if len(todo) == 0 {
			todo = []rule{{"", *only}}
		}
	}
	for _, name := range slices.Concat(mutant.Rules, mutant.Forgetting) {
		if !slices.ContainsFunc(rules, func(r rule) bool { return r.mutant == name }) {
			t.Errorf("nobody judges mutant %q", name)
		}
	}
	bench := &mutant.Bench{Root: "../..", Dir: t.TempDir()}
	table := "| variant | mutant | schedules that kill it | first | rules they break | directed test |\n|---|---|---|---|---|---|\n"
	for _, r := range todo {
		t.Run(strings.ReplaceAll(r.mutant, " ", "_"), func(t *testing.T) { table += r.judge(t, bench) })
	}
	t.Run("none", func(t *testing.T) {
		each(1, 1, 2000, func(seed uint64, r *Report) bool {
			if r.Violation != nil {
				t.Errorf("without a mutant seed %d breaks %s", seed, r.Violation.Rule)
			}
			return false
		})
	})
	if err := mutant.Show("short", table); err != nil {
		t.Error(err)
	}
	if *publish && !t.Failed() {
		if err := mutant.Publish("../..", "short", table); err != nil {
			t.Error(err)
		}
	}
}

// TestShrink: what is left of a schedule is shorter and breaks the same rule.
func TestShrink(t *testing.T) {
	mutant.Set("seq split over frames")
	defer mutant.Set("")
	for seed := uint64(1); ; seed++ {
		s := Draw(seed)
		v := Run(s, false).Violation
		if v == nil || len(s.Actions) < 20 {
			continue
		}
		less := Shrink(s, v.Rule, 500)
		if w := Run(less, false).Violation; w == nil || w.Rule != v.Rule || len(less.Actions) >= len(s.Actions) {
			t.Errorf("seed %d: %d actions break %v, of %d that break %v", seed, len(less.Actions), w, len(s.Actions), v)
		}
		return
	}
}

// judge demands the death of one mutant and returns its row of the table.
func (r rule) judge(t *testing.T, bench *mutant.Bench) string {
	seen, first, broken, directed := "-", "-", "-", "-"
	test, ok := mutant.Directed[r.mutant]
	if ok {
		directed = test.String()
		if killed, err := bench.Kills(t.Context(), test, r.mutant); err != nil || !killed {
			t.Errorf("mutant %q survives %s: %v", r.mutant, test, err)
			directed = "SURVIVES"
		}
	}
	if !ok || *kills > 0 {
		killed, tried, seed, by := r.kill(ok)
		seen, first, broken = fmt.Sprintf("%d of %d", killed, tried), fmt.Sprint(seed), strings.Join(by, ", ")
		if killed == 0 {
			first, broken = "-", "-"
		}
		if killed == 0 && !ok {
			t.Errorf("mutant %q survives %d schedules", r.mutant, tried)
		}
	}
	row := fmt.Sprintf("| %s | %s | %s | %s | %s | %s |\n", r.variant, r.mutant, seen, first, broken, directed)
	t.Log(row) // at once: some take minutes
	return row
}

// kill runs schedules with a mutant: until one noticed it, or enough of them did, or enough ran for a rate. certain says
// that it is killed by a test: then none has to.
func (r rule) kill(certain bool) (killed, tried int, first uint64, rules []string) {
	mutant.Set(r.mutant)
	defer mutant.Set("")
	by := map[string]int{}
	every := uint64(1)
	if slices.Contains(mutant.Forgetting, r.mutant) {
		every = forgetsEvery // no others forget anything
	}
	each(every, every, *budget, func(seed uint64, rep *Report) bool {
		tried++
		if rep.Violation != nil {
			if killed++; first == 0 || seed < first {
				first = seed
			}
			by[rep.Violation.Rule]++
		}
		return killed >= max(1, *kills) || tried >= *most && (killed > 0 || certain)
	})
	for _, name := range slices.Sorted(maps.Keys(by)) {
		rules = append(rules, fmt.Sprintf("%s %d", name, by[name]))
	}
	return killed, tried, first, rules
}
