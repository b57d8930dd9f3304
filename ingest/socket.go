package ingest

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync/atomic"
	"time"
)

const (
	// maxPacketBytes is the largest UDP payload: no packet is ever cut off.
	maxPacketBytes = 65535
	// batchPackets are read by one system call where that exists. A reader holds 2 MiB of buffers.
	batchPackets = 32
	// packetStride is from one buffer of a batch to the next: no multiple of 4 KiB, for which the first bytes of all packets
	// would be at the same few places of a processor's cache.
	packetStride = maxPacketBytes + 1 + 23*64
	// receiveBuffer is asked of the kernel for each socket: 7,000 packets of 1,432 bytes, 60 ms of 4 million lines a second.
	receiveBuffer = 8 << 20
	// maxSockets bounds what may be asked for: 64 have 128 MiB of buffers here and 1 GiB in the kernel.
	maxSockets = 64
)

// socket is a UDP socket that is read in batches and knows what the kernel dropped.
type socket struct {
	conn    *net.UDPConn
	dropped atomic.Uint32 // the kernel's running count as last seen
	sources *Sources      // nil: no limit
	refused func(packets uint64)
}

// listenUDP opens n sockets at one address, among which the kernel spreads the senders: what one sender's socket sends
// comes by one of them, in order. Where the system cannot do that it opens one and says so.
//
// The first is opened alone, so that a port which another process serves is refused, and shared only then.
func listenUDP(addr string, n int, log *slog.Logger) ([]*socket, error) {
	first, err := net.ListenPacket("udp", addr)
	if err != nil {
		return nil, err
	}
	socks := []*socket{newSocket(first, log)}
	if n == 1 {
		return socks, nil
	}
	if err := sharePort(socks[0].conn); err != nil {
		log.Warn("this system cannot share a port among sockets: packets are read from one", "addr", addr, "want", n, "err", err)
		return socks, nil
	}
	for len(socks) < n {
		next, err := listenShared(first.LocalAddr().String())
		if err != nil {
			for _, s := range socks {
				err = errors.Join(err, s.conn.Close())
			}
			return nil, fmt.Errorf("socket %d of %d: %w", len(socks)+1, n, err)
		}
		socks = append(socks, newSocket(next, log))
	}
	return socks, nil
}

func newSocket(pc net.PacketConn, log *slog.Logger) *socket {
	conn := pc.(*net.UDPConn)
	addr := conn.LocalAddr()
	if got, err := raiseReceiveBuffer(conn); err != nil {
		log.Warn("cannot raise the socket's receive buffer: bursts may be dropped", "addr", addr, "err", err)
	} else if got < receiveBuffer {
		log.Warn("the system limits the socket's receive buffer, bursts may be dropped: raise net.core.rmem_max",
			"addr", addr, "want_bytes", receiveBuffer, "got_bytes", got)
	}
	if _, err := dropCount(conn); err != nil {
		log.Warn("packets that the kernel drops cannot be counted", "addr", addr, "err", err)
	}
	return &socket{conn: conn}
}

// read calls handle for every batch of packets until the socket is closed. The packets are valid during the call.
func (s *socket) read(handle func(packets [][]byte)) error {
	r, err := newReceiver(s.conn, s.sources != nil)
	if err != nil {
		return err
	}
	packets := make([][]byte, 0, batchPackets)
	for {
		n, err := r.receive()
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read %s: %w", s.conn.LocalAddr(), err)
		}
		packets = packets[:0]
		var refused uint64
		for i := range n {
			p := r.packet(i)
			if s.sources == nil || s.sources.take(r.sender(i), len(p), time.Now()) {
				packets = append(packets, p)
			} else {
				refused++
			}
		}
		if refused > 0 {
			s.refused(refused)
		}
		handle(packets)
	}
}

// drops returns how many packets the kernel dropped since the last call: also those after which none came.
func (s *socket) drops() uint64 {
	count, err := dropCount(s.conn)
	if err != nil {
		return 0 // said when the socket was opened, or it is closed
	}
	return s.newDrops(count)
}

// newDrops returns how many of the count drops nobody has seen yet. The count wraps around; callers may see it out of
// order.
func (s *socket) newDrops(count uint32) uint64 {
	for {
		last := s.dropped.Load()
		n := int32(count - last)
		if n <= 0 {
			return 0
		}
		if s.dropped.CompareAndSwap(last, count) {
			return uint64(n)
		}
	}
}
