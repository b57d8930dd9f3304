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
	budget = flag.Int("budget", 60_000, "how many schedules a mutant may survive")
	kills  = flag.Int("kills", 10, "how many kills make a rate")
	only   = flag.String("mutant", "", "judge one mutant, of any package")
)

// rules are the variants of the rules that failed when the rules were found, and the mutants that are their like here; then
// mutants that only such schedules find, or find best.
var rules = []struct{ variant, mutant string }{
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
	{"", "cursor over a gap"},
	{"", "coverage from cursor"},
	{"", "late frame of cold dropped"},
	{"", "cold while frames wait"},
	{"", "live is whole"},
	{"", "cold in part for good"},
	{"", "loaded for nobody"},
	{"", "marks never fall"},
}

// TestMutantsAreKilled plants one fault after another and demands that some schedule notices it. Not parallel: there is one
// mutant at a time in the process.
func TestMutantsAreKilled(t *testing.T) {
	defer mutant.Set("")
	for _, m := range rules {
		if *only != "" && *only != m.mutant {
			continue
		}
		if killed, tried := kill(m.mutant, m.variant); killed == 0 {
			t.Errorf("mutant %q survives %d schedules", m.mutant, tried)
		}
	}
	if *only != "" && !slices.ContainsFunc(rules, func(m struct{ variant, mutant string }) bool { return m.mutant == *only }) {
		kill(*only, "")
	}
	mutant.Set("")
	each(1, 2000, func(seed uint64, r *Report) bool {
		if r.Violation != nil {
			t.Errorf("without a mutant seed %d breaks %s", seed, r.Violation.Rule)
		}
		return false
	})
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

// kill runs schedules with a mutant until enough of them noticed it, and prints how many.
func kill(name, variant string) (killed, tried int) {
	mutant.Set(name)
	by := map[string]int{}
	each(1, *budget, func(_ uint64, r *Report) bool {
		tried++
		if r.Violation != nil {
			killed++
			by[r.Violation.Rule]++
		}
		return killed >= *kills
	})
	var parts []string
	for _, rule := range slices.Sorted(maps.Keys(by)) {
		parts = append(parts, fmt.Sprintf("%s %d", rule, by[rule]))
	}
	fmt.Printf("| %s | %s | %d of %d | %s |\n", variant, name, killed, tried, strings.Join(parts, ", ")) // at once: a run takes minutes
	return killed, tried
}
