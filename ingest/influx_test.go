package ingest

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"meshd/crdt"
	"meshd/node"
)

func postInflux(in *Influx, query, body string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	in.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/write"+query, strings.NewReader(body)))
	return w
}

func newTestInflux(t testing.TB) (*Influx, *fakeNode, func(name string, labels ...string) float64) {
	m, reg := newTestMetrics(t)
	n := newFakeNode()
	return NewInflux(newTestDoor(t, n, m)), n, func(name string, labels ...string) float64 { return metric(t, reg, name, labels...) }
}

func TestInfluxLines(t *testing.T) {
	for _, tc := range []struct {
		name, body string
		want       map[string]string
	}{
		{"fields", "cpu,host=a usage_idle=98.5,count=3i,big=4u,up=true,down=F\n", map[string]string{
			`gauge:cpu.usage_idle{host="a"}`: "98.5", `gauge:cpu.count{host="a"}`: "3", `gauge:cpu.big{host="a"}`: "4", `gauge:cpu.up{host="a"}`: "1", `gauge:cpu.down{host="a"}`: "0",
		}},
		{"a field named value", "temp value=21.5", map[string]string{"gauge:temp": "21.5"}},
		{"strings are not kept", `log text="a b",level=2`, map[string]string{"gauge:log.level": "2"}},
		{"escapes", `my\ cpu,ta\,g=va\ lue fi\=eld=1`, map[string]string{`gauge:my cpu.fi=eld{ta,g="va lue"}`: "1"}},
		{"labels of our own", "x,node=n,region=r value=1", map[string]string{`gauge:x{exported_node="n",exported_region="r"}`: "1"}},
		{"comments and empty lines", "# a comment\n\nx value=1\r\n\nx value=2", map[string]string{"gauge:x": "2"}},
		{"nothing", "", map[string]string{}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			in, n, _ := newTestInflux(t)
			if w := postInflux(in, "", tc.body); w.Code != http.StatusNoContent || w.Header().Get("X-Influxdb-Error") != "" {
				t.Fatalf("status %d, error %q: %s", w.Code, w.Header().Get("X-Influxdb-Error"), w.Body)
			}
			if diff := cmp.Diff(tc.want, n.all()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// TestInfluxRefusals is the corpus of bad lines: each is refused with its reason, and the good one beside it counts.
func TestInfluxRefusals(t *testing.T) {
	for _, tc := range []struct {
		name, line string
		want       reason
	}{
		{"no fields", "x", reasonSyntax},
		{"no fields, but tags", "x,a=b", reasonSyntax},
		{"no measurement", ",a=b value=1", reasonSyntax},
		{"no value", "x value=", reasonSyntax},
		{"not a number", "x value=abc", reasonSyntax},
		{"not finite", "x value=NaN", reasonSyntax},
		{"beyond float64", "x value=1e999", reasonRange},
		{"beyond int64", "x value=9223372036854775808i", reasonRange},
		{"open string", `x value="abc`, reasonSyntax},
		{"tag without value", "x,a= value=1", reasonSyntax},
		{"bad timestamp", "x value=1 soon", reasonSyntax},
		{"negative timestamp", "x value=1 -5", reasonRange},
		{"huge timestamp", "x value=1 99999999999999999999", reasonRange},
		{"many fields", "x " + strings.Repeat("f=1,", 1000) + "g=1", reasonTooLong},
		{"long tag", "x,a=" + strings.Repeat("v", 1025) + " value=1", reasonSeries},
		{"long name", strings.Repeat("n", 201) + " value=1", reasonSeries},
	} {
		t.Run(tc.name, func(t *testing.T) {
			in, n, metric := newTestInflux(t)
			w := postInflux(in, "", "good value=1\n"+tc.line+"\n")
			if w.Code != http.StatusNoContent || !strings.Contains(w.Header().Get("X-Influxdb-Error"), "1 of 2 lines were refused") {
				t.Errorf("status %d, error %q: %s", w.Code, w.Header().Get("X-Influxdb-Error"), w.Body)
			}
			if diff := cmp.Diff(map[string]string{"gauge:good": "1"}, n.all()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if got := metric("rejected_total", "reason", tc.want.String()); got != 1 {
				t.Errorf("%v refused for %s, want 1", got, tc.want)
			}
			if w := postInflux(in, "", tc.line); w.Code != http.StatusBadRequest {
				t.Errorf("alone: status %d, want 400", w.Code)
			}
		})
	}
}

func TestInfluxTimestamps(t *testing.T) {
	now := testNow.UnixMilli()
	for _, tc := range []struct {
		query, line string
		want        int64
	}{
		{"", "x value=1 1600000000000000000", 1_600_000_000_000},
		{"?precision=ns", "x value=1 1600000000000000000", 1_600_000_000_000},
		{"?precision=us", "x value=1 1600000000000000", 1_600_000_000_000},
		{"?precision=ms", "x value=1 1600000000000", 1_600_000_000_000},
		{"?precision=s", "x value=1 1600000000", 1_600_000_000_000},
		{"?precision=h", "x value=1 400000", 1_440_000_000_000},
		{"", "x value=1", now},
		{"?precision=s", "x value=1 99999999999", now}, // too far ahead
	} {
		in, n, _ := newTestInflux(t)
		if w := postInflux(in, tc.query, tc.line); w.Code != http.StatusNoContent {
			t.Fatalf("%s: status %d: %s", tc.query, w.Code, w.Body)
		}
		if got := n.value("gauge:x").X.(*crdt.Gauge).Time.Millis(); got != tc.want {
			t.Errorf("%s %s: stamped %d, want %d", tc.query, tc.line, got, tc.want)
		}
	}
}

func TestInfluxRequests(t *testing.T) {
	in, n, _ := newTestInflux(t)
	if w := postInflux(in, "?precision=days", "x value=1"); w.Code != http.StatusBadRequest {
		t.Errorf("unknown precision: status %d, want 400", w.Code)
	}
	w := httptest.NewRecorder()
	in.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/write", nil))
	if w.Code != http.StatusMethodNotAllowed {
		t.Errorf("GET: status %d, want 405", w.Code)
	}
	n.answer = func(*node.Batch) node.Result { return node.Result{Err: node.ErrBusy} }
	if w := postInflux(in, "", "x value=1"); w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" {
		t.Errorf("busy: status %d, Retry-After %q, want 503 with one", w.Code, w.Header().Get("Retry-After"))
	}
}

func FuzzInflux(f *testing.F) {
	f.Add("cpu,host=a usage_idle=98.5,count=3i,big=4u,up=true 1600000000000000000\n# comment\nx value=\"a\\\"b\"", "ns")
	f.Add(`my\ cpu,ta\,g=va\ lue fi\=eld=1`, "s")
	for _, input := range malformedInputs(f, "influx") {
		f.Add(input, "s")
	}
	f.Fuzz(func(t *testing.T, body, precision string) {
		if influxPrecisions[precision] == 0 {
			precision = "h"
		}
		in, n, _ := newTestInflux(t)
		if w := postInflux(in, "?precision="+precision, body); w.Code != 204 && w.Code != 400 {
			t.Errorf("status %d: %s", w.Code, w.Body)
		}
		n.checkItems(t)
	})
}
