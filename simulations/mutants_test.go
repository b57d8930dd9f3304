//go:build mutants

package simulations

import (
	"flag"
	"fmt"
	"strings"
	"sync"
	"testing"

	"meshd/internal/mutant"
)

var (
	budget = flag.Int("budget", 400, "how many seeds a mutant may survive")
	rate   = flag.Int("rate", 40, "how many seeds the kill rate is taken over")
	only   = flag.String("mutant", "", "judge one mutant")
)

// unseen lists the mutants that this tier may not see within a budget, and why or by what they are killed. What the
// first three break lasts as long as the frames of one flush are under way, less than the slack that clocks are given.
var unseen = map[string]string{
	"cursor over a gap":                  "reconcile TestCoveredNeverClaimsMoreThanIsHeld",
	"coverage from cursor":               "reconcile TestCoveredNeverClaimsMoreThanIsHeld",
	"relay head without top":             "reconcile TestCoveredNeverClaimsMoreThanIsHeld",
	"relay at cursor":                    "simulations/short: a writer has to die between two frames of one flush, and its hub before the rest is relayed",
	"extras not relayed":                 "simulations/short: as above, over a gap, which takes a full disk",
	"missing pair is whole":              "nothing: answers stay lower bounds and own cells alone are a candidate, so it costs freshness only",
	"late frame of cold dropped":         "node TestAHubsTotalsAreNotTakenForItsColdCells",
	"cold while frames wait":             "node TestFrameThatComesWhileItsOriginGoesColdCountsOnce",
	"quarantine for ever":                "node TestAFrameThatContradictsItselfStopsItsOriginForAWhile",
	"panics escape":                      "node TestAPanicInAJoinStopsItsOriginUntilARestart",
	"hub's word for what was sent":       "node TestTheWordOfAHubIsThatOfItsDisk",
	"relay begins again":                 "node TestAQueueSmallerThanACatchUpIsNoLivelock",
	"catch-ups all at once":              "node TestCatchUpsAreServedInTurnTheNearestFirst; it is memory that it costs",
	"beat before all is sent":            "nothing: statements name a seq; it takes more than 2 MiB unacknowledged to make a difference",
	"dead entry dropped undominated":     "reconcile TestDroppedEntriesTakeNothingWithThem: it takes a disaster, which takes its writes out of the lower bounds",
	"live incarnation stays cold":        "node TestALiveIncarnationIsWarmAgainWhenItsNodeIsBack: gauges are not compared between hubs",
	"region complete below a dead entry": "node TestAReaderSaysThatADeadEntryKnewMore: as above",
	"the config that came last counts":   "node TestWhoseConfigurationIsTaken: nobody sends an older one to a peer that named a newer one",
	"an edge brings any config":          "node TestWhoseConfigurationIsTaken: no edge here lies",
	"config told before it is durable":   "node TestAConfigurationIsDurableBeforeItIsTold: a crash right between has to lose it everywhere",
	"second process of a name ignored":   "reconcile TestProcessesOfOneName: what a copy writes beside its original is not judged",
}

// TestMutantsAreKilled plants one fault after another and demands that some seed notices it. Not parallel: there is
// one mutant at a time in the process.
func TestMutantsAreKilled(t *testing.T) {
	var table strings.Builder
	for _, name := range mutant.Names {
		if *only != "" && *only != name {
			continue
		}
		mutant.Set(name)
		killed, tried, by := judge(*rate)
		if killed == 0 && unseen[name] == "" {
			killed, tried, by = judge(*budget)
		}
		if killed == 0 && unseen[name] != "" {
			by = "by " + unseen[name]
		}
		line := fmt.Sprintf("| %s | %d of %d | %s |", name, killed, tried, by)
		fmt.Println(line) // at once: a run takes minutes
		table.WriteString(line + "\n")
		if killed == 0 && unseen[name] == "" {
			t.Errorf("mutant %q survives %d seeds", name, tried)
		}
	}
	mutant.Set("")
	t.Logf("killed by\n%s", table.String())
	if *only != "" {
		return
	}
	if killed, tried, by := judge(*rate); killed > 0 {
		t.Errorf("without a mutant %d of %d seeds fail: %s", killed, tried, by)
	}
}

// judge runs seeds, up to n of them, and returns how many noticed and the first rule that was broken. Where it may
// stop early, it does.
func judge(n int) (killed, tried int, rules string) {
	var mu sync.Mutex
	seen := map[string]int{}
	each(1, n, func(seed uint64) {
		mu.Lock()
		enough := n > *rate && killed > 0
		mu.Unlock()
		if enough {
			return
		}
		rep := Run(Draw(seed))
		mu.Lock()
		defer mu.Unlock()
		tried++
		if len(rep.Violations) > 0 {
			killed++
			seen[rep.Violations[0].Rule]++
		}
	})
	var parts []string
	for _, r := range sorted(seen) {
		parts = append(parts, fmt.Sprintf("%s %d", r, seen[r]))
	}
	return killed, tried, strings.Join(parts, ", ")
}
