package gossip

import (
	"net"
	"syscall"
	"testing"
)

// sink is a socket that takes and gives packets of 100 bytes.
type sink struct {
	net.PacketConn
	from net.Addr
}

func (s sink) ReadFrom([]byte) (int, net.Addr, error)    { return 100, s.from, nil }
func (s sink) WriteTo(b []byte, _ net.Addr) (int, error) { return len(b), nil }

func TestMeterCountsAsALineIsBilled(t *testing.T) {
	for _, tc := range []struct {
		peer string
		want uint64
	}{{"10.0.0.1", 100 + 28 + 50 + 28}, {"fd00::1", 100 + 48 + 50 + 48}} {
		at := &net.UDPAddr{IP: net.ParseIP(tc.peer), Port: 1}
		var m Meter
		c := meteredConn{sink{from: at}, &m}
		if _, _, err := c.ReadFrom(nil); err != nil {
			t.Fatal(err)
		}
		if _, err := c.WriteTo(make([]byte, 50), at); err != nil {
			t.Fatal(err)
		}
		if n, packets := m.Payload(); m.Bytes() != tc.want || n != 150 || packets != 2 {
			t.Errorf("%s: %d bytes, %d in %d packets, want %d, 150 in 2", tc.peer, m.Bytes(), n, packets, tc.want)
		}
	}
}

func TestANodeCountsWhatItsSocketCarries(t *testing.T) {
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var m Meter
	c := metered(conn, &m)
	defer c.Close()
	if _, ok := c.(interface {
		SyscallConn() (syscall.RawConn, error)
	}); !ok {
		t.Error("QUIC cannot ask a UDP socket for larger buffers")
	}
	if _, ok := c.(interface {
		ReadMsgUDP(b, oob []byte) (n, oobn, flags int, addr *net.UDPAddr, err error)
	}); ok {
		t.Error("QUIC can read past the meter")
	}
	if _, ok := metered(sink{}, &m).(interface {
		SyscallConn() (syscall.RawConn, error)
	}); ok {
		t.Error("a socket in memory claims to be one of the system's")
	}
}
