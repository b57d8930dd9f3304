package query

import (
	"fmt"
	"math/rand/v2"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"meshd/crdt"
	"meshd/history"
	"meshd/history/historytest"
)

var cacheBegin = time.Date(2026, 3, 14, 0, 0, 0, 0, time.UTC)

// lateWorld publishes windows of a hub's totals as their writer does: a fine window, and the minute and the hour around it.
type lateWorld struct {
	t     *testing.T
	rnd   *rand.Rand
	store *history.Store
	tag   uint64
	fine  map[string]map[int64]history.Cell // by series and start
}

func (w *lateWorld) publish(s *crdt.Series, at time.Time) {
	w.t.Helper()
	key, start := s.String(), at.Truncate(10*time.Second).UnixMilli()
	if w.fine[key] == nil {
		w.fine[key] = map[int64]history.Cell{}
	}
	kind := s.Kind
	if kind == crdt.KindGauge {
		kind = crdt.KindRollup
	}
	c, held := w.fine[key][start]
	if !held {
		c = history.Cell{Series: s, Window: crdt.Window{Start: start, Width: 10_000}, Value: crdt.Bottom(kind)}
	}
	more := crdt.Value{Kind: kind, P: crdt.FixedFromUint(1 + w.rnd.Uint64N(5))}
	switch kind {
	case crdt.KindRollup:
		more = crdt.Value{Kind: kind, X: crdt.RollupOf([]*crdt.Gauge{{Time: crdt.HLCFrom(start+w.rnd.Int64N(9000), 0), Value: w.rnd.Float64()}})}
	case crdt.KindDistribution:
		d := new(crdt.Distribution)
		if err := d.Observe(w.rnd.Float64(), 1); err != nil {
			w.t.Fatal(err)
		}
		more = crdt.Value{Kind: kind, X: d}
	default:
	}
	v := c.Value.Clone()
	if err := v.Combine(&more); err != nil {
		w.t.Fatal(err)
	}
	if r, ok := v.X.(*crdt.Rollup); ok {
		r.Stamp = crdt.HLC(r.Count)
	}
	c.Value = v
	w.fine[key][start] = c
	cells := []history.Cell{c}
	for _, width := range []time.Duration{time.Minute, time.Hour} {
		from := at.Truncate(width)
		var around []history.Cell
		for t := from; t.Before(from.Add(width)); t = t.Add(10 * time.Second) {
			if c, held := w.fine[key][t.UnixMilli()]; held {
				around = append(around, c)
			}
		}
		cells = append(cells, historytest.Widen(around, width)...)
	}
	w.tag++
	hub := crdt.Origin{Class: crdt.ClassRegion, Region: "eu", Node: "h", Inc: crdt.Incarnation{1}}
	if err := w.store.Apply(w.tag, hub, cells); err != nil {
		w.t.Fatal(err)
	}
}

// question draws one of few, so that they are asked again and again.
func (w *lateWorld) question() string {
	pick := func(of ...string) string { return of[w.rnd.IntN(len(of))] }
	step := []time.Duration{10 * time.Second, time.Minute, 10 * time.Minute, time.Hour}[w.rnd.IntN(4)]
	start := cacheBegin.Add(time.Duration(w.rnd.IntN(5)) * step)
	form := url.Values{"metric": {pick("clicks", "load", "*")}, "step": {step.String()}}
	form.Set("start", start.Format(time.RFC3339))
	form.Set("end", start.Add(time.Duration(1+w.rnd.IntN(6))*step).Format(time.RFC3339))
	for name, value := range map[string]string{
		"by": pick("", "host", "*"), "top": pick("", "1"), "agg": pick("", "avg", "sum"), "quantile": pick("", "0.5"), "match": pick("", "host=a", "host=~a|b"),
		"window": pick("", "", (2 * step).String()),
	} {
		if value != "" {
			form.Set(name, value)
		}
	}
	return "/v1/total?" + form.Encode()
}

// Random late data under questions that are asked again: what is kept answers as a server does that keeps nothing.
func TestKeptResultsAreThoseOfNow(t *testing.T) {
	for seed := range uint64(6) {
		at := cacheBegin.Add(8 * time.Hour)
		store, err := history.Open(history.Config{KV: noDisk{}, Now: func() time.Time { return at }})
		if err != nil {
			t.Fatal(err)
		}
		w := &lateWorld{t: t, rnd: rand.New(rand.NewPCG(seed, 3)), store: store, fine: map[string]map[int64]history.Cell{}}
		var all []*crdt.Series
		for _, host := range []string{"a", "b", "c"} {
			all = append(all, series(crdt.KindCounter, "clicks", "host", host), series(crdt.KindGauge, "load", "host", host),
				series(crdt.KindDistribution, "latency", "host", host), series(crdt.KindUnique, "users", "host", host)) // nothing is counted on the last
		}
		server := func(h history.Source) *Server {
			s, err := New(Config{Source: everyKind(), Registry: prometheus.NewRegistry(), History: h, Timeout: time.Minute})
			if err != nil {
				t.Fatal(err)
			}
			return s
		}
		keeps, reads := server(store), server(struct{ history.Source }{store})
		var asked []string
		for range 20 {
			asked = append(asked, w.question())
		}
		for i := range 400 {
			if w.rnd.IntN(3) == 0 {
				if s := all[w.rnd.IntN(len(all))]; s.Kind != crdt.KindUnique {
					w.publish(s, cacheBegin.Add(time.Duration(w.rnd.Int64N(int64(6*time.Hour)))/time.Duration(1+w.rnd.IntN(100))))
				}
			}
			if i == 300 { // what was asked for is older than is kept from here on
				at = at.Add(7*24*time.Hour - 6*time.Hour)
			}
			target := asked[w.rnd.IntN(len(asked))]
			got, want := send(keeps, "GET", target), send(reads, "GET", target)
			if diff := cmp.Diff(withoutAge(want.Body.String()), withoutAge(got.Body.String())); want.Code != 200 || diff != "" {
				t.Fatalf("seed %d, question %d, %s: status %d %s", seed, i, target, want.Code, diff)
			}
		}
		for name, c := range map[string]prometheus.Counter{"hits": keeps.cache.hits, "misses": keeps.cache.misses, "stale": keeps.cache.stale} {
			if valueOf(c) < 20 {
				t.Errorf("seed %d: only %v %s", seed, valueOf(c), name)
			}
		}
	}
}

// The bytes that are kept are bounded; what was not used for longest goes.
func TestKeptResultsAreBounded(t *testing.T) {
	store, err := history.Open(history.Config{KV: noDisk{}, Now: func() time.Time { return cacheBegin }})
	if err != nil {
		t.Fatal(err)
	}
	c := newCache(store)
	const size = maxCacheBytes / 20
	p := period{cacheBegin.UnixMilli(), cacheBegin.UnixMilli() + 1000}
	for i := range 30 {
		c.put(&kept{key: fmt.Sprint(i), period: p, mark: store.Mark(), results: encodedResults{json: make([]byte, size), count: 1}})
		if _, held := c.get("0"); !held && i < 25 {
			t.Fatalf("the one that is used was dropped after %d", i)
		}
	}
	if c.bytes > maxCacheBytes || c.order.Len() != len(c.byKey) || len(c.byKey) != 19 {
		t.Errorf("%d bytes in %d results", c.bytes, len(c.byKey))
	}
	if n := valueOf(c.evictions); n != 11 {
		t.Errorf("%v evictions, want 11", n)
	}
	c.put(&kept{key: "large", period: p, results: encodedResults{json: make([]byte, maxCacheBytes/2)}})
	if _, held := c.get("large"); held {
		t.Error("one answer took half of the room")
	}
}

// withoutAge cuts off the coverage, which says how old it is.
func withoutAge(body string) string {
	before, _, _ := strings.Cut(body, `"coverage"`)
	return before
}

func valueOf(c prometheus.Counter) float64 {
	var m dto.Metric
	if err := c.Write(&m); err != nil {
		panic(err) // it writes to memory
	}
	return m.GetCounter().GetValue()
}
