package ingest

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"meshd/node"
)

func newTestOTLP(t testing.TB) (*OTLP, *fakeNode, *prometheus.Registry) {
	m, reg := newTestMetrics(t)
	n := newFakeNode()
	return NewOTLP(newTestDoor(t, n, m)), n, reg
}

// otlpJSON puts metrics, in JSON, under a resource.
func otlpJSON(metrics string) string {
	return `{"resourceMetrics":[{"resource":{"attributes":[
		{"key":"service.name","value":{"stringValue":"till"}},{"key":"service.namespace","value":{"stringValue":"shop"}},
		{"key":"service.instance.id","value":{"stringValue":"i1"}}]},
		"scopeMetrics":[{"scope":{"name":"lib","version":"1"},"metrics":[` + metrics + `]}]}]}`
}

func otlpProto(t testing.TB, js string) []byte {
	t.Helper()
	req := new(otlpRequest)
	if err := protojson.Unmarshal([]byte(js), req); err != nil {
		t.Fatal(err)
	}
	b, err := proto.Marshal(req)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func postOTLP(o http.Handler, contentType string, body []byte) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodPost, "/v1/metrics", bytes.NewReader(body))
	r.Header.Set("Content-Type", contentType)
	w := httptest.NewRecorder()
	o.ServeHTTP(w, r)
	return w
}

// all returns every total by the series' name.
func (f *fakeNode) all() map[string]string {
	f.mu.Lock()
	defer f.mu.Unlock()
	m := map[string]string{}
	for k, v := range f.totals {
		m[k] = describe(*v)
	}
	return m
}

const (
	otlpTimes = `"startTimeUnixNano":"1600000000000000000","timeUnixNano":"1600000010000000000"`
	jobTill   = `job="shop/till"`
)

func TestOTLPPoints(t *testing.T) {
	attr := `"attributes":[{"key":"route","value":{"stringValue":"/a"}}],` + otlpTimes
	series := `{job="shop/till",route="/a"}`
	buckets := `"explicitBounds":[0.5,10],"bucketCounts":["1","2","3"],"count":"6","sum":42.5`
	for _, tc := range []struct {
		name, metric string
		want         map[string]string
	}{
		{
			"delta sum", `{"name":"hits","sum":{"aggregationTemporality":1,"isMonotonic":true,"dataPoints":[{` + attr + `,"asInt":"9007199254740993"},{` + attr + `,"asInt":"1"}]}}`,
			map[string]string{"counter:hits" + series: "9007199254740994"},
		},
		{
			"delta sum of floats", `{"name":"hits","sum":{"aggregationTemporality":1,"isMonotonic":true,"dataPoints":[{` + attr + `,"asDouble":0.25}]}}`,
			map[string]string{"counter:hits" + series: "0.25"},
		},
		{
			"delta sum that goes down", `{"name":"level","sum":{"aggregationTemporality":1,"dataPoints":[{` + attr + `,"asInt":"5"},{` + attr + `,"asInt":"-7"}]}}`,
			map[string]string{"updown:level" + series: "+5 -7"},
		},
		{
			"cumulative sum", `{"name":"hits","sum":{"aggregationTemporality":2,"isMonotonic":true,"dataPoints":[{` + attr + `,"asInt":"5"},{` + attr + `,"asInt":"7"}]}}`,
			map[string]string{"observed:hits" + series: "i1@1600000000000=7"},
		},
		{
			"cumulative sum that goes down", `{"name":"level","sum":{"aggregationTemporality":2,"dataPoints":[{` + attr + `,"asInt":"5"}]}}`,
			map[string]string{`gauge:level{instance="i1",job="shop/till",route="/a"}`: "5"},
		},
		{
			"gauge", `{"name":"temp","gauge":{"dataPoints":[{` + attr + `,"asDouble":-1.5}]}}`,
			map[string]string{`gauge:temp{instance="i1",job="shop/till",route="/a"}`: "-1.5"},
		},
		{
			"delta histogram", `{"name":"t","histogram":{"aggregationTemporality":1,"dataPoints":[{` + attr + `,` + buckets + `}]}}`,
			map[string]string{
				`counter:t_bucket{job="shop/till",le="0.5",route="/a"}`: "1", `counter:t_bucket{job="shop/till",le="10",route="/a"}`: "3",
				`counter:t_bucket{job="shop/till",le="+Inf",route="/a"}`: "6", "counter:t_count" + series: "6", "counter:t_sum" + series: "42.5",
			},
		},
		{
			"cumulative histogram without buckets", `{"name":"t","histogram":{"aggregationTemporality":2,"dataPoints":[{` + attr + `,"count":"6","sum":3}]}}`,
			map[string]string{"observed:t_count" + series: "i1@1600000000000=6", "observed:t_sum" + series: "i1@1600000000000=3"},
		},
		{
			"delta exponential histogram", `{"name":"t","exponentialHistogram":{"aggregationTemporality":1,"dataPoints":[{` + attr + `,"count":"6","sum":10,"scale":3,"zeroCount":"1",
				"positive":{"offset":0,"bucketCounts":["2","3"]}}]}}`,
			map[string]string{"distribution:t" + series: "6 sum 10"},
		},
		{
			"cumulative exponential histogram", `{"name":"t","exponentialHistogram":{"aggregationTemporality":2,"dataPoints":[{` + attr + `,"count":"6","sum":10,"scale":3,"zeroCount":"1",
				"positive":{"offset":0,"bucketCounts":["2","3"]}},{` + attr + `,"count":"6","sum":10,"scale":2,"zeroCount":"1","positive":{"offset":0,"bucketCounts":["5"]}}]}}`,
			map[string]string{"histogram:t" + series: "6 sum 10"},
		},
		{
			"summary", `{"name":"t","summary":{"dataPoints":[{` + attr + `,"count":"6","sum":3,"quantileValues":[{"quantile":0.99,"value":2}]}]}}`,
			map[string]string{
				`gauge:t{instance="i1",job="shop/till",quantile="0.99",route="/a"}`: "2",
				"observed:t_count" + series:                                         "i1@1600000000000=6", "observed:t_sum" + series: "i1@1600000000000=3",
			},
		},
		{
			"attributes of all types", `{"name":"hits","sum":{"aggregationTemporality":1,"isMonotonic":true,"dataPoints":[{"asInt":"1","attributes":[
				{"key":"b","value":{"boolValue":true}},{"key":"i","value":{"intValue":"-3"}},{"key":"d","value":{"doubleValue":0.5}},
				{"key":"x","value":{"bytesValue":"AQI="}},{"key":"l","value":{"arrayValue":{"values":[{"stringValue":"a"},{"intValue":"1"}]}}},
				{"key":"m","value":{"kvlistValue":{"values":[{"key":"k","value":{"stringValue":"v"}}]}}},{"key":"node","value":{"stringValue":"n"}}]}]}}`,
			map[string]string{`counter:hits{b="true",d="0.5",exported_node="n",i="-3",job="shop/till",l="[\"a\",1]",m="{\"k\":\"v\"}",x="AQI="}`: "1"},
		},
		{
			"a point without a value", `{"name":"temp","gauge":{"dataPoints":[{"flags":1}]}}`, map[string]string{},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			js := otlpJSON(tc.metric)
			for contentType, body := range map[string][]byte{typeJSON: []byte(js), typeProtobuf: otlpProto(t, js)} {
				o, n, _ := newTestOTLP(t)
				w := postOTLP(o, contentType, body)
				if w.Code != http.StatusOK || w.Header().Get("Content-Type") != contentType {
					t.Fatalf("%s: status %d, type %s: %s", contentType, w.Code, w.Header().Get("Content-Type"), w.Body)
				}
				if want := map[string]string{typeJSON: "{}\n"}[contentType]; w.Body.String() != want {
					t.Errorf("%s: answer %q, want %q", contentType, w.Body, want)
				}
				if diff := cmp.Diff(tc.want, n.all()); diff != "" {
					t.Errorf("%s (-want +got):\n%s", contentType, diff)
				}
			}
		})
	}
}

// TestOTLPRefusals is the corpus of bad points: each is refused with its reason, and the good one beside it counts.
func TestOTLPRefusals(t *testing.T) {
	long := strings.Repeat("x", 1025)
	for _, tc := range []struct {
		name, metric string
		want         reason
	}{
		{"negative monotonic sum", `{"name":"a","sum":{"aggregationTemporality":1,"isMonotonic":true,"dataPoints":[{"asInt":"-1"}]}}`, reasonNegative},
		{"negative cumulative sum", `{"name":"a","sum":{"aggregationTemporality":2,"isMonotonic":true,"dataPoints":[{"asDouble":-0.5}]}}`, reasonNegative},
		{"no temporality", `{"name":"a","sum":{"isMonotonic":true,"dataPoints":[{"asInt":"1"}]}}`, reasonType},
		{"unknown temporality", `{"name":"a","sum":{"aggregationTemporality":7,"isMonotonic":true,"dataPoints":[{"asInt":"1"}]}}`, reasonType},
		{"no data", `{"name":"a"}`, reasonType},
		{"no value", `{"name":"a","gauge":{"dataPoints":[{}]}}`, reasonNumber},
		{"no name", `{"gauge":{"dataPoints":[{"asInt":"1"}]}}`, reasonSeries},
		{"NaN gauge", `{"name":"a","gauge":{"dataPoints":[{"asDouble":"NaN"}]}}`, reasonRange},
		{"infinite sum", `{"name":"a","sum":{"aggregationTemporality":1,"isMonotonic":true,"dataPoints":[{"asDouble":"Infinity"}]}}`, reasonRange},
		{"huge sum", `{"name":"a","sum":{"aggregationTemporality":1,"isMonotonic":true,"dataPoints":[{"asDouble":1e30}]}}`, reasonRange},
		{"attribute without key", `{"name":"a","gauge":{"dataPoints":[{"asInt":"1","attributes":[{"value":{"stringValue":"x"}}]}]}}`, reasonTag},
		{"long attribute", `{"name":"a","gauge":{"dataPoints":[{"asInt":"1","attributes":[{"key":"k","value":{"stringValue":"` + long + `"}}]}]}}`, reasonSeries},
		{"buckets without bounds", `{"name":"a","histogram":{"aggregationTemporality":1,"dataPoints":[{"count":"3","bucketCounts":["1","1","1"],"explicitBounds":[1]}]}}`, reasonRange},
		{"buckets that disagree", `{"name":"a","histogram":{"aggregationTemporality":1,"dataPoints":[{"count":"4","bucketCounts":["1","1","1"],"explicitBounds":[1,2]}]}}`, reasonRange},
		{"buckets of 2^64 samples", `{"name":"a","histogram":{"aggregationTemporality":1,"dataPoints":[{"bucketCounts":["18446744073709551615","1"],"explicitBounds":[1]}]}}`, reasonRange},
		{"negative sum of a histogram", `{"name":"a","histogram":{"aggregationTemporality":1,"dataPoints":[{"count":"2","sum":-3}]}}`, reasonNegative},
		{"exponential buckets that disagree", `{"name":"a","exponentialHistogram":{"aggregationTemporality":1,"dataPoints":[{"count":"7","positive":{"bucketCounts":["1"]}}]}}`, reasonRange},
		{"many quantiles", `{"name":"a","summary":{"dataPoints":[{"quantileValues":[` + strings.Repeat("{},", 500) + `{}]}]}}`, reasonTooLong},
		{"many buckets", `{"name":"a","histogram":{"aggregationTemporality":1,"dataPoints":[{"bucketCounts":[` + strings.Repeat(`"0",`, 500) + `"0"]}]}}`, reasonTooLong},
		{"exponential scale", `{"name":"a","exponentialHistogram":{"aggregationTemporality":1,"dataPoints":[{"count":"1","scale":-30,"positive":{"offset":5,"bucketCounts":["1"]}}]}}`, reasonRange},
	} {
		t.Run(tc.name, func(t *testing.T) {
			good := `{"name":"good","sum":{"aggregationTemporality":1,"isMonotonic":true,"dataPoints":[{"asInt":"1"}]}}`
			o, n, reg := newTestOTLP(t)
			w := postOTLP(o, typeJSON, []byte(otlpJSON(tc.metric+","+good)))
			var answer struct {
				PartialSuccess struct {
					RejectedDataPoints int64 `json:",string"`
					ErrorMessage       string
				}
			}
			if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil || w.Code != http.StatusOK {
				t.Fatalf("status %d: %s: %v", w.Code, w.Body, err)
			}
			if answer.PartialSuccess.RejectedDataPoints != 1 || answer.PartialSuccess.ErrorMessage == "" {
				t.Errorf("answer %s, want one point rejected and why", w.Body)
			}
			if diff := cmp.Diff(map[string]string{"counter:good{" + jobTill + "}": "1"}, n.all()); diff != "" {
				t.Errorf("counted (-want +got):\n%s", diff)
			}
			if got := metric(t, reg, "rejected_total", "reason", tc.want.String()); got != 1 {
				t.Errorf("%v refused for %s, want 1", got, tc.want)
			}
		})
	}
}

// otlpNested is a request of one gauge with the data given.
func otlpNested(data []byte) []byte {
	return bytesField(1, bytesField(2, bytesField(2, message(bytesField(1, []byte("a")), bytesField(5, data)))))
}

func TestOTLPRequests(t *testing.T) {
	for _, tc := range []struct {
		name, contentType string
		body              []byte
		code              int
	}{
		{"empty", typeProtobuf, nil, 200},
		{"empty JSON", typeJSON, []byte("{}"), 200},
		{"unknown field", typeJSON, []byte(`{"future":1}`), 200},
		{"not protobuf", typeProtobuf, []byte("x"), 400},
		{"protobuf cut short", typeProtobuf, otlpProto(t, otlpJSON(`{"name":"a"}`))[:20], 400},
		{"not JSON", typeJSON, []byte("[]"), 400},
		{"messages without end", typeProtobuf, bytes.Repeat([]byte{0x0a, 0}, maxBodyBytes/2), 413},
		{"points without end", typeProtobuf, otlpNested(bytes.Repeat([]byte{0x0a, 0}, maxBodyBytes/2-100)), 413},
		{"attributes without end", typeProtobuf, otlpNested(bytesField(1, bytes.Repeat([]byte{0x3a, 0}, maxBodyBytes/2-100))), 413},
		{"objects without end", typeJSON, []byte(`{"resourceMetrics":[` + strings.Repeat("{},", maxBodyBytes/3-20) + `{}]}`), 413},
		{"too many points", typeProtobuf, otlpNested(bytes.Repeat(bytesField(1, doubleField(4, 1)), maxItems+1)), 413},
		{"no type", "", nil, 415},
		{"another type", "text/plain", nil, 415},
		{"type with parameters", "application/json; charset=utf-8", []byte("{}"), 200},
	} {
		t.Run(tc.name, func(t *testing.T) {
			o, _, _ := newTestOTLP(t)
			if w := postOTLP(o, tc.contentType, tc.body); w.Code != tc.code {
				t.Errorf("status %d, want %d: %s", w.Code, tc.code, w.Body)
			}
		})
	}
}

func TestOTLPBusyNode(t *testing.T) {
	for _, tc := range []struct {
		err  error
		want string // Retry-After
	}{{node.ErrBusy, "1"}, {node.ErrFull, "60"}, {node.ErrClosed, "1"}} {
		o, n, _ := newTestOTLP(t)
		n.answer = func(*node.Batch) node.Result { return node.Result{Err: tc.err} }
		w := postOTLP(o, typeProtobuf, otlpProto(t, otlpJSON(`{"name":"a","gauge":{"dataPoints":[{"asInt":"1"}]}}`)))
		if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") != tc.want {
			t.Errorf("%v: status %d, Retry-After %q, want 503 and %s", tc.err, w.Code, w.Header().Get("Retry-After"), tc.want)
		}
	}
}

// TestOTLPNodeRefusals: what the node refuses is part of the partial success, a point at most once.
func TestOTLPNodeRefusals(t *testing.T) {
	o, n, _ := newTestOTLP(t)
	n.answer = func(b *node.Batch) node.Result {
		res := node.Result{Accepted: 1}
		for i := 1; i < len(b.Items); i++ {
			res.Rejected = append(res.Rejected, node.Rejection{Index: i, Err: node.ErrSeries})
		}
		return res
	}
	body := otlpProto(t, otlpJSON(`{"name":"a","gauge":{"dataPoints":[{"asInt":"1"}]}},
		{"name":"h","histogram":{"aggregationTemporality":1,"dataPoints":[{"count":"3","bucketCounts":["1","2"],"explicitBounds":[1]}]}}`))
	w := postOTLP(o, typeProtobuf, body)
	want := partialSuccess{rejected: 1, message: "point 1: " + node.ErrSeries.Error()}.encode()
	if !bytes.Equal(w.Body.Bytes(), want) {
		t.Errorf("answer %x, want %x", w.Body.Bytes(), want)
	}
}

// TestOTLPSources: what tells two sources apart, and what does not.
func TestOTLPSources(t *testing.T) {
	counted := func(resource, scope, value string) string {
		return `{"resource":{"attributes":[` + resource + `]},"scopeMetrics":[{"scope":` + scope + `,"metrics":[{"name":"hits","sum":
			{"aggregationTemporality":2,"isMonotonic":true,"dataPoints":[{"asInt":"` + value + `","startTimeUnixNano":"1000000"}]}}]}]}`
	}
	a, b := `{"key":"host.name","value":{"stringValue":"a"}}`, `{"key":"service.instance.id","value":{"stringValue":"b"}}`
	for _, tc := range []struct{ name, one, other, want string }{
		{"the same", counted(a, `{}`, "5"), counted(a, `{}`, "7"), "7"},
		{"attributes in another order", counted(a+","+b, `{}`, "5"), counted(b+","+a, `{}`, "7"), "7"},
		{"another resource", counted(a, `{}`, "5"), counted(b, `{}`, "7"), "12"},
		{"another scope", counted(a, `{"name":"x"}`, "5"), counted(a, `{"name":"y"}`, "7"), "12"},
		{"another version of a scope", counted(a, `{"name":"x","version":"1"}`, "5"), counted(a, `{"name":"x","version":"2"}`, "7"), "12"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			o, n, _ := newTestOTLP(t)
			for _, rm := range []string{tc.one, tc.other} {
				if w := postOTLP(o, typeJSON, []byte(`{"resourceMetrics":[`+rm+`]}`)); w.Code != http.StatusOK {
					t.Fatal(w.Body)
				}
			}
			if got := n.observedTotal("observed:hits"); got != tc.want {
				t.Errorf("total %s, want %s", got, tc.want)
			}
		})
	}
}

// FuzzOTLP sends any bytes: never a panic, and what is submitted is valid.
func FuzzOTLP(f *testing.F) {
	for _, m := range []string{
		`{"name":"hits","sum":{"aggregationTemporality":1,"isMonotonic":true,"dataPoints":[{"asInt":"1"}]}}`,
		`{"name":"t","histogram":{"aggregationTemporality":2,"dataPoints":[{"count":"3","bucketCounts":["1","2"],"explicitBounds":[1]}]}}`,
		`{"name":"t","exponentialHistogram":{"aggregationTemporality":1,"dataPoints":[{"count":"3","positive":{"bucketCounts":["1","2"]}}]}}`,
		`{"name":"t","summary":{"dataPoints":[{"count":"3","quantileValues":[{"quantile":0.5,"value":1}]}]}}`,
	} {
		f.Add(true, otlpProto(f, otlpJSON(m)))
		f.Add(false, []byte(otlpJSON(m)))
	}
	f.Add(true, protowire.AppendTag(nil, 1, protowire.BytesType))
	for _, input := range malformedInputs(f, "otlp") {
		f.Add(false, []byte(otlpJSON(input)))
	}
	for _, input := range malformedInputs(f, "otlp_proto") {
		f.Add(true, bytesField(1, bytesField(2, bytesField(2, []byte(input)))))
	}
	f.Fuzz(func(t *testing.T, binary bool, body []byte) {
		o, n, _ := newTestOTLP(t)
		contentType := typeJSON
		if binary {
			contentType = typeProtobuf
		}
		if w := postOTLP(o, contentType, body); w.Code != 200 && w.Code != 400 {
			t.Errorf("status %d: %s", w.Code, w.Body)
		}
		n.checkItems(t)
	})
}
