package gossip

import (
	"net"
	"sync/atomic"
	"syscall"
)

// Meter counts what a socket carries, both ways, as a line is billed: the bytes of packets with their IP and UDP headers.
// The zero value is ready. A socket with a meter is read and written one packet a system call, which lines that are billed
// do not notice.
type Meter struct{ bytes, payload, packets atomic.Uint64 }

// Bytes returns what the line carried.
func (m *Meter) Bytes() uint64 { return m.bytes.Load() }

// Payload returns what of that was in the packets, and how many packets there were.
func (m *Meter) Payload() (bytes, packets uint64) { return m.payload.Load(), m.packets.Load() }

// Headers of IP and UDP.
const (
	headers4 = 20 + 8
	headers6 = 40 + 8
)

func (m *Meter) packet(n int, peer net.Addr) {
	headers := headers6
	if udp, ok := peer.(*net.UDPAddr); ok && udp.IP.To4() != nil {
		headers = headers4
	}
	m.packets.Add(1)
	m.payload.Add(uint64(n))
	m.bytes.Add(uint64(n + headers))
}

// meteredConn is a socket with a meter.
type meteredConn struct {
	net.PacketConn
	meter *Meter
}

func (c meteredConn) ReadFrom(b []byte) (int, net.Addr, error) {
	n, addr, err := c.PacketConn.ReadFrom(b)
	if err == nil {
		c.meter.packet(n, addr)
	}
	return n, addr, err
}

func (c meteredConn) WriteTo(b []byte, addr net.Addr) (int, error) {
	n, err := c.PacketConn.WriteTo(b, addr)
	if err == nil {
		c.meter.packet(n, addr)
	}
	return n, err
}

// meteredUDP also has the methods of a UDP socket by which QUIC asks for larger buffers. It must not have those by which it
// would read and write past the meter.
type meteredUDP struct {
	meteredConn
	udp *net.UDPConn
}

func (c meteredUDP) SetReadBuffer(bytes int) error         { return c.udp.SetReadBuffer(bytes) }
func (c meteredUDP) SetWriteBuffer(bytes int) error        { return c.udp.SetWriteBuffer(bytes) }
func (c meteredUDP) SyscallConn() (syscall.RawConn, error) { return c.udp.SyscallConn() }

// metered puts a meter on a socket.
func metered(conn net.PacketConn, m *Meter) net.PacketConn {
	c := meteredConn{conn, m}
	if udp, ok := conn.(*net.UDPConn); ok {
		return meteredUDP{c, udp}
	}
	return c
}
