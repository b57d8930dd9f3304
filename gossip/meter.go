package gossip

import (
	"errors"
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

// QUIC asks for larger buffers by the methods of a UDP socket, where there is one.

func (c meteredConn) SetReadBuffer(bytes int) error {
	if s, ok := c.PacketConn.(interface{ SetReadBuffer(int) error }); ok {
		return s.SetReadBuffer(bytes)
	}
	return errors.ErrUnsupported
}

func (c meteredConn) SetWriteBuffer(bytes int) error {
	if s, ok := c.PacketConn.(interface{ SetWriteBuffer(int) error }); ok {
		return s.SetWriteBuffer(bytes)
	}
	return errors.ErrUnsupported
}

func (c meteredConn) SyscallConn() (syscall.RawConn, error) {
	if s, ok := c.PacketConn.(syscall.Conn); ok {
		return s.SyscallConn()
	}
	return nil, errors.ErrUnsupported
}
