package clients

import (
	"math"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/exp/api/remote"
	writev2 "github.com/prometheus/client_golang/exp/api/remote/genproto/v2"

	"meshd/ingest"
)

// writer is Prometheus' own client of remote write in front of a door.
func writer(t *testing.T, d *ingest.Door) *remote.API {
	t.Helper()
	mux := http.NewServeMux()
	mux.Handle("/api/v1/write", ingest.NewRemoteWrite(d, []string{"replica"}))
	web := httptest.NewServer(mux)
	t.Cleanup(web.Close)
	api, err := remote.NewAPI(web.URL, remote.WithAPIPath("api/v1/write"))
	if err != nil {
		t.Fatal(err)
	}
	return api
}

// request builds requests with Prometheus' own symbol table.
type request struct {
	symbols writev2.SymbolsTable
	series  []*writev2.TimeSeries
}

func newRequest() *request { return &request{symbols: writev2.NewSymbolTable()} }

func (r *request) add(ts *writev2.TimeSeries, t writev2.Metadata_MetricType, labels ...string) *request {
	ts.LabelsRefs = r.symbols.SymbolizeLabels(labels, nil)
	ts.Metadata = &writev2.Metadata{Type: t, HelpRef: r.symbols.Symbolize("help"), UnitRef: r.symbols.Symbolize("seconds")}
	r.series = append(r.series, ts)
	return r
}

func (r *request) message() *writev2.Request {
	return &writev2.Request{Symbols: r.symbols.Symbols(), Timeseries: r.series}
}

func floats(start int64, values ...float64) *writev2.TimeSeries {
	ts := &writev2.TimeSeries{CreatedTimestamp: start}
	for i, v := range values {
		ts.Samples = append(ts.Samples, &writev2.Sample{Value: v, Timestamp: 1_700_000_000_000 + int64(i)})
	}
	return ts
}

func natives(hs ...*writev2.Histogram) *writev2.TimeSeries {
	return &writev2.TimeSeries{Histograms: hs}
}

func TestPrometheusClientWrites(t *testing.T) {
	const (
		none, counter, gauge, histogram = writev2.Metadata_METRIC_TYPE_UNSPECIFIED, writev2.Metadata_METRIC_TYPE_COUNTER, writev2.Metadata_METRIC_TYPE_GAUGE, writev2.Metadata_METRIC_TYPE_HISTOGRAM
	)
	native := &writev2.Histogram{
		Count: &writev2.Histogram_CountInt{CountInt: 8}, ZeroCount: &writev2.Histogram_ZeroCountInt{ZeroCountInt: 1}, Sum: 20, Schema: 3, ZeroThreshold: 1e-9,
		PositiveSpans: []*writev2.BucketSpan{{Offset: 1, Length: 2}, {Offset: 3, Length: 1}}, PositiveDeltas: []int64{1, 1, -1},
		NegativeSpans: []*writev2.BucketSpan{{Offset: 0, Length: 1}}, NegativeDeltas: []int64{3}, Timestamp: 1_700_000_000_000,
	}
	custom := &writev2.Histogram{
		Count: &writev2.Histogram_CountInt{CountInt: 5}, Sum: 3, Schema: -53, CustomValues: []float64{0.1, 1},
		PositiveSpans: []*writev2.BucketSpan{{Offset: 0, Length: 2}}, PositiveDeltas: []int64{2, 1}, Timestamp: 1_700_000_000_000,
	}
	bad := &writev2.Histogram{Count: &writev2.Histogram_CountInt{CountInt: 99}, Timestamp: 1_700_000_000_000}
	withExemplar := floats(0, 5)
	withExemplar.Exemplars = []*writev2.Exemplar{{Value: 1, Timestamp: 1}}
	stale := math.Float64frombits(0x7ff0000000000002)

	for _, tc := range []struct {
		name                           string
		request                        *request
		samples, histograms, exemplars int
		refused                        bool
		want                           map[string]string
	}{
		{"counter and gauge", newRequest().add(floats(5, 7), counter, "__name__", "hits", "job", "a").add(floats(0, 1.5), gauge, "__name__", "temp"), 2, 0, 0, false, map[string]string{`observed:hits{job="a"}`: "7", "gauge:temp": "1.5"}},
		{"replicas", newRequest().add(floats(5, 7), counter, "__name__", "hits", "replica", "a").add(floats(5, 8), counter, "__name__", "hits", "replica", "b"), 2, 0, 0, false, map[string]string{`observed:hits`: "8"}},
		{"values that are not finite", newRequest().add(floats(0, 1, stale, math.NaN(), math.Inf(1), math.Inf(-1)), none, "__name__", "up"), 5, 0, 0, false, map[string]string{"gauge:up": "1"}},
		{"names of UTF-8", newRequest().add(floats(0, 1), none, "__name__", "resource cpu.usage", "job name", "a\nb"), 1, 0, 0, false, map[string]string{`gauge:resource cpu.usage{job name="a\nb"}`: "1"}},
		{"native histogram", newRequest().add(natives(native, native), histogram, "__name__", "took"), 0, 2, 0, false, map[string]string{"histogram:took": "count 8 sum 20"}},
		{"custom buckets", newRequest().add(natives(custom), histogram, "__name__", "took"), 0, 1, 0, false, map[string]string{
			`observed:took_bucket{le="0.1"}`: "2", `observed:took_bucket{le="1"}`: "5", `observed:took_bucket{le="+Inf"}`: "5", "observed:took_sum": "3", "observed:took_count": "5",
		}},
		{"exemplar", newRequest().add(withExemplar, counter, "__name__", "hits"), 1, 0, 1, false, map[string]string{"observed:hits": "5"}},
		{"no name", newRequest().add(floats(0, 1), none, "job", "a").add(floats(0, 1, 2), none, "__name__", "up"), 2, 0, 0, true, map[string]string{"gauge:up": "2"}},
		{"bad count", newRequest().add(natives(bad), histogram, "__name__", "took").add(natives(native), histogram, "__name__", "good"), 0, 1, 0, true, map[string]string{"histogram:good": "count 8 sum 20"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c, d, _ := newDoor(t)
			stats, err := writer(t, d).Write(t.Context(), remote.WriteV2MessageType, tc.request.message())
			if (err != nil) != tc.refused {
				t.Errorf("error %v, want one: %v", err, tc.refused)
			}
			if got := [3]int{stats.Samples, stats.Histograms, stats.Exemplars}; got != [3]int{tc.samples, tc.histograms, tc.exemplars} {
				t.Errorf("written %v, want %d samples, %d histograms, %d exemplars", got, tc.samples, tc.histograms, tc.exemplars)
			}
			if diff := cmp.Diff(tc.want, c.all()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
