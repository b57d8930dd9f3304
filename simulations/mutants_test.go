//go:build mutants

package simulations

import (
	"cmp"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"testing"

	"meshd/internal/mutant"
)

var (
	rate    = flag.Int("rate", 0, "how many seeds the kill rate of a mutant is taken over; 0: stop at its first kill")
	budget  = flag.Int("budget", 100, "how many seeds a mutant may survive")
	only    = flag.String("mutant", "", "judge one mutant")
	publish = flag.Bool("publish", false, "write the table into docs/testing.md, with a rate over 40 seeds unless -rate says otherwise")
)

// biases are the profiles that mutants are judged with which unbiased seeds seldom notice.
var biases = map[string]string{
	"cursor over a gap":                   "thrift",
	"coverage from cursor":                "thrift",
	"seq split over frames":               "thrift",
	"max first, own after":                "failovers",
	"earlier incarnations unsent":         "churn",
	"token kept without its counts":       "thrift",
	"cold loaded twice":                   "failovers",
	"heartbeat as coverage":               "failovers",
	"hub names its live incarnation only": "churn",
	"late frame of cold dropped":          "failovers",
	"cold while frames wait":              "failovers",
	"unacknowledged never resumed":        "thrift",
	"dead entry dropped undominated":      "restores",
	"region complete below a dead entry":  "restores",
	"live incarnation stays cold":         "failovers",
	"siblings tell nothing":               "failovers",
	"second process of a name ignored":    "restores",
	"sent without room":                   "thrift",
	"removed for ever":                    "operators",
	"late cells undo a drop":              "operators",
	"config told before it is durable":    "churn",
	"relay begins again":                  "thrift",
	"gauges of silent nodes count":        "failovers",
	"beats are not made up for":           "thrift",
	"records left in the log":             "thrift",
}

// soundSeeds is how many seeds run without a mutant in the same program, where none may fail.
const soundSeeds = 20

// verdict is what became of one mutant.
type verdict struct {
	Name          string
	Killed, Tried int            // seeds; the rate is taken over the first -rate of them
	Rated         int            // killed of those
	First         uint64         // the seed that killed it first
	Rules         map[string]int // first rule that each broke
	Directed      bool           // the test that is directed at it killed it
}

// TestMutantsAreKilled plants one fault after another and demands that the test that is directed at it notices, or a seed.
// Each mutant runs in a process of its own, as many at a time as there are processors.
func TestMutantsAreKilled(t *testing.T) {
	if *publish && *rate == 0 {
		*rate = 40
	}
	for name := range mutant.Directed {
		if !slices.Contains(slices.Concat(mutant.Names, mutant.Rules, mutant.Forgetting), name) {
			t.Errorf("a test is directed at mutant %q, which is not there", name)
		}
	}
	names := mutant.Names
	if *only != "" {
		names = []string{*only}
	}
	bench := &mutant.Bench{Root: "..", Dir: t.TempDir()}
	verdicts := make([]verdict, len(names))
	t.Run("none", func(t *testing.T) {
		t.Parallel()
		for _, p := range append(slices.Clone(Profiles), Profile{}) {
			if v := runChild(t, "", p.Name, soundSeeds/len(Profiles), 0); v.Killed > 0 {
				t.Errorf("without a mutant %d of %d seeds of profile %q fail, the first is %d: %v", v.Killed, v.Tried, p.Name, v.First, v.Rules)
			}
		}
	})
	t.Cleanup(func() {
		table := tableOf(verdicts)
		if err := mutant.Show("simulations", table); err != nil {
			t.Error(err)
		}
		if *publish && !t.Failed() {
			if err := mutant.Publish("..", "simulations", table); err != nil {
				t.Error(err)
			}
		}
	})
	for i, name := range names {
		t.Run(strings.ReplaceAll(name, " ", "_"), func(t *testing.T) {
			t.Parallel()
			verdicts[i] = judgeMutant(t, bench, name)
		})
	}
}

// judgeMutant demands the death of one mutant. Where no rate is wanted, its first is enough.
func judgeMutant(t *testing.T, bench *mutant.Bench, name string) verdict {
	directed, ok := mutant.Directed[name]
	v := verdict{Name: name}
	if ok {
		killed, err := bench.Kills(t.Context(), directed, name)
		if err != nil || !killed {
			t.Errorf("mutant %q survives %s: %v", name, directed, err)
		}
		if v.Directed = killed; *rate == 0 {
			return v
		}
	}
	most := *budget
	if ok { // its death is certain: the seeds are for the rate alone
		most = *rate
	}
	v = runChild(t, name, biases[name], *rate, most)
	v.Name, v.Directed = name, ok
	if v.Killed == 0 && !ok {
		t.Errorf("mutant %q survives %d seeds", name, v.Tried)
	}
	return v
}

const mutantChild = "MESHD_MUTANT_CHILD"

// runChild runs rate seeds with a mutant in a process of its own, and if none kills it, more until one does or most ran.
func runChild(t *testing.T, name, profile string, rate, most int) (v verdict) {
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestMutantChild$", "-test.v",
		fmt.Sprintf("-rate=%d", rate), fmt.Sprintf("-budget=%d", most), "-profile="+profile)
	cmd.Env = append(os.Environ(), mutantChild+"=1", mutant.Variable+"="+name, "GOMAXPROCS=1")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("mutant %q: %v\n%s", name, err, out)
	}
	_, line, _ := strings.Cut(string(out), "verdict ")
	if err := json.NewDecoder(strings.NewReader(line)).Decode(&v); err != nil {
		t.Fatalf("mutant %q: %v in %s", name, err, out)
	}
	return v
}

// TestMutantChild runs the seeds of runChild.
func TestMutantChild(t *testing.T) {
	if os.Getenv(mutantChild) == "" {
		t.Skip("runs in a process of its own")
	}
	runtime.GOMAXPROCS(1)
	v, bias := verdict{Rules: map[string]int{}}, ProfileOf(*profile)
	for v.Tried < *rate || v.Killed == 0 && v.Tried < *budget {
		v.Tried++
		seed := uint64(v.Tried)
		if rep := Run(DrawBiased(seed, bias)); len(rep.Violations) > 0 {
			if v.Killed++; v.Killed == 1 {
				v.First = seed
			}
			if v.Tried <= *rate {
				v.Rated++
			}
			v.Rules[rep.Violations[0].Rule]++
		}
	}
	line, err := json.Marshal(&v)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Println("verdict " + string(line))
}

// tableOf is the table of kills in Markdown.
func tableOf(verdicts []verdict) string {
	var b strings.Builder
	b.WriteString("| mutant | profile | seeds that kill it | first | rules they break first | directed test |\n|---|---|---|---|---|---|\n")
	for i := range verdicts {
		v := &verdicts[i]
		seeds, first, rules, directed := "-", "-", "-", "-"
		if *rate > 0 {
			seeds = fmt.Sprintf("%d of %d", v.Rated, *rate)
		}
		if v.Killed > 0 {
			first = fmt.Sprint(v.First)
			rules = countsOf(v.Rules)
		}
		if v.Directed {
			directed = mutant.Directed[v.Name].String()
		}
		if v.Killed == 0 && !v.Directed {
			seeds = "SURVIVES"
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s |\n", v.Name, cmp.Or(biases[v.Name], "-"), seeds, first, rules, directed)
	}
	return b.String()
}

// countsOf lists rules, the most frequent first.
func countsOf(rules map[string]int) string {
	var out []string
	for _, r := range slices.SortedFunc(maps.Keys(rules), func(a, b string) int {
		return cmp.Or(rules[b]-rules[a], cmp.Compare(a, b))
	}) {
		out = append(out, fmt.Sprintf("%s %d", r, rules[r]))
	}
	return strings.Join(out, ", ")
}
