package query

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"meshd/node"
)

// send returns the answer to one request.
func send(s http.Handler, method, target string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w
}

func indent(t *testing.T, body []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := json.Indent(&b, body, "", "  "); err != nil {
		t.Fatalf("%v: %s", err, body)
	}
	return b.Bytes()
}

func TestGoldenAnswers(t *testing.T) {
	cut := everyKind()
	cut.coverage = append(cut.coverage[:1:1], node.Coverage{
		Region: "us", NodesExpected: 4, NodesHeard: 2, CompleteUntil: at.Add(-time.Minute), Age: time.Minute,
		OldestMissing: at.Add(-time.Hour), Missing: []string{"us-3", "us-4"}, Lost: 17,
		ClocksOff: 21, Clocks: []node.ClockOffset{{Node: "us-1", Offset: 4 * time.Second}, {Node: "us-2", Offset: -90 * time.Second}},
	})
	for _, c := range []struct {
		file, target string
		src          *fakeSource
		code         int
	}{
		{"total_everything.json", "/v1/total?metric=*&quantile=0.5,0.99", everyKind(), 200},
		{"total_by_region.json", "/v1/total?metric=http.requests&kind=counter&by=region", everyKind(), 200},
		{"total_one_region.json", "/v1/total?metric=stock&match=region=eu", cut, 200},
		{"total_short_share.json", "/v1/total?metric=stock&require=0.99", cut, 503},
		{"total_short_age.json", "/v1/total?metric=stock&max_age=10s", cut, 503},
		{"total_empty.json", "/v1/total?metric=nothing", everyKind(), 200},
		{"coverage.json", "/v1/coverage", cut, 200},
		{"coverage_short.json", "/v1/coverage?require=0.99", cut, 503},
		{"explain.json", "/v1/explain?metric=http.requests", everyKind(), 200},
		{"explain_one_region.json", "/v1/explain?metric=http.requests&match=region=us", everyKind(), 200},
		{"members.json", "/v1/members", everyKind(), 200},
		{"status.json", "/v1/status", everyKind(), 200},
	} {
		t.Run(c.file, func(t *testing.T) {
			s, _ := newServer(t, c.src, nil)
			w := send(s, "GET", c.target)
			if w.Code != c.code {
				t.Errorf("status %d, want %d", w.Code, c.code)
			}
			if (w.Header().Get("Retry-After") != "") != (c.code == 503) {
				t.Errorf("Retry-After is %q", w.Header().Get("Retry-After"))
			}
			golden(t, c.file, indent(t, w.Body.Bytes()))
		})
	}
}

func TestDemandsThatAreMet(t *testing.T) {
	s, _ := newServer(t, everyKind(), nil)
	for _, target := range []string{
		"/v1/total?metric=stock&require=1", "/v1/total?metric=stock&max_age=300ms", "/v1/total?metric=stock&require=0&max_age=1h",
		"/v1/coverage?require=1&max_age=300ms",
	} {
		if w := send(s, "GET", target); w.Code != 200 {
			t.Errorf("%s: status %d: %s", target, w.Code, w.Body)
		}
	}
}

// A region of which nothing is known, not even how many nodes it has, does not count as heard.
func TestARegionWithoutStatementsIsNotHeard(t *testing.T) {
	src := everyKind()
	src.coverage = append(src.coverage, node.Coverage{Region: "zz"})
	s, _ := newServer(t, src, nil)
	if w := send(s, "GET", "/v1/total?metric=stock&require=1"); w.Code != 503 || !strings.Contains(w.Body.String(), `"region":"zz"`) {
		t.Errorf("status %d: %s", w.Code, w.Body)
	}
}

// A node that knows no region, or not how old one is, must not pass for complete.
func TestUnknownCoverageIsNotComplete(t *testing.T) {
	for name, coverage := range map[string][]node.Coverage{
		"no region":   nil,
		"unknown age": {{Region: "eu", NodesExpected: 1, NodesHeard: 1}},
	} {
		s, _ := newServer(t, &fakeSource{coverage: coverage}, nil)
		if w := send(s, "GET", "/v1/total?metric=x"); w.Code != 200 || !strings.Contains(w.Body.String(), `"complete":false`) {
			t.Errorf("%s: %s", name, w.Body)
		}
		if w := send(s, "GET", "/v1/total?metric=x&max_age=1h"); w.Code != 503 {
			t.Errorf("%s: max_age is met by %s", name, w.Body)
		}
	}
}

func TestErrors(t *testing.T) {
	ready := func(c *Config) { c.Ready = func() error { return errors.New("disk is not open") } }
	for _, c := range []struct {
		name           string
		src            *fakeSource
		change         func(*Config)
		method, target string
		code           int
		want           string // in the error's text
	}{
		{"bad parameter", everyKind(), nil, "GET", "/v1/total?metrc=x", 400, `did you mean "metric"?`},
		{"time range", everyKind(), nil, "GET", "/v1/total?metric=x&window=5m", 400, "this node keeps no history"},
		{"parameter of another endpoint", everyKind(), nil, "GET", "/v1/explain?metric=x&by=a", 400, `unknown parameter "by"`},
		{"parameter where there are none", everyKind(), nil, "GET", "/v1/status?x=1", 400, `unknown parameter "x"`},
		{"explain without a metric", everyKind(), nil, "GET", "/v1/explain", 400, "metric is missing"},
		{"too many rows", &fakeSource{err: node.ErrTooMany}, nil, "GET", "/v1/total?metric=*", 400, "narrow the selection"},
		{"shutting down", &fakeSource{err: node.ErrClosed}, nil, "GET", "/v1/total?metric=*", 503, "shutting down"},
		{"a fault", &fakeSource{err: errors.New("broken")}, nil, "GET", "/v1/members", 500, "broken"},
		{"method", everyKind(), nil, "POST", "/v1/total?metric=x", 405, "use GET, HEAD"},
		{"method of a mounted route", everyKind(), nil, "GET", "/mounted", 405, "use POST"},
		{"path", everyKind(), nil, "GET", "/v1/totals", 404, "did you mean /v1/total?"},
		{"path far off", everyKind(), nil, "GET", "/favicon.png", 404, "there is no /favicon.png"},
		{"core loop stuck", &fakeSource{err: errors.New("stuck")}, nil, "GET", "/healthz", 503, "core loop does not answer: stuck"},
		{"not ready", everyKind(), ready, "GET", "/readyz", 503, "disk is not open"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, _ := newServer(t, c.src, c.change)
			s.Handle("POST /mounted", Read, http.NotFoundHandler())
			w := send(s, c.method, c.target)
			if w.Code != c.code {
				t.Errorf("status %d, want %d", w.Code, c.code)
			}
			var e errorAnswer
			if err := json.Unmarshal(w.Body.Bytes(), &e); err != nil || !strings.Contains(e.Error, c.want) {
				t.Errorf("body %s, want an error with %q", w.Body, c.want)
			}
			if (w.Header().Get("Allow") != "") != (c.code == 405) {
				t.Errorf("Allow is %q", w.Header().Get("Allow"))
			}
		})
	}
}

func TestHealthMetricsAndMountedRoutes(t *testing.T) {
	s, registry := newServer(t, everyKind(), func(c *Config) {
		c.Events = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusAccepted) })
	})
	s.Handle("GET /{$}", Read, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "page") }))
	for _, c := range []struct {
		method, target string
		code           int
		want           string
	}{
		{"GET", "/healthz", 200, "ok\n"},
		{"HEAD", "/healthz", 200, ""},
		{"GET", "/readyz", 200, "ok\n"},
		{"POST", "/v1/events", 202, ""},
		{"GET", "/", 200, "page"},
		{"GET", "/metrics", 200, `meshd_http_requests_total{code="202",route="/v1/events"} 1`},
	} {
		w := send(s, c.method, c.target)
		if w.Code != c.code || !strings.Contains(w.Body.String(), c.want) {
			t.Errorf("%s %s: %d %.200s", c.method, c.target, w.Code, w.Body)
		}
	}
	send(s, "GET", "/nowhere")
	if n := counted(t, registry, "meshd_http_requests_total", "404", "none"); n != 1 {
		t.Errorf("%v requests to no route are counted, want 1", n)
	}
}

func TestForeignPagesCannotWrite(t *testing.T) {
	s, registry := newServer(t, everyKind(), func(c *Config) {
		c.Events = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusAccepted) })
	})
	if w := send(s, "POST", "/v1/events", "Sec-Fetch-Site", "cross-site"); w.Code != 403 {
		t.Errorf("status %d, want 403", w.Code)
	}
	if n := counted(t, registry, "meshd_http_refused_total", "cross_origin"); n != 1 {
		t.Errorf("%v are counted, want 1", n)
	}
}

func TestQueriesTimeOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, registry := newServer(t, &fakeSource{hang: true}, func(c *Config) { c.Timeout = 3 * time.Second })
		start := time.Now()
		for _, c := range []struct {
			target string
			after  time.Duration
		}{{"/v1/total?metric=x", 3 * time.Second}, {"/healthz", healthTimeout}} {
			w := send(s, "GET", c.target)
			if took := time.Since(start); w.Code != 503 || took != c.after {
				t.Errorf("%s: %d after %s, want 503 after %s", c.target, w.Code, took, c.after)
			}
			start = time.Now()
		}
		if n := counted(t, registry, "meshd_http_refused_total", "timeout"); n != 1 {
			t.Errorf("%v are counted, want 1", n)
		}
	})
}

// With one query at a time, 32 wait (one of them runs) and the next is refused at once.
func TestQueriesBeyondTheBoundAreRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, registry := newServer(t, &fakeSource{hang: true}, func(c *Config) { c.Concurrent = 1 })
		var done sync.WaitGroup
		for range waitingPerQuery {
			done.Go(func() { send(s, "GET", "/v1/total?metric=x") })
		}
		synctest.Wait()
		start := time.Now()
		if w := send(s, "GET", "/v1/total?metric=x"); w.Code != 503 || !strings.Contains(w.Body.String(), "too many queries") {
			t.Errorf("%d %s", w.Code, w.Body)
		}
		if took := time.Since(start); took != 0 {
			t.Errorf("refused after %s", took)
		}
		if n := counted(t, registry, "meshd_http_refused_total", "busy"); n != 1 {
			t.Errorf("%v are counted, want 1", n)
		}
		done.Wait()
	})
}

func TestConfigIsChecked(t *testing.T) {
	if _, err := New(Config{}); err == nil {
		t.Error("a server without a source is made")
	}
	if _, err := New(Config{Source: everyKind()}); err == nil {
		t.Error("a server without a registry is made")
	}
}

func TestServeEndsWithItsContext(t *testing.T) {
	s, _ := newServer(t, everyKind(), nil)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx, ln) }()
	c, err := NewClient(ln.Addr().String(), "")
	if err != nil {
		t.Fatal(err)
	}
	st, err := c.Status(t.Context())
	if err != nil || st.Node != "eu-1" {
		t.Errorf("%+v, %v", st, err)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("Serve: %v", err)
	}
	if _, err := c.Status(t.Context()); err == nil {
		t.Error("the server answers after its end")
	}
}
