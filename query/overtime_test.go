package query

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"meshd/crdt"
	"meshd/history"
	"meshd/history/historytest"
)

// event is one thing that was counted.
type event struct {
	t      int64
	region string
	series *crdt.Series
	value  crdt.Value
}

// windowed puts events into windows of all widths, of regions and of one node in each.
func windowed(events []event) *historytest.Source {
	out := new(historytest.Source)
	for _, e := range events {
		for _, o := range []history.Owner{{Region: e.region}, {Region: e.region, Node: e.region + "-1"}} {
			for _, w := range []int64{10_000, 60_000, 3_600_000} {
				out.Add(o, e.series, history.Point{Window: crdt.Window{Start: floorTo(e.t, w), Width: w}, Value: e.value})
			}
		}
	}
	return out
}

// hour is when the fixtures of this file begin.
var hour = time.Date(2024, 3, 4, 5, 0, 0, 0, time.UTC).UnixMilli()

func sampled(times ...int64) crdt.Value {
	var gs []*crdt.Gauge
	for i, t := range times {
		gs = append(gs, &crdt.Gauge{Time: crdt.HLCFrom(t, 0), Value: float64(10 * (i + 1))})
	}
	return crdt.Value{Kind: crdt.KindRollup, X: crdt.RollupOf(gs)}
}

// someOfEveryKind is three minutes of two regions.
func someOfEveryKind() *historytest.Source {
	var events []event
	add := func(at int64, region string, s *crdt.Series, v crdt.Value) {
		events = append(events, event{hour + at*1000, region, s, v})
	}
	get, post := series(crdt.KindCounter, "http.requests", "method", "GET"), series(crdt.KindCounter, "http.requests", "method", "POST")
	lat, visits := series(crdt.KindDistribution, "latency"), series(crdt.KindUnique, "visitors")
	temp, stock := series(crdt.KindGauge, "temperature"), series(crdt.KindUpDown, "stock")
	cpu, sizes := series(crdt.KindObserved, "cpu.seconds"), series(crdt.KindHistogram, "sizes")
	for m := range int64(3) {
		add(m*60+5, "eu", get, counter("0.5"))
		add(m*60+59, "us", get, counter("2"))
		add(m*60+30, "eu", post, counter(fmt.Sprint(m)))
		add(m*60+1, "eu", lat, distribution(0.5, 0.5, 0.5))
		add(m*60+1, "us", lat, distribution(float64(int64(1)<<m)))
		add(m*60+2, "eu", visits, unique(0, 10))
		add(m*60+2, "us", visits, unique(int(m)*10, int(m)*10+10))
		add(m*60+2, "eu", temp, sampled(hour+m*60_000+2000, hour+m*60_000+3000))
		add(m*60+7, "eu", stock, updown("3", "1"))
		add(m*60+10, "eu", cpu, observed(crdt.Sample{Source: "host-1", Start: 1, Time: hour + m*60_000 + 10_000, Value: fixed(fmt.Sprint(100 + 7*m))}))
		h := new(crdt.Histograms)
		if err := h.Put("host-1", hour, distribution(slices.Repeat([]float64{0.5}, int(1+m))...).X.(*crdt.Distribution)); err != nil {
			panic(err) // a literal of this file
		}
		add(m*60+10, "eu", sizes, crdt.Value{Kind: crdt.KindHistogram, X: h})
	}
	return windowed(events)
}

func TestTotalsOverTime(t *testing.T) {
	hist := someOfEveryKind()
	src := everyKind()
	span := "&start=2024-03-04T05:00:00Z&end=2024-03-04T05:03:00Z"
	for _, row := range []struct{ name, form string }{
		{"range_of_all", "metric=*&quantile=0.5" + span},
		{"range_by_region", "metric=http.*&by=region,method" + span},
		{"minutes", "metric=http.requests&step=1m" + span},
		{"minutes_by_node", "metric=http.requests&step=1m&by=node&match=region=us" + span},
		{"quantiles_of_hopping_windows", "metric=latency&step=1m&window=2m&quantile=0.5,0.99" + span},
		{"unions_of_hopping_windows", "metric=visitors&step=1m&window=2m" + span},
		{"mean_of_a_gauge", "metric=temperature:avg&step=1m" + span},
		{"greatest_of_a_gauge", "metric=temperature&agg=max" + span},
		{"largest_of_each_minute", "metric=http.requests&by=method&top=1&step=1m" + span},
		{"a_local_day", "metric=http.requests&start=2024-03-04&end=2024-03-05&step=1d&tz=Europe/Berlin"},
		{"kept_too_coarsely", "metric=http.requests&match=region=us&step=5s&start=2024-03-04T05:00:50Z&end=2024-03-04T05:01:00Z"},
	} {
		t.Run(row.name, func(t *testing.T) {
			s, _ := newServer(t, src, func(c *Config) { c.History = hist })
			w := httptest.NewRecorder()
			s.ServeHTTP(w, httptest.NewRequest("GET", "/v1/total?"+row.form, nil))
			if w.Code != 200 {
				t.Fatalf("status %d: %s", w.Code, w.Body)
			}
			var out bytes.Buffer
			if err := json.Indent(&out, w.Body.Bytes(), "", "  "); err != nil {
				t.Fatal(err)
			}
			golden(t, "overtime_"+row.name+".json", out.Bytes())
		})
	}
}

// TestOverTimeAgainstEvents compares periods, grouping and ranking with the events themselves.
func TestOverTimeAgainstEvents(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 8))
	var events []event
	var all []*crdt.Series
	for ad := range 30 {
		for _, country := range []string{"de", "fr"} {
			all = append(all, series(crdt.KindCounter, "clicks", "ad", fmt.Sprint(ad), "country", country))
		}
	}
	for range 2000 {
		events = append(events, event{hour + rng.Int64N(600_000), []string{"eu", "us"}[rng.IntN(2)], all[rng.IntN(len(all))], counter(fmt.Sprint(1 + rng.IntN(5)))})
	}
	s, _ := newServer(t, everyKind(), func(c *Config) { c.History = windowed(events) })
	for _, row := range []struct {
		step, window int64
		top          int
		country      string
	}{{60, 60, 0, ""}, {60, 180, 0, "de"}, {30, 30, 5, "de"}, {10, 70, 3, ""}, {120, 60, 7, "fr"}} {
		form := url.Values{
			"metric": {"clicks"}, "by": {"ad"}, "start": {fmt.Sprint(hour/1000 + 120)}, "end": {fmt.Sprint(hour/1000 + 600)},
			"step": {fmt.Sprint(row.step, "s")}, "window": {fmt.Sprint(row.window, "s")},
		}
		if row.country != "" {
			form.Set("match", "country="+row.country)
		}
		if row.top > 0 {
			form.Set("top", fmt.Sprint(row.top))
		}
		w := httptest.NewRecorder()
		s.ServeHTTP(w, httptest.NewRequest("GET", "/v1/total?"+form.Encode(), nil))
		var got TotalAnswer
		decode(t, w.Body.Bytes(), &got)
		if len(got.Periods) != int(480/row.step) {
			t.Fatalf("%v: %d periods: %s", row, len(got.Periods), w.Body)
		}
		for _, p := range got.Periods {
			if d := cmp.Diff(ranking(events, p.Start.UnixMilli(), p.End.UnixMilli(), row.country, row.top), results(p)); d != "" {
				t.Fatalf("%v, %s (-want +got):\n%s", row, p.Start, d)
			}
		}
	}
}

// ranking returns "ad=amount" of the events, in the order of an answer.
func ranking(events []event, from, to int64, country string, top int) []string {
	sums := map[string]float64{}
	for _, e := range events {
		if e.t >= from && e.t < to && (country == "" || e.series.Get("country") == country) {
			sums[e.series.Get("ad")] += e.value.P.Float64()
		}
	}
	var ads []string
	for ad := range sums {
		ads = append(ads, ad)
	}
	slices.SortFunc(ads, func(a, b string) int {
		if top > 0 && sums[a] != sums[b] {
			return int(sums[b] - sums[a])
		}
		return strings.Compare(a, b)
	})
	var out []string
	for _, ad := range ads {
		out = append(out, fmt.Sprintf("%s=%v", ad, sums[ad]))
	}
	if top > 0 {
		out = out[:min(top, len(out))]
	}
	return out
}

func results(p PeriodAnswer) []string {
	var out []string
	for _, r := range p.Results {
		out = append(out, fmt.Sprintf("%s=%v", r.Labels["ad"], r.Value))
	}
	return out
}

// TestBatchesOfPeriodsGiveTheSame compares the answer with those of its periods asked one by one, which is what a question
// does that needs too much memory at once.
func TestBatchesOfPeriodsGiveTheSame(t *testing.T) {
	hist := someOfEveryKind()
	q, err := parseTotal("metric=*&step=10s&window=60s&quantile=0.5&top=3&start=2024-03-04T05:00:00Z&end=2024-03-04T05:03:00Z", at)
	if err != nil {
		t.Fatal(err)
	}
	whole, _, err := q.totalsOverTime(t.Context(), hist, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i, p := range q.time.periods {
		_, one, err := q.someOverTime(t.Context(), hist, []period{p}, math.MaxInt)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(whole[i].Results, one[0], cmpopts.IgnoreUnexported(Result{})); d != "" {
			t.Errorf("%s (-whole +alone):\n%s", p, d)
		}
	}
}
