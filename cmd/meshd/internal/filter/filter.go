// Package filter cuts network links in the middle of a UDP socket, without root: datagrams to and from blocked peers
// disappear, as they do when a cable is pulled. Only the demo puts it between a node and its socket; it is for showing
// partitions, not for keeping anybody out.
package filter

import (
	"net"
	"net/netip"
	"sync/atomic"
)

// Conn is a UDP socket that loses what it sends to and receives from blocked peers. It deliberately hides the methods
// for batches and control messages of *net.UDPConn, through which datagrams would pass it by. All methods are safe for
// concurrent use.
type Conn struct {
	net.PacketConn
	blocked atomic.Pointer[map[netip.AddrPort]bool] // replaced whole, never modified
	dropped atomic.Uint64
}

// New wraps conn, with nobody blocked; the wrapper owns it from then on.
func New(conn net.PacketConn) *Conn {
	c := &Conn{PacketConn: conn}
	c.Block(nil)
	return c
}

// Block replaces the set of blocked peers. Datagrams that were read or sent before it returns are not affected.
func (c *Conn) Block(peers []netip.AddrPort) {
	blocked := make(map[netip.AddrPort]bool, len(peers))
	for _, p := range peers {
		blocked[canonical(p)] = true
	}
	c.blocked.Store(&blocked)
}

// Dropped counts the datagrams lost here, in both directions.
func (c *Conn) Dropped() uint64 { return c.dropped.Load() }

// ReadFrom reads the next datagram of a peer that is not blocked.
func (c *Conn) ReadFrom(p []byte) (int, net.Addr, error) {
	for {
		n, addr, err := c.PacketConn.ReadFrom(p)
		if err != nil || !c.drops(addr) {
			return n, addr, err
		}
	}
}

// WriteTo sends a datagram, or loses it and reports success, as networks do.
func (c *Conn) WriteTo(p []byte, addr net.Addr) (int, error) {
	if c.drops(addr) {
		return len(p), nil
	}
	return c.PacketConn.WriteTo(p, addr)
}

// SetReadBuffer passes on the size of the kernel's receive buffer, in bytes, where the socket has one.
func (c *Conn) SetReadBuffer(bytes int) error {
	if s, ok := c.PacketConn.(interface{ SetReadBuffer(int) error }); ok {
		return s.SetReadBuffer(bytes)
	}
	return nil
}

// SetWriteBuffer passes on the size of the kernel's send buffer, in bytes, where the socket has one.
func (c *Conn) SetWriteBuffer(bytes int) error {
	if s, ok := c.PacketConn.(interface{ SetWriteBuffer(int) error }); ok {
		return s.SetWriteBuffer(bytes)
	}
	return nil
}

func (c *Conn) drops(addr net.Addr) bool {
	blocked := *c.blocked.Load()
	if len(blocked) == 0 {
		return false
	}
	udp, ok := addr.(*net.UDPAddr)
	if !ok || !blocked[canonical(udp.AddrPort())] {
		return false
	}
	c.dropped.Add(1)
	return true
}

// canonical makes an IPv4 address equal to the form that a dual-stack socket reports.
func canonical(a netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
}
