package ingest

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"meshd/crdt"
	"meshd/node"
)

var testNow = time.UnixMilli(1_700_000_000_000)

func newTestEvents(t testing.TB) (*Events, *fakeNode, *prometheus.Registry) {
	m, reg := newTestMetrics(t)
	n := newFakeNode()
	return NewEvents(newTestDoor(t, n, m)), n, reg
}

func post(e *Events, contentType string, body io.Reader) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodPost, "/v1/events", body)
	r.Header.Set("Content-Type", contentType)
	w := httptest.NewRecorder()
	e.ServeHTTP(w, r)
	return w
}

func answerOf(t testing.TB, w *httptest.ResponseRecorder) (a eventsAnswer) {
	t.Helper()
	if w.Code != http.StatusAccepted {
		t.Fatalf("status %d: %s", w.Code, w.Body)
	}
	if err := json.Unmarshal(w.Body.Bytes(), &a); err != nil {
		t.Fatal(err)
	}
	return a
}

func TestEventsCount(t *testing.T) {
	for _, tc := range []struct {
		name, event, series, want string
	}{
		{"defaults", `{"event":"hits"}`, "counter:hits", "1"},
		{"count", `{"event":"hits","type":"count","value":5}`, "counter:hits", "5"},
		{"value in a string", `{"event":"hits","value":"0.25"}`, "counter:hits", "0.25"},
		{"number beyond float64's precision", `{"event":"hits","value":9007199254740993}`, "counter:hits", "9007199254740993"},
		{"number with exponent", `{"event":"hits","value":2.5E2}`, "counter:hits", "250"},
		{"updown up", `{"event":"level","type":"updown","value":2}`, "updown:level", "+2 -0"},
		{"updown down", `{"event":"level","type":"updown","value":-2}`, "updown:level", "+0 -2"},
		{"gauge", `{"event":"temp","type":"gauge","value":-21.5}`, "gauge:temp", "-21.5"},
		{"gauge of zero", `{"event":"temp","type":"gauge","value":0}`, "gauge:temp", "0"},
		{"length", `{"event":"t","type":"length","value":12.5}`, "distribution:t", "1 sum 12.5"},
		{"length by default", `{"event":"t","type":"length"}`, "distribution:t", "1 sum 1"},
		{"unique string", `{"event":"users","type":"unique","value":"alice"}`, "unique:users", "about 1"},
		{"unique number", `{"event":"users","type":"unique","value":17}`, "unique:users", "about 1"},
		{"labels", `{"event":"hits","labels":{"b":"2","a":"1"}}`, `counter:hits{a="1",b="2"}`, "1"},
		{"labels of our own", `{"event":"hits","labels":{"node":"x","region":"y"}}`, `counter:hits{exported_node="x",exported_region="y"}`, "1"},
		{"no labels", `{"event":"hits","labels":{}}`, "counter:hits", "1"},
		{"a time", `{"event":"hits","ts":1600000000000}`, "counter:hits", "1"},
		{"escapes", `{"event":"h\u00e9"}`, "counter:hé", "1"},
		{"tokens", `{"event":"hits","source":"pos-1","seq":3}`, "counter:hits", "1"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for _, form := range []struct{ name, contentType, body string }{
				{"array", "application/json", "[" + tc.event + "]"},
				{"object", "application/json; charset=utf-8", " \n" + tc.event},
				{"line", "application/x-ndjson", tc.event + "\n"},
				{"line of no type", "", "\n" + tc.event},
			} {
				e, n, _ := newTestEvents(t)
				if a := answerOf(t, post(e, form.contentType, strings.NewReader(form.body))); a.Accepted != 1 || a.RejectedTotal != 0 {
					t.Fatalf("%s: answer %+v", form.name, a)
				}
				if got := describe(n.value(tc.series)); got != tc.want {
					t.Errorf("%s: %s is %s, want %s (have %v)", form.name, tc.series, got, tc.want, n.series)
				}
			}
		})
	}
}

func TestBadEventsAreRejectedByThemselves(t *testing.T) {
	for _, tc := range []struct {
		name, event, says string
		reason            reason
	}{
		{"no event", `{"value":1}`, "event, the metric's name", reasonName},
		{"misspelt key", `{"event":"hits","vlaue":1}`, `unknown key "vlaue"`, reasonSyntax},
		{"key in capitals", `{"event":"hits","Value":1}`, `unknown key "Value"`, reasonSyntax},
		{"key given twice", `{"event":"hits","value":1,"value":2}`, `"value" is given twice`, reasonSyntax},
		{"not an object", `17`, "not a JSON object", reasonSyntax},
		{"null", `null`, "not a JSON object", reasonSyntax},
		{"event is no string", `{"event":1}`, "event: ", reasonSyntax},
		{"unknown type", `{"event":"hits","type":"counter"}`, "want count, updown, gauge, length or unique", reasonType},
		{"negative count", `{"event":"hits","value":-1}`, "only type updown goes down", reasonNegative},
		{"value of words", `{"event":"hits","value":"many"}`, "not a decimal number", reasonNumber},
		{"value is an object", `{"event":"hits","value":{}}`, "neither a number nor a string", reasonNumber},
		{"value is null", `{"event":"hits","value":null}`, "neither a number nor a string", reasonNumber},
		{"value beyond 2^63", `{"event":"hits","value":1e19}`, "out of range", reasonRange},
		{"length beyond 2^63", `{"event":"t","type":"length","value":1e19}`, "out of range", reasonRange},
		{"gauge beyond float64", `{"event":"t","type":"gauge","value":1e309}`, "out of range", reasonRange},
		{"gauge without value", `{"event":"t","type":"gauge"}`, "value is missing", reasonNumber},
		{"unique without value", `{"event":"u","type":"unique"}`, "value is missing", reasonNumber},
		{"unique of nothing", `{"event":"u","type":"unique","value":""}`, "want 1 to 1024", reasonTooLong},
		{"label is no string", `{"event":"hits","labels":{"a":1}}`, `label "a": not a JSON string`, reasonSyntax},
		{"labels are a list", `{"event":"hits","labels":["a"]}`, "labels: not a JSON object", reasonSyntax},
		{"label without name", `{"event":"hits","labels":{"":"x"}}`, "label name of 0 bytes", reasonSeries},
		{"name too long", `{"event":"` + strings.Repeat("n", crdt.MaxMetricBytes+1) + `"}`, "metric name of 201 bytes", reasonSeries},
		{"fractional time", `{"event":"hits","ts":1.5}`, `ts "1.5": want a whole number`, reasonSyntax},
		{"time zero", `{"event":"hits","ts":0}`, "milliseconds since 1970", reasonRange},
		{"both tokens", `{"event":"hits","source":"a","seq":1,"idempotency_key":"k"}`, "want one", reasonToken},
		{"source alone", `{"event":"hits","source":"a"}`, "go together", reasonToken},
		{"seq alone", `{"event":"hits","seq":1}`, "go together", reasonToken},
		{"seq zero", `{"event":"hits","source":"a","seq":0}`, "go together", reasonToken},
		{"negative seq", `{"event":"hits","source":"a","seq":-1}`, `seq "-1": want a whole number from 1`, reasonSyntax},
		{"empty key", `{"event":"hits","idempotency_key":""}`, "idempotency_key is empty", reasonToken},
		{"key too long", `{"event":"hits","idempotency_key":"` + strings.Repeat("k", maxTokenBytes+1) + `"}`, "longer than 256", reasonToken},
		{"not UTF-8", "{\"event\":\"h\xff\"}", "not UTF-8", reasonUTF8},
	} {
		t.Run(tc.name, func(t *testing.T) {
			e, n, reg := newTestEvents(t)
			a := answerOf(t, post(e, "application/json", strings.NewReader(`[{"event":"a"},`+tc.event+`,{"event":"b"}]`)))
			if a.Accepted != 2 || a.RejectedTotal != 1 || len(a.Rejected) != 1 || a.Rejected[0].Index != 1 {
				t.Fatalf("answer %+v, want the second of three rejected", a)
			}
			if !strings.Contains(a.Rejected[0].Error, tc.says) {
				t.Errorf("error %q, want one that says %q", a.Rejected[0].Error, tc.says)
			}
			if got := metric(t, reg, "rejected_total", "protocol", "events", "reason", tc.reason.String()); got != 1 {
				t.Errorf("rejected_total{reason=%q} is %v, want 1", tc.reason, got)
			}
			if len(n.items) != 2 {
				t.Errorf("%d items counted, want 2", len(n.items))
			}
		})
	}
}

func TestABadLineOfNDJSONIsRejectedByItself(t *testing.T) {
	e, n, _ := newTestEvents(t)
	body := "{\"event\":\"a\"}\n\n{\"event\":\n{\"event\":\"b\"} {\"event\":\"c\"}\n{\"event\":\"d\"}]\r\n{\"event\":\"e\"}"
	a := answerOf(t, post(e, "application/x-ndjson", strings.NewReader(body)))
	var rejected []int
	for _, r := range a.Rejected {
		rejected = append(rejected, r.Index)
	}
	if a.Accepted != 2 || !cmp.Equal(rejected, []int{1, 2, 3}) {
		t.Errorf("answer %+v, want a and e accepted", a)
	}
	if n.counter("counter:a") != "1" || n.counter("counter:e") != "1" {
		t.Errorf("have %v, want a and e", n.series)
	}
}

func TestRequestsThatCannotBeReadCountNothing(t *testing.T) {
	many := "[" + strings.Repeat(`{"event":"a"},`, maxItems) + `{"event":"a"}]`
	for _, tc := range []struct {
		name, method, query, header, contentType string
		body                                     io.Reader
		code                                     int
		says                                     string
	}{
		{"array cut short", "POST", "", "", "", strings.NewReader(`[{"event":"a"},`), 400, "not JSON"},
		{"array cut inside", "POST", "", "", "", strings.NewReader(`[{"event":"a"},{"ev`), 400, "not JSON"},
		{"array not closed", "POST", "", "", "", strings.NewReader(`[{"event":"a"}`), 400, "not JSON"},
		{"array with an end of its own", "POST", "", "", "", strings.NewReader(`[{"event":"a"}]{"event":"b"}`), 400, "follows the array"},
		{"objects cut short", "POST", "", "", "application/json", strings.NewReader(`{"event":"a"}{"event"`), 400, "not JSON"},
		{"connection lost", "POST", "", "", "", io.MultiReader(strings.NewReader("{\"event\":\"a\"}\n"), iotest.ErrReader(errors.New("reset"))), 400, "reset"},
		{"body too long", "POST", "", "", "", strings.NewReader(strings.Repeat(" ", maxBodyBytes+1)), 413, "8 MiB"},
		{"body too long, unannounced", "POST", "", "", "", io.MultiReader(strings.NewReader(strings.Repeat(" ", maxBodyBytes+1))), 413, "8 MiB"},
		{"too many events", "POST", "", "", "", strings.NewReader(many), 413, "100000"},
		{"not POST", "GET", "", "", "", strings.NewReader(`[]`), 405, "POST"},
		{"not gzip", "POST", "", "gzip", "", strings.NewReader(`[{"event":"a"}]`), 400, "cannot be read"},
		{"compressed twice", "POST", "", "gzip, zstd", "", strings.NewReader(`[{"event":"a"}]`), 415, "want one of gzip, zstd, snappy"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			e, n, reg := newTestEvents(t)
			r := httptest.NewRequest(tc.method, "/v1/events"+tc.query, tc.body)
			r.Header.Set("Content-Type", tc.contentType)
			r.Header.Set("Content-Encoding", tc.header)
			w := httptest.NewRecorder()
			e.ServeHTTP(w, r)
			if w.Code != tc.code || !strings.Contains(w.Body.String(), tc.says) {
				t.Errorf("status %d: %s, want %d and %q", w.Code, w.Body, tc.code, tc.says)
			}
			if n.calls != 0 {
				t.Errorf("%d batches submitted, want none", n.calls)
			}
			if got := metric(t, reg, "rejected_total", "protocol", "events"); got != 1 {
				t.Errorf("rejected_total is %v, want 1", got)
			}
			if got := e.door.held.Load(); got != 0 {
				t.Errorf("%d bytes of bodies still accounted, want 0", got)
			}
		})
	}
}

func TestErrorsOfTheNodeBecomeStatuses(t *testing.T) {
	for _, tc := range []struct {
		err   error
		code  int
		retry string
	}{
		{node.ErrBusy, 503, "1"},
		{node.ErrTokens, 503, "1"},
		{node.ErrClosed, 503, "1"},
		{fmt.Errorf("commit: %w", node.ErrFull), 507, ""},
	} {
		t.Run(tc.err.Error(), func(t *testing.T) {
			e, n, _ := newTestEvents(t)
			n.answer = func(*node.Batch) node.Result { return node.Result{Err: tc.err} }
			w := post(e, "", strings.NewReader(`[{"event":"a"}]`))
			if w.Code != tc.code || w.Header().Get("Retry-After") != tc.retry || !strings.Contains(w.Body.String(), tc.err.Error()) {
				t.Errorf("status %d, Retry-After %q: %s", w.Code, w.Header().Get("Retry-After"), w.Body)
			}
		})
	}
}

func TestTooManyBodiesAtOnceAreRefused(t *testing.T) {
	e, n, _ := newTestEvents(t)
	e.door.held.Store(maxBodiesBytes)
	if w := post(e, "", strings.NewReader(`[{"event":"a"}]`)); w.Code != 503 || n.calls != 0 {
		t.Errorf("status %d after %d batches, want 503 after none", w.Code, n.calls)
	}
	e.door.held.Store(0)
	if w := post(e, "", strings.NewReader(`[{"event":"a"}]`)); w.Code != 202 {
		t.Errorf("status %d, want 202", w.Code)
	}
}

func TestAnswersNameTheEventsOfTheRequest(t *testing.T) {
	e, n, reg := newTestEvents(t)
	n.answer = func(*node.Batch) node.Result {
		return node.Result{Accepted: 1, Duplicates: 1, Rejected: []node.Rejection{{Index: 1, Err: node.ErrSeries}}}
	}
	a := answerOf(t, post(e, "", strings.NewReader(`[{"event":"a"},{"x":1},{"event":"b"},{"event":"c"},{"y":1}]`)))
	var got []string
	for _, r := range a.Rejected {
		got = append(got, fmt.Sprintf("%d %.19s", r.Index, r.Error))
	}
	want := []string{`1 unknown key "x": an`, "2 series limit of thi", `4 unknown key "y": an`}
	if !cmp.Equal(got, want) || a.Accepted != 1 || a.Duplicates != 1 || a.RejectedTotal != 3 {
		t.Errorf("answer %+v: rejected %q, want %q", a, got, want)
	}
	if s, l := metric(t, reg, "stored_total"), metric(t, reg, "lines_total"); s != 1 || l != 5 {
		t.Errorf("%v stored of %v, want 1 of 5", s, l)
	}
}

func TestRejectionsAreListedUpToALimit(t *testing.T) {
	e, _, _ := newTestEvents(t)
	a := answerOf(t, post(e, "", strings.NewReader(strings.Repeat("x\n", 1000))))
	if len(a.Rejected) != maxRejections || a.RejectedTotal != 1000 || a.Rejected[99].Index != 99 {
		t.Errorf("%d of %d rejections listed, want 100 of 1000", len(a.Rejected), a.RejectedTotal)
	}
}

func TestRejectionsOfTheNodeAreListedInOrder(t *testing.T) {
	e, n, _ := newTestEvents(t)
	n.answer = func(*node.Batch) node.Result {
		return node.Result{Rejected: []node.Rejection{{Index: 0, Err: node.ErrSeries}}}
	}
	a := answerOf(t, post(e, "", strings.NewReader("{\"event\":\"a\"}\n"+strings.Repeat("x\n", 300))))
	if len(a.Rejected) != maxRejections || a.RejectedTotal != 301 || a.Rejected[0].Error != node.ErrSeries.Error() {
		t.Errorf("%d of %d rejections listed, the first %+v", len(a.Rejected), a.RejectedTotal, a.Rejected[0])
	}
}

func TestEmptyRequestsAreAccepted(t *testing.T) {
	for _, body := range []string{"", " \n", "[]"} {
		e, n, _ := newTestEvents(t)
		w := post(e, "", strings.NewReader(body))
		if got, want := strings.TrimSpace(w.Body.String()), `{"accepted":0,"duplicates":0,"rejected":[],"rejected_total":0}`; w.Code != 202 || got != want {
			t.Errorf("%q: status %d: %s, want %s", body, w.Code, got, want)
		}
		if n.calls != 0 {
			t.Errorf("%q: %d batches submitted, want none", body, n.calls)
		}
	}
}

func TestTokensReachTheNode(t *testing.T) {
	e, n, _ := newTestEvents(t)
	post(e, "", strings.NewReader(`[{"event":"a","source":"pos-1","seq":18446744073709551615},{"event":"a","idempotency_key":"k"},{"event":"a"}]`))
	var got []node.Token
	for _, it := range n.items {
		got = append(got, it.Token)
		if it.Series != n.items[0].Series {
			t.Error("events of one series do not share it")
		}
	}
	if want := []node.Token{{Source: "pos-1", Seq: 1<<64 - 1}, {Key: "k"}, {}}; !cmp.Equal(got, want) {
		t.Errorf("tokens %+v, want %+v", got, want)
	}
}

func TestGaugesAreStamped(t *testing.T) {
	for _, tc := range []struct {
		name    string
		ts      string
		want    int64
		clamped float64
	}{
		{"no time", "", testNow.UnixMilli(), 0},
		{"the past", `,"ts":1500000000000`, 1_500_000_000_000, 0},
		{"ten minutes ahead", fmt.Sprintf(`,"ts":%d`, testNow.Add(maxAhead).UnixMilli()), testNow.Add(maxAhead).UnixMilli(), 0},
		{"beyond", fmt.Sprintf(`,"ts":%d`, testNow.Add(maxAhead).UnixMilli()+1), testNow.UnixMilli(), 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			e, n, reg := newTestEvents(t)
			answerOf(t, post(e, "", strings.NewReader(`{"event":"g","type":"gauge","value":1`+tc.ts+`}`)))
			if got := n.items[0].Inc.X.(*crdt.Gauge).Time.Millis(); got != tc.want {
				t.Errorf("stamp %d, want %d", got, tc.want)
			}
			if got := metric(t, reg, "clamped_total"); got != tc.clamped {
				t.Errorf("clamped_total is %v, want %v", got, tc.clamped)
			}
		})
	}
}

func TestStatsDAndEventsCountTheSameUniques(t *testing.T) {
	e, n, _ := newTestEvents(t)
	post(e, "", strings.NewReader(`[{"event":"u","type":"unique","value":"17"},{"event":"u","type":"unique","value":17}]`))
	d := newDoor(t, 10)
	d.send(t, "u:17|s")
	a, b := n.value("unique:u"), d.node.value("unique:u")
	if string(a.AppendBinary(nil)) != string(b.AppendBinary(nil)) {
		t.Error("17 has another hash through events than through StatsD")
	}
}

// FuzzEvents: whatever the body, the handler answers, and what it accepts it has submitted.
func FuzzEvents(f *testing.F) {
	for _, body := range []string{
		`[{"event":"a","value":1,"ts":1700000000000,"type":"updown","labels":{"b":"c"},"source":"s","seq":1}]`,
		"{\"event\":\"a\",\"type\":\"unique\",\"value\":\"x\"}\n{\"event\":\"b\",\"idempotency_key\":\"k\"}\n", `[`, `[{}]]`, `{"event":"a"}{"event":"b"}`,
		`[{"event":"t","type":"length","value":"-1e-3"},{"event":"g","type":"gauge","value":1e400}]`,
	} {
		f.Add(body, false)
		f.Add(body, true)
	}
	for _, input := range malformedInputs(f, "events") {
		f.Add(input, false)
	}
	f.Fuzz(func(t *testing.T, body string, asJSON bool) {
		e, n, _ := newTestEvents(t)
		w := post(e, map[bool]string{false: "application/x-ndjson", true: "application/json"}[asJSON], strings.NewReader(body))
		if w.Code != http.StatusAccepted {
			if w.Code != http.StatusBadRequest || n.calls != 0 {
				t.Fatalf("status %d after %d batches: %s", w.Code, n.calls, w.Body)
			}
			return
		}
		a := answerOf(t, w)
		if a.Accepted != len(n.items) || len(a.Rejected) != min(a.RejectedTotal, maxRejections) {
			t.Fatalf("answer %+v, %d items submitted", a, len(n.items))
		}
		for _, it := range n.items {
			if err := it.Series.Check(); err != nil || it.Inc.Kind != it.Series.Kind {
				t.Fatalf("submitted %s of %s: %v", it.Inc.Kind, it.Series, err)
			}
		}
	})
}

func BenchmarkEvents(b *testing.B) {
	m, _ := newTestMetrics(b)
	e := NewEvents(newTestDoor(b, acceptAll{}, m))
	const events = 1000
	body := "[" + strings.Repeat(`{"event":"api.requests","value":3,"labels":{"route":"/v1/items","method":"get"},"source":"pos-1","seq":7},`, events-1) + `{"event":"a"}]`
	b.ReportAllocs()
	for b.Loop() {
		if w := post(e, "application/json", strings.NewReader(body)); w.Code != 202 {
			b.Fatal(w.Body)
		}
	}
	b.ReportMetric(float64(b.N)*events/b.Elapsed().Seconds(), "events/s")
}
