package senders

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestPromtoolPushes(t *testing.T) {
	n := newNode(t, "n1")
	file := write(t, t.TempDir(), "job.prom", "# TYPE rows_total counter\nrows_total{table=\"a\"} 5\nrows_total{table=\"b\"} 7\n# TYPE load gauge\nload 3\n")
	for range 2 { // the same again is the same
		for _, message := range []string{"prometheus.WriteRequest", "io.prometheus.write.v2.Request"} {
			run(t, "promtool", "push", "metrics", "--protobuf_message", message, "--label", "job=night", "http://"+n.http, file)
		}
	}
	n.want("rows_total", 12)
	n.want("load", 3)
}

func TestCurl(t *testing.T) {
	curl, err := exec.LookPath("curl")
	if err != nil {
		t.Fatal("curl is needed: apt-get install curl")
	}
	n := newNode(t, "n1")
	for _, c := range []struct{ path, media, body, answer string }{
		{"/v1/events", "application/x-ndjson", `{"event":"clicks","value":3,"idempotency_key":"one"}`, `"accepted":1`},
		{"/v1/events", "application/x-ndjson", `{"event":"clicks","value":3,"idempotency_key":"one"}`, `"duplicates":1`},
		{"/write", "text/plain", "rooms temp=20", ""},
		{"/v1/metrics", "application/json", `{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"name":"hits","sum":{"aggregationTemporality":1,"isMonotonic":true,` +
			`"dataPoints":[{"asInt":"4","timeUnixNano":"1"}]}}]}]}]}`, ""},
	} {
		out := run(t, curl, "-sS", "--fail-with-body", "-H", "Content-Type: "+c.media, "--data-binary", c.body, "http://"+n.http+c.path)
		if !strings.Contains(out, c.answer) {
			t.Errorf("%s %s: answered %q, want %q in it", c.path, c.body, out, c.answer)
		}
	}
	n.want("clicks", 3)
	n.want("rooms.temp", 20)
	n.want("hits", 4)
}

// The example of two nodes in docs/operations.md, as anyone runs it. It checks itself.
func TestPairExample(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), filepath.Join("..", "..", "deploy", "pair", "run.sh"), filepath.Join(bin, "meshd"))
	_, port, err := net.SplitHostPort(free(t, "tcp"))
	if err != nil {
		t.Fatal(err)
	}
	cmd.Env = append(os.Environ(), "PORT="+port)
	out, err := cmd.CombinedOutput()
	if err != nil || strings.Count(string(out), "= 100\n") != 2 {
		t.Errorf("%v\n%s", err, out)
	}
}
