package ingest

import (
	"context"
	"net"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"meshd/crdt"
)

// newGraphiteDoor is a Graphite without sockets.
func newGraphiteDoor(t testing.TB) (*graphiteParser, *flusher, *fakeNode) {
	m, _ := newTestMetrics(t)
	n := newFakeNode()
	f := &flusher{acc: newAccumulators(100), to: n, meter: m.meter("graphite"), log: discard()}
	return &graphiteParser{acc: f.acc}, f, n
}

func TestGraphiteLines(t *testing.T) {
	const now = 1_700_000_000_000
	for _, tc := range []struct {
		name, lines, series, want string
		at                        int64
	}{
		{"path", "a.b.c 1.5 1600000000\n", "gauge:a.b.c", "1.5", 1_600_000_000_000},
		{"negative", "a -3e2 1600000000\n", "gauge:a", "-300", 1_600_000_000_000},
		{"tags", "disk;host=a;mount=/ 5 1600000000", `gauge:disk{host="a",mount="/"}`, "5", 1_600_000_000_000},
		{"tag without a value", "disk;host= 5 1600000000", `gauge:disk{host=""}`, "5", 1_600_000_000_000},
		{"labels of our own", "disk;node=a 5 1600000000", `gauge:disk{exported_node="a"}`, "5", 1_600_000_000_000},
		{"blanks", "a\t5   1600000000 \r\n", "gauge:a", "5", 1_600_000_000_000},
		{"fraction of a second", "a 5 1600000000.75", "gauge:a", "5", 1_600_000_000_000},
		{"now", "a 5 -1", "gauge:a", "5", now},
		{"now by a letter", "a 5 N", "gauge:a", "5", now},
		{"too far ahead", "a 5 1800000000", "gauge:a", "5", now},
		{"the last of several", "a 5 1600000000\n\na 6 1600000001\n", "gauge:a", "6", 1_600_000_001_000},
		{"one that comes late", "a 5 1600000001\na 6 1600000000\n", "gauge:a", "5", 1_600_000_001_000},
		{"arrival replaces a date", "a 5 1600000001\na 6 N\n", "gauge:a", "6", now},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p, f, n := newGraphiteDoor(t)
			p.packet([]byte(tc.lines), crdt.HLCFrom(now, 0))
			f.flush(t.Context())
			g, ok := n.value(tc.series).X.(*crdt.Gauge)
			if !ok {
				t.Fatalf("no %s among %v, refused %v", tc.series, n.all(), p.tally.rejected)
			}
			if got := describe(n.value(tc.series)); got != tc.want || g.Time.Millis() != tc.at {
				t.Errorf("%s at %d, want %s at %d", got, g.Time.Millis(), tc.want, tc.at)
			}
		})
	}
}

// TestGraphiteRefusals is the corpus of bad lines.
func TestGraphiteRefusals(t *testing.T) {
	for line, want := range map[string]reason{
		"a":                     reasonSyntax,
		"a 1":                   reasonSyntax,
		"a 1 1600000000 more":   reasonSyntax,
		";host=a 1 1600000000":  reasonName,
		"a nan 1600000000":      reasonNumber,
		"a 0x10 1600000000":     reasonNumber,
		"a 1e400 1600000000":    reasonRange,
		"a 1 soon":              reasonRange,
		"a 1 -5":                reasonRange,
		"a 1 9999999999999":     reasonRange,
		"a;host 1 1600000000":   reasonTag,
		"a;=v 1 1600000000":     reasonTag,
		"a\xff 1 1600000000":    reasonUTF8,
		"a;h=\xff 1 1600000000": reasonUTF8,
		strings.Repeat("n", 201) + " 1 1600000000":           reasonTooLong,
		"a;h=" + strings.Repeat("v", 1025) + " 1 1600000000": reasonTooLong,
		"a" + strings.Repeat(";h=v", 33) + " 1 1600000000":   reasonTooLong,
	} {
		p, f, n := newGraphiteDoor(t)
		p.packet([]byte("good 1 1600000000\n"+line+"\n"), crdt.HLCFrom(1_700_000_000_000, 0))
		f.flush(t.Context())
		if p.tally.rejected[want] != 1 {
			t.Errorf("%.40q: refused %v, want once for %s", line, p.tally.rejected, want)
		}
		if diff := cmp.Diff(map[string]string{"gauge:good": "1"}, n.all()); diff != "" {
			t.Errorf("%.40q (-want +got):\n%s", line, diff)
		}
	}
}

func TestGraphiteSockets(t *testing.T) {
	m, _ := newTestMetrics(t)
	n := newFakeNode()
	g, err := NewGraphite(GraphiteConfig{Addr: "127.0.0.1:0", Submit: n, Metrics: m, Logger: discard()})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- g.Run(ctx) }()
	for _, network := range []string{"tcp", "udp"} {
		conn, err := net.Dial(network, g.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		write(t, conn, "via."+network+" 3 1600000000\n")
		n.waitForGauge(t, "gauge:via."+network, 3)
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// waitForGauge returns when a gauge is want. It looks again after each batch.
func (f *fakeNode) waitForGauge(t *testing.T, series string, want float64) {
	t.Helper()
	for {
		if g, ok := f.value(series).X.(*crdt.Gauge); ok && g.Value == want {
			return
		}
		select {
		case <-f.taken:
		case <-t.Context().Done():
			t.Fatalf("%s is not %v", series, want)
		}
	}
}

func FuzzGraphite(f *testing.F) {
	f.Add([]byte("a.b.c;host=a 1.5 1600000000\na 1 N\n"))
	for _, input := range malformedInputs(f, "graphite") {
		f.Add([]byte(input))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		p, fl, n := newGraphiteDoor(t)
		p.packet(b, crdt.HLCFrom(1_700_000_000_000, 0))
		fl.flush(t.Context())
		n.checkItems(t)
	})
}
