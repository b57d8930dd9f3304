package ingest

import (
	"bytes"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/snappy"
	"github.com/prometheus/client_golang/prometheus"

	"meshd/crdt"
	"meshd/node"
)

func newTestRemoteWrite(t testing.TB) (*RemoteWrite, *fakeNode, *prometheus.Registry) {
	m, reg := newTestMetrics(t)
	n := newFakeNode()
	return NewRemoteWrite(newTestDoor(t, n, m), []string{"__replica__"}), n, reg
}

const (
	contentType1 = "application/x-protobuf"
	contentType2 = "application/x-protobuf;proto=io.prometheus.write.v2.Request"
)

func postRemoteWrite(rw *RemoteWrite, contentType string, message []byte) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodPost, "/api/v1/write", bytes.NewReader(snappy.Encode(nil, message)))
	r.Header.Set("Content-Type", contentType)
	r.Header.Set("Content-Encoding", "snappy")
	w := httptest.NewRecorder()
	rw.ServeHTTP(w, r)
	return w
}

func TestRemoteWrite1(t *testing.T) {
	stale := math.Float64frombits(staleMarker)
	for _, tc := range []struct {
		name   string
		series [][]byte
		want   map[string]string
	}{
		{"counter", [][]byte{message(labels1("__name__", "hits_total", "job", "a"), sample1(5, 1000), sample1(7, 2000))}, map[string]string{`observed:hits_total{job="a"}`: "@0=7"}},
		{"gauge", [][]byte{message(labels1("__name__", "temp", "job", "a"), sample1(5, 1000), sample1(-7.5, 2000))}, map[string]string{`gauge:temp{job="a"}`: "-7.5"}},
		{
			"classic histogram",
			[][]byte{message(labels1("__name__", "t_bucket", "le", "+Inf"), sample1(5, 1000)), message(labels1("__name__", "t_count"), sample1(5, 1000)), message(labels1("__name__", "t_sum"), sample1(2.5, 1000))},
			map[string]string{`observed:t_bucket{le="+Inf"}`: "@0=5", "observed:t_count": "@0=5", "observed:t_sum": "@0=2.5"},
		},
		{"native histogram", [][]byte{message(labels1("__name__", "t"), bytesField(4, nativeHistogram(12.5, 0)))}, map[string]string{"histogram:t": "6 sum 12.5"}},
		{"two replicas", [][]byte{
			message(labels1("__name__", "hits_total", "__replica__", "a"), sample1(5, 1000)), message(labels1("__name__", "hits_total", "__replica__", "b"), sample1(6, 1000)),
		}, map[string]string{"observed:hits_total": "@0=6"}},
		{"labels of our own, empty, in any order", [][]byte{message(labels1("node", "n", "empty", "", "__name__", "x"), sample1(1, 1000))}, map[string]string{`gauge:x{exported_node="n"}`: "1"}},
		{"what is not kept", [][]byte{message(labels1("__name__", "x"), sample1(stale, 1000), sample1(math.NaN(), 1000), sample1(math.Inf(-1), 1000))}, map[string]string{}},
		{"metadata and unknown fields", [][]byte{message(labels1("__name__", "x"), sample1(1, 1000), bytesField(99, []byte("future")), varintField(98, 1))}, map[string]string{"gauge:x": "1"}},
		{"nothing", nil, map[string]string{}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			rw, n, _ := newTestRemoteWrite(t)
			for range 2 { // again: harmless, and from the cache
				w := postRemoteWrite(rw, contentType1, append(write1(tc.series...), bytesField(3, bytesField(2, []byte("x")))...))
				if w.Code != http.StatusNoContent || w.Body.Len() != 0 {
					t.Fatalf("status %d: %s", w.Code, w.Body)
				}
				if h := w.Header().Get("X-Prometheus-Remote-Write-Samples-Written"); h != "" {
					t.Errorf("an answer to 1.0 says %s samples written", h)
				}
				if diff := cmp.Diff(tc.want, n.all()); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
			}
		})
	}
}

func TestRemoteWrite2(t *testing.T) {
	name := func(s string, more ...string) []string { return append([]string{"__name__", s}, more...) }
	customs := message(varintField(1, 6), doubleField(3, 20), zigzagField(4, customSchema), varintField(15, 1000),
		bytesField(11, message(varintField(2, 3))), zigzagField(12, 1), zigzagField(12, 1), zigzagField(12, 1),
		doubleField(16, 0.5), doubleField(16, 10))
	floats := message(doubleField(2, 6), doubleField(3, 12.5), zigzagField(4, 3), doubleField(7, 1), varintField(15, 1000),
		bytesField(11, message(zigzagField(1, 1), varintField(2, 2))), doubleField(13, 2), doubleField(13, 3))
	for _, tc := range []struct {
		name                           string
		request                        *writer2
		samples, histograms, exemplars string
		want                           map[string]string
	}{
		{"counter with a start", new(writer2).add(rwTypeCounter, name("hits", "job", "a"), sample2(5, 1000, 900)), "1", "0", "0", map[string]string{`observed:hits{job="a"}`: "@900=5"}},
		{"a run after another", new(writer2).add(rwTypeCounter, name("hits"), sample2(5, 1000, 900), sample2(2, 3000, 2900)), "2", "0", "0", map[string]string{`observed:hits`: "@900=5 @2900=2"}},
		{"a start of the series", new(writer2).add(rwTypeCounter, name("hits"), varintField(6, 800), sample2(5, 1000, 0), sample2(2, 3000, 2900)), "2", "0", "0", map[string]string{`observed:hits`: "@800=5 @2900=2"}},
		{"gauge by its type", new(writer2).add(rwTypeGauge, name("jobs_total"), sample2(-5, 1000, 0)), "1", "0", "0", map[string]string{`gauge:jobs_total`: "-5"}},
		{"no type", new(writer2).add(rwTypeNone, name("jobs_total"), sample2(5, 1000, 0)), "1", "0", "0", map[string]string{`observed:jobs_total`: "@0=5"}},
		{"quantile", new(writer2).add(rwTypeSummary, name("t", "quantile", "0.5"), sample2(5, 1000, 0)).add(rwTypeSummary, name("t_sum"), sample2(5, 1000, 0)), "2", "0", "0", map[string]string{`gauge:t{quantile="0.5"}`: "5", "observed:t_sum": "@0=5"}},
		{"classic histogram", new(writer2).add(rwTypeHistogram, name("t_bucket", "le", "1"), sample2(5, 1000, 0)), "1", "0", "0", map[string]string{`observed:t_bucket{le="1"}`: "@0=5"}},
		{"native histogram", new(writer2).add(rwTypeHistogram, name("t"), bytesField(3, nativeHistogram(12.5, 900))), "0", "1", "0", map[string]string{"histogram:t": "6 sum 12.5"}},
		{"two of a run", new(writer2).add(rwTypeHistogram, name("t"), bytesField(3, nativeHistogram(12.5, 900)), bytesField(3, nativeHistogram(12.5, 900))), "0", "2", "0", map[string]string{"histogram:t": "6 sum 12.5"}},
		{"float histogram", new(writer2).add(rwTypeHistogram, name("t"), bytesField(3, floats)), "0", "1", "0", map[string]string{"histogram:t": "6 sum 12.5"}},
		{
			"custom buckets", new(writer2).add(rwTypeHistogram, name("t"), bytesField(3, customs)), "0", "1", "0",
			map[string]string{`observed:t_bucket{le="0.5"}`: "@0=1", `observed:t_bucket{le="10"}`: "@0=3", `observed:t_bucket{le="+Inf"}`: "@0=6", "observed:t_sum": "@0=20", "observed:t_count": "@0=6"},
		},
		{"exemplars", new(writer2).add(rwTypeCounter, name("hits"), sample2(5, 1000, 0), bytesField(4, doubleField(2, 1))).add(rwTypeCounter, name("other"), bytesField(4, nil)), "1", "0", "2", map[string]string{"observed:hits": "@0=5"}},
		{"stale histogram", new(writer2).add(rwTypeHistogram, name("t"), bytesField(3, nativeHistogram(math.Float64frombits(staleMarker), 0))), "0", "1", "0", map[string]string{}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			rw, n, _ := newTestRemoteWrite(t)
			w := postRemoteWrite(rw, contentType2, tc.request.message())
			if w.Code != http.StatusNoContent {
				t.Fatalf("status %d: %s", w.Code, w.Body)
			}
			checkWritten(t, w, tc.samples, tc.histograms, tc.exemplars)
			if diff := cmp.Diff(tc.want, n.all()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func checkWritten(t *testing.T, w *httptest.ResponseRecorder, samples, histograms, exemplars string) {
	t.Helper()
	for name, want := range map[string]string{"Samples": samples, "Histograms": histograms, "Exemplars": exemplars} {
		if got := w.Header().Get("X-Prometheus-Remote-Write-" + name + "-Written"); got != want {
			t.Errorf("%s written: %q, want %q", name, got, want)
		}
	}
}

// TestRemoteWriteRefusals is the corpus of bad samples: each is refused with its reason, in 2.0 with a 400, and the good
// one beside it is written.
func TestRemoteWriteRefusals(t *testing.T) {
	name := func(s string, more ...string) []string { return append([]string{"__name__", s}, more...) }
	one := sample2(1, 1000, 0)
	histogram := func(fields ...[]byte) []byte { return bytesField(3, message(fields...)) }
	labels := name("x")
	for i := range 33 {
		labels = append(labels, strings.Repeat("l", i+1), "v")
	}
	for _, tc := range []struct {
		name string
		bad  *writer2
		want reason
	}{
		{"no name", new(writer2).add(rwTypeGauge, []string{"job", "a"}, one), reasonName},
		{"empty name", new(writer2).add(rwTypeGauge, name(""), one), reasonName},
		{"no labels", new(writer2).add(rwTypeGauge, nil, one), reasonName},
		{"a label twice", new(writer2).add(rwTypeGauge, name("x", "a", "1", "a", "2"), one), reasonTag},
		{"the name twice", new(writer2).add(rwTypeGauge, name("x", "__name__", "y"), one), reasonTag},
		{"a label without a name", new(writer2).add(rwTypeGauge, name("x", "", "v"), one), reasonTag},
		{"half a label", new(writer2).add(rwTypeGauge, []string{"__name__", "x", "y"}, one), reasonTag},
		{"not UTF-8", new(writer2).add(rwTypeGauge, name("x", "a", "\xff"), one), reasonUTF8},
		{"many labels", new(writer2).add(rwTypeGauge, labels, one), reasonTooLong},
		{"long value", new(writer2).add(rwTypeGauge, name("x", "a", strings.Repeat("v", 1025)), one), reasonSeries},
		{"negative counter", new(writer2).add(rwTypeCounter, name("x"), sample2(-1, 1000, 0)), reasonNegative},
		{"huge counter", new(writer2).add(rwTypeCounter, name("x"), sample2(1e30, 1000, 0)), reasonRange},
		{"gauge histogram", new(writer2).add(rwTypeHistogram, name("x"), histogram(nativeHistogram(1, 0, varintField(14, 3)))), reasonType},
		{"counts that disagree", new(writer2).add(rwTypeHistogram, name("x"), histogram(nativeHistogram(1, 0, varintField(1, 99)))), reasonRange},
		{"unknown schema", new(writer2).add(rwTypeHistogram, name("x"), histogram(nativeHistogram(1, 0, zigzagField(4, 20)))), reasonRange},
		{"fractions of samples", new(writer2).add(rwTypeHistogram, name("x"), histogram(doubleField(2, 1.5))), reasonNumber},
		{"custom bounds not ascending", new(writer2).add(rwTypeHistogram, name("x"), histogram(zigzagField(4, customSchema), doubleField(16, 2), doubleField(16, 1))), reasonRange},
		{"custom buckets beyond the bounds", new(writer2).add(rwTypeHistogram, name("x"), histogram(zigzagField(4, customSchema), bytesField(11, message(varintField(2, 3))), zigzagField(12, 1), zigzagField(12, 0), zigzagField(12, 0))), reasonRange},
		{"custom buckets without counts", new(writer2).add(rwTypeHistogram, name("x"), histogram(zigzagField(4, customSchema), bytesField(11, message(varintField(2, 1<<31))))), reasonRange},
		{"many custom buckets", new(writer2).add(rwTypeHistogram, name("x"), histogram(zigzagField(4, customSchema), bytesField(16, make([]byte, 8*maxClassicBuckets)))), reasonTooLong},
	} {
		t.Run(tc.name, func(t *testing.T) {
			rw, n, reg := newTestRemoteWrite(t)
			w := postRemoteWrite(rw, contentType2, tc.bad.add(rwTypeCounter, name("good"), one).message())
			if w.Code != http.StatusBadRequest || w.Body.Len() == 0 {
				t.Errorf("status %d: %q, want 400 and why", w.Code, w.Body)
			}
			checkWritten(t, w, "1", "0", "0")
			if diff := cmp.Diff(map[string]string{"observed:good": "@0=1"}, n.all()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if got := metric(t, reg, "rejected_total", "reason", tc.want.String()); got != 1 {
				t.Errorf("%v refused for %s, want 1", got, tc.want)
			}
		})
	}
}

func TestRemoteWrite2BadSymbol(t *testing.T) {
	rw, _, _ := newTestRemoteWrite(t)
	w := postRemoteWrite(rw, contentType2, bytesField(5, message(varintField(1, 7), varintField(1, 1<<40), sample2(1, 1000, 0))))
	if w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), "symbol 7 of 0") {
		t.Errorf("status %d: %s", w.Code, w.Body)
	}
}

// TestRemoteWrite1NeverRefusesTheGood: senders of 1.0 take a 400 for the end of the request.
func TestRemoteWrite1NeverRefusesTheGood(t *testing.T) {
	rw, n, reg := newTestRemoteWrite(t)
	w := postRemoteWrite(rw, contentType1, write1(message(labels1("__name__", "a_total"), sample1(-1, 1000)), message(labels1("__name__", "b_total"), sample1(2, 1000))))
	if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), "1 samples were refused") {
		t.Errorf("status %d: %s", w.Code, w.Body)
	}
	if got := n.observedTotal("observed:b_total"); got != "2" {
		t.Errorf("the good one counts %s, want 2", got)
	}
	if got := metric(t, reg, "rejected_total", "reason", "negative"); got != 1 {
		t.Errorf("%v refused, want 1", got)
	}
}

func TestRemoteWriteRequests(t *testing.T) {
	good := write1(message(labels1("__name__", "x"), sample1(1, 1000)))
	for _, tc := range []struct {
		name, method, contentType, encoding string
		body                                []byte
		code                                int
	}{
		{"1.0", "POST", contentType1, "snappy", snappy.Encode(nil, good), 204},
		{"1.0 by name", "POST", contentType1 + ";proto=prometheus.WriteRequest", "snappy", snappy.Encode(nil, good), 204},
		{"no type, no encoding", "POST", "", "", snappy.Encode(nil, good), 204},
		{"unknown message", "POST", contentType1 + ";proto=io.prometheus.write.v3.Request", "snappy", snappy.Encode(nil, good), 415},
		{"another type", "POST", "application/json", "snappy", snappy.Encode(nil, good), 415},
		{"broken type", "POST", "application/x-protobuf;proto", "snappy", snappy.Encode(nil, good), 415},
		{"another encoding", "POST", contentType2, "gzip", gzipped(t, good), 415},
		{"not snappy", "POST", contentType1, "snappy", []byte("0"), 400},
		{"not protobuf", "POST", contentType2, "snappy", snappy.Encode(nil, []byte("x")), 400},
		{"cut short", "POST", contentType1, "snappy", snappy.Encode(nil, good[:len(good)-1]), 400},
		{"a field of another type", "POST", contentType1, "snappy", snappy.Encode(nil, varintField(1, 5)), 400},
		{"a sample that is none", "POST", contentType1, "snappy", snappy.Encode(nil, write1(message(labels1("__name__", "x"), varintField(2, 5)))), 400},
		{"too long", "POST", contentType1, "snappy", snappy.Encode(nil, make([]byte, maxBodyBytes+1)), 413},
		{"symbols without end", "POST", contentType2, "snappy", snappy.Encode(nil, bytes.Repeat([]byte{0x22, 0}, maxBodyBytes/2)), 413},
		{"samples without end", "POST", contentType2, "snappy", snappy.Encode(nil, bytesField(5, bytes.Repeat([]byte{0x12, 0}, maxBodyBytes/2-10))), 413},
		{"labels without end", "POST", contentType1, "snappy", snappy.Encode(nil, bytesField(1, bytes.Repeat([]byte{0x0a, 0}, maxBodyBytes/2-10))), 413},
		{"histograms without end", "POST", contentType1, "snappy", snappy.Encode(nil, bytesField(1, bytes.Repeat([]byte{0x22, 0}, maxBodyBytes/2-10))), 413},
		{"series without end", "POST", contentType1, "snappy", snappy.Encode(nil, bytes.Repeat(bytesField(1, sample1(1, 1)), maxItems+1)), 413},
		{"GET", "GET", contentType1, "snappy", nil, 405},
	} {
		t.Run(tc.name, func(t *testing.T) {
			rw, _, _ := newTestRemoteWrite(t)
			r := httptest.NewRequest(tc.method, "/api/v1/write", bytes.NewReader(tc.body))
			r.Header.Set("Content-Type", tc.contentType)
			r.Header.Set("Content-Encoding", tc.encoding)
			w := httptest.NewRecorder()
			rw.ServeHTTP(w, r)
			if w.Code != tc.code {
				t.Errorf("status %d, want %d: %s", w.Code, tc.code, w.Body)
			}
			if held := rw.door.held.Load(); held != 0 {
				t.Errorf("%d bytes still charged", held)
			}
		})
	}
}

func TestRemoteWriteBusyNode(t *testing.T) {
	rw, n, _ := newTestRemoteWrite(t)
	n.answer = func(*node.Batch) node.Result { return node.Result{Err: node.ErrBusy} }
	w := postRemoteWrite(rw, contentType2, new(writer2).add(rwTypeGauge, []string{"__name__", "x"}, sample2(1, 1000, 0)).message())
	if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" {
		t.Errorf("status %d, Retry-After %q, want 503 with one", w.Code, w.Header().Get("Retry-After"))
	}
	checkWritten(t, w, "0", "0", "0")
}

// TestRemoteWriteCacheIsBounded sends more series than the cache holds.
func TestRemoteWriteCacheIsBounded(t *testing.T) {
	c := newRWSeriesCache(nil)
	value := strings.Repeat("v", 1000)
	for i := range 40_000 {
		k := rwKey(nil).reset(rwFloats, rwTypeGauge).append([]byte("__name__")).append([]byte("x"))
		for _, label := range []string{"a", "b", "c"} {
			k = k.append([]byte(label)).append(fmt.Appendf(nil, "%s%d", value, i))
		}
		if _, err := c.find(k); err != nil {
			t.Fatal(err)
		}
	}
	if held := len(c.known) * 6000; held > 2*rwCacheBytes {
		t.Errorf("about %d bytes held, want at most %d", held, rwCacheBytes)
	}
}

func FuzzRemoteWrite(f *testing.F) {
	f.Add(true, new(writer2).add(rwTypeCounter, []string{"__name__", "x"}, sample2(1, 1000, 900)).message())
	f.Add(true, new(writer2).add(rwTypeHistogram, []string{"__name__", "x"}, bytesField(3, nativeHistogram(1, 0))).message())
	f.Add(false, write1(message(labels1("__name__", "x_total"), sample1(1, 1000), bytesField(4, nativeHistogram(1, 0)))))
	for _, input := range malformedInputs(f, "remote_write") {
		f.Add(false, []byte(input))
	}
	for _, input := range malformedInputs(f, "remote_write_2") {
		f.Add(true, bytesField(5, []byte(input)))
	}
	f.Fuzz(func(t *testing.T, second bool, body []byte) {
		rw, n, _ := newTestRemoteWrite(t)
		contentType := contentType1
		if second {
			contentType = contentType2
		}
		if w := postRemoteWrite(rw, contentType, body); w.Code != 200 && w.Code != 204 && w.Code != 400 {
			t.Errorf("status %d: %s", w.Code, w.Body)
		}
		n.checkItems(t)
	})
}

func BenchmarkRemoteWrite2(b *testing.B) {
	m, _ := newTestMetrics(b)
	rw := NewRemoteWrite(newTestDoor(b, acceptAll{}, m), nil)
	const samples = 2000
	req := new(writer2)
	for i := range samples {
		req.add(rwTypeCounter, []string{"__name__", "http_requests_total", "job", "api", "instance", "host:9100", "path", strings.Repeat("p", i%50+1), "code", string(rune('a' + i/50))}, sample2(float64(i), 1000, 900))
	}
	body := req.message()
	b.ReportAllocs()
	for b.Loop() {
		if w := postRemoteWrite(rw, contentType2, body); w.Code != http.StatusNoContent {
			b.Fatal(w.Body)
		}
	}
	b.ReportMetric(float64(b.N)*samples/b.Elapsed().Seconds(), "samples/s")
}

// TestTwoReceiversCountAsOne sends the same counters and histograms to two nodes, in different order and with retries,
// by both versions: what the mesh makes of the two is what one of them has. package node tests how cells get there.
func TestTwoReceiversCountAsOne(t *testing.T) {
	name := func(s string) []string { return []string{"__name__", s, "job", "a"} }
	first := new(writer2).add(rwTypeCounter, name("hits_total"), sample2(5, 1000, 900)).
		add(rwTypeHistogram, name("took"), bytesField(3, nativeHistogram(12.5, 900))).message()
	second := new(writer2).add(rwTypeCounter, name("hits_total"), sample2(8, 2000, 900), sample2(2, 3000, 2500)).message()
	older := write1(message(labels1("job", "a", "__name__", "hits_total"), sample1(8, 2000))) // knows no start
	var totals [3]*fakeNode
	for i, sent := range [][][]byte{{first, second}, {second, first, second}, {first, older}} {
		rw, n, _ := newTestRemoteWrite(t)
		for _, msg := range sent {
			contentType := contentType2
			if &msg[0] == &older[0] {
				contentType = contentType1
			}
			if w := postRemoteWrite(rw, contentType, msg); w.Code != http.StatusNoContent {
				t.Fatal(w.Body)
			}
		}
		totals[i] = n
	}
	for series, want := range map[string]string{`observed:hits_total{job="a"}`: "10", `histogram:took{job="a"}`: "6"} {
		v := totals[0].value(series)
		for _, n := range totals[1:] {
			other := n.value(series)
			if err := v.Combine(&other); err != nil {
				t.Fatal(err)
			}
		}
		got := ""
		switch x := v.X.(type) {
		case *crdt.Observed:
			got = x.Total().String()
		case *crdt.Histograms:
			got = fmt.Sprint(x.Total().Count())
		}
		if got != want {
			t.Errorf("%s: three receivers have %s, want %s", series, got, want)
		}
	}
}
