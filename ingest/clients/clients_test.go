package clients

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/DataDog/datadog-go/v5/statsd"
	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetricgrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetrichttp"
	"go.opentelemetry.io/otel/metric"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/sdk/resource"

	"meshd/crdt"
	"meshd/ingest"
	"meshd/node"
)

// counted adds up what the doors submit, as the cells of a node would.
type counted struct {
	mu     sync.Mutex
	totals map[string]*crdt.Value
	more   chan struct{}
}

func newCounted() *counted {
	return &counted{totals: map[string]*crdt.Value{}, more: make(chan struct{}, 1)}
}

func (c *counted) Submit(_ context.Context, b *node.Batch) node.Result {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range b.Items {
		it := &b.Items[i]
		key := it.Series.String()
		if c.totals[key] == nil {
			c.totals[key] = &crdt.Value{Kind: it.Series.Kind}
		}
		if err := c.totals[key].Grow(&it.Inc); err != nil {
			panic(err)
		}
	}
	select {
	case c.more <- struct{}{}:
	default:
	}
	return node.Result{Accepted: len(b.Items)}
}

// all returns the totals of what begins so.
func (c *counted) all() map[string]string {
	c.mu.Lock()
	defer c.mu.Unlock()
	m := map[string]string{}
	for k, v := range c.totals {
		switch x := v.X.(type) {
		case nil:
			m[k] = v.P.String()
			if v.Kind == crdt.KindUpDown {
				m[k] += " -" + v.N.String()
			}
		case *crdt.Observed:
			m[k] = x.Total().String()
		case *crdt.Gauge:
			m[k] = crdt.Net{P: must(crdt.FixedFromFloat(x.Value))}.String()
		case *crdt.Distribution:
			m[k] = "count " + crdt.FixedFromUint(x.Count()).String() + " sum " + x.Sum().String()
		case *crdt.Histograms:
			d := x.Total()
			m[k] = "count " + crdt.FixedFromUint(d.Count()).String() + " sum " + d.Sum().String()
		case *crdt.Unique:
			m[k] = "unique"
		}
	}
	return m
}

func must(f crdt.Fixed, err error) crdt.Fixed {
	if err != nil {
		panic(err)
	}
	return f
}

// wait returns the totals once they are want, or those that are there when the test's time is over.
func (c *counted) wait(t *testing.T, want map[string]string) {
	t.Helper()
	for ctx := t.Context(); ; {
		diff := cmp.Diff(want, c.all())
		if diff == "" {
			return
		}
		limit, cancel := context.WithTimeout(ctx, 10*time.Second)
		select {
		case <-c.more:
			cancel()
		case <-limit.Done():
			cancel()
			t.Fatalf("totals (-want +got):\n%s", diff)
		}
	}
}

func newDoor(t *testing.T) (*counted, *ingest.Door, *ingest.Metrics) {
	t.Helper()
	m, err := ingest.NewMetrics(prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	c := newCounted()
	d, err := ingest.NewDoor(c, m)
	if err != nil {
		t.Fatal(err)
	}
	return c, d, m
}

// run runs one actor until the test ends.
func run(t *testing.T, f func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- f(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// exporters returns the SDK's exporters over HTTP and gRPC to one door.
func exporters(t *testing.T, d *ingest.Door, temporality sdkmetric.TemporalitySelector) map[string]sdkmetric.Exporter {
	t.Helper()
	o := ingest.NewOTLP(d)
	mux := http.NewServeMux()
	mux.Handle("/v1/metrics", o)
	web := httptest.NewServer(mux)
	t.Cleanup(web.Close)
	g, err := ingest.NewOTLPgRPC("127.0.0.1:0", o, nil, func(a string) bool { return a == "Bearer secret" })
	if err != nil {
		t.Fatal(err)
	}
	run(t, g.Run)
	viaHTTP, err := otlpmetrichttp.New(t.Context(), otlpmetrichttp.WithEndpointURL(web.URL+"/v1/metrics"),
		otlpmetrichttp.WithTemporalitySelector(temporality), otlpmetrichttp.WithCompression(otlpmetrichttp.GzipCompression))
	if err != nil {
		t.Fatal(err)
	}
	viaGRPC, err := otlpmetricgrpc.New(t.Context(), otlpmetricgrpc.WithEndpoint(g.Addr().String()), otlpmetricgrpc.WithInsecure(),
		otlpmetricgrpc.WithTemporalitySelector(temporality), otlpmetricgrpc.WithHeaders(map[string]string{"authorization": "Bearer secret"}))
	if err != nil {
		t.Fatal(err)
	}
	return map[string]sdkmetric.Exporter{"http": viaHTTP, "grpc": viaGRPC}
}

// record measures through every instrument of the SDK, in two exports.
func record(t *testing.T, via string, e sdkmetric.Exporter) {
	t.Helper()
	ctx := t.Context()
	p := sdkmetric.NewMeterProvider(
		sdkmetric.WithReader(sdkmetric.NewPeriodicReader(e, sdkmetric.WithInterval(time.Hour))),
		sdkmetric.WithResource(resource.NewSchemaless(attribute.String("service.name", via), attribute.String("service.instance.id", "i1"))),
		sdkmetric.WithView(sdkmetric.NewView(sdkmetric.Instrument{Name: "size"}, sdkmetric.Stream{
			Aggregation: sdkmetric.AggregationBase2ExponentialHistogram{MaxSize: 160, MaxScale: 20},
		})),
	)
	meter := p.Meter("test")
	hits, err1 := meter.Int64Counter("hits")
	open, err2 := meter.Int64UpDownCounter("open")
	took, err3 := meter.Float64Histogram("took", metric.WithExplicitBucketBoundaries(1, 10))
	size, err4 := meter.Float64Histogram("size")
	temp, err5 := meter.Float64Gauge("temp")
	for _, err := range []error{err1, err2, err3, err4, err5} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		hits.Add(ctx, 3, metric.WithAttributes(attribute.String("route", "/a")))
		open.Add(ctx, 2)
		open.Add(ctx, -1)
		took.Record(ctx, 0.5)
		took.Record(ctx, 5)
		size.Record(ctx, 4)
		temp.Record(ctx, 21.5)
		if err := p.ForceFlush(ctx); err != nil {
			t.Fatalf("%s: %v", via, err)
		}
	}
	if err := p.Shutdown(ctx); err != nil {
		t.Fatalf("%s: %v", via, err)
	}
}

func TestOpenTelemetryDeltas(t *testing.T) {
	c, d, _ := newDoor(t)
	delta := func(k sdkmetric.InstrumentKind) metricdata.Temporality {
		if k == sdkmetric.InstrumentKindUpDownCounter {
			return metricdata.CumulativeTemporality // as the SDK's preference for deltas has it
		}
		return metricdata.DeltaTemporality
	}
	want := map[string]string{}
	for via, e := range exporters(t, d, delta) {
		record(t, via, e)
		job := `job="` + via + `"`
		want[`counter:hits{`+job+`,route="/a"}`] = "6"
		want[`gauge:open{instance="i1",`+job+`}`] = "2"
		want[`gauge:temp{instance="i1",`+job+`}`] = "21.5"
		want[`counter:took_bucket{`+job+`,le="1"}`] = "2"
		want[`counter:took_bucket{`+job+`,le="10"}`] = "4"
		want[`counter:took_bucket{`+job+`,le="+Inf"}`] = "4"
		want[`counter:took_count{`+job+`}`] = "4"
		want[`counter:took_sum{`+job+`}`] = "11"
		want[`distribution:size{`+job+`}`] = "count 2 sum 8"
	}
	if diff := cmp.Diff(want, c.all()); diff != "" {
		t.Errorf("totals (-want +got):\n%s", diff)
	}
}

func TestOpenTelemetryCumulative(t *testing.T) {
	c, d, _ := newDoor(t)
	want := map[string]string{}
	for via, e := range exporters(t, d, sdkmetric.CumulativeTemporalitySelector) {
		record(t, via, e)
		record(t, via, exporters(t, d, sdkmetric.CumulativeTemporalitySelector)[via]) // a second life of the same service
		job := `job="` + via + `"`
		want[`observed:hits{`+job+`,route="/a"}`] = "12"
		want[`gauge:open{instance="i1",`+job+`}`] = "2"
		want[`gauge:temp{instance="i1",`+job+`}`] = "21.5"
		want[`observed:took_bucket{`+job+`,le="1"}`] = "4"
		want[`observed:took_bucket{`+job+`,le="10"}`] = "8"
		want[`observed:took_bucket{`+job+`,le="+Inf"}`] = "8"
		want[`observed:took_count{`+job+`}`] = "8"
		want[`observed:took_sum{`+job+`}`] = "22"
		want[`histogram:size{`+job+`}`] = "count 4 sum 16"
	}
	if diff := cmp.Diff(want, c.all()); diff != "" {
		t.Errorf("totals (-want +got):\n%s", diff)
	}
}

func TestDogStatsD(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	c, _, m := newDoor(t)
	s, err := ingest.NewStatsD(ingest.StatsDConfig{
		Addr: "127.0.0.1:0", Unix: "gram", UnixStream: "stream", Submit: c, Metrics: m, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	run(t, s.Run)
	want := map[string]string{}
	for via, addr := range map[string]string{
		"udp": s.Addr().String(), "unixgram": "unixgram://" + filepath.Join(dir, "gram"), "unixstream": "unixstream://" + filepath.Join(dir, "stream"),
	} {
		client, err := statsd.New(addr, statsd.WithTags([]string{"via:" + via}), statsd.WithoutTelemetry(), statsd.WithoutOriginDetection(),
			statsd.WithExtendedClientSideAggregation())
		if err != nil {
			t.Fatal(err)
		}
		for _, err := range []error{
			client.Count("hits", 3, []string{"route:/a"}, 1), client.Incr("hits", []string{"route:/a"}, 1),
			client.Gauge("temp", 21.5, nil, 1), client.Set("users", "alice", nil, 1),
			client.Histogram("size", 4, nil, 1), client.Histogram("size", 5, nil, 1), client.Distribution("took", 0.5, nil, 1),
			client.CountWithTimestamp("past", 2, nil, 1, time.Now().Add(-time.Minute)),
			client.SimpleEvent("deployed", "all of it"), client.SimpleServiceCheck("up", statsd.Ok),
			client.Flush(), client.Close(),
		} {
			if err != nil {
				t.Errorf("%s: %v", via, err)
			}
		}
		tag := `via="` + via + `"`
		want[`counter:hits{route="/a",`+tag+`}`] = "4"
		want[`gauge:temp{`+tag+`}`] = "21.5"
		want[`unique:users{`+tag+`}`] = "unique"
		want[`distribution:size{`+tag+`}`] = "count 2 sum 9"
		want[`distribution:took{`+tag+`}`] = "count 1 sum 0.5"
		want[`counter:past{`+tag+`}`] = "2"
	}
	c.wait(t, want)
}
