package prom

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"meshd/crdt"
	"meshd/history"
)

var update = flag.Bool("update", false, "rewrite the golden files in testdata")

// now is the instant of the fixtures: ten minutes after the epoch.
const now = epoch + 600_000

// everyKind is two regions that counted something of every kind in each of the ten minutes.
func everyKind(t testing.TB) *mesh {
	m := new(mesh)
	get, post := counterSeries("http.requests", "method", "GET"), counterSeries("http.requests", "method", "POST")
	stock, temp := seriesOf(crdt.KindUpDown, "stock"), seriesOf(crdt.KindGauge, "temperature", "room", "cold")
	lat, visits := seriesOf(crdt.KindDistribution, "latency"), seriesOf(crdt.KindUnique, "visitors")
	cpu, size := seriesOf(crdt.KindObserved, "cpu.seconds", "mode", "user"), seriesOf(crdt.KindHistogram, "sizes")
	for i := range int64(10) {
		at := epoch + i*60_000 + 5_000
		m.count("eu", "eu-1", get, at, amount(60))
		m.count("us", "us-1", get, at, amount(6))
		m.count("eu", "eu-2", post, at, amount(uint64(i)))
		m.count("eu", "eu-1", stock, at, crdt.Value{Kind: crdt.KindUpDown, P: crdt.FixedFromUint(5), N: crdt.FixedFromUint(uint64(2 * i % 3))})
		g := crdt.RollupOf([]*crdt.Gauge{{Time: crdt.HLCFrom(at, 0), Value: float64(i)}, {Time: crdt.HLCFrom(at+1000, 0), Value: -float64(i)}})
		m.count("eu", "eu-1", temp, at, crdt.Value{Kind: crdt.KindRollup, X: g})
		d, u := new(crdt.Distribution), new(crdt.Unique)
		if err := d.Observe(0.5, 4); err != nil {
			t.Fatal(err)
		}
		m.count("us", "us-1", lat, at, crdt.Value{Kind: crdt.KindDistribution, X: d})
		for k := range uint64(3) {
			u.InsertHash((uint64(i)/5*100 + k + 1) * 0x9e3779b97f4a7c15)
		}
		m.count("eu", "eu-1", visits, at, crdt.Value{Kind: crdt.KindUnique, X: u})
		o, h := new(crdt.Observed), new(crdt.Histograms)
		if err := errors.Join(
			o.Put(crdt.Sample{Source: "host-1", Start: epoch - 1000, Time: at, Value: crdt.FixedFromUint(uint64(100 + 3*i))}),
			o.Put(crdt.Sample{Source: "host-2", Start: epoch - 1000, Time: at, Value: crdt.FixedFromUint(uint64(1000))}),
			h.Put("host-1", epoch-1000, func() *crdt.Distribution {
				d := new(crdt.Distribution)
				_ = d.Observe(2, uint64(1+i)) // cannot fail
				return d
			}())); err != nil {
			t.Fatal(err)
		}
		m.count("eu", "eu-1", cpu, at, crdt.Value{Kind: crdt.KindObserved, X: o})
		m.count("eu", "eu-1", size, at, crdt.Value{Kind: crdt.KindHistogram, X: h})
	}
	return m
}

// request is one row of a table: a request and the file with its answer.
type request struct {
	name string
	path string // under /api/v1/
	form string // query string
}

func TestAnswers(t *testing.T) {
	api := newAPI(t, everyKind(t), now, nil)
	at := "time=" + seconds(now)
	spell := "start=" + seconds(epoch+300_000) + "&end=" + seconds(now) + "&step=60"
	for _, r := range []request{
		{"grafanas_health_check", "query", "query=1%2B1&" + at},
		{"buildinfo", "status/buildinfo", ""},
		{"counters_stand_at_their_totals", "query", `query={"http.requests"}&` + at},
		{"counters_as_of_an_earlier_time", "query", `query={"http.requests"}&time=` + seconds(epoch+300_000)},
		{"rate_of_counters", "query", `query=sum+by+(region)+(rate({"http.requests"}[5m]))&` + at},
		{"increase_over_a_range", "query_range", `query=increase({"http.requests",method="POST"}[1m])&` + spell},
		{"raw_samples", "query", `query={"http.requests",method="POST"}[2m]&` + at},
		{"slope_of_the_last_two", "query", `query=irate({"http.requests",method="GET"}[5m])&time=` + seconds(now-50_000)},
		{"delta_of_an_updown", "query", `query=delta(stock[5m])&` + at},
		{"updown", "query_range", `query=stock&` + spell},
		{"nodes_when_named", "query", `query={"http.requests",node=~"eu-.*"}&` + at},
		{"nodes_when_grouped", "query", `query=sum+by+(node)+(increase({"http.requests"}[5m]))&` + at},
		{"gauge", "query_range", `query=temperature&` + spell},
		{"mean_of_a_gauge", "query", `query=avg_over_time(temperature[10m])&` + at},
		{"greatest_of_a_gauge", "query", `query=max_over_time(temperature[10m])&` + at},
		{"distribution", "query", `query=latency&` + at},
		{"quantile", "query", `query=histogram_quantile(0.9,rate(latency[5m]))&` + at},
		{"fraction", "query", `query=histogram_fraction(0,0.6,increase(latency[5m]))&` + at},
		{"mean_of_a_distribution", "query", `query=histogram_avg(increase(latency[5m]))&` + at},
		{"unique_by_window", "query_range", `query=visitors&` + spell},
		{"unique_over_a_range", "query", `query=last_over_time(visitors[10m])&` + at},
		{"observed", "query", `query=rate({"cpu.seconds"}[5m])&time=` + seconds(now-50_000)},
		{"histogram_of_a_source", "query", `query=histogram_count(sizes)&` + at},
		{"by_kind", "query", `query=count+by+(__name__)+({kind="counter"})&` + at},
		{"nothing", "query", `query={"no.such"}&` + at},
		{"limited", "query", `query={"http.requests"}&limit=1&` + at},
		{"an_info", "query", `query=rate(temperature[5m])&` + at},
		{"scalar", "query", `query=scalar(vector(-0.5))&time=1.5`},
		{"string", "query", `query="a\u0001b"&time=-1.25`},
		{"label_names", "labels", ``},
		{"label_names_of_a_metric", "labels", `match[]=temperature`},
		{"names", "label/__name__/values", ``},
		{"values_of_a_label", "label/method/values", `match[]={"http.requests"}`},
		{"values_of_a_label_in_a_region", "label/method/values", `match[]={region="us"}`},
		{"values_of_an_escaped_label", "label/U__me_74_hod/values", ``},
		{"values_limited", "label/__name__/values", `limit=2`},
		{"regions_of_a_metric", "label/region/values", `match[]=latency`},
		{"nodes_of_a_region", "label/node/values", `match[]={"http.requests",region="eu"}`},
		{"series", "series", `match[]={"http.requests"}&match[]=stock`},
		{"series_limited", "series", `match[]={"http.requests"}&limit=1`},
		{"metadata", "metadata", ``},
		{"metadata_limited", "metadata", `limit=1`},
		{"metadata_of_one", "metadata", `metric=latency`},
		{"formatted", "format_query", `query=sum+by(a)(rate(x[5m]))`},
		{"parsed", "parse_query", `query=sum+without(a)(topk(3,-max_over_time(x{b!="c"}[5m:1m]+@+7+offset+1m))*on(d)group_left(e)abs((y)))+or+label_replace(z,"a","b","c","d")`},
		{"parsed_selector", "parse_query", `query=rate(x{b=~"c"}[5m])%2B1`},
	} {
		t.Run(r.name, func(t *testing.T) {
			form := strings.ReplaceAll(r.form, `{`, "%7B")
			form = strings.ReplaceAll(strings.ReplaceAll(strings.ReplaceAll(form, `}`, "%7D"), `"`, "%22"), " ", "+")
			req := httptest.NewRequest(http.MethodGet, "/api/v1/"+r.path+"?"+form, nil)
			w := httptest.NewRecorder()
			api.ServeHTTP(w, req)
			golden(t, r.name+".json", indented(t, w.Body.Bytes()))
		})
	}
}

func indented(t *testing.T, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := json.Indent(&out, b, "", " "); err != nil {
		t.Fatalf("%v: %s", err, b)
	}
	return out.Bytes()
}

// golden compares got with testdata/name.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	got = bytes.ReplaceAll(got, []byte(goVersion()), []byte("GO"))
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

func TestRefusals(t *testing.T) {
	m := everyKind(t)
	long := strings.Repeat("x", maxQueryBytes+1)
	spell := "&start=0&end=100&step=10"
	broken := errors.New("disk on fire")
	for _, r := range []struct {
		name   string
		method string
		path   string
		form   string
		change func(*Config)
		code   int
		kind   string
		text   string
	}{
		{"no expression", "", "query", "", nil, 400, "bad_data", `invalid parameter "query"`},
		{"bad expression", "", "query", "query=sum(", nil, 400, "bad_data", "parse error"},
		{"long expression", "", "query", "query=" + long, nil, 400, "bad_data", "at most 65536"},
		{"bad time", "", "query", "query=1&time=noon", nil, 400, "bad_data", `cannot parse "noon"`},
		{"time without end", "", "query", "query=1&time=1e300", nil, 400, "bad_data", "cannot parse"},
		{"time is no number", "", "query", "query=1&time=NaN", nil, 400, "bad_data", "cannot parse"},
		{"bad timeout", "", "query", "query=1&timeout=soon", nil, 400, "bad_data", "timeout"},
		{"bad limit", "", "query", "query=1&limit=-1", nil, 400, "bad_data", "non-negative"},
		{"bad exact", "", "query", "query=1&exact=maybe", nil, 400, "bad_data", "want 0 or 1"},
		{"no range", "", "query_range", "query=1", nil, 400, "bad_data", `invalid parameter "start"`},
		{"end before start", "", "query_range", "query=1&start=2&end=1&step=1", nil, 400, "bad_data", "end timestamp must not be before"},
		{"no step", "", "query_range", "query=1&start=1&end=2", nil, 400, "bad_data", "step"},
		{"zero step", "", "query_range", "query=1&start=1&end=2&step=0", nil, 400, "bad_data", "zero or negative"},
		{"tiny step", "", "query_range", "query=1&start=1&end=2&step=0.0001", nil, 400, "bad_data", "a millisecond at least"},
		{"many steps", "", "query_range", "query=1&start=0&end=100000&step=1", nil, 400, "bad_data", "11,000 points"},
		{"range of a matrix", "", "query_range", "query=x[5m]" + spell, nil, 400, "bad_data", "invalid expression type"},
		{"overflowing step", "", "query_range", "query=1&start=1&end=2&step=1e300", nil, 400, "bad_data", "overflows"},
		{"many to many", "", "query", `query={"http.requests"}*on(){"http.requests"}&time=` + seconds(now), nil, 422, "execution", "many-to-many"},
		{"too many samples", "", "query", `query={"http.requests"}[1h]&time=` + seconds(now), func(c *Config) { c.MaxSamples = 10 }, 422, "execution", "10 samples"},
		{"too many evaluations", "", "query", `query=rate({"http.requests"}[1m])[1d:1s]`, func(c *Config) { c.MaxSamples = 1000 }, 422, "execution", "86401 evaluations"},
		{"failing store", "", "query", `query=x`, func(c *Config) { c.History = failing{broken} }, 422, "execution", "disk on fire"},
		{"failing totals", "", "query", `query=x`, func(c *Config) { c.History, c.Totals = failing{}, nil }, 200, "", ""},
		{"failing coverage", "", "query", `query=x`, func(c *Config) {
			c.Regions = func(context.Context) ([]Region, error) { return nil, broken }
		}, 422, "execution", "disk on fire"},
		{"slow store", "", "query", `query=x&timeout=1ms`, func(c *Config) { c.History = hanging{} }, 503, "timeout", ""},
		{"busy", "", "query", "query=1", func(c *Config) {
			c.Admit = func(context.Context) (func(), error) { return nil, broken }
			c.Busy = func(err error) bool { return errors.Is(err, broken) }
		}, 503, "unavailable", "disk on fire"},
		{"series without selector", "", "series", "", nil, 400, "bad_data", "no match[] parameter provided"},
		{"bad selector", "", "series", "match[]={", nil, 400, "bad_data", "match[]"},
		{"selector of all", "", "series", "match[]={a=~\".*\"}", nil, 400, "bad_data", "match[]"},
		{"long selector", "", "labels", "match[]=" + long, nil, 400, "bad_data", "at most 65536"},
		{"bad label", "", "label/%FF/values", "", nil, 400, "bad_data", "invalid label name"},
		{"bad bound", "", "labels", "start=2&end=1", nil, 400, "bad_data", "end timestamp"},
		{"bad number", "", "metadata", "limit=many", nil, 400, "bad_data", "limit"},
		{"bad tree", "", "parse_query", "query=(", nil, 400, "bad_data", "parse error"},
		{"bad format", "", "format_query", "query=(", nil, 400, "bad_data", "parse error"},
		{"bad form", "", "query", "query=%zz", nil, 400, "bad_data", "error parsing form"},
		{"deletion", http.MethodDelete, "series", "", nil, 405, "bad_data", "use GET, HEAD, POST"},
		{"post of values", http.MethodPost, "label/a/values", "", nil, 405, "bad_data", "use GET, HEAD"},
	} {
		t.Run(r.name, func(t *testing.T) {
			api := newAPI(t, m, now, r.change)
			method := r.method
			if method == "" {
				method = http.MethodGet
			}
			req := httptest.NewRequest(method, "/api/v1/"+r.path, nil)
			req.URL.RawQuery = strings.ReplaceAll(r.form, " ", "+")
			w := httptest.NewRecorder()
			api.ServeHTTP(w, req)
			var got reply
			if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil && r.code != 200 {
				t.Fatalf("%v: %s", err, w.Body)
			}
			if w.Code != r.code || got.ErrorType != r.kind || !strings.Contains(got.Error, r.text) {
				t.Errorf("got %d %s", w.Code, w.Body)
			}
			if (w.Code == 503) != (w.Header().Get("Retry-After") != "") {
				t.Error("a client is told when to retry exactly if it may")
			}
		})
	}
}

// failing is a history that cannot be read.
type failing struct{ err error }

func (f failing) Curves(context.Context, history.Selection, func(*history.Curve) error) error {
	return f.err
}

func (f failing) Series(context.Context, history.Selection, func(*crdt.Series) error) error {
	return f.err
}

// hanging is a history that answers never.
type hanging struct{ failing }

func (hanging) Curves(ctx context.Context, _ history.Selection, _ func(*history.Curve) error) error {
	<-ctx.Done()
	return ctx.Err()
}

// TestFormsInBodies sends what Grafana sends.
func TestFormsInBodies(t *testing.T) {
	api := newAPI(t, everyKind(t), now, nil)
	form := url.Values{"query": {`sum(rate({"http.requests"}[5m]))`}, "time": {"2023-11-14T22:10:00.000Z"}, "timeout": {"10"}}
	req := httptest.NewRequest(http.MethodPost, "/api/v1/query", strings.NewReader(form.Encode()))
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	w := httptest.NewRecorder()
	api.ServeHTTP(w, req)
	want := ask(t, api, "/api/v1/query", url.Values{"query": form["query"], "time": {seconds(now)}})
	var got reply
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || w.Code != 200 {
		t.Fatalf("%d %v: %s", w.Code, err, w.Body)
	}
	if d := cmp.Diff(want.Data, got.Data); d != "" {
		t.Errorf("(-get +post):\n%s", d)
	}
}

// TestGapsAreWarnings looks at what a reader learns of a region that is cut off.
func TestGapsAreWarnings(t *testing.T) {
	cut := now - 420_000
	api := newAPI(t, everyKind(t), now, func(c *Config) {
		c.Regions = func(context.Context) ([]Region, error) {
			return []Region{{Name: "eu", Until: now}, {Name: "us", Until: cut, Gap: "region us: 1 of 1 nodes missing"}}, nil
		}
	})
	w := get(t, api, "/api/v1/query", url.Values{"query": {"1"}, "time": {seconds(now)}})
	if h := w.Header().Get("X-Meshd-Coverage"); h != "incomplete" || !strings.Contains(w.Body.String(), `"warnings":["region us: 1 of 1 nodes missing"]`) {
		t.Errorf("header %q, body %s", h, w.Body)
	}
	for _, row := range []struct {
		at   int64
		want map[string]string // by region
	}{
		{cut, map[string]string{"eu": "120", "us": "12"}},
		{cut + 120_000, map[string]string{"eu": "120", "us": "12"}}, // the last whole range before the cut still counts
		{now, map[string]string{"eu": "120"}},                       // and is forgotten after five minutes
	} {
		r := ask(t, api, "/api/v1/query", url.Values{"query": {`increase({"http.requests",method="GET"}[2m])`}, "time": {seconds(row.at)}})
		got := map[string]string{}
		for _, s := range r.Data.Result {
			got[s.Metric["region"]] = s.Value[1].(string)
		}
		if d := cmp.Diff(row.want, got); d != "" {
			t.Errorf("at %d (-want +got):\n%s", row.at-epoch, d)
		}
	}
	total := ask(t, api, "/api/v1/query", url.Values{"query": {`sum({"http.requests"})`}, "time": {seconds(now)}})
	if got := total.Data.Result[0].Value[1]; got != "705" {
		t.Errorf("totals stay: got %v, want 705", got)
	}
}

// TestWhatIsTakenOverIsMissing looks at what a reader learns of times before which windows may be missing.
func TestWhatIsTakenOverIsMissing(t *testing.T) {
	since := now - 600_000
	api := newAPI(t, everyKind(t), now, func(c *Config) {
		c.Regions = func(context.Context) ([]Region, error) {
			return []Region{{Name: "eu", Until: now, Since: since}, {Name: "us", Until: now, Since: since}}, nil
		}
	})
	for _, row := range []struct {
		at   int64
		said int
	}{{now, 0}, {since + 60_000, 1}} {
		w := get(t, api, "/api/v1/query", url.Values{"query": {`increase({"http.requests"}[2m])`}, "time": {seconds(row.at)}})
		if n := strings.Count(w.Body.String(), Lacking(since)); n != row.said {
			t.Errorf("at %d it is said %d times, want %d: %s", row.at-epoch, n, row.said, w.Body)
		}
	}
}

// TestNamesThatWereMeant looks at what is said of names that nothing has, and of what has no number.
func TestNamesThatWereMeant(t *testing.T) {
	m := everyKind(t)
	m.count("eu", "eu-1", seriesOf(crdt.KindSet, "carts"), now-60_000, crdt.Value{Kind: crdt.KindSet, X: &crdt.Set{}})
	api := newAPI(t, m, now, nil)
	for _, row := range []struct{ query, want string }{
		{"http_requests", `nothing is named \"http_requests\", but {\"http.requests\"} is`},
		{"sum(rate(http_requests[5m]))", `{\"http.requests\"}`},
		{"http_request", ""},
		{`{"http.requests"}`, ""},
		{"temperature:sum", `sum by (region) ({\"temperature\",node=~\".+\"})`},
		{"temperature:newest", `in PromQL it is {\"temperature\"}`},
		{"temperature:odd", ""},
		{"carts", `is a set, which has no number for PromQL: ask /v1/total?metric=carts`},
	} {
		w := get(t, api, "/api/v1/query", url.Values{"query": {row.query}, "time": {seconds(now)}})
		body := w.Body.String()
		said := strings.Contains(body, `"infos"`) || strings.Contains(body, `"warnings"`)
		if w.Code != 200 || said != (row.want != "") || !strings.Contains(body, row.want) {
			t.Errorf("%s: %d %s, want %s", row.query, w.Code, body, row.want)
		}
	}
}

// TestOneNameOfTwoKinds looks at what tells them apart.
func TestOneNameOfTwoKinds(t *testing.T) {
	m := new(mesh)
	m.count("eu", "eu-1", counterSeries("x"), epoch, amount(1))
	m.count("eu", "eu-1", seriesOf(crdt.KindUpDown, "x"), epoch, crdt.Value{Kind: crdt.KindUpDown, P: crdt.FixedFromUint(2)})
	r := ask(t, newAPI(t, m, now, nil), "/api/v1/query", url.Values{"query": {"x"}, "time": {seconds(now)}})
	got := map[string]any{}
	for _, s := range r.Data.Result {
		got[s.Metric["kind"]] = s.Value[1]
	}
	if d := cmp.Diff(map[string]any{"counter": "1", "updown": "2"}, got); d != "" {
		t.Error(d)
	}
}

// TestHostileTimes asks for times at which arithmetic could go wrong.
func TestHostileTimes(t *testing.T) {
	api := newAPI(t, everyKind(t), now, nil)
	for _, expr := range []string{
		`rate({"http.requests"}[290y])`, `{"http.requests"} offset 290y`, `{"http.requests"} offset -290y`, `stock @ 9e9`, `stock @ -9e9`,
		`rate(stock[1ms])`, `max_over_time(stock[5m:1ms])`, `temperature offset -5m`,
	} {
		for _, at := range []string{"0", "-9007199254740", "9007199254740", seconds(now)} {
			w := get(t, api, "/api/v1/query", url.Values{"query": {expr}, "time": {at}})
			if w.Code != 200 && w.Code != 422 {
				t.Errorf("%s at %s: %d %s", expr, at, w.Code, w.Body)
			}
		}
	}
}
