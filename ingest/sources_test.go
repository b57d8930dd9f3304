package ingest

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestSourceIsAnswered429: an address that has sent more than it may is told when to come back, another one is not
// concerned, and by then it may.
func TestSourceIsAnswered429(t *testing.T) {
	n := newFakeNode()
	m, reg := newTestMetrics(t)
	d := newTestDoor(t, n, m)
	now := testNow
	d.now = func() time.Time { return now }
	d.Limit(NewSources(1 << 20)) // 1 MiB a second, 8 MiB at once
	events := NewEvents(d)
	event := `{"event":"x","labels":{"pad":"` + strings.Repeat("a", 900) + `"}}` + "\n"
	large := strings.Repeat(event, 7<<20/len(event))
	post := func(from, body string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(http.MethodPost, "/v1/events", strings.NewReader(body))
		r.RemoteAddr = from
		w := httptest.NewRecorder()
		events.ServeHTTP(w, r)
		return w
	}
	for range 2 { // 14 MiB: the second one is known to be too much when it was read
		if w := post("192.0.2.1:5000", large); w.Code != http.StatusAccepted {
			t.Fatal(w.Code, w.Body)
		}
	}
	w := post("192.0.2.1:6000", event)
	wait, _ := strconv.Atoi(w.Header().Get("Retry-After"))
	if w.Code != http.StatusTooManyRequests || wait < 5 || wait > 7 {
		t.Errorf("got %d, Retry-After %q: %s; want 429 and 6 s", w.Code, w.Header().Get("Retry-After"), w.Body)
	}
	if got := metric(t, reg, "rejected_total", "reason", "source_limit"); got != 1 {
		t.Errorf("%v refused, want 1", got)
	}
	if w := post("192.0.2.2:5000", event); w.Code != http.StatusAccepted {
		t.Errorf("another address is answered %d", w.Code)
	}
	now = now.Add(time.Duration(wait) * time.Second)
	if w := post("192.0.2.1:6000", event); w.Code != http.StatusAccepted {
		t.Errorf("after the wait it is answered %d", w.Code)
	}
}

// TestPacketsBeyondTheLimitAreLostAndCounted: sent is what was counted and what is reported lost.
func TestPacketsBeyondTheLimitAreLostAndCounted(t *testing.T) {
	n := newFakeNode()
	m, reg := newTestMetrics(t)
	s, err := NewStatsD(StatsDConfig{Addr: "127.0.0.1:0", Submit: n, Metrics: m, Logger: discard()})
	if err != nil {
		t.Fatal(err)
	}
	sources := NewSources(1500)
	sources.burst = 3000 // of tests: bursts of 8 MiB would be long ones
	s.Limit(sources)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	conn, err := net.Dial("udp", s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	const sent = 40
	packet := "x:1|c|#pad:" + strings.Repeat("a", 980)
	for range sent {
		if _, err := io.WriteString(conn, packet); err != nil {
			t.Fatal(err)
		}
	}
	for metric(t, reg, "lines_total", "protocol", "statsd")+max(metric(t, reg, "lost_total", "reason", "source_limit"), float64(n.lostSoFar())) < sent {
		<-n.taken // until the socket's reader has them all
	}
	stop()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	counted, lost := metric(t, reg, "lines_total", "protocol", "statsd"), metric(t, reg, "lost_total", "reason", "source_limit")
	if counted+lost != sent || lost == 0 || counted == 0 || n.lost != uint64(lost) {
		t.Errorf("of %d packets %v are counted and %v lost, %d of them reported", sent, counted, lost, n.lost)
	}
}

// TestStreamsAreHeldBack: a stream that is too fast loses nothing and takes its time.
func TestStreamsAreHeldBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewSources(10_000)
		s.burst = 10_000
		begun := time.Now()
		r := &pacedReader{strings.NewReader(strings.Repeat("a", 50_000)), func(n int) { s.wait(t.Context(), netip.Addr{}, n) }}
		b := make([]byte, 1000)
		total := 0
		for {
			n, err := r.Read(b)
			if total += n; err != nil {
				break
			}
		}
		if took := time.Since(begun).Round(time.Second); total != 50_000 || took != 4*time.Second {
			t.Errorf("read %d bytes in %s, want 50000 in 4s", total, took)
		}
	})
}

// TestSourcesAreBounded: a flood of addresses shares one limit, and they are forgotten when they have been quiet.
func TestSourcesAreBounded(t *testing.T) {
	s := NewSources(1500)
	now := time.Unix(1_700_000_000, 0)
	addr := func(i int) netip.Addr {
		var b [4]byte
		binary.BigEndian.PutUint32(b[:], uint32(i))
		return netip.AddrFrom4(b)
	}
	for i := range maxSources + 100 {
		s.take(addr(i), 1000, now)
	}
	if len(s.by) != maxSources {
		t.Errorf("%d sources are told apart, want %d", len(s.by), maxSources)
	}
	if s.of(addr(maxSources+50), now) != s.rest {
		t.Error("an address beyond the limit has one of its own")
	}
	now = now.Add(time.Hour)
	if s.of(addr(maxSources+50), now) == s.rest || len(s.by) != 1 {
		t.Errorf("an hour later %d are still told apart", len(s.by))
	}
}

// TestAddressesAreTheSameByAnyDoor: IPv4 in IPv6 and zones make no other source.
func TestAddressesAreTheSameByAnyDoor(t *testing.T) {
	s, now := NewSources(1500), time.Unix(1_700_000_000, 0)
	want := s.of(netip.MustParseAddr("192.0.2.1"), now)
	for _, a := range []netip.Addr{
		addrOf(&net.TCPAddr{IP: net.ParseIP("192.0.2.1"), Port: 2}),
		addrOfRequest("192.0.2.1:80"), addrOfRequest("[::ffff:192.0.2.1]:80"),
	} {
		if s.of(a, now) != want {
			t.Errorf("%s is another source", a)
		}
	}
	if addrOf(&net.UnixAddr{}).IsValid() || addrOfRequest("@").IsValid() {
		t.Error("what has no address must be the source without one")
	}
}
