package query

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"net/url"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"meshd/crdt"
	"meshd/node"
)

// tester is what *testing.T and *rapid.T have in common here.
type tester interface {
	Helper()
	Context() context.Context
	Fatalf(format string, args ...any)
}

// ask evaluates a query string over the rows of src.
func ask(t tester, src *fakeSource, raw string) []Result {
	t.Helper()
	q, err := parseTotal(raw, at)
	if err != nil {
		t.Fatalf("%s: %v", raw, err)
	}
	totals, err := src.Totals(t.Context(), node.Select{Match: q.sel.series, ByNode: q.splitsByNode()})
	if err != nil {
		t.Fatalf("%s: %v", raw, err)
	}
	rs, err := q.evaluate(totals.Rows, at.UnixMilli())
	if err != nil {
		t.Fatalf("%s: %v", raw, err)
	}
	return rs
}

// lines writes results as short as a table row wants them.
func lines(rs []Result) []string {
	out := []string{}
	for _, r := range rs {
		out = append(out, fmt.Sprintf("%s %s%s %s", r.Kind, r.Metric, labelsText(r.Labels), valueText(&r.Amount)))
	}
	return out
}

func TestTotals(t *testing.T) {
	src := everyKind()
	for _, c := range []struct {
		name, raw string
		want      []string
	}{
		{"one name under two kinds gives two results", "metric=http.requests", []string{
			"counter http.requests 9007199254741100.5", "updown http.requests 2",
		}},
		{"kind picks one", "metric=http.*&kind=updown", []string{"updown http.requests 2"}},
		{"by a label; the other kind has none", "metric=http.requests&by=method", []string{
			`counter http.requests{method="GET"} 100`, `counter http.requests{method="POST"} 9007199254741000.5`, "updown http.requests 2",
		}},
		{"by region", "metric=http.requests&kind=counter&by=region", []string{
			`counter http.requests{region="eu"} 9007199254740993.5`, `counter http.requests{region="us"} 107`,
		}},
		{"by node", "metric=http.requests&kind=counter&by=node", []string{
			`counter http.requests{node="eu-1"} 9007199254740993`, `counter http.requests{node="eu-2"} 0.5`, `counter http.requests{node="us-1"} 107`,
		}},
		{"by all labels", "metric=http.requests&by=*", []string{
			`counter http.requests{method="GET",region="us"} 100`, `counter http.requests{method="POST",region="eu"} 9007199254740993.5`,
			`counter http.requests{method="POST",region="us"} 7`, `updown http.requests{region="eu"} 2`,
		}},
		{"by all labels and node", "metric=stock&by=*,node,region", []string{
			`updown stock{node="eu-1",region="eu"} 7.25`, `updown stock{node="us-2",region="us"} -20`,
		}},
		{"by a label that nothing has", "metric=stock&by=color", []string{"updown stock -12.75"}},
		{"a condition on a label", "metric=http.requests&match=method=GET", []string{"counter http.requests 100"}},
		{"absent is empty", "metric=http.requests&match=method=", []string{"updown http.requests 2"}},
		{"a condition on the region", "metric=http.requests&match=region=~e.", []string{"counter http.requests 9007199254740993.5", "updown http.requests 2"}},
		{"a condition on the node", "metric=http.requests&match=node!=eu-1", []string{"counter http.requests 107.5"}},
		{"all conditions hold", "metric=http.requests&match=method=POST&match=region=us", []string{"counter http.requests 7"}},
		{"alternatives", "metric={stock,temp*}", []string{"updown stock -12.75", "gauge temperature 3"}},
		{"nothing matches", "metric=nothing", []string{}},
		{"the largest", "metric=http.requests&kind=counter&by=node&top=2", []string{
			`counter http.requests{node="eu-1"} 9007199254740993`, `counter http.requests{node="us-1"} 107`,
		}},
		{"a gauge is its newest setting", "metric=temperature", []string{"gauge temperature 3"}},
		{"or what agg picks", "metric=temperature&agg=avg", []string{"gauge temperature -0.75"}},
		{"agg=sum", "metric=temperature&agg=sum", []string{"gauge temperature -1.5"}},
		{"agg=count", "metric=temperature&agg=count", []string{"gauge temperature 2"}},
		{"agg=min", "metric=temperature&agg=min", []string{"gauge temperature -4.5"}},
		{"agg=max", "metric=temperature&agg=max", []string{"gauge temperature 3"}},
		{"a distribution counts", "metric=latency", []string{"distribution latency 4"}},
		{"or what agg picks of it", "metric=latency&agg=max", []string{"distribution latency 0.5"}},
		{"uniques unite over regions", "metric=visitors", []string{"unique visitors 100"}},
		{"uniques by region overlap", "metric=visitors&by=region", []string{`unique visitors{region="eu"} 60`, `unique visitors{region="us"} 60`}},
		{"sets unite, also over series with equal dots", "metric=skus", []string{"set skus 5"}},
		{"observed joins observers and adds series", "metric=cpu.seconds", []string{"observed cpu.seconds 43.5"}},
		{"observed by region is what each saw", "metric=cpu.seconds&by=region", []string{
			`observed cpu.seconds{region="eu"} 42.5`, `observed cpu.seconds{region="us"} 41.5`,
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if d := cmp.Diff(c.want, lines(ask(t, src, c.raw))); d != "" {
				t.Errorf("%s (-want +got):\n%s", c.raw, d)
			}
		})
	}
}

func TestElements(t *testing.T) {
	rs := ask(t, everyKind(), "metric=skus")
	if want := []string{"apple", "nail", "pear", "plum", "screw"}; !slices.Equal(*rs[0].Elements, want) {
		t.Errorf("elements %v, want %v", *rs[0].Elements, want)
	}
	many := make([]string, 1500)
	for i := range many {
		many[i] = fmt.Sprintf("%04d", i)
	}
	rs = ask(t, &fakeSource{rows: []node.Row{{Series: series(crdt.KindSet, "s"), Region: "eu", Value: set(1, many...)}}}, "metric=s")
	if n := len(*rs[0].Elements); n != maxElements || rs[0].Value != 1500 {
		t.Errorf("%d elements are named and %v counted, want %d and 1500", n, rs[0].Value, maxElements)
	}
}

func TestQuantiles(t *testing.T) {
	samples := make([]float64, 1000)
	for i := range samples {
		samples[i] = float64(i + 1)
	}
	src := &fakeSource{rows: []node.Row{
		{Series: series(crdt.KindDistribution, "d"), Region: "eu", Value: distribution(samples[:300]...)},
		{Series: series(crdt.KindDistribution, "d"), Region: "us", Value: distribution(samples[300:]...)},
	}}
	r := ask(t, src, "metric=d&quantile=0,0.50,0.99,1")[0]
	for text, want := range map[string]float64{"0": 1, "0.50": 500, "0.99": 990, "1": 1000} {
		got, ok := r.Quantiles[text]
		if !ok || math.Abs(got-want) > want*0.0055 {
			t.Errorf("quantile %s is %v (given: %v), want %v within 0.55%%", text, got, ok, want)
		}
	}
	if r.Count != 1000 || r.SumExact != "500500" || *r.Min != 1 || *r.Max != 1000 || *r.Avg != 500.5 {
		t.Errorf("summary is %+v", r.Summary)
	}
	if r.Scale != crdt.MaxScale || r.RelativeError > 0.0055 {
		t.Errorf("scale %d, relative error %v", r.Scale, r.RelativeError)
	}
}

// Samples that spread over more than 2,048 buckets of scale 6 are read at a coarser one, and the answer says so.
func TestCoarserScaleIsSaid(t *testing.T) {
	v := crdt.Bottom(crdt.KindDistribution)
	x := math.Ldexp(1, -40)
	for range 3000 {
		inc := distribution(x)
		d, err := v.Next(&inc)
		if err == nil {
			_, err = v.Join(&d, 1, nil, 0)
		}
		if err != nil {
			t.Fatal(err)
		}
		x *= math.Exp2(1.0 / 64)
	}
	src := &fakeSource{rows: []node.Row{{Series: series(crdt.KindDistribution, "d"), Region: "eu", Value: v}}}
	r := ask(t, src, "metric=d&quantile=0.5")[0]
	if r.Scale >= crdt.MaxScale || r.RelativeError <= 0.0055 {
		t.Errorf("scale %d, relative error %v: not said to be coarser", r.Scale, r.RelativeError)
	}
}

func TestFarFutureGaugeIsNotNewest(t *testing.T) {
	s := series(crdt.KindGauge, "g")
	src := &fakeSource{rows: []node.Row{
		{Series: s, Region: "eu", Value: gauge(1, -time.Hour)}, // an hour ahead of the reader
		{Series: s, Region: "us", Value: gauge(2, 0)},
	}}
	r := ask(t, src, "metric=g")[0]
	if ahead := r.Newest.Sub(at); ahead > 501*time.Millisecond {
		t.Errorf("newest is %s ahead of the reader, want at most 500 ms", ahead)
	}
}

func TestBottomsOfAllKinds(t *testing.T) {
	for k := crdt.KindCounter; k <= crdt.LastKind; k++ {
		if k == crdt.KindRollup {
			continue // no series kind
		}
		s := series(k, "empty")
		v := crdt.Bottom(k.CellKind(crdt.ClassRegion))
		rs := ask(t, &fakeSource{rows: []node.Row{{Series: s, Region: "eu", Value: v}, {Series: s, Region: "us", Value: v}}}, "metric=empty&quantile=0.5&agg=min")
		if len(rs) != 1 || rs[0].Value != 0 || rs[0].Kind != k.String() {
			t.Errorf("%s: %+v", k, rs)
		}
	}
}

func TestTooLargeTotalIsRefused(t *testing.T) {
	src := &fakeSource{}
	for i := range 70_000 {
		src.rows = append(src.rows, node.Row{Series: series(crdt.KindCounter, "c"), Region: fmt.Sprintf("r%05d", i), Value: crdt.Value{Kind: crdt.KindCounter, P: crdt.MaxCell}})
	}
	q, err := parseTotal("metric=c", at)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := q.evaluate(src.rows, 0); statusOf(err) != 400 || !errors.Is(err, crdt.ErrLimit) {
		t.Errorf("error %v", err)
	}
}

func TestTooManyResultsAreRefused(t *testing.T) {
	src := &fakeSource{}
	for i := range maxResults + 1 {
		src.rows = append(src.rows, node.Row{Series: series(crdt.KindCounter, "c", "i", fmt.Sprint(i)), Region: "eu", Value: counter(fmt.Sprint(i))})
	}
	q, err := parseTotal("metric=c&by=i", at)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := q.evaluate(sortedRows(src.rows), 0); statusOf(err) != 400 {
		t.Errorf("error %v", err)
	}
	if rs := ask(t, src, "metric=c&by=i&top=1"); len(rs) != 1 || rs[0].Value != maxResults {
		t.Errorf("top of many is %v", lines(rs))
	}
}

// The parts of a total that by splits it into add up to the total to the last digit, however the rows lie.
func TestPartsAddUpExactly(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		src := &fakeSource{}
		used := map[string]bool{}
		for range rapid.IntRange(1, 20).Draw(t, "rows") {
			kind := rapid.SampledFrom([]crdt.Kind{crdt.KindCounter, crdt.KindUpDown}).Draw(t, "kind")
			s := series(kind, "m", "a", rapid.SampledFrom([]string{"x", "y", ""}).Draw(t, "a"))
			region := rapid.SampledFrom([]string{"eu", "us", "ap"}).Draw(t, "region")
			n := region + rapid.SampledFrom([]string{"-1", "-2"}).Draw(t, "node")
			if key := s.String() + n; used[key] {
				continue
			} else {
				used[key] = true
			}
			amount := rapid.Custom(func(t *rapid.T) crdt.Fixed {
				return crdt.Fixed{Hi: rapid.Uint64Range(0, crdt.MaxCell.Hi-1).Draw(t, "hi"), Lo: rapid.Uint64().Draw(t, "lo")}
			})
			v := crdt.Value{Kind: kind, P: amount.Draw(t, "p")}
			if kind == crdt.KindUpDown {
				v.N = amount.Draw(t, "n")
			}
			src.rows = append(src.rows, node.Row{Series: s, Region: region, Node: n, Value: v})
		}
		exact := map[string]crdt.Net{}
		for _, r := range src.rows {
			x := exact[r.Series.Kind.String()]
			x.P, _ = x.P.Add(r.Value.P)
			x.N, _ = x.N.Add(r.Value.N)
			exact[r.Series.Kind.String()] = x
		}
		want := map[string]string{}
		for kind, x := range exact {
			want[kind] = x.String()
		}
		for _, by := range []string{"", "region", "node", "a", "a,region", "*", "*,node"} {
			if got := sumExact(t, ask(t, src, url.Values{"metric": {"m"}, "by": {by}}.Encode())); !maps.Equal(got, want) {
				t.Fatalf("by=%s adds up to %v, want %v", by, got, want)
			}
		}
	})
}

// sumExact adds the exact values of results, by kind.
func sumExact(t *rapid.T, rs []Result) map[string]string {
	sums := map[string]crdt.Net{}
	for _, r := range rs {
		p, n := r.ValueExact, "0"
		if r.UpDown != nil {
			p, n = r.AddedExact, r.RemovedExact
		}
		fp, err1 := crdt.ParseFixed(p)
		fn, err2 := crdt.ParseFixed(n)
		if err1 != nil || err2 != nil {
			t.Fatalf("%v %v", err1, err2)
		}
		x := sums[r.Kind]
		x.P, _ = x.P.Add(fp)
		x.N, _ = x.N.Add(fn)
		sums[r.Kind] = x
	}
	out := map[string]string{}
	for kind, x := range sums {
		out[kind] = x.String()
	}
	return out
}

// An explanation shows single cells, whose kinds are those that origins write.
func TestAmountsOfSingleCells(t *testing.T) {
	for _, c := range []struct {
		value crdt.Value
		want  string
	}{
		{crdt.Value{Kind: crdt.KindGauge, X: &crdt.Gauge{Time: crdt.HLCFrom(at.UnixMilli(), 3), Value: -2.5}}, "-2.5 count=1 sum=-2.5 min=-2.5 max=-2.5 avg=-2.5"},
		{gauge(4, 0), "4 count=1 sum=4 min=4 max=4 avg=4"},
		{crdt.Bottom(crdt.KindGauge), "0 count=0 sum=0"},
		{distribution(2, 2), "2 count=2 sum=4 min=2 max=2 avg=2"},
		{unique(0, 3), "3 ±0.81%"},
		{set(1, "b", "a"), "2 a,b"},
		{observed(crdt.Sample{Source: "s", Start: 5, Value: fixed("1.5")}, crdt.Sample{Source: "s", Start: 9, Value: fixed("2")}), "3.5 "},
		{updown("1", "0.1"), "0.9 added=1 removed=0.1"},
	} {
		a := amountOf(&c.value, &totalQuery{})
		if got := valueText(&a) + " " + detailText(&a); got != c.want {
			t.Errorf("%s: %q, want %q", c.value.Kind, got, c.want)
		}
	}
}

// BenchmarkTotal is the largest answer that a node gives: 100,000 rows, split by a label of 100 values.
func BenchmarkTotal(b *testing.B) {
	rows := make([]node.Row, 100_000)
	for i := range rows {
		s := series(crdt.KindCounter, "http.requests", "code", fmt.Sprint(i%100), "path", fmt.Sprintf("/%06d", i))
		rows[i] = node.Row{Series: s, Region: "eu", Value: counter("7")}
	}
	q, err := parseTotal("metric=http.*&match=path!=/x&by=code", at)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		for i := range rows {
			if !q.sel.series(rows[i].Series) {
				b.Fatal("not matched")
			}
		}
		if rs, err := q.evaluate(rows, 0); err != nil || len(rs) != 100 {
			b.Fatal(len(rs), err)
		}
	}
}

// Histograms are joined over the rows of a series and added over series; quantiles are of their sum.
func TestHistogramsOfSeveralObservers(t *testing.T) {
	seen := func(source string, values ...float64) crdt.Value {
		h, d := new(crdt.Histograms), new(crdt.Distribution)
		for _, v := range values {
			if err := d.Observe(v, 1); err != nil {
				t.Fatal(err)
			}
		}
		if err := h.Put(source, 5, d); err != nil {
			t.Fatal(err)
		}
		return crdt.Value{Kind: crdt.KindHistogram, X: h}
	}
	a, b := series(crdt.KindHistogram, "took", "path", "/a"), series(crdt.KindHistogram, "took", "path", "/b")
	src := &fakeSource{rows: []node.Row{
		{Series: a, Region: "eu", Value: seen("x", 1, 2)},
		{Series: a, Region: "us", Value: seen("x", 1, 2, 3)},
		{Series: b, Region: "eu", Value: seen("x", 10)},
	}}
	r := ask(t, src, "metric=took&quantile=0.5")[0]
	if r.Kind != "histogram" || r.Value != 4 || r.Sum != 16 || math.Abs(r.Quantiles["0.5"]-2) > 0.02 {
		t.Errorf("%+v, want 4 samples, sum 16, median 2", r)
	}
}

// TestAggregatesOfGaugesHaveNames: load:sum is the sum of the gauge load, and only of gauges.
func TestAggregatesOfGaugesHaveNames(t *testing.T) {
	gauge := func(name, region string, v float64) node.Row {
		r := crdt.RollupOf([]*crdt.Gauge{{Time: crdt.HLCFrom(at.UnixMilli(), 0), Value: v}, {Time: crdt.HLCFrom(at.UnixMilli()-1, 0), Value: 1}})
		return node.Row{Series: &crdt.Series{Name: name, Kind: crdt.KindGauge}, Region: region, Value: crdt.Value{Kind: crdt.KindRollup, X: r}}
	}
	counter := func(name string) node.Row {
		return node.Row{Series: &crdt.Series{Name: name, Kind: crdt.KindCounter}, Region: "eu", Value: crdt.Value{Kind: crdt.KindCounter, P: crdt.FixedFromUint(7)}}
	}
	src := &fakeSource{rows: []node.Row{gauge("load", "eu", 5), gauge("load", "us", 9), gauge("temp:sum", "eu", 3), counter("load"), counter("hits:sum")}}
	for raw, want := range map[string][]string{
		"metric=load:sum":                  {"gauge load:sum 16"},
		"metric=load:count":                {"gauge load:count 4"},
		"metric=load:min":                  {"gauge load:min 1"},
		"metric=load:max&by=region":        {`gauge load:max{region="eu"} 5`, `gauge load:max{region="us"} 9`},
		"metric=load:avg":                  {"gauge load:avg 4"},
		"metric=load:newest":               {"gauge load:newest 9"},
		"metric=*:sum":                     {"counter hits:sum 7", "gauge load:sum 16", "gauge temp:sum 3"},
		"metric=temp:sum:max":              {"gauge temp:sum:max 3"},
		"metric=load:p99":                  {},
		"metric=load&kind=gauge&agg=count": {"gauge load 4"},
	} {
		if got := lines(ask(t, src, raw)); !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", raw, got, want)
		}
	}
	if _, err := parseTotal("metric=load:sum&agg=max", at); err == nil {
		t.Error("two aggregates are accepted")
	}
}
