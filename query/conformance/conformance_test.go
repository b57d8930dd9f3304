package conformance

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/exemplar"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/metadata"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/promql/promqltest"
	"github.com/prometheus/prometheus/storage"

	"meshd/buffer"
	"meshd/crdt"
	"meshd/history"
	"meshd/internal/bridge"
	"meshd/query/prom"
)

// width of the windows that samples are put into: the narrowest that history keeps.
const width = 1000

// store is a history in chunks on disk that Prometheus' tests load their samples into: every series is a gauge, every sample the
// newest of its window, which keeps its time.
type store struct {
	storage.Storage // what is not overridden is not called
	storage.Queryable
	history *history.Store
	disk    *buffer.Store
	tag     uint64
	t       testing.TB
	reason  *string
}

// leaveOut ends the part of the test that needs what no window holds.
func (s *store) leaveOut(reason string) {
	*s.reason = reason
	s.t.Skip(reason)
}

func open(t testing.TB, reason *string) storage.Storage {
	t.Helper()
	disk, err := buffer.Open(buffer.Config{Dir: t.TempDir(), Mesh: "m", Region: "r", Node: "n", MemoryBytes: 64 << 20})
	if err != nil {
		t.Fatal(err)
	}
	const ever = 100 * 365 * 24 * time.Hour
	h, err := history.Open(history.Config{
		KV: bridge.Windows{Store: disk}, Now: func() time.Time { return time.Unix(0, 0) }, Retention: history.Retention{Fine: ever, Minute: ever, Hour: ever},
	})
	if err != nil {
		t.Fatal(err)
	}
	api, err := prom.New(prom.Config{History: h, MaxSamples: 50_000_000})
	if err != nil {
		t.Fatal(err)
	}
	return &store{Queryable: api.Plain(), history: h, disk: disk, t: t, reason: reason}
}

func (s *store) Querier(from, to int64) (storage.Querier, error) {
	return s.Queryable.Querier(from, to)
}

func (s *store) Close() error {
	s.history.Close()
	return s.disk.Close()
}

func (s *store) StartTime() (int64, error) { return 0, nil }

func (s *store) Appender(context.Context) storage.Appender {
	return &appender{store: s, taken: map[string]bool{}}
}

// appender collects the samples of one load.
type appender struct {
	storage.Appender // what is not overridden is not called
	store            *store
	cells            []history.Cell
	taken            map[string]bool // windows with a sample
}

func (a *appender) Append(_ storage.SeriesRef, ls labels.Labels, t int64, v float64) (storage.SeriesRef, error) {
	s := &crdt.Series{Kind: crdt.KindGauge}
	ls.Range(func(l labels.Label) {
		if l.Name == labels.MetricName {
			s.Name = l.Value
			return
		}
		s.Labels = append(s.Labels, crdt.Label{Name: l.Name, Value: l.Value})
	})
	s.Labels = crdt.SortLabels(s.Labels)
	switch window := t - t%width; {
	case t < 0:
		a.store.leaveOut("a time before 1970")
	case value.IsStaleNaN(v):
		a.store.leaveOut("a stale marker: gauges end by silence")
	case math.IsNaN(v), math.IsInf(v, 0):
		a.store.leaveOut("a number that is not finite: refused at every door")
	case a.taken[key(ls, window)]:
		a.store.leaveOut("two samples in a second: the narrowest window keeps one")
	default:
		a.taken[key(ls, window)] = true
	}
	r := crdt.RollupOf([]*crdt.Gauge{{Time: crdt.HLCFrom(t, 0), Value: v}})
	r.Stamp = crdt.HLCFrom(t, 0)
	a.cells = append(a.cells, history.Cell{
		Series: s, Window: crdt.Window{Start: t - t%width, Width: width}, Value: crdt.Value{Kind: crdt.KindRollup, X: r},
	})
	return 0, nil
}

// key names a window of a series.
func key(ls labels.Labels, window int64) string { return fmt.Sprint(window, ls) }

func (a *appender) AppendHistogram(storage.SeriesRef, labels.Labels, int64, *histogram.Histogram, *histogram.FloatHistogram) (storage.SeriesRef, error) {
	a.store.leaveOut("histograms that a load makes of classic ones: custom buckets")
	return 0, nil
}

func (a *appender) AppendExemplar(storage.SeriesRef, labels.Labels, exemplar.Exemplar) (storage.SeriesRef, error) {
	return 0, nil
}

func (a *appender) UpdateMetadata(storage.SeriesRef, labels.Labels, metadata.Metadata) (storage.SeriesRef, error) {
	return 0, nil
}

func (a *appender) SetOptions(*storage.AppendOptions) {}

func (a *appender) Rollback() error { return nil }

// Commit writes the samples to chunks.
func (a *appender) Commit() error {
	slices.SortStableFunc(a.cells, func(x, y history.Cell) int { return cmp.Compare(x.Window.Start, y.Window.Start) })
	a.store.tag++
	from := crdt.Origin{Class: crdt.ClassRegion, Node: "n", Inc: crdt.Incarnation{1}}
	if err := a.store.history.Apply(a.store.tag, from, a.cells); err != nil {
		return err
	}
	return a.store.history.Fold(context.Background())
}

// TestPrometheusOwnTests runs the tests that come with the engine, part by part: a part ends where it clears the storage. Parts
// that load what no window holds are left out, and listed with the reason in testdata/left_out.txt.
func TestPrometheusOwnTests(t *testing.T) {
	parser.EnableExperimentalFunctions, parser.ExperimentalDurationExpr = true, true
	parser.EnableExtendedRangeSelectors, parser.EnableBinopFillModifiers = true, true
	engine := promqltest.NewTestEngine(t, false, 0, promqltest.DefaultMaxSamplesPerQuery)
	files, err := filepath.Glob(filepath.Join(engineDir(t), "promql/promqltest/testdata/*.test"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	var leftOut []string
	passed, evaluations := 0, 0
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range partsOf(string(content)) {
			text, reason := storable(p.text)
			t.Run(fmt.Sprintf("%s/%d", filepath.Base(file), p.line), func(t *testing.T) {
				promqltest.RunTestWithStorage(t, text, engine, func(t testing.TB) storage.Storage { return open(t, &reason) })
				if t.Skipped() {
					text = ""
				}
			})
			kept, all := strings.Count("\n"+text, "\neval"), strings.Count("\n"+p.text, "\neval")
			passed, evaluations = passed+kept, evaluations+all
			if kept < all {
				leftOut = append(leftOut, fmt.Sprintf("%s from line %d, %d of %d: %s\n", filepath.Base(file), p.line, all-kept, all, reason))
			}
		}
	}
	got := fmt.Sprintf("%d of %d evaluations run.\n", passed, evaluations) + strings.Join(leftOut, "")
	const path = "testdata/left_out.txt"
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil || string(want) != got {
		t.Errorf("%v: %s is not what is left out now: see the difference after go test -update\n%s", err, path, got)
	}
}

var update = flag.Bool("update", false, "write what is left out")

// engineDir is where the engine's source is.
func engineDir(t *testing.T) string {
	t.Helper()
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/prometheus/prometheus").Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

// Series of loads that no window holds, by what tells them in their line, and why: the first that fits.
var unstorable = []struct {
	mark   *regexp.Regexp
	reason string
}{
	{regexp.MustCompile(`\{\{.*custom_values`), "histograms with custom buckets"},
	{regexp.MustCompile(`\{\{.*counter_reset_hint:gauge`), "gauges of histograms"},
	{regexp.MustCompile(`\{\{[^}]*\b(count|buckets|z_bucket)[^}a-z]*(-\d|\d\.\d)`), "histograms with counts that are no natural numbers"},
	{regexp.MustCompile(`\{\{`), "histograms with whole counts: snapshots could hold them, this test does not store them"},
	{regexp.MustCompile(`\bstale\b`), "stale markers: gauges end by silence"},
	{regexp.MustCompile(`[ x+-](NaN|[Ii]nf)\b`), "numbers that are not finite: refused at every door"},
}

// unnamed finds selectors that may match series of any name.
var unnamed = regexp.MustCompile(`[ (]\{.|info\(`)

var metricName = regexp.MustCompile(`^[a-zA-Z_:][a-zA-Z0-9_:]*`)

// storable returns a part without the series that no window holds and without the evaluations that name them, and why there is
// less.
func storable(text string) (kept, reason string) {
	var out strings.Builder
	gone := map[string]bool{}
	var reasons []string
	loading, dropping := false, false
	for line := range strings.SplitAfterSeq(text, "\n") {
		trimmed := strings.TrimSpace(line)
		if line != "" && trimmed != "" && line[0] != ' ' && line[0] != '\t' { // a command
			loading = strings.HasPrefix(line, "load")
			dropping = len(gone) > 0 && unnamed.MatchString(line)
			for name := range gone {
				dropping = dropping || regexp.MustCompile(`\b`+name+`\b`).MatchString(line)
			}
		} else if loading {
			for _, u := range unstorable {
				if u.mark.MatchString(trimmed) {
					gone[metricName.FindString(trimmed)] = true
					if line = ""; !slices.Contains(reasons, u.reason) {
						reasons = append(reasons, u.reason)
					}
					break
				}
			}
		}
		if !dropping {
			out.WriteString(line)
		}
	}
	slices.Sort(reasons)
	return out.String(), strings.Join(reasons, "; ")
}

// part is what stands between two clears.
type part struct {
	line int // of the file, from 1
	text string
}

func partsOf(content string) []part {
	out := []part{{line: 1}}
	for i, line := range strings.SplitAfter(content, "\n") {
		if strings.TrimSpace(line) == "clear" {
			out = append(out, part{line: i + 2})
			continue
		}
		out[len(out)-1].text += line
	}
	return slices.DeleteFunc(out, func(p part) bool { return !strings.Contains(p.text, "eval") })
}
