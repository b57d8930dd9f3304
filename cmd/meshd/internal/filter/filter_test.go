package filter

import (
	"net"
	"net/netip"
	"testing"
)

// listen opens a filtered socket on loopback and returns its address too.
func listen(t *testing.T) (*Conn, netip.AddrPort) {
	t.Helper()
	udp, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	c := New(udp)
	t.Cleanup(func() { c.Close() })
	return c, udp.LocalAddr().(*net.UDPAddr).AddrPort()
}

func send(t *testing.T, from *Conn, to netip.AddrPort, text string) {
	t.Helper()
	if n, err := from.WriteTo([]byte(text), net.UDPAddrFromAddrPort(to)); n != len(text) || err != nil {
		t.Fatalf("WriteTo = %d, %v: a loss must look like a success", n, err)
	}
}

// wantNext receives one datagram. Loopback keeps the order of a socket's datagrams, so a lost one shows as its successor.
func wantNext(t *testing.T, at *Conn, want string) {
	t.Helper()
	buf := make([]byte, 100)
	n, _, err := at.ReadFrom(buf)
	if err != nil {
		t.Fatal(err)
	}
	if got := string(buf[:n]); got != want {
		t.Errorf("received %q, want %q", got, want)
	}
}

func TestBlockedPeerIsLostBothWays(t *testing.T) {
	a, addrA := listen(t)
	b, addrB := listen(t)
	c, addrC := listen(t)

	send(t, b, addrA, "before")
	wantNext(t, a, "before")

	a.Block([]netip.AddrPort{addrB})
	send(t, b, addrA, "lost on receipt")
	send(t, c, addrA, "of another peer")
	wantNext(t, a, "of another peer")
	send(t, a, addrB, "lost on sending")
	send(t, a, addrC, "to another peer")
	wantNext(t, c, "to another peer")
	if a.Dropped() != 2 {
		t.Errorf("dropped %d datagrams, want 2", a.Dropped())
	}

	a.Block(nil)
	send(t, b, addrA, "healed")
	wantNext(t, a, "healed")
	send(t, a, addrB, "healed too")
	wantNext(t, b, "healed too")
}

func TestMappedAddressesAreThePeer(t *testing.T) {
	a, _ := listen(t)
	peer := netip.MustParseAddrPort("10.0.0.1:8946")
	a.Block([]netip.AddrPort{netip.MustParseAddrPort("[::ffff:10.0.0.1]:8946")})
	if !a.drops(net.UDPAddrFromAddrPort(peer)) {
		t.Error("the IPv4 form of a blocked mapped address passes")
	}
	if a.drops(&net.UDPAddr{IP: net.IPv4(10, 0, 0, 1), Port: 8947}) {
		t.Error("another port of a blocked host is blocked")
	}
}

func TestBuffersReachTheSocket(t *testing.T) {
	a, _ := listen(t)
	if err := a.SetReadBuffer(1 << 16); err != nil {
		t.Error(err)
	}
	if err := a.SetWriteBuffer(1 << 16); err != nil {
		t.Error(err)
	}
}
