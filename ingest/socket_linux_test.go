package ingest

import (
	"strings"
	"sync/atomic"
	"testing"
)

// TestTheKernelTellsWhatItDropped sends more than a socket holds to a door that does not read yet: nothing comes after
// what was dropped.
func TestTheKernelTellsWhatItDropped(t *testing.T) {
	n := newFakeNode()
	m, reg := newTestMetrics(t)
	s, err := NewStatsD(StatsDConfig{Addr: "127.0.0.1:0", Sockets: 1, Submit: n, Metrics: m, Logger: discard()})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.socks[0].conn.SetReadBuffer(4096); err != nil { // some ten packets
		t.Fatal(err)
	}
	c := dial(t, s.Addr())
	const sent = 500
	for range sent {
		write(t, c, "hits:1|c")
	}
	read := s.reader(nil)
	if err := s.socks[0].read(func(packets [][]byte) { // one batch holds them all
		read(packets)
		s.lookForDrops()
		s.lookForDrops() // what was seen is not counted again
		_ = s.Close()    // ends read
	}); err != nil {
		t.Fatal(err)
	}
	s.lookForDrops() // a closed socket has no more to say
	s.flush.flush(t.Context())
	received, lost := metric(t, reg, "packets_total"), metric(t, reg, "lost_total", "reason", "kernel")
	if lost == 0 || received+lost != sent || n.lost != uint64(lost) || metric(t, reg, "socket_dropped_total", "socket", "0") != lost {
		t.Errorf("%v received, %v lost and %d reported of %d", received, lost, n.lost, sent)
	}
}

// TestSendersAreSpreadOverSockets has many senders, of which each must keep to one socket.
func TestSendersAreSpreadOverSockets(t *testing.T) {
	const sockets, senders, packets = 4, 64, 3
	socks, err := listenUDP("127.0.0.1:0", sockets, discard())
	if err != nil {
		t.Fatal(err)
	}
	if len(socks) != sockets {
		t.Fatalf("%d sockets, want %d", len(socks), sockets)
	}
	var by [sockets]map[string]int
	var left atomic.Int32
	left.Store(senders * packets)
	done := make(chan struct{})
	for i := range senders {
		c := dial(t, socks[0].conn.LocalAddr())
		for range packets {
			write(t, c, strings.Repeat("x", i+1))
		}
	}
	for i, sock := range socks {
		by[i] = map[string]int{}
		go func() {
			_ = sock.read(func(packets [][]byte) {
				for _, p := range packets {
					by[i][string(p)]++
				}
				if left.Add(-int32(len(packets))) == 0 {
					close(done)
				}
			})
		}()
	}
	<-done
	for _, sock := range socks {
		_ = sock.conn.Close()
	}
	for i := range by {
		if len(by[i]) == 0 || len(by[i]) == senders {
			t.Errorf("socket %d has %d senders of %d", i, len(by[i]), senders)
		}
		for sender, n := range by[i] {
			if n != packets {
				t.Errorf("%d of %d packets of sender %d came by socket %d", n, packets, len(sender), i)
			}
		}
	}
}

// TestASharedPortIsNobodyElses: what one door shares among its sockets, another one must not join.
func TestASharedPortIsNobodyElses(t *testing.T) {
	socks, err := listenUDP("127.0.0.1:0", 2, discard())
	if err != nil {
		t.Fatal(err)
	}
	for _, sock := range socks {
		t.Cleanup(func() { _ = sock.conn.Close() })
	}
	if again, err := listenUDP(socks[0].conn.LocalAddr().String(), 2, discard()); err == nil {
		t.Errorf("%d sockets of another door share the port", len(again))
	}
}
