package bench

import (
	"fmt"
	"net"
	"sync"

	"meshd/internal/bridge"
)

// meter joins a node and its transport as bridge does, and counts what the node sends: messages where they are handed
// over, datagrams where they leave.
type meter struct {
	bridge.Bridge
	conn *countingConn

	mu       sync.Mutex
	messages [128]messageCount // by type, compressed or not
}

type messageCount struct {
	count, bytes int64
	largest      int
}

// reading is what a meter shows at one moment.
type reading struct {
	messages      [128]messageCount
	udpBytes      int64
	datagrams     int64
	largestPacket int64
}

func newMeter(udp net.PacketConn) *meter { return &meter{conn: &countingConn{PacketConn: udp}} }

// compressed is set in the type of a message whose body is; see docs/protocol.md.
const compressed = 0x80

// Send implements node.Transport.
func (m *meter) Send(peer uint64, bulk bool, msg []byte) bool {
	m.mu.Lock()
	k := &m.messages[msg[0]&^compressed]
	k.count++
	k.bytes += int64(len(msg))
	k.largest = max(k.largest, len(msg))
	m.mu.Unlock()
	return m.Bridge.Send(peer, bulk, msg)
}

func (m *meter) read() reading {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.conn.mu.Lock()
	defer m.conn.mu.Unlock()
	return reading{messages: m.messages, udpBytes: m.conn.bytes, datagrams: m.conn.datagrams, largestPacket: m.conn.largest}
}

// forgetLargest begins a new search for the largest message and datagram.
func (m *meter) forgetLargest() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := range m.messages {
		m.messages[i].largest = 0
	}
	m.conn.mu.Lock()
	defer m.conn.mu.Unlock()
	m.conn.largest = 0
}

// since is what was sent between two readings. The largest ones are those of the later reading.
func (r reading) since(before reading) reading {
	for i := range r.messages {
		r.messages[i].count -= before.messages[i].count
		r.messages[i].bytes -= before.messages[i].bytes
	}
	r.udpBytes -= before.udpBytes
	r.datagrams -= before.datagrams
	return r
}

// per divides by the number of changed counters.
func (r reading) per(changes int) wireDirection {
	var all, frames int64
	for typ, k := range r.messages {
		all += k.bytes
		if typ == typeFrame || typ == typePush {
			frames += k.bytes
		}
	}
	n := float64(changes)
	return wireDirection{
		UDPBytes: round(float64(r.udpBytes)/n, 2), Datagrams: r.datagrams,
		Messages: round(float64(all)/n, 2), Frames: round(float64(frames)/n, 2),
	}
}

// Types of messages, as in docs/protocol.md.
const (
	typeFrame = 3
	typePush  = 4
)

func typeName(typ int) string {
	names := [...]string{"", "hello", "marks", "frame", "push", "heartbeat", "coverage"}
	if typ < len(names) {
		return names[typ]
	}
	return fmt.Sprintf("type %d", typ)
}

// countingConn counts what leaves a UDP socket. It hides the methods for batches of *net.UDPConn, so that every datagram
// passes here.
type countingConn struct {
	net.PacketConn

	mu        sync.Mutex
	bytes     int64
	datagrams int64
	largest   int64
}

// WriteTo sends and counts one datagram.
func (c *countingConn) WriteTo(b []byte, addr net.Addr) (int, error) {
	c.mu.Lock()
	c.bytes += int64(len(b))
	c.datagrams++
	c.largest = max(c.largest, int64(len(b)))
	c.mu.Unlock()
	return c.PacketConn.WriteTo(b, addr)
}

// SetReadBuffer sets the size of the kernel's receive buffer, in bytes.
func (c *countingConn) SetReadBuffer(bytes int) error {
	return c.PacketConn.(*net.UDPConn).SetReadBuffer(bytes)
}

// SetWriteBuffer sets the size of the kernel's send buffer, in bytes.
func (c *countingConn) SetWriteBuffer(bytes int) error {
	return c.PacketConn.(*net.UDPConn).SetWriteBuffer(bytes)
}
