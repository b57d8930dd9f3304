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
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"meshd/internal/mutant"
)

var (
	rate    = flag.Int("rate", 16, "how many seeds the kill rate of a mutant is taken over")
	budget  = flag.Int("budget", 100, "how many seeds a mutant may survive")
	only    = flag.String("mutant", "", "judge one mutant")
	publish = flag.Bool("publish", false, "write the table into docs/testing.md")
)

// directed are tests that kill a mutant without a mesh, package and name. A mutant that has none must be killed by a
// seed; one that has must be killed by it, whatever seeds see.
var directed = map[string][2]string{
	"hub resumed at its cursor":          {"node", "TestAHubResumesAtWhatItCovers"},
	"beat before all is sent":            {"node", "TestNothingIsStatedBeforeAllIsSent"},
	"extras not relayed":                 {"node", "TestWhatCameOverAGapIsRelayed"},
	"relay begins again":                 {"node", "TestAQueueSmallerThanACatchUpIsNoLivelock"},
	"catch-ups all at once":              {"node", "TestCatchUpsAreServedInTurnTheNearestFirst"},
	"relay goes on blindly":              {"node", "TestAnInterruptedRelayBeginsAgain"},
	"repeated frame unanswered":          {"node", "TestAFrameThatMovesNothingIsAnswered"},
	"dead entry dropped undominated":     {"reconcile", "TestDroppedEntriesTakeNothingWithThem"},
	"live incarnation stays cold":        {"node", "TestALiveIncarnationIsWarmAgainWhenItsNodeIsBack"},
	"region complete below a dead entry": {"node", "TestAReaderSaysThatADeadEntryKnewMore"},
	"second process of a name ignored":   {"reconcile", "TestProcessesOfOneName"},
	"cursor over a gap":                  {"reconcile", "TestCoveredNeverClaimsMoreThanIsHeld"},
	"coverage from cursor":               {"reconcile", "TestCoveredNeverClaimsMoreThanIsHeld"},
	"relay head without top":             {"reconcile", "TestCoveredNeverClaimsMoreThanIsHeld"},
	"late frame of cold dropped":         {"node", "TestAHubsTotalsAreNotTakenForItsColdCells"},
	"cold while frames wait":             {"node", "TestFrameThatComesWhileItsOriginGoesColdCountsOnce"},
	"quarantine for ever":                {"node", "TestAFrameThatContradictsItselfStopsItsOriginForAWhile"},
	"hub's word for what was sent":       {"node", "TestTheWordOfAHubIsThatOfItsDisk"},
	"panics escape":                      {"node", "TestAPanicInAJoinStopsItsOriginUntilARestart"},
	"the config that came last counts":   {"node", "TestWhoseConfigurationIsTaken"},
	"an edge brings any config":          {"node", "TestWhoseConfigurationIsTaken"},
	"config told before it is durable":   {"node", "TestAConfigurationIsDurableBeforeItIsTold"},
}

// verdict is what became of one mutant.
type verdict struct {
	Name          string
	Killed, Tried int            // of the seeds that the rate is taken over
	First         uint64         // the seed that killed it first
	Rules         map[string]int // first rule that each broke
	Directed      string         // the test that killed it
}

// TestMutantsAreKilled plants one fault after another and demands that a seed, or the test that is directed at it,
// notices. Each mutant runs in a process of its own, as many at a time as there are processors.
func TestMutantsAreKilled(t *testing.T) {
	names := append([]string{""}, mutant.Names...)
	if *only != "" {
		names = []string{*only}
	}
	for name := range directed {
		if !slices.Contains(mutant.Names, name) {
			t.Errorf("a test is directed at mutant %q, which is not there", name)
		}
	}
	tests := buildDirected(t)
	verdicts := make([]verdict, len(names))
	each(0, len(names), func(i uint64) { verdicts[i] = judgeMutant(t, names[i], tests) })
	var table strings.Builder
	for i := range verdicts {
		v := &verdicts[i]
		if v.Name == "" {
			if v.Killed > 0 {
				t.Errorf("without a mutant %d of %d seeds fail: %v", v.Killed, v.Tried, v.Rules)
			}
			continue
		}
		table.WriteString(v.row())
		if v.Killed == 0 && v.Directed == "" {
			t.Errorf("mutant %q survives %d seeds", v.Name, v.Tried)
		}
		if directed[v.Name] != [2]string{} && v.Directed == "" {
			t.Errorf("mutant %q survives %v", v.Name, directed[v.Name])
		}
	}
	fmt.Print(tableHead, table.String())
	if *publish {
		publishTable(t, table.String())
	}
}

const tableHead = "| mutant | seeds that kill it | rules they break first | directed test |\n|---|---|---|---|\n"

func (v *verdict) row() string {
	seeds := fmt.Sprintf("%d of %d", v.Killed, v.Tried)
	if v.Killed > 0 && v.Tried > *rate {
		seeds = fmt.Sprintf("none of %d, the first is %d", *rate, v.First)
	}
	var rules []string
	for _, r := range slices.SortedFunc(maps.Keys(v.Rules), func(a, b string) int {
		return cmp.Or(v.Rules[b]-v.Rules[a], cmp.Compare(a, b))
	}) {
		rules = append(rules, fmt.Sprintf("%s %d", r, v.Rules[r]))
	}
	return fmt.Sprintf("| %s | %s | %s | %s |\n", v.Name, seeds, cmp.Or(strings.Join(rules, ", "), "-"), cmp.Or(v.Directed, "-"))
}

// judgeMutant runs the seeds and the directed test of one mutant in processes of their own.
func judgeMutant(t *testing.T, name string, tests map[string]string) verdict {
	v := verdict{Name: name}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestMutantChild$", "-test.v",
		fmt.Sprintf("-rate=%d", *rate), fmt.Sprintf("-budget=%d", *budget))
	cmd.Env = append(os.Environ(), mutantChild+"=1", mutant.Variable+"="+name, "GOMAXPROCS=1")
	out, err := cmd.Output()
	if err != nil {
		t.Errorf("mutant %q: %v\n%s", name, err, out)
		return v
	}
	_, line, _ := strings.Cut(string(out), "verdict ")
	if err := json.NewDecoder(strings.NewReader(line)).Decode(&v); err != nil {
		t.Errorf("mutant %q: %v in %s", name, err, out)
	}
	v.Name = name
	if d := directed[name]; d != [2]string{} {
		cmd := exec.CommandContext(t.Context(), tests[d[0]], "-test.run=^"+d[1]+"$", "-test.v")
		cmd.Env = append(os.Environ(), mutant.Variable+"="+name, "GOMAXPROCS=1")
		cmd.Dir = filepath.Join("..", d[0])
		out, err := cmd.CombinedOutput()
		if err != nil && strings.Contains(string(out), d[1]) {
			v.Directed = "`" + d[0] + "` " + d[1]
		}
	}
	return v
}

// buildDirected builds the tests of the packages that have directed ones and returns where they are.
func buildDirected(t *testing.T) map[string]string {
	dir, out := t.TempDir(), map[string]string{}
	for name, d := range directed {
		if *only != "" && name != *only || out[d[0]] != "" {
			continue
		}
		out[d[0]] = filepath.Join(dir, strings.ReplaceAll(d[0], "/", "-")+".test")
		cmd := exec.CommandContext(t.Context(), "go", "test", "-c", "-tags=mutants", "-o", out[d[0]], "meshd/"+d[0])
		if text, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, text)
		}
	}
	return out
}

const mutantChild = "MESHD_MUTANT_CHILD"

// TestMutantChild runs seeds with the mutant that the environment names: rate of them, and if none kills it, more
// until one does.
func TestMutantChild(t *testing.T) {
	if os.Getenv(mutantChild) == "" {
		t.Skip("runs in a process of its own")
	}
	runtime.GOMAXPROCS(1)
	v := verdict{Rules: map[string]int{}}
	most := *budget
	if os.Getenv(mutant.Variable) == "" {
		most = *rate
	}
	for v.Tried < *rate || v.Killed == 0 && v.Tried < most {
		v.Tried++
		seed := uint64(v.Tried)
		if rep := Run(DrawSmall(seed)); len(rep.Violations) > 0 {
			if v.Killed++; v.Killed == 1 {
				v.First = seed
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

// publishTable replaces the table in docs/testing.md.
func publishTable(t *testing.T, rows string) {
	const file, begin, end = "../docs/testing.md", "<!-- make mutants-table -->\n", "<!-- end of table -->\n"
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(text), begin)
	_, after, found := strings.Cut(rest, end)
	if !ok || !found {
		t.Fatalf("%s has no place for the table", file)
	}
	if err := os.WriteFile(file, []byte(before+begin+tableHead+rows+end+after), 0o644); err != nil {
		t.Fatal(err)
	}
}
