package query

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"meshd/crdt"
	"meshd/internal/nodetest"
	"meshd/node"
)

// What a real node counted of every kind is what its API answers.
func TestRealNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		registry := prometheus.NewRegistry()
		n, stop := nodetest.Start(t, node.Config{
			Mesh:       "default",
			Core:       node.CoreConfig{Region: "eu", Node: "eu-1", Role: node.RoleHub, Inc: crdt.Incarnation{1}, Nonce: [16]byte{2}},
			Registerer: registry,
		})
		defer stop()
		item := func(s *crdt.Series, inc crdt.Value) node.Item { return node.Item{Series: s, Inc: inc} }
		setting := &crdt.Gauge{Time: crdt.HLCFrom(time.Now().UnixMilli(), 0), Value: 21.5}
		r := n.Submit(t.Context(), &node.Batch{Items: []node.Item{
			item(series(crdt.KindCounter, "m.counter", "a", "x"), counter("9007199254740993")),
			item(series(crdt.KindCounter, "m.counter", "a", "y"), counter("2")),
			item(series(crdt.KindUpDown, "m.updown"), updown("1", "3")),
			item(series(crdt.KindGauge, "m.gauge"), crdt.Value{Kind: crdt.KindGauge, X: setting}),
			item(series(crdt.KindDistribution, "m.distribution"), distribution(1, 2, 3)),
			item(series(crdt.KindUnique, "m.unique"), unique(0, 5)),
			item(series(crdt.KindSet, "m.set"), crdt.Value{Kind: crdt.KindSet, X: &crdt.Set{Inc: crdt.Incarnation{1}, Adds: []string{"b", "a"}}}),
			item(series(crdt.KindObserved, "m.observed"), observed(crdt.Sample{Source: "s", Start: 1, Time: 2, Value: fixed("4")})),
		}})
		if r.Err != nil || r.Accepted != 8 {
			t.Fatalf("submitted: %+v", r)
		}
		s, err := New(Config{Source: n, Registry: registry})
		if err != nil {
			t.Fatal(err)
		}
		var a TotalAnswer
		decode(t, send(s, "GET", "/v1/total?metric=m.*&by=region").Body.Bytes(), &a)
		want := []string{
			`counter m.counter{region="eu"} 9007199254740995`, `distribution m.distribution{region="eu"} 3`, `gauge m.gauge{region="eu"} 21.5`,
			`observed m.observed{region="eu"} 4`, `set m.set{region="eu"} 2`, `unique m.unique{region="eu"} 5`, `updown m.updown{region="eu"} -2`,
		}
		if d := cmp.Diff(want, lines(a.Results)); d != "" {
			t.Errorf("totals (-want +got):\n%s", d)
		}
		if len(a.Coverage.Regions) != 1 || a.Coverage.Regions[0].Region != "eu" || a.Coverage.Regions[0].NodesExpected != 1 {
			t.Errorf("coverage %+v", a.Coverage)
		}
		var x ExplainAnswer
		decode(t, send(s, "GET", "/v1/explain?metric=m.counter&match=a=x").Body.Bytes(), &x)
		if len(x.Series) != 1 || len(x.Series[0].Answers) != 1 || x.Series[0].Answers[0].ValueExact != "9007199254740993" {
			t.Errorf("explained as %+v", x)
		}
		for _, target := range []string{"/v1/total?metric=m.counter&by=node", "/v1/members", "/v1/status", "/healthz", "/metrics"} {
			if w := send(s, "GET", target); w.Code != 200 || !strings.Contains(w.Body.String(), "eu-1") && strings.HasPrefix(target, "/v1") {
				t.Errorf("%s: %d %.300s", target, w.Code, w.Body)
			}
		}
	})
}
