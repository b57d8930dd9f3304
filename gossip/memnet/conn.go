package memnet

import (
	"container/heap"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"
)

// Conn is one end of the network: a net.PacketConn whose addresses are *net.UDPAddr. One goroutine may read at a time,
// any number may write.
type Conn struct {
	net    *Network
	at     netip.AddrPort
	wake   chan struct{} // cap 1: the reader should look again
	closed chan struct{}

	mu       sync.Mutex
	waiting  packets
	bytes    int
	deadline time.Time
	shut     bool
}

var _ net.PacketConn = (*Conn)(nil)

// ReadFrom waits for a packet that has arrived, and copies what fits into b.
func (c *Conn) ReadFrom(b []byte) (int, net.Addr, error) {
	for {
		p, wait, err := c.next(time.Now())
		if err != nil {
			return 0, nil, &net.OpError{Op: "read", Net: "mem", Addr: c.LocalAddr(), Err: err}
		}
		if p != nil {
			return copy(b, p.data), p.from, nil
		}
		c.sleep(wait)
	}
}

// next pops the packet that is due, or says how long to wait for the earliest event; 0 means for no known one.
func (c *Conn) next(now time.Time) (*packet, time.Duration, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.shut {
		return nil, 0, net.ErrClosed
	}
	if !c.deadline.IsZero() && !now.Before(c.deadline) {
		return nil, 0, os.ErrDeadlineExceeded
	}
	until := c.deadline
	if len(c.waiting) > 0 {
		due := c.waiting[0].due
		if !due.After(now) {
			p := heap.Pop(&c.waiting).(packet)
			c.bytes -= len(p.data)
			return &p, 0, nil
		}
		if until.IsZero() || due.Before(until) {
			until = due
		}
	}
	if until.IsZero() {
		return nil, 0, nil
	}
	return nil, until.Sub(now), nil
}

func (c *Conn) sleep(wait time.Duration) {
	var due <-chan time.Time
	if wait > 0 {
		timer := time.NewTimer(wait)
		defer timer.Stop()
		due = timer.C
	}
	select {
	case <-c.wake:
	case <-due:
	case <-c.closed:
	}
}

func (c *Conn) put(p packet) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.shut || c.bytes+len(p.data) > QueueBytes {
		return false
	}
	heap.Push(&c.waiting, p)
	c.bytes += len(p.data)
	c.nudge()
	return true
}

func (c *Conn) nudge() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// WriteTo sends a packet to a *net.UDPAddr and keeps no reference to b. What the network loses is no error.
func (c *Conn) WriteTo(b []byte, to net.Addr) (int, error) {
	select {
	case <-c.closed:
		return 0, &net.OpError{Op: "write", Net: "mem", Addr: to, Err: net.ErrClosed}
	default:
	}
	udp, ok := to.(*net.UDPAddr)
	if !ok {
		return 0, &net.OpError{Op: "write", Net: "mem", Addr: to, Err: net.UnknownNetworkError(to.Network())}
	}
	at := udp.AddrPort()
	c.net.send(c.at, b, netip.AddrPortFrom(at.Addr().Unmap(), at.Port()))
	return len(b), nil
}

// Close frees the address and ends a waiting ReadFrom.
func (c *Conn) Close() error {
	c.net.remove(c)
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.shut {
		c.shut = true
		c.waiting, c.bytes = nil, 0
		close(c.closed)
	}
	return nil
}

// LocalAddr returns the *net.UDPAddr given to Listen.
func (c *Conn) LocalAddr() net.Addr { return net.UDPAddrFromAddrPort(c.at) }

// SetDeadline sets the deadline of reads; writes never wait.
func (c *Conn) SetDeadline(t time.Time) error { return c.SetReadDeadline(t) }

// SetReadDeadline implements net.Conn; it also ends a read that waits already.
func (c *Conn) SetReadDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.deadline = t
	c.nudge()
	return nil
}

// SetWriteDeadline does nothing: writes never wait.
func (c *Conn) SetWriteDeadline(time.Time) error { return nil }

// SetReadBuffer does nothing: the queue has QueueBytes.
func (c *Conn) SetReadBuffer(int) error { return nil }

// SetWriteBuffer does nothing: there is none.
func (c *Conn) SetWriteBuffer(int) error { return nil }

type packet struct {
	due   time.Time
	order uint64 // breaks ties: packets of one instant keep the order of sending
	from  *net.UDPAddr
	data  []byte
}

// packets is a heap by due time.
type packets []packet

func (p packets) Len() int      { return len(p) }
func (p packets) Swap(i, j int) { p[i], p[j] = p[j], p[i] }
func (p packets) Less(i, j int) bool {
	if p[i].due.Equal(p[j].due) {
		return p[i].order < p[j].order
	}
	return p[i].due.Before(p[j].due)
}
func (p *packets) Push(x any) { *p = append(*p, x.(packet)) }
func (p *packets) Pop() any {
	old := *p
	last := old[len(old)-1]
	*p = old[:len(old)-1]
	return last
}
