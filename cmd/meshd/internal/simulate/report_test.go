package simulate

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write what was got as what is wanted")

func small(t *testing.T) *Run {
	t.Helper()
	s, err := ParseSchedule(strings.NewReader("about: a <small> cut\nfaults:\n  - {fault: cut, at: 2s, for: 2s, who: amsterdam}\n"))
	if err != nil {
		t.Fatal(err)
	}
	r, err := Start(Mesh{Nodes: 8, Regions: 2, Duration: 6 * time.Second, Seed: 5, Schedule: s}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestReportStandsAlone compares the structure of the page, its tags and ids without what is measured, and looks for
// anything that a browser would fetch.
func TestReportStandsAlone(t *testing.T) {
	r := small(t)
	var page bytes.Buffer
	if err := r.WriteHTML(&page, r.Result("meshd simulate --seed 5")); err != nil {
		t.Fatal(err)
	}
	text := page.String()
	if got := regexp.MustCompile(`(?i)(src|href)\s*=|url\(|@import|fetch\(|XMLHttp|//[a-z]+\.[a-z]`).FindAllString(strings.ReplaceAll(text, "http://www.w3.org/2000/svg", ""), -1); got != nil {
		t.Errorf("the page asks for more than itself: %q", got)
	}
	if strings.Contains(text, "<small>") {
		t.Error("text of the schedule is taken for HTML")
	}
	body, script, _ := strings.Cut(text, "<script>")
	tags := strings.Join(regexp.MustCompile(`</?[a-z][a-z0-9]*|id="[a-z]+"|class="[a-z ]+"`).FindAllString(body[strings.Index(body, "<body>"):], -1), "\n")
	const golden = "testdata/report.golden"
	if *update {
		if err := os.WriteFile(golden, []byte(tags+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.TrimSpace(string(want)), tags); diff != "" {
		t.Error(diff)
	}
	data := regexp.MustCompile(`const D = (\{.*\});`).FindStringSubmatch(script)
	if data == nil {
		t.Fatal("no data in the page")
	}
	var d chartData
	if err := json.Unmarshal([]byte(data[1]), &d); err != nil {
		t.Fatal(err)
	}
	n := len(d.T)
	if n < 30 || len(d.Truth) != n || len(d.Low) != n || len(d.Middle) != n || len(d.High) != n || len(d.AgeMax) != n || len(d.Rates) != 3 {
		t.Errorf("%d instants, lines of %d, %d, %d, %d, %d, %d classes", n, len(d.Truth), len(d.Low), len(d.Middle), len(d.High), len(d.AgeMax), len(d.Rates))
	}
	if diff := cmp.Diff([]span{{"split", "amsterdam", 2, 4}}, d.Faults); diff != "" {
		t.Error(diff)
	}
	if last := n - 1; d.Truth[last] == 0 || d.Low[last] != d.Truth[last] || d.High[last] != d.Truth[last] {
		t.Errorf("at the end %v is true, nodes answer %v to %v", d.Truth[last], d.Low[last], d.High[last])
	}
}

const child = "MESHD_SIMULATE_CHILD"

// TestHashIsTheSameInEveryProcess runs one seed in two processes, with one and four processors.
func TestHashIsTheSameInEveryProcess(t *testing.T) {
	if os.Getenv(child) != "" {
		t.Logf("hash %s.", small(t).Result("").TraceHash)
		return
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var hashes []string
	for _, procs := range []string{"1", "4"} {
		cmd := exec.CommandContext(t.Context(), exe, "-test.run", "^TestHashIsTheSameInEveryProcess$", "-test.v")
		cmd.Env = append(os.Environ(), child+"=1", "GOMAXPROCS="+procs)
		out, err := cmd.CombinedOutput()
		m := regexp.MustCompile(`hash ([0-9a-f]{16})\.`).FindSubmatch(out)
		if err != nil || m == nil {
			t.Fatalf("%v: %s", err, out)
		}
		hashes = append(hashes, string(m[1]))
	}
	if hashes[0] != hashes[1] {
		t.Errorf("trace hash %s with one processor, %s with four", hashes[0], hashes[1])
	}
}

// TestOneWayDelaysOfTheTable holds the table to what it claims to be.
func TestOneWayDelaysOfTheTable(t *testing.T) {
	names, table, err := Regions(MaxRegions)
	if err != nil || len(names) != MaxRegions || len(table) != MaxRegions {
		t.Fatal(names, err)
	}
	var longest time.Duration
	for i := range table {
		for j, d := range table[i] {
			if d != table[j][i] || (d == 0) != (i == j) {
				t.Errorf("%s to %s takes %v, back %v", names[i], names[j], d, table[j][i])
			}
			longest = max(longest, d)
		}
	}
	if longest < 140*time.Millisecond {
		t.Errorf("the longest way takes %v, want at least 140ms", longest)
	}
	if _, _, err := Regions(21); err == nil {
		t.Error("21 regions")
	}
}
