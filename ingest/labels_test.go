package ingest

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"pgregory.net/rapid"

	"meshd/crdt"
	"meshd/node"
)

// newTestLabeller returns a labeller with rules, and tables in files of these names and texts, in front of a fake node.
func newTestLabeller(t testing.TB, rules string, tables map[string]string) (*Labeller, *fakeNode, string, func(name string) float64) {
	t.Helper()
	dir := t.TempDir()
	for name, text := range tables {
		writeTable(t, filepath.Join(dir, name), text, 0)
	}
	file := filepath.Join(dir, "labels.yaml")
	if err := os.WriteFile(file, []byte(strings.ReplaceAll(rules, "DIR", dir)), 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := LoadLabelRules(file)
	if err != nil {
		t.Fatal(err)
	}
	n := newFakeNode()
	m, reg := newTestMetrics(t)
	l, err := NewLabeller(r, n, m, discard())
	if err != nil {
		t.Fatal(err)
	}
	return l, n, dir, func(name string) float64 { return metric(t, reg, name) }
}

// writeTable writes a file whose time of change is so many seconds after another's.
func writeTable(t testing.TB, path, text string, second int64) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	at := time.Unix(1_700_000_000+second, 0)
	if err := os.Chtimes(path, at, at); err != nil {
		t.Fatal(err)
	}
}

func counted(t testing.TB, name string, ls ...crdt.Label) node.Item {
	t.Helper()
	it, err := newItem(name, crdt.KindCounter, ls, sample{amount: crdt.FixedFromUint(1)})
	if err != nil {
		t.Fatal(err)
	}
	return it
}

// TestLabelsChange: tables, fixed labels and rules, in this order; what a client says stays.
func TestLabelsChange(t *testing.T) {
	rules := `
lookups:
- {file: DIR/hosts.csv, by: ip, add: [country]}
- {file: DIR/lands.json, by: country}
labels: {site: vienna, country: nowhere}
metric_relabel_configs:
- {source_labels: [__name__, continent], regex: "clicks;Europe", target_label: near, replacement: "yes"}
- {source_labels: [__name__], regex: "debug.*", action: drop}
- {source_labels: [__name__], regex: "old[.](.*)", target_label: __name__, replacement: "new.$1"}
- {source_labels: [__name__], regex: "nameless", target_label: __name__, replacement: ""}
- {regex: ip, action: labeldrop}
`
	l, n, _, get := newTestLabeller(t, rules, map[string]string{
		"hosts.csv":  "ip,host,country\n10.0.0.1,one,AT\n10.0.0.2,two,\n",
		"lands.json": `[{"country": "AT", "continent": "Europe", "node": ""}, {"country": "nowhere", "continent": "x"}]`,
	})
	res := l.Submit(t.Context(), &node.Batch{Lost: 3, Items: []node.Item{
		counted(t, "debug.noise"),
		counted(t, "clicks", crdt.Label{Name: "ip", Value: "10.0.0.1"}),
		counted(t, "nameless"),
		counted(t, "clicks", crdt.Label{Name: "ip", Value: "10.0.0.2"}),
		counted(t, "old.hits", crdt.Label{Name: "site", Value: "graz"}),
		counted(t, "clicks", crdt.Label{Name: "ip", Value: "10.0.0.1"}),
	}})
	if res.Accepted != 5 || len(res.Rejected) != 1 || res.Rejected[0].Index != 2 {
		t.Errorf("got %+v, want 5 accepted and the third refused", res)
	}
	for series, want := range map[string]string{
		`counter:clicks{continent="Europe",country="AT",near="yes",site="vienna"}`: "2",
		`counter:clicks{country="nowhere",site="vienna"}`:                          "1",
		`counter:new.hits{country="nowhere",site="graz"}`:                          "1",
	} {
		if got := n.counter(series); got != want {
			t.Errorf("%s is %s, want %s", series, got, want)
		}
	}
	if len(n.totals) != 3 || n.lost != 3 {
		t.Errorf("%d series and %d lost, want 3 and 3", len(n.totals), n.lost)
	}
	if got := get("ignored_total"); got != 1 {
		t.Errorf("%v ignored, want the one that a rule drops", got)
	}
}

// TestLabelsKeepTheAnswer: what the node says of items is said of the items that the door gave.
func TestLabelsKeepTheAnswer(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		l, n, _, _ := newTestLabeller(t, "metric_relabel_configs: [{source_labels: [__name__], regex: drop, action: drop}]", nil)
		var items []node.Item
		var drops, refusals []int
		for i := range rapid.IntRange(1, 20).Draw(rt, "items") {
			name := rapid.SampledFrom([]string{"drop", "bad", "good"}).Draw(rt, "name")
			items = append(items, counted(t, name))
			switch name {
			case "drop":
				drops = append(drops, i)
			case "bad":
				refusals = append(refusals, i)
			}
		}
		n.answer = func(b *node.Batch) (res node.Result) {
			for i, it := range b.Items {
				if it.Series.Name == "bad" {
					res.Rejected = append(res.Rejected, node.Rejection{Index: i, Err: node.ErrSeries})
				} else {
					res.Accepted++
				}
			}
			return res
		}
		res := l.Submit(context.Background(), &node.Batch{Items: items})
		if res.Accepted != len(items)-len(refusals) || len(res.Rejected) != len(refusals) {
			rt.Fatalf("got %+v for %d items, %v dropped, %v refused", res, len(items), drops, refusals)
		}
		for i, r := range res.Rejected {
			if r.Index != refusals[i] {
				rt.Fatalf("item %d is refused, want %d", r.Index, refusals[i])
			}
		}
		n.answer = func(*node.Batch) node.Result { return node.Result{Err: node.ErrBusy} }
		if res := l.Submit(context.Background(), &node.Batch{Items: items}); len(drops) < len(items) && res.Err == nil {
			rt.Fatal("a busy node has taken a batch")
		}
	})
}

// TestTableIsReadAgain: a table is swapped when its file changes; a file that cannot be read leaves the last good one, and is
// counted once.
func TestTableIsReadAgain(t *testing.T) {
	l, n, dir, get := newTestLabeller(t, "lookups: [{file: DIR/hosts.csv, by: ip}]", map[string]string{"hosts.csv": "ip,land\n1,AT\n"})
	count := func() {
		l.Submit(t.Context(), &node.Batch{Items: []node.Item{counted(t, "x", crdt.Label{Name: "ip", Value: "1"})}})
	}
	count()
	path := filepath.Join(dir, "hosts.csv")
	writeTable(t, path, "ip,land\n1,DE\n", 1)
	count() // not looked at yet
	l.reload()
	count()
	writeTable(t, path, "ip,land\n1,FR,too many\n", 2)
	l.reload()
	l.reload()
	count()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	l.reload()
	count()
	writeTable(t, path, "ip,land\n1,CH\n", 3)
	l.reload()
	count()
	for series, want := range map[string]string{`counter:x{ip="1",land="AT"}`: "2", `counter:x{ip="1",land="DE"}`: "3", `counter:x{ip="1",land="CH"}`: "1"} {
		if got := n.counter(series); got != want {
			t.Errorf("%s is %s, want %s", series, got, want)
		}
	}
	if got := get("lookup_failures_total"); got != 2 {
		t.Errorf("%v failures, want one of the broken file and one of the missing one", got)
	}
}

// TestTablesRefuse is a corpus of files that are no tables.
func TestTablesRefuse(t *testing.T) {
	for _, c := range []struct{ name, file, text, want string }{
		{"empty", "a.csv", "", "columns' names"},
		{"without the key", "a.csv", "host,land\n", `no column "ip"`},
		{"without a label", "a.csv", "ip,host\n", `no column "land"`},
		{"ragged", "a.csv", "ip,land\n1\n", "wrong number of fields"},
		{"quote", "a.csv", "ip,land\n1,\"AT\n", `"`},
		{"reserved name", "b.csv", "ip,node\n1,x\n", "cannot be the name of a label"},
		{"no list", "a.json", `{"ip": "1"}`, "list of objects"},
		{"numbers", "a.json", `[{"ip": 1}]`, "list of objects"},
		{"object without the key", "a.json", `[{"ip": "1"}, {"land": "AT"}]`, `object 2 has no "ip"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := LabelLookup{File: c.file, By: "ip"}
			if strings.HasPrefix(c.file, "a.csv") {
				r.Add = []string{"land"}
			}
			if _, err := r.parse([]byte(c.text)); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

func FuzzLabelTable(f *testing.F) {
	f.Add([]byte("ip,land\n1,AT\n"), true)
	f.Add([]byte(`[{"ip": "1", "land": "AT"}]`), false)
	f.Fuzz(func(t *testing.T, b []byte, isCSV bool) {
		r := LabelLookup{File: "a.json", By: "ip"}
		if isCSV {
			r.File = "a.csv"
		}
		rows, err := r.parse(b)
		if err != nil {
			return
		}
		for key, row := range rows {
			build := labels.NewBuilder(labels.EmptyLabels())
			build.Set("__name__", "x")
			for _, l := range row[:min(len(row), crdt.MaxLabels)] {
				build.Set(l.Name, l.Value)
			}
			if _, err := seriesOf(build.Labels(), crdt.KindCounter); err != nil && reasonOf(err) != reasonSeries && reasonOf(err) != reasonTooLong {
				t.Errorf("row %q makes %v", key, err)
			}
		}
	})
}

// BenchmarkLabels is what rules cost a sample whose series is known.
func BenchmarkLabels(b *testing.B) {
	l, n, _, _ := newTestLabeller(b, "labels: {site: vienna}", nil)
	n.answer = func(batch *node.Batch) node.Result { return node.Result{Err: node.ErrBusy} }
	batch := &node.Batch{}
	for range 1000 {
		batch.Items = append(batch.Items, counted(b, "http.requests", crdt.Label{Name: "path", Value: "/a"}, crdt.Label{Name: "method", Value: "GET"}, crdt.Label{Name: "code", Value: "200"}))
	}
	for b.Loop() {
		l.Submit(context.Background(), batch)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1000, "ns/sample")
}
