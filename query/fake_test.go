package query

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"hash/fnv"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"meshd/crdt"
	"meshd/node"
)

var update = flag.Bool("update", false, "rewrite the golden files in testdata")

// golden compares got with testdata/name.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v: make it with go test -run '%s' -update", err, t.Name())
	}
	if d := cmp.Diff(string(want), string(got)); d != "" {
		t.Errorf("%s (-want +got):\n%s", path, d)
	}
}

// fakeSource holds rows by node and answers as a node does.
type fakeSource struct {
	rows        []node.Row
	coverage    []node.Coverage
	explanation node.Explanation
	state       node.Status
	err         error
	hang        bool // wait until the context ends
}

func (f *fakeSource) fail(ctx context.Context) error {
	if f.hang {
		<-ctx.Done()
		return ctx.Err()
	}
	return f.err
}

func (f *fakeSource) Totals(ctx context.Context, sel node.Select) (*node.Totals, error) {
	if err := f.fail(ctx); err != nil {
		return nil, err
	}
	out := &node.Totals{Coverage: f.coverage}
	for _, r := range sortedRows(f.rows) {
		if sel.Match != nil && !sel.Match(r.Series) {
			continue
		}
		r.Value = r.Value.Clone()
		if !sel.ByNode {
			r.Node = ""
		}
		if n := len(out.Rows); n > 0 && sameSeries(out.Rows[n-1].Series, r.Series) && out.Rows[n-1].Region == r.Region && out.Rows[n-1].Node == r.Node {
			if err := out.Rows[n-1].Value.Combine(&r.Value); err != nil {
				return nil, err
			}
			continue
		}
		out.Rows = append(out.Rows, r)
	}
	if sel.Each != nil { // in another order than that of names
		for i := len(out.Rows) - 1; i >= 0; i-- {
			if err := sel.Each(&out.Rows[i]); err != nil {
				return nil, err
			}
		}
		out.Rows = nil
	}
	if sel.Limit > 0 && len(out.Rows) > sel.Limit {
		return nil, node.ErrTooMany
	}
	return out, nil
}

func sortedRows(rows []node.Row) []node.Row {
	key := func(r node.Row) string { return string(r.Series.AppendKey(nil)) + "\x00" + r.Region + "\x00" + r.Node }
	return slices.SortedFunc(slices.Values(rows), func(a, b node.Row) int { return strings.Compare(key(a), key(b)) })
}

func (f *fakeSource) Explain(ctx context.Context, sel node.Select) (*node.Explanation, error) {
	if err := f.fail(ctx); err != nil {
		return nil, err
	}
	out := f.explanation
	out.Series = slices.DeleteFunc(slices.Clone(out.Series), func(s node.ExplainedSeries) bool { return !sel.Match(s.Series) })
	return &out, nil
}

func (f *fakeSource) Status(ctx context.Context) (*node.Status, error) {
	if err := f.fail(ctx); err != nil {
		return nil, err
	}
	return &f.state, nil
}

// series reads kind:name with label pairs.
func series(kind crdt.Kind, name string, labels ...string) *crdt.Series {
	s := &crdt.Series{Name: name, Kind: kind}
	for i := 0; i < len(labels); i += 2 {
		s.Labels = append(s.Labels, crdt.Label{Name: labels[i], Value: labels[i+1]})
	}
	s.Labels = crdt.SortLabels(s.Labels)
	return s
}

func fixed(s string) crdt.Fixed {
	f, err := crdt.ParseFixed(s)
	if err != nil {
		panic(err) // a literal of this file
	}
	return f
}

func counter(amount string) crdt.Value { return crdt.Value{Kind: crdt.KindCounter, P: fixed(amount)} }

func updown(p, n string) crdt.Value {
	return crdt.Value{Kind: crdt.KindUpDown, P: fixed(p), N: fixed(n)}
}

// at is the instant of the fixtures.
var at = time.Date(2024, 3, 4, 5, 6, 7, 890e6, time.UTC)

func gauge(value float64, age time.Duration) crdt.Value {
	r := crdt.RollupOf([]*crdt.Gauge{{Time: crdt.HLCFrom(at.Add(-age).UnixMilli(), 0), Value: value}})
	r.Expected = 1
	return crdt.Value{Kind: crdt.KindRollup, X: r}
}

func distribution(samples ...float64) crdt.Value {
	d := new(crdt.Distribution)
	for _, s := range samples {
		if err := d.Observe(s, 1); err != nil {
			panic(err) // a literal of this file
		}
	}
	return crdt.Value{Kind: crdt.KindDistribution, X: d}
}

// unique holds the hashes of the numbers in [from, to).
func unique(from, to int) crdt.Value {
	u := new(crdt.Unique)
	for i := from; i < to; i++ {
		h := fnv.New64a()
		fmt.Fprintf(h, "visitor %d", i)
		u.InsertHash(h.Sum64() * 0x9e3779b97f4a7c15)
	}
	return crdt.Value{Kind: crdt.KindUnique, X: u}
}

// set holds elements added by the incarnation inc, whose dots start at 1.
func set(inc byte, elements ...string) crdt.Value {
	v := crdt.Bottom(crdt.KindSet)
	add := crdt.Value{Kind: crdt.KindSet, X: &crdt.Set{Inc: crdt.Incarnation{inc}, Adds: elements}}
	d, err := v.Next(&add)
	if err == nil {
		_, err = v.Join(&d, 1, nil, 0)
	}
	if err != nil {
		panic(err) // a literal of this file
	}
	return v
}

func observed(samples ...crdt.Sample) crdt.Value {
	o := new(crdt.Observed)
	for _, s := range samples {
		if err := o.Put(s); err != nil {
			panic(err) // a literal of this file
		}
	}
	return crdt.Value{Kind: crdt.KindObserved, X: o}
}

// everyKind is two regions of two nodes that counted something of every kind.
func everyKind() *fakeSource {
	post, get := series(crdt.KindCounter, "http.requests", "method", "POST"), series(crdt.KindCounter, "http.requests", "method", "GET")
	stock, temp := series(crdt.KindUpDown, "stock"), series(crdt.KindGauge, "temperature", "room", "cold")
	lat, visit := series(crdt.KindDistribution, "latency"), series(crdt.KindUnique, "visitors")
	skus, skus2 := series(crdt.KindSet, "skus", "shelf", "1"), series(crdt.KindSet, "skus", "shelf", "2")
	cpu, cpu2 := series(crdt.KindObserved, "cpu.seconds", "mode", "user"), series(crdt.KindObserved, "cpu.seconds", "mode", "sys")
	scrape := func(value string) crdt.Value {
		return observed(crdt.Sample{Source: "host-1", Start: 1000, Time: 2000, Value: fixed(value)})
	}
	return &fakeSource{
		rows: []node.Row{
			{Series: post, Region: "eu", Node: "eu-1", Value: counter("9007199254740993")},
			{Series: post, Region: "eu", Node: "eu-2", Value: counter("0.5")},
			{Series: post, Region: "us", Node: "us-1", Value: counter("7")},
			{Series: get, Region: "us", Node: "us-1", Value: counter("100")},
			{Series: series(crdt.KindUpDown, "http.requests"), Region: "eu", Node: "eu-1", Value: updown("3", "1")},
			{Series: stock, Region: "eu", Node: "eu-1", Value: updown("10.25", "3")},
			{Series: stock, Region: "us", Node: "us-2", Value: updown("0", "20")},
			{Series: temp, Region: "eu", Node: "eu-1", Value: gauge(-4.5, 2*time.Second)},
			{Series: temp, Region: "us", Node: "us-1", Value: gauge(3, time.Second)},
			// Equal samples have quantiles without rounding: the golden files do not depend on the last bit of a power.
			{Series: lat, Region: "eu", Node: "eu-1", Value: distribution(0.5, 0.5, 0.5)},
			{Series: lat, Region: "us", Node: "us-1", Value: distribution(0.5)},
			{Series: visit, Region: "eu", Node: "eu-1", Value: unique(0, 60)},
			{Series: visit, Region: "us", Node: "us-1", Value: unique(40, 100)},
			{Series: skus, Region: "eu", Node: "eu-1", Value: set(1, "apple", "pear")},
			{Series: skus, Region: "us", Node: "us-1", Value: set(2, "pear", "plum")},
			{Series: skus2, Region: "eu", Node: "eu-1", Value: set(1, "nail", "screw")}, // the dots of skus with other elements
			{Series: cpu, Region: "eu", Node: "eu-1", Value: scrape("40.5")},
			{Series: cpu, Region: "us", Node: "us-1", Value: scrape("41.5")}, // the same source, seen later
			{Series: cpu2, Region: "eu", Node: "eu-1", Value: scrape("2")},   // the same source and start, another series
		},
		coverage: []node.Coverage{
			{Region: "eu", NodesExpected: 2, NodesHeard: 2, CompleteUntil: at.Add(-300 * time.Millisecond), Age: 300 * time.Millisecond},
			{Region: "us", NodesExpected: 2, NodesHeard: 2, CompleteUntil: at.Add(-120 * time.Millisecond), Age: 120 * time.Millisecond},
		},
		state: node.Status{
			Mesh: "default", Region: "eu", Node: "eu-1", Role: "hub", Version: "1.0.0", Incarnation: strings.Repeat("ab", 16),
			Started: at.Add(-time.Hour), Series: 12, Origins: 4, Cold: 1, Head: 90, Committed: 89,
			Peers: []node.PeerStatus{
				{Region: "us", Node: "us-1", Role: "hub", Addr: "10.0.0.2:8946", Up: true, Since: at, RTT: 81500 * time.Microsecond, ClockOffset: -3 * time.Millisecond, SentFrames: 10, RecvFrames: 11},
				{Region: "eu", Node: "eu-2", Role: "edge", Since: at, Behind: 12},
			},
			Line: node.LineStatus{
				Interval: 90 * time.Second, Usual: 30 * time.Second, Carried: 412_000_000, Feed: "hub-1", Downlink: []string{"web.*", "tills"},
				Budget: node.Budget{Bytes: 1e9, Per: 30 * 24 * time.Hour}, Spent: 800_000_000, Left: -2_000_000, Burst: 33_000_000,
			},
			Disk:     node.DiskStatus{FreeBytes: 5 << 30, ReserveBytes: 1 << 30, LogBytes: 300 << 20},
			Counters: map[string]uint64{"bad_frames": 0, "late_samples": 3},
		},
		explanation: node.Explanation{
			Series: []node.ExplainedSeries{{Series: post, Answers: []node.RegionAnswer{{
				Region: "eu", Rule: "sum of raw cells", Value: counter("12"),
				Inputs: []node.Input{
					{Origin: crdt.Origin{Class: crdt.ClassNode, Region: "eu", Node: "eu-1", Inc: crdt.Incarnation{1, 2, 3, 4}}, Seq: 5, Covered: 9, Value: counter("10"), Note: "live"},
					{Origin: crdt.Origin{Class: crdt.ClassNode, Region: "eu", Node: "eu-2", Inc: crdt.Incarnation{5}}, Seq: 7, Covered: 7, Value: counter("2")},
				},
			}, {
				Region: "us", Rule: "max over hub entries", Value: counter("3"),
				Inputs: []node.Input{{Origin: crdt.Origin{Class: crdt.ClassRegion, Region: "us", Node: "us-1", Inc: crdt.Incarnation{6}}, Seq: 1, Covered: 1, Value: counter("3")}},
			}}}},
			Coverage: []node.Coverage{{Region: "eu", NodesExpected: 2, NodesHeard: 2, CompleteUntil: at}, {Region: "us", NodesExpected: 2, NodesHeard: 2, CompleteUntil: at}},
		},
	}
}

// newServer returns a server over src and the registry that it counts in.
func newServer(t *testing.T, src Source, change func(*Config)) (*Server, *prometheus.Registry) {
	t.Helper()
	cfg := Config{Source: src, Registry: prometheus.NewRegistry(), Certificates: fakeCertificates}
	if change != nil {
		change(&cfg)
	}
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s, cfg.Registry
}

// counted returns the value of a counter whose label values, in the order of their names, are labels.
func counted(t *testing.T, registry *prometheus.Registry, name string, labels ...string) float64 {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			var values []string
			for _, l := range m.GetLabel() {
				values = append(values, l.GetValue())
			}
			if f.GetName() == name && slices.Equal(values, labels) {
				return m.GetCounter().GetValue()
			}
		}
	}
	return 0
}

func decode(t *testing.T, body []byte, into any) {
	t.Helper()
	if err := json.Unmarshal(body, into); err != nil {
		t.Fatalf("%v: %s", err, body)
	}
}

// fakeCertificates are those of a node whose operator is a little late.
func fakeCertificates() *Certificates {
	until := func(days int) Time { return Time{time.Date(2024, 3, 4+days, 0, 0, 0, 0, time.UTC)} }
	return &Certificates{Error: "pki: changed files are not used: half a file", Revoked: 2, List: []Certificate{
		{Of: "own", Name: "eu/eu-1", Until: until(5), Alarm: "ends within 7 days"},
		{Of: "authority", Name: "default", Until: until(900)},
		{Of: "peer", Name: "us/us-1", Until: until(20), Alarm: "ends within 30 days"},
		{Of: "peer", Name: "eu/eu-2", Until: until(21), Alarm: "ends within 30 days"},
	}}
}
