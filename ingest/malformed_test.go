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
	"scrape": func(t *testing.T, input string) (string, int) {
		r, err := loadRules(t, "scrape_configs:\n- job_name: app\n")
		if err != nil {
			t.Fatal(err)
		}
		x, err := r.ScrapeConfigs[0].target("a:1", nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err = newExposition(x).read([]byte("first 1\n"+input+"\nlast 1\n"), "text/plain; version=0.0.4"); err == nil {
			return "taken", 2
		}
		return err.Error(), 0
	},
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
	return strings.TrimSpace(fmt.Sprintf("%d %s", w.Code, strings.NewReplacer("\n", " ", "\u00a0", " ").Replace(w.Header().Get("X-Influxdb-Error")+b.String())))
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
