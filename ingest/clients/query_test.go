package clients

import (
	"errors"
	"fmt"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/api"
	v1 "github.com/prometheus/client_golang/api/prometheus/v1"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/model"

	"meshd/buffer"
	"meshd/crdt"
	"meshd/history"
	"meshd/internal/bridge"
	"meshd/internal/nodetest"
	"meshd/node"
	"meshd/query"
)

// asked is a running hub with a history on disk, asked by Prometheus' own client library. 60 clicks were counted in each of five
// minutes from begin on, long ago, and 300 is what the node counted in all.
func asked(t *testing.T) (client v1.API, begin time.Time) {
	t.Helper()
	disk, err := buffer.Open(buffer.Config{Dir: t.TempDir(), Mesh: "m", Region: "eu", Node: "hub", MemoryBytes: 64 << 20})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := disk.Close(); err != nil {
			t.Error(err)
		}
	})
	store, err := history.Open(history.Config{KV: bridge.Windows{Store: disk}, Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(store.Close)
	registry := prometheus.NewRegistry()
	n, stop := nodetest.Start(t, node.Config{
		Mesh: "m", Core: node.CoreConfig{Region: "eu", Node: "hub", Role: node.RoleHub, Inc: crdt.Incarnation{1}, Nonce: [16]byte{2}}, Registerer: registry,
	})
	t.Cleanup(stop)
	clicks := &crdt.Series{Name: "clicks", Kind: crdt.KindCounter, Labels: []crdt.Label{{Name: "page", Value: "/"}}}
	load := &crdt.Series{Name: "load", Kind: crdt.KindGauge}
	if r := n.Submit(t.Context(), &node.Batch{Items: []node.Item{{Series: clicks, Inc: amount(300)}}}); r.Err != nil {
		t.Fatal(r.Err)
	}
	begin = time.Now().Add(-time.Hour).Truncate(time.Hour)
	var cells []history.Cell
	for i := range 30 {
		w := crdt.Window{Start: begin.Add(time.Duration(i) * 10 * time.Second).UnixMilli(), Width: 10_000}
		set := crdt.RollupOf([]*crdt.Gauge{{Time: crdt.HLCFrom(w.Start+5000, 0), Value: float64(i)}})
		cells = append(cells, history.Cell{Series: clicks, Window: w, Value: amount(10)},
			history.Cell{Series: load, Window: w, Value: crdt.Value{Kind: crdt.KindRollup, X: set}})
	}
	if err := store.Apply(1, crdt.Origin{Class: crdt.ClassRegion, Region: "eu", Node: "hub", Inc: crdt.Incarnation{1}}, cells); err != nil {
		t.Fatal(err)
	}
	if err := store.Fold(t.Context()); err != nil {
		t.Fatal(err)
	}
	server, err := query.New(query.Config{Source: n, Registry: registry, History: store, Version: "v1.2.3"})
	if err != nil {
		t.Fatal(err)
	}
	web := httptest.NewServer(server)
	t.Cleanup(web.Close)
	c, err := api.NewClient(api.Config{Address: web.URL})
	if err != nil {
		t.Fatal(err)
	}
	return v1.NewAPI(c), begin
}

func amount(n uint64) crdt.Value {
	return crdt.Value{Kind: crdt.KindCounter, P: crdt.FixedFromUint(n)}
}

func TestPrometheusClientAsks(t *testing.T) {
	client, begin := asked(t)
	end := begin.Add(5 * time.Minute)
	same := func(what string, got, want any, err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s (-want +got):\n%s", what, d)
		}
	}
	v, _, _, err := client.Query(t.Context(), "sum(clicks)", time.Now())
	same("query", fmt.Sprint(v.(model.Vector)[0].Value), "300", err)

	v, _, _, err = client.QueryRange(t.Context(), "sum(increase(clicks[1m]))", v1.Range{Start: begin.Add(time.Minute), End: end, Step: time.Minute})
	var rises []model.SampleValue
	for _, p := range v.(model.Matrix)[0].Values {
		rises = append(rises, p.Value)
	}
	same("query_range", rises, []model.SampleValue{60, 60, 60, 60, 60}, err)

	v, _, _, err = client.QueryRange(t.Context(), "max_over_time(load[1m])", v1.Range{Start: end, End: end, Step: time.Minute})
	same("query_range of a gauge", fmt.Sprint(v.(model.Matrix)[0].Values[0].Value), "29", err)

	series, _, _, err := client.Series(t.Context(), []string{`{page="/"}`}, begin, end)
	same("series", series, []model.LabelSet{{"__name__": "clicks", "page": "/", "region": "eu"}}, err)

	names, _, _, err := client.LabelNames(t.Context(), nil, begin, end)
	same("labels", names, model.LabelNames{"__name__", "node", "page", "region"}, err)

	values, _, _, err := client.LabelValues(t.Context(), "__name__", nil, begin, end)
	slices.Sort(values)
	same("label values", values, model.LabelValues{"clicks", "load"}, err)

	about, err := client.Metadata(t.Context(), "clicks", "")
	same("metadata", string(about["clicks"][0].Type), "counter", err)

	info, err := client.Buildinfo(t.Context())
	if err != nil || info.Version == "" {
		t.Errorf("buildinfo %+v, %v", info, err)
	}

	var failed *v1.Error
	if _, _, _, err = client.Query(t.Context(), "sum(", time.Now()); !errors.As(err, &failed) || failed.Type != v1.ErrBadData {
		t.Errorf("an expression that is none: %v", err)
	}
}
