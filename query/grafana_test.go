package query

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

type dashboard struct {
	Title      string
	Templating struct {
		List []struct {
			Name  string
			Query struct{ Query string }
		}
	}
	Panels []struct {
		Type, Title string
		Targets     []struct {
			Expr    string
			Instant bool
		}
	}
}

func dashboards(t *testing.T) map[string]dashboard {
	t.Helper()
	files, err := filepath.Glob("../deploy/grafana/dashboards/*.json")
	if err != nil || len(files) != 2 {
		t.Fatalf("dashboards %v, %v", files, err)
	}
	out := make(map[string]dashboard)
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var d dashboard
		if err := json.Unmarshal(b, &d); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		out[filepath.Base(file)] = d
	}
	return out
}

// asGrafana posts a form, as Grafana's data source does, and returns the data of the answer.
func asGrafana(t *testing.T, s http.Handler, path string, form url.Values) json.RawMessage {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, path, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	var a struct {
		Status, Error string
		Data          json.RawMessage
	}
	if err := json.Unmarshal(w.Body.Bytes(), &a); err != nil || a.Status != "success" {
		t.Errorf("%s %v: status %d, %s %v", path, form, w.Code, w.Body, err)
	}
	return a.Data
}

// Every question of both dashboards is asked as Grafana asks it; those about the application are about series that exist
// here, and have answers.
func TestGrafanaAsksAndIsAnswered(t *testing.T) {
	src, hist := recent(t)
	s, _ := newServer(t, src, func(c *Config) { c.History = hist })
	if data := asGrafana(t, s, "/api/v1/query", url.Values{"query": {"1+1"}, "time": {"4"}}); !strings.Contains(string(data), `"2"`) {
		t.Errorf("the health check: %s", data)
	}
	if w := send(s, "GET", "/api/v1/status/buildinfo"); w.Code != 200 || !strings.Contains(w.Body.String(), `"features":{}`) {
		t.Errorf("buildinfo: %s", w.Body)
	}
	// $counter and the other two become the one counter that there is, where the question is for such a kind.
	variables := strings.NewReplacer("$__rate_interval", "1m", "$__interval", "30s", "$__range", "300s", "$region", ".*", "$job", ".*",
		"$counter", "http.requests", "$distribution", "http.seconds", "$gauge", "load")
	now := float64(time.Now().UnixMilli()) / 1000
	text := func(f float64) string { return strconv.FormatFloat(f, 'f', 3, 64) }
	asked, answered := 0, 0
	for file, d := range dashboards(t) {
		for _, v := range d.Templating.List {
			labelValues(t, s, v.Query.Query)
		}
		for _, p := range d.Panels {
			if (p.Type == "row") != (len(p.Targets) == 0) {
				t.Errorf("%s: panel %q asks %d questions", file, p.Title, len(p.Targets))
			}
			for _, q := range p.Targets {
				expr := variables.Replace(q.Expr)
				if strings.Contains(expr, "$") {
					t.Errorf("%s: a variable is left in %s", file, expr)
				}
				path, form := "/api/v1/query_range", url.Values{"query": {expr}, "start": {text(now - 300)}, "end": {text(now)}, "step": {"15"}}
				if q.Instant {
					path, form = "/api/v1/query", url.Values{"query": {expr}, "time": {text(now)}}
				}
				asked++
				if data := asGrafana(t, s, path, form); strings.Contains(string(data), `"value`) {
					answered++
				} else if strings.Contains(expr, "http.requests") {
					t.Errorf("%s: no answer to %s: %s", file, expr, data)
				}
			}
		}
	}
	if asked < 30 || answered < 2 {
		t.Errorf("%d questions, %d answers: the test looks for the wrong thing", asked, answered)
	}
}

var labelValuesCall = regexp.MustCompile(`^label_values\((?:(.*), )?(\w+)\)$`)

// labelValues asks what Grafana asks for a variable.
func labelValues(t *testing.T, s http.Handler, query string) {
	t.Helper()
	m := labelValuesCall.FindStringSubmatch(query)
	if m == nil {
		t.Errorf("a variable by %q", query)
		return
	}
	target := "/api/v1/label/" + m[2] + "/values?start=1&end=2"
	if m[1] != "" {
		target += "&match[]=" + url.QueryEscape(m[1])
	}
	if w := send(s, "GET", target); w.Code != 200 {
		t.Errorf("%s: %d %s", target, w.Code, w.Body)
	}
}

// The names of meshd's own metrics on the dashboards are names that the handbook explains or this package exports.
func TestDashboardsNameMetricsThatExist(t *testing.T) {
	handbook, err := os.ReadFile("../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	src, _ := recent(t)
	s, _ := newServer(t, src, nil)
	known := string(handbook) + send(s, "GET", "/metrics").Body.String()
	names := regexp.MustCompile(`meshd_[a-z_]+`)
	found := 0
	for file, d := range dashboards(t) {
		for _, p := range d.Panels {
			for _, q := range p.Targets {
				for _, name := range names.FindAllString(q.Expr, -1) {
					if found++; !strings.Contains(known, strings.TrimSuffix(name, "_bucket")) {
						t.Errorf("%s: panel %q: nobody knows %s", file, p.Title, name)
					}
				}
			}
		}
	}
	if found < 20 {
		t.Errorf("only %d names found", found)
	}
}
