package query

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"meshd/crdt"
	"meshd/history"
	"meshd/node"
)

const correctionID = "0123456789abcdef"

// corrector takes down what it is told.
type corrector struct {
	written  []node.Difference
	record   node.Correction
	unsettle int // how often differences are not where they belong yet
	err      error
}

func (c *corrector) Corrections(context.Context) (node.CorrectionList, error) {
	return node.CorrectionList{All: []node.Correction{{ID: correctionID, Metric: "ads.*", From: 1, To: 2, Counts: true}}, WindowMs: 10_000}, c.err
}

func (c *corrector) WriteDifferences(_ context.Context, _ string, ds []node.Difference) error {
	c.written = append(c.written, ds...)
	return c.err
}

func (c *corrector) SettleDifferences(context.Context, string) (node.CorrectedRegion, bool, error) {
	c.unsettle--
	return node.CorrectedRegion{Region: "eu", Hub: "h", Cursor: 7}, c.unsettle < 0, c.err
}

func (c *corrector) MakeCorrection(_ context.Context, r node.Correction) error {
	c.record = r
	return c.err
}

func correcting(t testing.TB, c *corrector) *Client {
	t.Helper()
	s, err := New(Config{Source: &fakeSource{state: node.Status{Region: "eu", Node: "h", Role: "hub"}}, Registry: prometheus.NewRegistry(), Corrector: c})
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(s)
	t.Cleanup(srv.Close)
	client, err := NewClient(srv.URL, "")
	if err != nil {
		t.Fatal(err)
	}
	return client
}

func TestCorrectionsOverHTTP(t *testing.T) {
	hub := &corrector{unsettle: 2}
	client := correcting(t, hub)
	got, err := client.Corrections(t.Context())
	if err != nil || got.Region != "eu" || got.Role != "hub" || got.WindowMs != 10_000 || len(got.Corrections) != 1 || !got.Corrections[0].Counts {
		t.Fatalf("%+v, %v", got, err)
	}
	var ds []node.Difference
	for i := range 20_000 { // several requests
		ds = append(ds, node.Difference{
			Node: "n", Minus: i%2 == 0, Series: series(crdt.KindCounter, "m", "ad", fmt.Sprint(i)), Start: 60_000, Value: counter("1.5"),
		})
	}
	if err := client.WriteDifferences(t.Context(), correctionID, ds); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(fmt.Sprint(ds[19_998:]), fmt.Sprint(hub.written[19_998:])); d != "" || len(hub.written) != len(ds) {
		t.Fatalf("%d of %d arrive, the last (-want +got):\n%s", len(hub.written), len(ds), d)
	}
	waited := 0
	region, err := client.SettleDifferences(t.Context(), correctionID, 1, 2, func(SettleAnswer) { waited++ })
	if err != nil || waited != 2 || region.Cursor != 7 {
		t.Fatalf("%+v after %d, %v", region, waited, err)
	}
	record := node.Correction{ID: correctionID, Metric: "m", From: 1, To: 2, Events: 3, Regions: []node.CorrectedRegion{region}, Replaces: []string{"x"}}
	if err := client.MakeCorrection(t.Context(), record); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(record, hub.record); d != "" {
		t.Error(d)
	}
	hub.err = fmt.Errorf("%w: no", node.ErrCorrection)
	for what, err := range map[string]error{
		"differences": client.WriteDifferences(t.Context(), correctionID, ds[:1]), "record": client.MakeCorrection(t.Context(), record),
	} {
		var status *StatusError
		if !errors.As(err, &status) || status.Code != http.StatusBadRequest {
			t.Errorf("%s: %v, want that it was refused", what, err)
		}
	}
	_, err = client.SettleDifferences(t.Context(), correctionID, 1, 2, func(SettleAnswer) {})
	if err == nil || !strings.Contains(err.Error(), "nothing corrected") {
		t.Errorf("%v", err)
	}
}

// TestDifferencesOfLongSeries: series may be much longer than what is counted on them; no request is larger than a hub takes.
func TestDifferencesOfLongSeries(t *testing.T) {
	hub := &corrector{}
	client := correcting(t, hub)
	var ds []node.Difference
	for i := range 5000 {
		ds = append(ds, node.Difference{
			Node: "n", Series: series(crdt.KindCounter, "m", "ad", fmt.Sprintf("%d%s", i, strings.Repeat("x", 1000)), "b", strings.Repeat("y", 1000)), Start: 60_000, Value: counter("1"),
		})
	}
	if err := client.WriteDifferences(t.Context(), correctionID, ds); err != nil {
		t.Fatal(err)
	}
	if len(hub.written) != len(ds) {
		t.Errorf("%d of %d arrive", len(hub.written), len(ds))
	}
}

// correctedSource answers with corrections.
type correctedSource struct {
	*fakeSource
	counts *crdt.Corrections
}

func (c *correctedSource) Totals(ctx context.Context, sel node.Select) (*node.Totals, error) {
	t, err := c.fakeSource.Totals(ctx, sel)
	if err == nil {
		t.Corrections = c.counts
	}
	return t, err
}

// TestAnswersAreKeptByCorrections: what was answered before a correction counted is not answered afterwards.
func TestAnswersAreKeptByCorrections(t *testing.T) {
	now := cacheBegin.Add(8 * time.Hour)
	store, err := history.Open(history.Config{KV: noDisk{}, Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	clicks := series(crdt.KindCounter, "clicks")
	hub := crdt.Origin{Class: crdt.ClassRegion, Region: "eu", Node: "h", Inc: crdt.Incarnation{1}}
	window := crdt.Window{Start: cacheBegin.UnixMilli(), Width: 10_000}
	if err := store.Apply(1, hub, []history.Cell{
		{Series: clicks, Window: window, Value: counter("7")},
		{Series: clicks.Beside(crdt.Side{ID: correctionID, Minus: true, Node: "n"}), Window: window, Value: counter("5")},
	}); err != nil {
		t.Fatal(err)
	}
	source := &correctedSource{fakeSource: everyKind(), counts: &crdt.Corrections{Number: 1}}
	s, err := New(Config{Source: source, Registry: prometheus.NewRegistry(), History: store})
	if err != nil {
		t.Fatal(err)
	}
	ask := func() string {
		w := httptest.NewRecorder()
		v := url.Values{"metric": {"clicks"}, "start": {cacheBegin.Format(time.RFC3339)}, "end": {cacheBegin.Add(time.Minute).Format(time.RFC3339)}, "step": {"1m"}}
		s.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/v1/total?"+v.Encode(), nil))
		var a TotalAnswer
		if err := json.Unmarshal(w.Body.Bytes(), &a); err != nil || len(a.Periods) != 1 || len(a.Periods[0].Results) != 1 {
			t.Fatalf("%s: %v", w.Body, err)
		}
		return a.Periods[0].Results[0].ValueExact
	}
	for range 2 {
		if got := ask(); got != "7" {
			t.Fatalf("%s before anything counts", got)
		}
	}
	source.counts = &crdt.Corrections{Number: 2, IDs: []string{correctionID}}
	for range 2 {
		if got := ask(); got != "2" {
			t.Fatalf("%s, want what is corrected", got)
		}
	}
}
