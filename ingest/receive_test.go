package ingest

import (
	"fmt"
	"net"
	"net/netip"
	"testing"
)

// TestPacketsAreReadWithTheirSenders sends by both families, to sockets of one and of both.
func TestPacketsAreReadWithTheirSenders(t *testing.T) {
	for _, c := range []struct{ listen, from string }{
		{"127.0.0.1:0", "127.0.0.1"}, {"[::1]:0", "::1"}, {"[::]:0", "127.0.0.1"}, {"[::]:0", "::1"},
	} {
		t.Run(c.listen+" from "+c.from, func(t *testing.T) {
			listenPackets(t, net.JoinHostPort(c.from, "0")) // skips what this machine does not have
			conn := listenPackets(t, c.listen)
			to := netip.AddrPortFrom(netip.MustParseAddr(c.from), conn.LocalAddr().(*net.UDPAddr).AddrPort().Port())
			r, err := newReceiver(conn, true)
			if err != nil {
				t.Fatal(err)
			}
			out := dial(t, net.UDPAddrFromAddrPort(to))
			const sent = batchPackets + 3
			for i := range sent {
				write(t, out, fmt.Sprintf("%*d", i+1, i))
			}
			for got := 0; got < sent; {
				n, err := r.receive()
				if err != nil {
					t.Fatal(err)
				}
				for i := range n {
					if p, want := string(r.packet(i)), fmt.Sprintf("%*d", got+1, got); p != want {
						t.Fatalf("packet %d is %q, want %q", got, p, want)
					}
					if from := r.sender(i).Unmap(); from != to.Addr() {
						t.Errorf("packet %d is from %s, want %s", got, from, to.Addr())
					}
					got++
				}
			}
		})
	}
}

func TestReceivingDoesNotAllocate(t *testing.T) {
	conn := listenPackets(t, "127.0.0.1:0")
	r, err := newReceiver(conn, false)
	if err != nil {
		t.Fatal(err)
	}
	out := dial(t, conn.LocalAddr())
	packet := []byte("hits:1|c")
	if n := testing.AllocsPerRun(100, func() {
		if _, err := out.Write(packet); err != nil {
			t.Fatal(err)
		}
		if _, err := r.receive(); err != nil {
			t.Fatal(err)
		}
		_ = r.packet(0)
	}); n != 0 {
		t.Errorf("%v allocations a batch, want 0", n)
	}
}

// listenPackets opens a socket, unless this machine does not have such addresses.
func listenPackets(t *testing.T, addr string) *net.UDPConn {
	t.Helper()
	conn, err := net.ListenPacket("udp", addr)
	if err != nil && addr[0] == '[' {
		t.Skip("no IPv6:", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn.(*net.UDPConn)
}
