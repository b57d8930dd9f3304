package ingest

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/prometheus/client_golang/prometheus"

	"meshd/crdt"
)

func framed(packets ...string) []byte {
	var b []byte
	for _, p := range packets {
		b = append(binary.LittleEndian.AppendUint32(b, uint32(len(p))), p...)
	}
	return b
}

func TestStreamMessages(t *testing.T) {
	long := strings.Repeat("x", maxStreamBytes)
	for _, tc := range []struct {
		name, sent string
		cut        cutter
		want       string // messages, joined
		end        reason
	}{
		{"lines", "a\nb\n", cutLines, "a\nb\n", reasonNone},
		{"nothing", "", cutLines, "", reasonNone},
		{"line cut short", "a\nb", cutLines, "a\n", reasonCut},
		{"longest line", long[1:] + "\n", cutLines, long[1:] + "\n", reasonNone},
		{"line too long", "a\n" + long + "12345\nb\n", cutLines, "a\n", reasonTooLong},
		{"packets", string(framed("a", "", "bc")), cutFramed, "abc", reasonNone},
		{"longest packet", string(framed(long)), cutFramed, long, reasonNone},
		{"packet cut short", string(framed("a", "bc")[:8]), cutFramed, "a", reasonCut},
		{"length cut short", string(framed("a", "bc")[:6]), cutFramed, "a", reasonCut},
		{"packet too long", string(framed("a", long+"x")), cutFramed, "a", reasonTooLong},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for how, r := range map[string]io.Reader{
				"at once": strings.NewReader(tc.sent), "byte by byte": iotest.OneByteReader(strings.NewReader(tc.sent)),
			} {
				var got strings.Builder
				s := &stream{cut: tc.cut}
				if end := s.read(r, func(b []byte) { got.Write(b) }); end != tc.end || got.String() != tc.want {
					t.Errorf("%s: %d bytes, end %q, want %d bytes, end %q", how, got.Len(), end, len(tc.want), tc.end)
				}
			}
		})
	}
}

// startStreams runs a StatsD with every kind of socket. stop ends it.
func startStreams(t *testing.T, n *fakeNode) (s *StatsD, reg *prometheus.Registry, stop func()) {
	t.Helper()
	t.Chdir(t.TempDir()) // the paths of sockets must be short
	m, reg := newTestMetrics(t)
	s, err := NewStatsD(StatsDConfig{
		Addr: "off", TCP: "127.0.0.1:0", Unix: "d", UnixStream: "s",
		Submit: n, Metrics: m, Logger: discard(),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	return s, reg, func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

func TestStatsDSockets(t *testing.T) {
	n := newFakeNode()
	s, reg, stop := startStreams(t, n)
	for _, c := range []struct{ network, addr, sent, series string }{
		{"tcp", s.streams[0].ln.Addr().String(), "tcp:1|c\ntcp:2|c\ntcp:9|c", "counter:tcp"},
		{"unix", s.cfg.UnixStream, string(framed("stream:1|c", "stream:2|c\n")), "counter:stream"},
		{"unixgram", s.cfg.Unix, "gram:1|c\ngram:2|c", "counter:gram"},
	} {
		conn, err := net.Dial(c.network, c.addr)
		if err != nil {
			t.Fatal(err)
		}
		write(t, conn, c.sent)
		conn.Close()
		n.waitFor(t, c.series, "3")
	}
	stop()
	if got := metric(t, reg, "rejected_total", "protocol", "statsd", "reason", "cut"); got != 1 {
		t.Errorf("%v streams ended within a line, want 1", got)
	}
	for _, path := range []string{s.cfg.Unix, s.cfg.UnixStream} {
		if _, err := os.Lstat(path); !os.IsNotExist(err) {
			t.Errorf("%s is left behind: %v", path, err)
		}
	}
}

func TestTooManyConnections(t *testing.T) {
	n := newFakeNode()
	s, reg, stop := startStreams(t, n)
	addr := s.streams[0].ln.Addr().String()
	for i := range maxConnections {
		conn := dialTCP(t, addr)
		write(t, conn, "open:1|c\n")
		if i == 0 {
			defer conn.Close()
		}
	}
	n.waitFor(t, "counter:open", "256")
	beyond := dialTCP(t, addr)
	if _, err := beyond.Read(make([]byte, 1)); err == nil {
		t.Error("a connection beyond the limit was served")
	}
	stop()
	if got := metric(t, reg, "rejected_total", "protocol", "statsd", "reason", "connection"); got != 1 {
		t.Errorf("%v connections refused, want 1", got)
	}
}

func dialTCP(t *testing.T, addr string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func TestUnixPathsAreClaimedWithCare(t *testing.T) {
	t.Chdir(t.TempDir())
	file := "file"
	if err := os.WriteFile(file, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := listenUnix(file); err == nil || !strings.Contains(err.Error(), "not a socket") {
		t.Errorf("a file in the way: %v", err)
	}
	ln, err := listenUnix("s")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := listenUnix("s"); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("a socket that is served: %v", err)
	}
	ln.(*net.UnixListener).SetUnlinkOnClose(false)
	ln.Close()
	if ln, err = listenUnix("s"); err != nil {
		t.Fatalf("a socket left behind: %v", err)
	}
	ln.Close()
	g, err := listenUnixgram("g")
	if err != nil {
		t.Fatal(err)
	}
	if err := g.conn.Close(); err != nil { // leaves it behind
		t.Fatal(err)
	}
	if g, err = listenUnixgram("g"); err != nil {
		t.Fatalf("a datagram socket left behind: %v", err)
	}
	if err := g.Close(); err != nil {
		t.Error(err)
	}
}

func TestStatsDTimestampsStampGauges(t *testing.T) {
	for _, tc := range []struct {
		name, packet string
		want         int64
		clamped      float64
	}{
		{"arrival", "g:1|g", 1_000_000, 0},
		{"the line's", "g:1|g|T500", 500_000, 0},
		{"a little ahead", "g:1|g|T1600", 1_600_000, 0},
		{"too far ahead", "g:1|g|T1601", 1_000_000, 1},
		{"none", "g:1|g|T0", 1_000_000, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			d := newDoor(t, 10)
			d.parser.packet([]byte(tc.packet), crdt.HLCFrom(1_000_000, 0))
			d.parser.tally.publish(d.flush.meter)
			d.flush.flush(t.Context())
			g, ok := d.node.value("gauge:g").X.(*crdt.Gauge)
			if !ok || g.Time.Millis() != tc.want {
				t.Errorf("gauge %+v, want the time %d", g, tc.want)
			}
			if got := metric(t, d.reg, "clamped_total"); got != tc.clamped {
				t.Errorf("%v stamps clamped, want %v", got, tc.clamped)
			}
		})
	}
}

// FuzzStream cuts input at any place: what is delivered must not depend on it.
func FuzzStream(f *testing.F) {
	f.Add([]byte("a:1|c\nb:2|c\nc"), true, 3)
	f.Add(framed("a:1|c", "b"), false, 5)
	f.Fuzz(func(t *testing.T, sent []byte, lines bool, at int) {
		cut := cutFramed
		if lines {
			cut = cutLines
		}
		s := &stream{cut: cut}
		var whole, parts []byte
		end := s.read(bytes.NewReader(sent), func(b []byte) { whole = append(whole, b...) })
		at = min(max(at, 0), len(sent))
		again := s.read(io.MultiReader(bytes.NewReader(sent[:at]), bytes.NewReader(sent[at:])), func(b []byte) { parts = append(parts, b...) })
		if again != end || !bytes.Equal(whole, parts) {
			t.Errorf("whole: %q, end %q; cut at %d: %q, end %q", whole, end, at, parts, again)
		}
	})
}
