package query

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"meshd/crdt"
	"meshd/history"
	"meshd/history/historytest"
	"meshd/query/prom"
)

// recent is a history of ten minutes up to now: 60 requests a minute in eu, and lifetimes that say so.
func recent(t *testing.T) (*fakeSource, *historytest.Source) {
	t.Helper()
	src, hist := everyKind(), new(historytest.Source)
	start := time.Now().Add(-10 * time.Minute).Truncate(10 * time.Second).UnixMilli()
	get := series(crdt.KindCounter, "http.requests", "method", "GET")
	for i := range int64(60) {
		for _, o := range []history.Owner{{Region: "us"}, {Region: "us", Node: "us-1"}} {
			hist.Add(o, get, history.Point{Window: crdt.Window{Start: start + i*10_000, Width: 10_000}, Value: counter("10")})
		}
	}
	for i := range src.rows {
		if r := &src.rows[i]; r.Node == "us-1" && r.Series.Get("method") == "GET" {
			r.Value = counter("1000")
		}
	}
	for i := range src.coverage {
		src.coverage[i].CompleteUntil = time.Now()
	}
	return src, hist
}

func TestPrometheusRoutesOfANode(t *testing.T) {
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte("secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	src, hist := recent(t)
	src.coverage[0].Missing, src.coverage[0].NodesHeard = []string{"eu-2"}, 1
	s, registry := newServer(t, src, func(c *Config) { c.History, c.Version, c.TokenFile = hist, "1.2.3", token })
	for _, row := range []struct {
		name, method, target, auth string
		code                       int
		body                       []string
	}{
		{"rate", "GET", `/api/v1/query?query=rate(%7B%22http.requests%22%7D%5B5m%5D)`, "Bearer secret", 200, []string{`"1"`, `1 of 2 nodes missing (eu-2)`}},
		{"total", "GET", `/api/v1/query?query=sum(%7B%22http.requests%22,method=%22GET%22%7D)`, "Bearer secret", 200, []string{`"1000"`}},
		{"regions", "GET", `/api/v1/label/region/values`, "Bearer secret", 200, []string{`["eu","us"]`}},
		{"nodes", "GET", `/api/v1/label/node/values`, "Bearer secret", 200, []string{`"eu-1"`, `"eu-2"`, `"us-1"`}},
		{"version", "GET", `/api/v1/status/buildinfo`, "Bearer secret", 200, []string{`meshd 1.2.3`}},
		{"a password", "GET", `/api/v1/labels`, "Basic Z3JhZmFuYTpzZWNyZXQ=", 200, []string{`"method"`}},
		{"no token", "GET", `/api/v1/query?query=1`, "", 401, []string{"token is missing"}},
		{"mistyped", "GET", `/api/v1/querry`, "Bearer secret", 404, []string{"did you mean /api/v1/query?"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			req := httptest.NewRequest(row.method, row.target, nil)
			if row.auth != "" {
				req.Header.Set("Authorization", row.auth)
			}
			w := httptest.NewRecorder()
			s.ServeHTTP(w, req)
			if w.Code != row.code {
				t.Errorf("status %d, want %d: %s", w.Code, row.code, w.Body)
			}
			for _, text := range row.body {
				if !strings.Contains(w.Body.String(), text) {
					t.Errorf("%q is missing: %s", text, w.Body)
				}
			}
		})
	}
	if n := counted(t, registry, "meshd_http_requests_total", "200", "/api/v1/label/{name}/values"); n != 2 {
		t.Errorf("requests counted by route: %v, want 2", n)
	}
}

func TestACutNodeGoesOnWithItsOwnRegion(t *testing.T) {
	now := time.Date(2024, 5, 6, 7, 8, 9, 0, time.UTC)
	for _, row := range []struct {
		name string
		age  time.Duration // 0: unknown
		own  bool
		want time.Duration
	}{
		{"fresh", time.Second, false, 9 * time.Second},
		{"own, fresh", time.Second, true, 9 * time.Second},
		{"cut off", time.Hour, false, time.Hour + 9*time.Second},
		{"own, cut off", time.Hour, true, 9 * time.Second},
		{"unknown", 0, false, 9 * time.Second},
	} {
		r := RegionCoverage{}
		if row.age != 0 {
			r.CompleteUntil = Time{now.Add(-row.age)}
		}
		if got := completeWindows(&r, row.own, now.UnixMilli()); got != now.Add(-row.want).UnixMilli() {
			t.Errorf("%s: complete %s ago, want %s", row.name, now.Sub(time.UnixMilli(got)), row.want)
		}
	}
}

func TestBusyPrometheusAPI(t *testing.T) {
	src, hist := recent(t)
	s, _ := newServer(t, src, func(c *Config) { c.History, c.Concurrent = hist, 1 })
	for range cap(s.waiting) {
		s.waiting <- struct{}{}
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/api/v1/query?query=1", nil))
	if w.Code != http.StatusServiceUnavailable || !strings.Contains(w.Body.String(), `"errorType":"unavailable"`) {
		t.Errorf("status %d: %s", w.Code, w.Body)
	}
}

func TestATotalOverTimeSaysWhatIsTakenOver(t *testing.T) {
	src, hist := recent(t)
	since := time.Now().Add(-30 * time.Minute).UnixMilli()
	s, _ := newServer(t, src, func(c *Config) { c.History, c.WindowsSince = hist, func() int64 { return since } })
	for _, row := range []struct {
		start string
		said  bool
	}{{"-1h", true}, {"-10m", false}} {
		w := httptest.NewRecorder()
		s.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/v1/total?metric=http.requests&start="+row.start, nil))
		if said := strings.Contains(w.Body.String(), prom.Lacking(since)); w.Code != http.StatusOK || said != row.said {
			t.Errorf("since %s: %d, said %t, want %t: %s", row.start, w.Code, said, row.said, w.Body)
		}
	}
}

func TestAnEdgeAnswersFromItsOwnWindowsAndSaysSo(t *testing.T) {
	src, hist := recent(t)
	src.state.Region, src.state.Node = "us", "us-1"
	s, _ := newServer(t, src, func(c *Config) { c.History, c.OwnWindows = hist, history.Owner{Region: "us", Node: "us-1"} })
	for _, row := range []struct {
		target string
		want   []string
	}{
		{`/api/v1/query?query=rate(%7B%22http.requests%22%7D%5B5m%5D)`, []string{`"region":"us"`, `"1"`, onlyOwn}},
		{`/api/v1/query?query=rate(%7B%22http.requests%22,node=%22us-1%22%7D%5B5m%5D)`, []string{`"node":"us-1"`, `"1"`}},
		{`/api/v1/label/__name__/values`, []string{`["http.requests"]`}},
		{`/v1/total?metric=http.requests&start=-1h&by=region`, []string{`"value":600`, `"complete":false`, onlyOwn}},
	} {
		w := httptest.NewRecorder()
		s.ServeHTTP(w, httptest.NewRequest(http.MethodGet, row.target, nil))
		for _, text := range row.want {
			if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), text) {
				t.Errorf("%s: status %d, %q is missing: %s", row.target, w.Code, text, w.Body)
			}
		}
	}
}
