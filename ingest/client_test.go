package ingest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"meshd/crdt"
	"meshd/internal/report"
	"meshd/node"
)

func postClient(t testing.TB, h http.Handler, path string, body []byte) (code int, answer map[string]any) {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/v1/client/"+path, bytes.NewReader(body)))
	if w.Body.Len() > 0 && w.Header().Get("Content-Type") == "application/json" {
		if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil {
			t.Fatalf("%v: %s", err, w.Body)
		}
	}
	return w.Code, answer
}

func testReport(t testing.TB, labels ...crdt.Label) []byte {
	t.Helper()
	b, err := report.Append(nil, &report.Report{Session: [16]byte{7}, Prev: 3, Seq: 4, Items: []report.Item{
		{
			Series: &crdt.Series{Name: "clicks", Kind: crdt.KindCounter, Labels: labels},
			Inc:    crdt.Value{Kind: crdt.KindCounter, P: crdt.FixedFromUint(5)},
		},
		{
			Series: &crdt.Series{Name: "load", Kind: crdt.KindGauge},
			Inc:    crdt.Value{Kind: crdt.KindGauge, X: &crdt.Gauge{Time: 1, Value: 2.5}},
		},
	}})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestAReportIsABatchOfItsChain: at the time that the client says by how long ago it was, on this node's clock.
func TestAReportIsABatchOfItsChain(t *testing.T) {
	n := newFakeNode()
	var chain *node.Chain
	n.answer = func(b *node.Batch) node.Result {
		chain = b.Chain
		return node.Result{Accepted: 1, Rejected: []node.Rejection{{Index: 1, Err: node.ErrSeries}}}
	}
	m, reg := newTestMetrics(t)
	h := NewClients(newTestDoor(t, n, m))
	code, answer := postClient(t, h, "count?age_ms=1500", testReport(t, crdt.Label{Name: "node", Value: "x"}))
	if code != http.StatusOK || answer["accepted"] != 1.0 || answer["rejected_total"] != 1.0 {
		t.Fatalf("%d %v", code, answer)
	}
	if *chain != (node.Chain{ID: node.ChainID{7}, Prev: 3, Seq: 4}) {
		t.Errorf("%+v", chain)
	}
	want := testNow.UnixMilli() - 1500
	if got := n.counter(`counter:clicks{exported_node="x"}`); got != "5" || n.items[0].At != want {
		t.Errorf("%s at %d, want 5 at %d", got, n.items[0].At, want)
	}
	if got := metric(t, reg, "rejected_total", "protocol", "client", "reason", "series_limit"); got != 1 {
		t.Errorf("%v rejected", got)
	}
	n.answer = nil
	postClient(t, h, "count?age_ms=1500", testReport(t))
	g := n.value("gauge:load").X.(*crdt.Gauge)
	if g.Time.Millis() != want || g.Value != 2.5 || !g.Dated {
		t.Errorf("%+v", g)
	}
}

func TestSessionsAreOpenedAndClosed(t *testing.T) {
	n := newFakeNode()
	var chains []node.Chain
	n.answer = func(b *node.Batch) node.Result {
		chains = append(chains, *b.Chain)
		return node.Result{}
	}
	m, _ := newTestMetrics(t)
	h := NewClients(newTestDoor(t, n, m))
	code, answer := postClient(t, h, "open", nil)
	session, _ := answer["session"].(string)
	if code != http.StatusCreated || len(session) != 32 {
		t.Fatalf("%d %v", code, answer)
	}
	if code, _ := postClient(t, h, "close?session="+session, nil); code != http.StatusNoContent {
		t.Errorf("%d", code)
	}
	if len(chains) != 2 || chains[0].Op != node.ChainOpen || chains[1].Op != node.ChainClose || chains[0].ID != chains[1].ID {
		t.Errorf("%+v", chains)
	}
	if _, again := postClient(t, h, "open", nil); again["session"] == session {
		t.Errorf("session %s twice", session)
	}
}

// TestAnswersSayWhatIsKnown: "no" lets the sender take a report elsewhere, so it is said of nothing that may have counted.
func TestAnswersSayWhatIsKnown(t *testing.T) {
	m, _ := newTestMetrics(t)
	n := newFakeNode()
	h := NewClients(newTestDoor(t, n, m))
	for _, c := range []struct {
		name, path string
		body       []byte
		err        error
		code       int
		counted    string
	}{
		{"busy", "count", testReport(t), node.ErrBusy, 503, "no"},
		{"full disk", "count", testReport(t), node.ErrFull, 507, "no"},
		{"sessions", "open", nil, node.ErrTokens, 503, "no"},
		{"not the session's", "count", testReport(t), node.ErrChain, 409, "no"},
		{"closing", "count", testReport(t), node.ErrClosed, 503, "unknown"},
		{"not awaited", "count", testReport(t), context.Canceled, 503, "unknown"},
		{"broken disk", "count", testReport(t), errors.New("i/o error"), 503, "unknown"},
		{"no report", "count", []byte("{}"), nil, 400, "no"},
		{"too long", "count", make([]byte, maxBodyBytes+1), nil, 413, "no"},
		{"bad age", "count?age_ms=-1", testReport(t), nil, 400, "no"},
		{"no session", "close?session=12", nil, nil, 400, "no"},
		{"not a session", "close?session=" + strings.Repeat("x", 32), nil, nil, 400, "no"},
		{"long session", "close?session=" + strings.Repeat("0", 34), nil, nil, 400, "no"},
	} {
		t.Run(c.name, func(t *testing.T) {
			n.answer = func(*node.Batch) node.Result { return node.Result{Err: c.err} }
			code, answer := postClient(t, h, c.path, c.body)
			if code != c.code || answer["counted"] != c.counted {
				t.Errorf("%d %v, want %d %s", code, answer, c.code, c.counted)
			}
		})
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/v1/client/count", nil))
	if w.Code != http.StatusMethodNotAllowed {
		t.Errorf("GET: %d", w.Code)
	}
}

// TestLabelRulesKeepTheChain: a report whose series are all dropped is answered like another, and takes its place.
func TestLabelRulesKeepTheChain(t *testing.T) {
	l, n, _, _ := newTestLabeller(t, "metric_relabel_configs: [{source_labels: [__name__], regex: .*, action: drop}]", nil)
	n.answer = func(b *node.Batch) node.Result {
		if b.Chain == nil || b.Chain.Seq != 4 || len(b.Items) != 0 {
			t.Errorf("%+v", b)
		}
		return node.Result{}
	}
	m, _ := newTestMetrics(t)
	h := NewClients(newTestDoor(t, l, m))
	if code, answer := postClient(t, h, "count", testReport(t)); code != http.StatusOK || answer["accepted"] != 2.0 || n.calls != 1 {
		t.Errorf("%d %v, %d batches", code, answer, n.calls)
	}
}

// TestSessionsAreHeldToTheLimit: requests without a body are commits too, and a refusal says that nothing happened.
func TestSessionsAreHeldToTheLimit(t *testing.T) {
	n := newFakeNode()
	turned := 0
	n.answer = func(*node.Batch) node.Result {
		turned++
		return node.Result{}
	}
	m, reg := newTestMetrics(t)
	d := newTestDoor(t, n, m)
	sources := NewSources(1)
	sources.burst = 3 * turnBytes // of tests: bursts of 8 MiB would be many sessions
	d.Limit(sources)
	h := NewClients(d)
	id := strings.Repeat("0", 32)
	for i, path := range []string{"open", "close?session=" + id, "open", "open"} { // the last one puts it into debt
		if code, answer := postClient(t, h, path, nil); code >= 300 {
			t.Fatalf("request %d is answered %d %v", i, code, answer)
		}
	}
	for _, path := range []string{"open", "close?session=" + id, "count"} {
		if code, answer := postClient(t, h, path, nil); code != http.StatusTooManyRequests || answer["counted"] != "no" {
			t.Errorf("%s: %d %v, want 429 and that nothing was counted", path, code, answer)
		}
	}
	if got := metric(t, reg, "rejected_total", "protocol", "client", "reason", "source_limit"); got != 3 || turned != 4 {
		t.Errorf("%v refused and %d turned, want 3 and 4", got, turned)
	}
}
