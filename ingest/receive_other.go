//go:build !linux

package ingest

import (
	"net"
	"net/netip"
)

// receiver reads the packets of one socket, one at a time. It belongs to one goroutine.
type receiver struct {
	conn   *net.UDPConn
	buffer []byte
	bytes  int
	from   netip.AddrPort
}

func newReceiver(conn *net.UDPConn, _ bool) (*receiver, error) {
	return &receiver{conn: conn, buffer: make([]byte, maxPacketBytes)}, nil
}

// receive waits for a packet and returns how many came.
func (r *receiver) receive() (n int, err error) {
	r.bytes, r.from, err = r.conn.ReadFromUDPAddrPort(r.buffer)
	return 1, err
}

// packet returns the packet, valid until the next.
func (r *receiver) packet(int) []byte { return r.buffer[:r.bytes] }

// sender returns who sent the packet.
func (r *receiver) sender(int) netip.Addr { return r.from.Addr() }
