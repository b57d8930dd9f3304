package prom

import (
	"fmt"
	"math"
	"math/rand/v2"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"meshd/crdt"
)

// events is what really happened to one series: how much at which time.
type events struct {
	at     []int64
	amount []uint64
}

// within returns how much happened in windows that end in (from, to].
func (e *events) within(from, to int64) float64 {
	sum := uint64(0)
	for i, t := range e.at {
		if w := floorTo(t, 10_000) + 10_000; w > from && w <= to {
			sum += e.amount[i]
		}
	}
	return float64(sum)
}

// counted fills m with three series of different density and returns the truth.
func counted(m *mesh, rng *rand.Rand, windows int64) map[string]*events {
	out := map[string]*events{}
	for name, density := range map[string]float64{"dense": 0.9, "sparse": 0.1, "rare": 0.01} {
		s, e := counterSeries("hits", "series", name), new(events)
		for w := range windows {
			for rng.Float64() < density {
				t, n := epoch+w*10_000+rng.Int64N(10_000), 1+rng.Uint64N(1000)
				m.count("eu", "eu-1", s, t, amount(n))
				e.at, e.amount = append(e.at, t), append(e.amount, n)
			}
		}
		out[name] = e
	}
	return out
}

// TestRatesAreExact compares rate and increase by the unmodified engine with what really happened, for ranges of a minute and more
// in steps of any length and phase.
func TestRatesAreExact(t *testing.T) {
	const bar = 1e-12
	rng := rand.New(rand.NewPCG(1, 2))
	const windows = 400
	m := new(mesh)
	truth := counted(m, rng, windows)
	stop := epoch + windows*10_000
	api := newAPI(t, m, stop, nil)
	compared := 0
	minutely := func(t int64) int64 { return floorTo(t, 60_000) } // the only evaluation of a subquery
	for _, q := range []struct {
		expr  string
		reach int64 // ms
		back  int64
		scale float64
		at    func(t int64) int64 // when it was evaluated; nil: at t
	}{
		{"increase(hits[1m])", 60_000, 0, 1, nil},
		{"increase(hits[5m])", 300_000, 0, 1, nil},
		{"rate(hits[5m])", 300_000, 0, 300, nil},
		{"increase(hits[5m] offset 7m)", 300_000, 420_000, 1, nil},
		{"increase(hits[90s] offset 7s)", 90_000, 7_000, 1, nil},
		{"sum by (series) (increase(hits[10m]))", 600_000, 0, 1, nil},
		{"last_over_time(increase(hits[5m])[1m:1m])", 300_000, 0, 1, minutely},
		{"max_over_time(increase(hits[5m] offset 7s)[1m:1m])", 300_000, 7_000, 1, minutely},
		{fmt.Sprintf("increase(hits[5m] @ %s)", seconds(stop-123_000)), 300_000, 0, 1, func(int64) int64 { return stop - 123_000 }},
	} {
		for _, step := range []int64{7_000, 10_000, 15_001, 60_000, 300_000, 333_000} {
			for _, phase := range []int64{0, 1_234, 7_777} {
				start := epoch + 1_200_000 + phase
				r := ask(t, api, "/api/v1/query_range", url.Values{
					"query": {q.expr}, "start": {seconds(start)}, "end": {seconds(stop)}, "step": {seconds(step)},
				})
				for _, s := range r.Data.Result {
					for _, p := range s.Values {
						at := int64(math.Round(p[0].(float64) * 1000))
						if q.at != nil {
							at = q.at(at)
						}
						got, err := strconv.ParseFloat(p[1].(string), 64)
						if err != nil {
							t.Fatal(err)
						}
						want := truth[s.Metric["series"]].within(at-q.back-q.reach, at-q.back) / q.scale
						if math.Abs(got-want) > bar*want {
							t.Fatalf("%s step %d at %d of %s: got %v, want %v", q.expr, step, at, s.Metric["series"], got, want)
						}
						compared++
					}
				}
			}
		}
	}
	if compared < 10_000 {
		t.Errorf("only %d values were compared", compared)
	}
}

// TestWithoutEdgesRatesAreNotExact shows what exact=0 is for, and that the test above can fail.
func TestWithoutEdgesRatesAreNotExact(t *testing.T) {
	m := new(mesh)
	truth := counted(m, rand.New(rand.NewPCG(1, 2)), 400)["sparse"]
	stop := epoch + 400*10_000
	api := newAPI(t, m, stop, nil)
	worst := 0.0
	r := ask(t, api, "/api/v1/query_range", url.Values{
		"query": {`increase(hits{series="sparse"}[5m])`}, "start": {seconds(epoch + 1_200_000)}, "end": {seconds(stop)}, "step": {"60"}, "exact": {"0"},
	})
	for _, p := range r.Data.Result[0].Values {
		at := int64(p[0].(float64) * 1000)
		got, _ := strconv.ParseFloat(p[1].(string), 64)
		if want := truth.within(at-300_000, at); want > 0 {
			worst = max(worst, math.Abs(got-want)/want)
		}
	}
	if worst < 0.01 {
		t.Errorf("the worst error without edges is %v: is exact=0 without effect?", worst)
	}
}

// TestHistogramRatesAreExact does it for the buckets of a distribution.
func TestHistogramRatesAreExact(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	m := new(mesh)
	s := seriesOf(crdt.KindDistribution, "latency")
	type event struct {
		end   int64
		value float64
	}
	var all []event
	const windows = 120
	for w := range int64(windows) {
		for rng.Float64() < 0.5 {
			d, v := new(crdt.Distribution), math.Exp(rng.NormFloat64())
			if err := d.Observe(v, 1); err != nil {
				t.Fatal(err)
			}
			m.count("eu", "eu-1", s, epoch+w*10_000, crdt.Value{Kind: crdt.KindDistribution, X: d})
			all = append(all, event{epoch + w*10_000 + 10_000, v})
		}
	}
	stop := epoch + windows*10_000
	api := newAPI(t, m, stop, nil)
	for _, step := range []int64{10_000, 17_000, 120_000} {
		count := ask(t, api, "/api/v1/query_range", url.Values{
			"query": {"histogram_count(increase(latency[2m]))"}, "start": {seconds(epoch + 300_000)}, "end": {seconds(stop)}, "step": {seconds(step)},
		})
		median := ask(t, api, "/api/v1/query_range", url.Values{
			"query": {"histogram_quantile(0.5, sum(rate(latency[2m])))"}, "start": {seconds(epoch + 300_000)}, "end": {seconds(stop)}, "step": {seconds(step)},
		})
		if len(count.Data.Result) != 1 || len(median.Data.Result) != 1 {
			t.Fatalf("%d and %d results", len(count.Data.Result), len(median.Data.Result))
		}
		for i, p := range count.Data.Result[0].Values {
			at := int64(math.Round(p[0].(float64) * 1000))
			var values []float64
			for _, e := range all {
				if e.end > at-120_000 && e.end <= at {
					values = append(values, e.value)
				}
			}
			got, _ := strconv.ParseFloat(p[1].(string), 64)
			if got != float64(len(values)) {
				t.Fatalf("step %d at %d: %v samples, want %d", step, at, got, len(values))
			}
			if len(values) == 0 {
				continue
			}
			q, _ := strconv.ParseFloat(median.Data.Result[0].Values[i][1].(string), 64)
			below := 0
			for _, v := range values {
				if v <= q*1.011 {
					below++
				}
			}
			if float64(below) < float64(len(values))/2 {
				t.Errorf("step %d at %d: median %v has only %d of %d below", step, at, q, below, len(values))
			}
		}
	}
}

// TestWideWindowsTellTheSame asks for ranges whose edges are those of wide windows, of a history that has them and of one that
// has only the finest.
func TestWideWindowsTellTheSame(t *testing.T) {
	const hours = 5
	fill := func(m *mesh) *mesh {
		rng := rand.New(rand.NewPCG(5, 6))
		hits, load, visits := counterSeries("hits"), seriesOf(crdt.KindGauge, "load"), seriesOf(crdt.KindUnique, "visits")
		scraped := seriesOf(crdt.KindObserved, "scraped")
		for at := epoch; at < epoch+hours*3_600_000; at += 10_000 {
			if rng.Float64() < 0.3 {
				m.count("eu", "eu-1", hits, at, amount(rng.Uint64N(100)))
			}
			if rng.Float64() < 0.7 && at%3_600_000 >= 600_000 {
				g := crdt.RollupOf([]*crdt.Gauge{{Time: crdt.HLCFrom(at+rng.Int64N(10_000), 0), Value: float64(rng.IntN(1000))}})
				m.count("eu", "eu-1", load, at, crdt.Value{Kind: crdt.KindRollup, X: g})
				u := new(crdt.Unique)
				u.InsertHash(rng.Uint64N(500) * 0x9e3779b97f4a7c15)
				m.count("eu", "eu-1", visits, at, crdt.Value{Kind: crdt.KindUnique, X: u})
			}
			o := new(crdt.Observed)
			if err := o.Put(crdt.Sample{Source: "s", Start: 1, Time: at + 500, Value: crdt.FixedFromUint(uint64(at - epoch))}); err != nil {
				t.Fatal(err)
			}
			m.count("eu", "eu-1", scraped, at, crdt.Value{Kind: crdt.KindObserved, X: o})
		}
		return m
	}
	stop := epoch + hours*3_600_000
	all, fine := newAPI(t, fill(new(mesh)), stop, nil), newAPI(t, fill(&mesh{widths: []int64{10_000}}), stop, nil)
	for _, expr := range []string{
		"hits", "increase(hits[1h])", "rate(hits[2h])", "load", "min_over_time(load[1h])", "max_over_time(load[2h])", "last_over_time(load[1h])",
		"avg_over_time(load[1h])", "last_over_time(visits[1h])", "visits", "scraped", "rate(scraped[1h])", "last_over_time(scraped[1h])", "hits offset 1h",
	} {
		for _, step := range []string{"60", "3600"} {
			form := url.Values{"query": {expr}, "start": {seconds(epoch + 2*3_600_000)}, "end": {seconds(stop)}, "step": {step}}
			a, b := get(t, all, "/api/v1/query_range", form), get(t, fine, "/api/v1/query_range", form)
			if d := cmp.Diff(b.Body.String(), a.Body.String()); d != "" || !strings.Contains(b.Body.String(), "values") {
				t.Errorf("%s in steps of %s s (-finest +all):\n%.2000s", expr, step, d)
			}
		}
	}
}
