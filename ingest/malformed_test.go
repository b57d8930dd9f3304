package ingest

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"
	"google.golang.org/protobuf/encoding/protowire"

	"meshd/crdt"
)

var updateMalformed = flag.Bool("update-malformed", false, "write what each door says to testdata/malformed")

// malformedDoors put an input between two that are fine and return what the sender, or where nobody answers the operator, is told, and how many
// of the two counted.
var malformedDoors = map[string]func(t *testing.T, input string) (says string, counted int){
	"statsd": func(t *testing.T, input string) (string, int) {
		d := newDoor(t, 100)
		var said []string
		for _, r := range d.send(t, "first:1|c\n"+input+"\nlast:1|c") {
			said = append(said, r.String())
		}
		return strings.TrimSpace("rejected_total: " + strings.Join(said, " ")), fine(d.node, "counter:")
	},
	"graphite": func(t *testing.T, input string) (string, int) {
		p, f, n := newGraphiteDoor(t)
		p.packet([]byte("first 1 1600000000\n"+input+"\nlast 1 1600000000\n"), crdt.HLCFrom(1_700_000_000_000, 0))
		var said []string
		for r, n := range p.tally.rejected {
			for range n {
				said = append(said, reason(r).String())
			}
		}
		f.flush(t.Context())
		return strings.TrimSpace("rejected_total: " + strings.Join(said, " ")), fine(n, "gauge:")
	},
	"influx": func(t *testing.T, input string) (string, int) {
		in, n, _ := newTestInflux(t)
		w := postInflux(in, "", "first value=1\n"+input+"\nlast value=1")
		return told(w), fine(n, "gauge:")
	},
	"events": func(t *testing.T, input string) (string, int) {
		e, n, _ := newTestEvents(t)
		w := post(e, "application/x-ndjson", strings.NewReader("{\"event\":\"first\"}\n"+input+"\n{\"event\":\"last\"}\n"))
		return told(w), fine(n, "counter:")
	},
	"otlp": func(t *testing.T, input string) (string, int) {
		metric := func(name string) string {
			return `{"name":"` + name + `","sum":{"aggregationTemporality":1,"isMonotonic":true,"dataPoints":[{"asInt":"1"}]}}`
		}
		o, n, _ := newTestOTLP(t)
		w := postOTLP(o, typeJSON, []byte(`{"resourceMetrics":[{"scopeMetrics":[{"metrics":[`+metric("first")+`,`+input+`,`+metric("last")+`]}]}]}`))
		return told(w), fine(n, "counter:")
	},
	"remote_write": func(t *testing.T, input string) (string, int) { // an input is what comes instead of one series of 1.0, in raw protobuf
		rw, n, _ := newTestRemoteWrite(t)
		series := func(name string) []byte { return message(labels1("__name__", name), sample1(1, 1000)) }
		w := postRemoteWrite(rw, contentType1, write1(series("first"), []byte(input), series("last")))
		return told(w), fine(n, "gauge:")
	},
	"remote_write_body": func(t *testing.T, input string) (string, int) { // an input is the whole body, not compressed by us
		rw, n, _ := newTestRemoteWrite(t)
		r := httptest.NewRequest("POST", "/api/v1/write", strings.NewReader(input))
		r.Header.Set("Content-Type", contentType1)
		r.Header.Set("Content-Encoding", "snappy")
		w := httptest.NewRecorder()
		rw.ServeHTTP(w, r)
		return told(w), len(n.items)
	},
	"remote_write_2": func(t *testing.T, input string) (string, int) { // an input is what comes instead of one series of 2.0; symbols 5 and 6 are x and job
		rw, n, _ := newTestRemoteWrite(t)
		w := new(writer2).add(rwTypeCounter, []string{"__name__", "first"}, sample2(1, 1000, 0)).add(rwTypeCounter, []string{"__name__", "last"}, sample2(1, 1000, 0))
		w.ref("mid")
		w.ref("x")
		w.ref("job")
		w.series = [][]byte{w.series[0], []byte(input), w.series[1]}
		return told(postRemoteWrite(rw, contentType2, w.message())), fine(n, "observed:")
	},
	"otlp_proto": func(t *testing.T, input string) (string, int) { // an input is what comes instead of one metric, in raw protobuf
		metric := func(name string) []byte { // a gauge of 1
			return message(bytesField(1, []byte(name)), bytesField(5, bytesField(1, doubleField(4, 1))))
		}
		body := message(bytesField(2, metric("first")), bytesField(2, []byte(input)), bytesField(2, metric("last")))
		o, n, _ := newTestOTLP(t)
		w := postOTLP(o, typeProtobuf, bytesField(1, bytesField(2, body)))
		answer := w.Body.Bytes() // a google.rpc.Status, or the partial success in an ExportMetricsServiceResponse
		if w.Code == 200 {
			answer = textField(answer, 1)
		}
		return strings.TrimSpace(fmt.Sprintf("%d %s", w.Code, sameSpaces.Replace(string(textField(answer, 2))))), fine(n, "gauge:")
	},
	"kafka": func(t *testing.T, input string) (string, int) { // an input is the value of a record
		m, reg := newTestMetrics(t)
		n := newFakeNode()
		k := &Kafka{cfg: KafkaConfig{Submit: n, Metrics: m, Logger: discard()}, meter: m.meter("kafka")}
		q := request{now: testNow, series: map[string]*crdt.Series{}}
		for i, value := range []string{`{"event":"first"}`, input, `{"event":"last"}`} {
			k.record(&q, "kafka", &kgo.Record{Value: []byte(value), Offset: int64(i)})
		}
		if err := k.submit(t.Context(), &q); err != nil {
			t.Fatal(err)
		}
		return refused(t, reg, "kafka"), fine(n, "counter:")
	},
	"logs": func(t *testing.T, input string) (string, int) { // an input is a line, between two of the ads first and last
		w := newLogWorld(t)
		w.append("a.log", click("first", "u")+input+"\n"+click("last", "u"))
		w.logs.round(t.Context())
		counted := 0
		for _, ad := range []string{"first", "last"} {
			if w.clicks(ad) == "1" {
				counted++
			}
		}
		if metric(t, w.reg, "ignored_total", "protocol", "logs", "type", "unmatched") > 0 {
			return "ignored_total: unmatched", counted
		}
		return refused(t, w.reg, "logs"), counted
	},
	"scrape": func(t *testing.T, input string) (string, int) {
		return exposes(t, "text/plain; version=0.0.4", "first 1\n"+input+"\nlast 1\n")
	},
	"scrape_openmetrics": func(t *testing.T, input string) (string, int) { // an input is all that follows one good series
		return exposes(t, "application/openmetrics-text; version=1.0.0", "first 1\n"+input)
	},
	"scrape_protobuf": func(t *testing.T, input string) (string, int) { // an input is a whole body
		return exposes(t, "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited", input)
	},
}

// exposes returns what the operator is told of a target that says body. A body counts whole or not at all.
func exposes(t *testing.T, contentType, body string) (string, int) {
	r, err := loadRules(t, "scrape_configs:\n- job_name: app\n")
	if err != nil {
		t.Fatal(err)
	}
	x, err := r.ScrapeConfigs[0].target("a:1", nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err = newExposition(x).read([]byte(body), contentType); err == nil {
		return "taken", 2
	}
	return err.Error(), 0
}

// refused lists for which reasons a door that answers nobody has refused what, as its metric says.
func refused(t *testing.T, reg *prometheus.Registry, protocol string) string {
	said := []string{"rejected_total:"}
	for r := range numReasons {
		if metric(t, reg, "rejected_total", "protocol", protocol, "reason", r.String()) > 0 {
			said = append(said, r.String())
		}
	}
	return strings.Join(said, " ")
}

// fine returns how many of the two inputs that are fine counted.
func fine(n *fakeNode, kind string) (counted int) {
	all := n.all()
	for _, name := range []string{"first", "last"} {
		if all[kind+name] != "" {
			counted++
		}
	}
	return counted
}

// told is what an answer says: its status, and its text without the spaces of its layout. The protobuf library puts one kind of space or another
// behind its name, by program, so that nobody relies on its texts.
func told(w *httptest.ResponseRecorder) string {
	var b bytes.Buffer
	if json.Compact(&b, w.Body.Bytes()) != nil {
		b.Reset()
		b.Write(bytes.TrimSpace(w.Body.Bytes()))
	}
	return strings.TrimSpace(fmt.Sprintf("%d %s", w.Code, sameSpaces.Replace(w.Header().Get("X-Influxdb-Error")+b.String())))
}

// sameSpaces makes one kind of space of all.
var sameSpaces = strings.NewReplacer("\n", " ", "\u00a0", " ")

// textField returns a field of a message that is bytes or text.
func textField(b []byte, num int32) (text []byte) {
	for r := (protoReader{b: b}); r.next(); {
		if r.num == num && r.typ == protowire.BytesType {
			text = r.bytes
		}
	}
	return text
}

// TestMalformedInput: each kind of malformed input at each door has its error, and what is fine beside it counts as the file says. A file is
// pairs of lines, the input in Go's quotes and what is said: see malformedDoors.
func TestMalformedInput(t *testing.T) {
	for door, send := range malformedDoors {
		t.Run(door, func(t *testing.T) {
			path := filepath.Join("testdata", "malformed", door+".txt")
			raw, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			var out strings.Builder
			lines := strings.Split(strings.TrimSpace(string(raw)), "\n")
			for i := 0; i < len(lines); i++ {
				input, err := strconv.Unquote(lines[i])
				if err != nil {
					t.Fatalf("%s:%d: want an input in quotes: %v", path, i+1, err)
				}
				says, counted := send(t, input)
				got := fmt.Sprintf("\t%d of 2 count: %s", counted, says)
				fmt.Fprintf(&out, "%s\n%s\n", lines[i], got)
				if i+1 < len(lines) && strings.HasPrefix(lines[i+1], "\t") {
					i++
					if lines[i] != got && !*updateMalformed {
						t.Errorf("%s:%d: %q:\n got %s\nwant %s", path, i+1, input, got, lines[i])
					}
				} else if !*updateMalformed {
					t.Errorf("%s:%d: %q has no answer", path, i+1, input)
				}
			}
			if *updateMalformed {
				if err := os.WriteFile(path, []byte(out.String()), 0o644); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// malformedInputs are the inputs of a door, for fuzzing to start from.
func malformedInputs(t testing.TB, door string) (inputs []string) {
	raw, err := os.ReadFile(filepath.Join("testdata", "malformed", door+".txt"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(raw)) {
		if input, err := strconv.Unquote(strings.TrimSpace(line)); err == nil {
			inputs = append(inputs, input)
		}
	}
	if len(inputs) == 0 {
		t.Fatalf("no inputs for %s", door)
	}
	return inputs
}
