package ingest

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"meshd/crdt"
	"meshd/node"
)

// loadRules writes rules to a file and loads them.
func loadRules(t testing.TB, text string) (*ScrapeRules, error) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "scrape.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return LoadScrapeRules(file)
}

// newTestScraper returns a scraper of rules in front of a fake node.
func newTestScraper(t testing.TB, rules string) (*Scraper, *fakeNode, *prometheus.Registry) {
	t.Helper()
	r, err := loadRules(t, rules)
	if err != nil {
		t.Fatal(err)
	}
	n := newFakeNode()
	m, reg := newTestMetrics(t)
	s, err := NewScraper(ScrapeConfig{Rules: r, Door: newTestDoor(t, n, m), Self: "eu-1", Logger: discard()})
	if err != nil {
		t.Fatal(err)
	}
	return s, n, reg
}

// scrapeOnce scrapes every static target once, as its loop would.
func scrapeOnce(t testing.TB, s *Scraper, at time.Time) {
	t.Helper()
	s.door.now = func() time.Time { return at }
	targets, refused := s.targets()
	if refused > 0 {
		t.Fatalf("%d targets refused", refused)
	}
	for key, found := range targets {
		st := s.states[key]
		if st == nil {
			st = &targetState{target: found.target, nodes: []string{s.cfg.Self}}
			s.states[key] = st
		}
		l := &scrapeLoop{s: s, target: found.target, client: found.job.client, body: newExposition(found.target), health: st}
		l.scrape(t.Context())
	}
}

// says is a target that answers with one body.
func says(t testing.TB, contentType, text string) (addr string) {
	t.Helper()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentType)
		_, _ = w.Write([]byte(text))
	}))
	t.Cleanup(srv.Close)
	return strings.TrimPrefix(srv.URL, "http://")
}

func rulesFor(addr, more string) string {
	return fmt.Sprintf("scrape_configs:\n- job_name: app\n  static_configs: [{targets: [%q], labels: {instance: one}}]\n%s", addr, more)
}

const openMetricsText = `# TYPE hits counter
hits_total{path="/"} 7 1699999990.5
hits_created{path="/"} 1699990000
# TYPE temp gauge
temp -1.5
# TYPE took histogram
took_bucket{le="1"} 2
took_bucket{le="+Inf"} 3
took_sum 4.5
took_count 3
# TYPE size summary
size{quantile="0.5"} 3
size_sum 9
size_count 3
# EOF
`

const plainText = `# TYPE hits_total counter
hits_total{path="/"} 7
# TYPE temp gauge
temp_total 3
temp NaN
some_total 5
some 6
`

// TestScrapeReadsFormats: what the text formats say becomes the kinds that docs/semantics.md names.
func TestScrapeReadsFormats(t *testing.T) {
	for _, c := range []struct {
		name, contentType, text, more string
		want                          map[string]string
	}{
		{"openmetrics", "application/openmetrics-text; version=1.0.0", openMetricsText, "", map[string]string{
			`observed:hits_total{instance="one",job="app",path="/"}`:  "7 since 1699990000000 at 1699999990500",
			`gauge:temp{instance="one",job="app"}`:                    "-1.5",
			`observed:took_bucket{instance="one",job="app",le="1.0"}`: "2 since 0 at 1700000000000",
			`observed:took_count{instance="one",job="app"}`:           "3 since 0 at 1700000000000",
			`observed:size_sum{instance="one",job="app"}`:             "9 since 0 at 1700000000000",
			`gauge:size{instance="one",job="app",quantile="0.5"}`:     "3",
			`gauge:up{instance="one",job="app"}`:                      "1",
			`gauge:scrape_samples_scraped{instance="one",job="app"}`:  "9",
			`gauge:scrape_series_added{instance="one",job="app"}`:     "9",
		}},
		{"text", "text/plain; version=0.0.4", plainText, "", map[string]string{
			`observed:hits_total{instance="one",job="app",path="/"}`: "7 since 0 at 1700000000000",
			`observed:temp_total{instance="one",job="app"}`:          "3 since 0 at 1700000000000",
			`observed:some_total{instance="one",job="app"}`:          "5 since 0 at 1700000000000",
			`gauge:some{instance="one",job="app"}`:                   "6",
		}},
		{"without a type of content", "", "a_total 1\n", "", map[string]string{`observed:a_total{instance="one",job="app"}`: "1 since 0 at 1700000000000"}},
		{"timestamps not honored", "application/openmetrics-text", openMetricsText, "  honor_timestamps: false", map[string]string{
			`observed:hits_total{instance="one",job="app",path="/"}`: "7 since 1699990000000 at 1700000000000",
		}},
		{"process", "text/plain", "# TYPE a counter\na 5\nprocess_start_time_seconds 1.69e9\n", "  counters_begin_with_process: true", map[string]string{
			`observed:a{instance="one",job="app"}`: "5 since 1690000000000 at 1700000000000",
		}},
		{"conflicts", "text/plain", "a{job=\"mine\",exported_job=\"old\",region=\"r\"} 5\n", "", map[string]string{
			`gauge:a{exported_exported_job="mine",exported_job="old",exported_region="r",instance="one",job="app"}`: "5",
		}},
		{"honor_labels", "text/plain", "a{job=\"mine\"} 5\n", "  honor_labels: true", map[string]string{`gauge:a{instance="one",job="mine"}`: "5"}},
		{"metric rules", "text/plain", "a{x=\"1\"} 5\nb 6\n", `  metric_relabel_configs:
  - {source_labels: [__name__], regex: b, action: drop}
  - {source_labels: [x], target_label: y, replacement: "v$1"}
  - {regex: x, action: labeldrop}`, map[string]string{
			`gauge:a{instance="one",job="app",y="v1"}`:                              "5",
			`gauge:b{instance="one",job="app"}`:                                     "",
			`gauge:scrape_samples_scraped{instance="one",job="app"}`:                "2",
			`gauge:scrape_samples_post_metric_relabeling{instance="one",job="app"}`: "1",
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, n, _ := newTestScraper(t, rulesFor(says(t, c.contentType, c.text), c.more))
			scrapeOnce(t, s, time.UnixMilli(1_700_000_000_000))
			for series, want := range c.want {
				if got := n.told(series); got != want {
					t.Errorf("%s is %q, want %q", series, got, want)
				}
			}
			if t.Failed() {
				for name := range n.totals {
					t.Log(name, n.told(name))
				}
			}
		})
	}
}

// told is what a fake node knows of a series, "" if nothing.
func (f *fakeNode) told(series string) string {
	v := f.value(series)
	switch x := v.X.(type) {
	case *crdt.Gauge:
		return fmt.Sprint(x.Value)
	case *crdt.Observed:
		var runs []string
		for r := range x.Samples() {
			runs = append(runs, fmt.Sprintf("%s since %d at %d", r.Value, r.Start, r.Time))
		}
		return strings.Join(runs, ", ")
	case *crdt.Histograms:
		return fmt.Sprint(x.Total().Count())
	}
	return ""
}

// TestScrapeOfClientLibrary: a real client library and we agree on protobuf, with a native histogram and the times at
// which counters began.
func TestScrapeOfClientLibrary(t *testing.T) {
	reg := prometheus.NewRegistry()
	hits := prometheus.NewCounter(prometheus.CounterOpts{Name: "hits_total", Help: "x"})
	took := prometheus.NewHistogram(prometheus.HistogramOpts{Name: "took", Help: "x", NativeHistogramBucketFactor: 1.1})
	reg.MustRegister(hits, took)
	hits.Add(3)
	took.Observe(0.5)
	took.Observe(2)
	asked := ""
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = r.Header.Get("Accept")
		promhttp.HandlerFor(reg, promhttp.HandlerOpts{}).ServeHTTP(w, r)
	}))
	defer srv.Close()
	s, n, _ := newTestScraper(t, rulesFor(strings.TrimPrefix(srv.URL, "http://"), ""))
	scrapeOnce(t, s, time.Now())
	if !strings.Contains(asked, "application/vnd.google.protobuf") {
		t.Errorf("asked for %q", asked)
	}
	if got := n.told(`observed:hits_total{instance="one",job="app"}`); !strings.HasPrefix(got, "3 since 1") {
		t.Errorf("counter is %q, want 3 since the time at which it was made", got)
	}
	if got := n.told(`histogram:took{instance="one",job="app"}`); got != "2" {
		t.Errorf("native histogram has %q samples, want 2", got)
	}
}

// TestScrapeFailsWhole: a scrape that cannot be read or is beyond a limit counts nothing but that it failed.
func TestScrapeFailsWhole(t *testing.T) {
	for _, c := range []struct{ name, text, more, want string }{
		{"not an exposition", "good_total 1\n<html>", "", "not what its Content-Type"},
		{"cut short", "# TYPE a counter\na_total 1\n", "openmetrics", "not what its Content-Type"},
		{"too long", "good_total 1\nb 2\n", "  body_size_limit: 15B", "body_size_limit"},
		{"too many samples", "good_total 1\nb 2\nc 3\n", "  sample_limit: 2", "sample_limit"},
		{"too many labels", `good_total{a="1",b="2"} 1` + "\n", "  label_limit: 4", "label_limit"},
		{"long name", "good_total{abcdefghijk=\"1\"} 1\n", "  label_name_length_limit: 10", "label_name_length_limit"},
		{"long value", "good_total{a=\"abcdefghijkl\"} 1\n", "  label_value_length_limit: 11", "label_value_length_limit"},
	} {
		t.Run(c.name, func(t *testing.T) {
			contentType, more := "text/plain", c.more
			if more == "openmetrics" {
				contentType, more = "application/openmetrics-text", ""
			}
			s, n, reg := newTestScraper(t, rulesFor(says(t, contentType, c.text), more))
			scrapeOnce(t, s, testNow)
			if got := n.told(`gauge:up{instance="one",job="app"}`); got != "0" {
				t.Errorf("up is %q, want 0", got)
			}
			if got := s.Targets()[0]; got.Health != TargetDown || !strings.Contains(got.Error, c.want) {
				t.Errorf("health is %s, %q; want down with %q", got.Health, got.Error, c.want)
			}
			if len(n.totals) != ownScrapeSeries {
				t.Errorf("%d series counted, want only the %d about the scrape", len(n.totals), ownScrapeSeries)
			}
			if got := metric(t, reg, "scrapes_failed_total"); got != 1 {
				t.Errorf("%v scrapes failed, want 1", got)
			}
		})
	}
}

// TestScrapeRefusesSample: one bad sample does not touch the others.
func TestScrapeRefusesSample(t *testing.T) {
	s, n, reg := newTestScraper(t, rulesFor(says(t, "text/plain", "a_total -1\nb_total 2\n"), ""))
	scrapeOnce(t, s, testNow)
	if got := n.told(`observed:b_total{instance="one",job="app"}`); !strings.HasPrefix(got, "2 ") {
		t.Errorf("the good one is %q", got)
	}
	if got := metric(t, reg, "rejected_total", "protocol", "scrape", "reason", "negative"); got != 1 {
		t.Errorf("%v refused, want 1", got)
	}
	if got := n.told(`gauge:up{instance="one",job="app"}`); got != "1" {
		t.Errorf("up is %q, want 1", got)
	}
}

// TestScrapeWaitsForNode: what a busy node does not take is in the next scrape.
func TestScrapeWaitsForNode(t *testing.T) {
	s, n, reg := newTestScraper(t, rulesFor(says(t, "text/plain", "a_total 4\n"), ""))
	n.answer = func(*node.Batch) node.Result { return node.Result{Err: node.ErrBusy} }
	scrapeOnce(t, s, testNow)
	n.answer = nil
	scrapeOnce(t, s, testNow.Add(time.Minute))
	if got := n.told(`observed:a_total{instance="one",job="app"}`); !strings.HasPrefix(got, "4 ") {
		t.Errorf("the counter is %q", got)
	}
	if got := metric(t, reg, "deferred_total", "protocol", "scrape"); got != 1 {
		t.Errorf("%v batches deferred, want 1", got)
	}
}

// TestTwoScrapersCountAsOne: two nodes scrape one target, at different times, one of them with gaps, while it counts and is
// started again. What the mesh makes of both is what the target counted.
func TestTwoScrapersCountAsOne(t *testing.T) {
	text := ""
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/openmetrics-text")
		_, _ = w.Write([]byte(text))
	}))
	defer srv.Close()
	rules := rulesFor(strings.TrimPrefix(srv.URL, "http://"), "")
	a, na, _ := newTestScraper(t, rules)
	b, nb, _ := newTestScraper(t, rules)
	at := time.UnixMilli(1_700_000_000_000)
	for i, x := range []struct {
		count, begun int
		by           []*Scraper
	}{{5, 1000, []*Scraper{a, b}}, {9, 1000, []*Scraper{a}}, {2, 2000, []*Scraper{b}}, {4, 2000, []*Scraper{b, a}}} {
		text = fmt.Sprintf("# TYPE hits counter\nhits_total %d\nhits_created %d\n# TYPE temp gauge\ntemp %d\n# EOF\n", x.count, x.begun, i)
		for j, s := range x.by {
			scrapeOnce(t, s, at.Add(time.Duration(i)*time.Minute+time.Duration(j)*time.Second))
		}
	}
	v, other := na.value(`observed:hits_total{instance="one",job="app"}`), nb.value(`observed:hits_total{instance="one",job="app"}`)
	if err := v.Combine(&other); err != nil {
		t.Fatal(err)
	}
	if got := v.X.(*crdt.Observed).Total().String(); got != "13" {
		t.Errorf("both have %s, want 9 + 4 = 13", got)
	}
	g, later := na.value(`gauge:temp{instance="one",job="app"}`), nb.value(`gauge:temp{instance="one",job="app"}`)
	if ga, gb := g.X.(*crdt.Gauge), later.X.(*crdt.Gauge); ga.Value != 3 || gb.Value != 3 || ga.Time <= gb.Time {
		t.Errorf("gauges are %v and %v, want the last scrape's of each, the first node's the newest", ga, gb)
	}
}

// TestScraperRuns: the loop finds the targets of a file, scrapes them every interval, takes up and drops targets with
// the file, and shows how they are.
func TestScraperRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "targets.json")
		list := func(text string) {
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		list(`[{"targets": ["a:1", "b:1"], "labels": {"env": "test"}}]`)
		s, n, reg := newTestScraper(t, fmt.Sprintf("global: {scrape_interval: 15s}\nscrape_configs:\n- job_name: app\n  file_sd_configs: [{files: [%q]}]\n", file))
		s.door.now = time.Now
		var mu sync.Mutex
		asked := map[string]int{}
		s.jobs[0].client = &http.Client{Transport: transport(func(r *http.Request) string {
			mu.Lock()
			defer mu.Unlock()
			asked[r.URL.Host]++
			return fmt.Sprintf("hits_total %d\n", asked[r.URL.Host])
		})}
		times := func(host string) int {
			mu.Lock()
			defer mu.Unlock()
			return asked[host]
		}
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- s.Run(ctx) }()
		time.Sleep(time.Minute)
		synctest.Wait()
		if times("a:1") != 4 || times("b:1") != 4 {
			t.Errorf("in four intervals targets were asked %d and %d times", times("a:1"), times("b:1"))
		}
		if got := n.told(`observed:hits_total{env="test",instance="a:1",job="app"}`); !strings.HasPrefix(got, "4 ") {
			t.Errorf("the counter is %q, want 4", got)
		}
		list(`[{"targets": ["b:1", "c:1"]`) // half written
		time.Sleep(20 * time.Second)
		synctest.Wait()
		if len(s.Targets()) != 2 || metric(t, reg, "discovery_failures_total") == 0 {
			t.Error("a file that cannot be read must leave the targets as they were, and be counted")
		}
		list(`[{"targets": ["b:1", "c:1"], "labels": {"env": "test"}}]`)
		time.Sleep(20 * time.Second)
		synctest.Wait()
		a := times("a:1")
		time.Sleep(30 * time.Second)
		synctest.Wait()
		if times("a:1") != a || times("c:1") < 2 || times("b:1") < 8 {
			t.Errorf("a target that is gone is asked, or a new one is not: %d after %d, %d, %d", times("a:1"), a, times("b:1"), times("c:1"))
		}
		for _, target := range s.Targets() {
			if target.Health != TargetUp {
				t.Errorf("%s is %s: %s", target.URL, target.Health, target.Error)
			}
		}
		stop()
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
	})
}

// transport answers requests without a network.
type transport func(*http.Request) string

func (f transport) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	w.Header().Set("Content-Type", "text/plain")
	_, _ = w.WriteString(f(r))
	return w.Result(), nil
}
