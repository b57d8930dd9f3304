package ingest

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"meshd/node"
)

// startStatsD runs a StatsD that reports to n. stop ends it and returns what Run returned.
func startStatsD(t *testing.T, n *fakeNode) (s *StatsD, reg *prometheus.Registry, stop func() error) {
	t.Helper()
	m, reg := newTestMetrics(t)
	s, err := NewStatsD(StatsDConfig{Addr: "127.0.0.1:0", Submit: n, Metrics: m, Logger: discard()})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	stopped := false
	stop = func() error {
		stopped = true
		cancel()
		return <-done
	}
	t.Cleanup(func() {
		if !stopped {
			_ = stop()
		}
	})
	return s, reg, stop
}

func dial(t *testing.T, addr net.Addr) net.Conn {
	t.Helper()
	c, err := net.Dial("udp", addr.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func write(t *testing.T, c net.Conn, packet string) {
	t.Helper()
	if _, err := c.Write([]byte(packet)); err != nil {
		t.Fatal(err)
	}
}

// waitFor returns when the total of a series is want. It looks again after each batch.
func (f *fakeNode) waitFor(t *testing.T, series, want string) {
	t.Helper()
	for f.counter(series) != want {
		select {
		case <-f.taken:
		case <-t.Context().Done():
			t.Fatalf("%s is %s, want %s", series, f.counter(series), want)
		}
	}
}

func TestPacketsReachTheNode(t *testing.T) {
	n := newFakeNode()
	s, reg, stop := startStatsD(t, n)
	c := dial(t, s.Addr())
	write(t, c, "hits:1|c\nhits:2|c\nbad")
	write(t, c, "hits:3|c")
	n.waitFor(t, "counter:hits", "6")
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]float64{
		"packets_total": 2, "lines_total": 4, "samples_total": 3, "stored_total": 3, "bytes_total": 29, "rejected_total": 1,
	} {
		if got := metric(t, reg, name, "protocol", "statsd"); got != want {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
	}
}

func TestTheLargestPacketIsReadWhole(t *testing.T) {
	n := newFakeNode()
	s, _, _ := startStatsD(t, n)
	line := "hits:1|c\n"
	write(t, dial(t, s.Addr()), strings.Repeat(line, 65507/len(line)))
	n.waitFor(t, "counter:hits", "7278")
}

func TestAFailingNodeLosesNothing(t *testing.T) {
	n := newFakeNode()
	refusals := 0
	n.answer = func(b *node.Batch) node.Result {
		if refusals++; refusals <= 3 {
			return node.Result{Err: node.ErrFull}
		}
		return node.Result{Accepted: len(b.Items)}
	}
	s, reg, stop := startStatsD(t, n)
	write(t, dial(t, s.Addr()), "hits:4|c")
	n.waitFor(t, "counter:hits", "4")
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if got := metric(t, reg, "deferred_total"); got != 3 {
		t.Errorf("deferred_total is %v, want 3", got)
	}
}

// What was received before the end is submitted at the end; what the node does not take then is counted as lost.
func TestShutdownFlushes(t *testing.T) {
	for _, tc := range []struct {
		name string
		err  error
		want string
		lost float64
	}{
		{"the node takes it", nil, "5", 0},
		{"the node does not", node.ErrClosed, "0", 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			d := newDoor(t, 100)
			d.flush.interval = flushInterval
			d.node.answer = func(*node.Batch) node.Result { return node.Result{Err: tc.err} }
			d.parser.packet([]byte("hits:5|c"), 1)
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			d.flush.run(ctx)
			if got := d.node.counter("counter:hits"); got != tc.want {
				t.Errorf("hits is %s, want %s", got, tc.want)
			}
			if got := metric(t, d.reg, "lost_total", "reason", "shutdown"); got != tc.lost {
				t.Errorf("lost_total is %v, want %v", got, tc.lost)
			}
		})
	}
}

func TestStatsDOffWaits(t *testing.T) {
	m, _ := newTestMetrics(t)
	s, err := NewStatsD(StatsDConfig{Addr: "off", Metrics: m, Logger: discard()})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := errors.Join(s.Run(ctx), s.Close()); err != nil || s.Addr() != nil {
		t.Errorf("off: error %v, address %v", err, s.Addr())
	}
}

func TestABusyPortNamesTheFlag(t *testing.T) {
	s, _, _ := startStatsD(t, newFakeNode())
	m, _ := newTestMetrics(t)
	_, err := NewStatsD(StatsDConfig{Addr: s.Addr().String(), Metrics: m, Logger: discard()})
	if err == nil || !strings.Contains(err.Error(), "--statsd") {
		t.Errorf("error is %v, want one that names --statsd", err)
	}
}

func TestAClosedSocketEndsReading(t *testing.T) {
	socks, err := listenUDP("127.0.0.1:0", 1, discard())
	if err != nil {
		t.Fatal(err)
	}
	if err := socks[0].conn.Close(); err != nil {
		t.Fatal(err)
	}
	if err := socks[0].read(func([][]byte) {}); err != nil {
		t.Errorf("a closed socket is an error: %v", err)
	}
}

func TestDropsAreCountedOnceAmongReaders(t *testing.T) {
	var s socket
	s.dropped.Store(1<<32 - 3) // about to wrap around
	var got []uint64
	for _, count := range []uint32{1<<32 - 3, 1<<32 - 1, 1<<32 - 2, 4, 4, 2} {
		got = append(got, s.newDrops(count))
	}
	want := []uint64{0, 2, 0, 5, 0, 0}
	for i := range want {
		if got[i] != want[i] {
			t.Fatalf("new drops %v, want %v", got, want)
		}
	}
}

func TestASmallReceiveBufferIsReported(t *testing.T) {
	var logged bytes.Buffer
	socks, err := listenUDP("127.0.0.1:0", 1, slog.New(slog.NewTextHandler(&logged, nil)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = socks[0].conn.Close() })
	granted, err := raiseReceiveBuffer(socks[0].conn)
	if err != nil {
		t.Fatal(err)
	}
	if warned := strings.Contains(logged.String(), "rmem_max"); warned != (granted < receiveBuffer) {
		t.Errorf("%d bytes granted of %d, log %q", granted, receiveBuffer, &logged)
	}
}
