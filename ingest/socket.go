package ingest

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync/atomic"
	"time"

	"golang.org/x/net/ipv4"
)

const (
	// maxPacketBytes is the largest UDP payload: no packet is ever cut off.
	maxPacketBytes = 65535
	// batchPackets are read by one system call where that exists. A reader holds 2 MiB of buffers.
	batchPackets = 32
	// receiveBuffer is asked of the kernel: 10,000 small packets, 100 ms of 100,000 a second.
	receiveBuffer = 8 << 20
	// controlBytes has room for the control message with the number of dropped packets.
	controlBytes = 64
)

// socket is a UDP socket that is read in batches and knows what the kernel dropped.
type socket struct {
	conn    *net.UDPConn
	batch   *ipv4.PacketConn // reads IPv6 sockets too
	dropped atomic.Uint32    // the kernel's running count as last seen
	sources *Sources         // nil: no limit
	refused func(packets uint64)
}

func listenUDP(addr string, log *slog.Logger) (*socket, error) {
	pc, err := net.ListenPacket("udp", addr)
	if err != nil {
		return nil, err
	}
	conn := pc.(*net.UDPConn)
	if got, err := raiseReceiveBuffer(conn); err != nil {
		log.Warn("cannot raise the socket's receive buffer: bursts may be dropped", "addr", addr, "err", err)
	} else if got < receiveBuffer {
		log.Warn("the system limits the socket's receive buffer, bursts may be dropped: raise net.core.rmem_max",
			"addr", addr, "want_bytes", receiveBuffer, "got_bytes", got)
	}
	if err := countDrops(conn); err != nil {
		log.Warn("packets that the kernel drops cannot be counted", "addr", addr, "err", err)
	}
	return &socket{conn: conn, batch: ipv4.NewPacketConn(conn)}, nil
}

// read calls handle for every batch of packets until the socket is closed. lost is how many packets the kernel
// dropped since the last call. The packets are valid during the call. Several goroutines may read.
func (s *socket) read(handle func(packets [][]byte, lost uint64)) error {
	msgs := make([]ipv4.Message, batchPackets)
	for i := range msgs {
		msgs[i].Buffers = [][]byte{make([]byte, maxPacketBytes)}
		msgs[i].OOB = make([]byte, controlBytes)
	}
	packets := make([][]byte, 0, batchPackets)
	for {
		n, err := s.batch.ReadBatch(msgs, 0)
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read %s: %w", s.conn.LocalAddr(), err)
		}
		packets = packets[:0]
		var lost, refused uint64
		for i := range msgs[:n] {
			if s.sources == nil || s.sources.take(addrOf(msgs[i].Addr), msgs[i].N, time.Now()) {
				packets = append(packets, msgs[i].Buffers[0][:msgs[i].N])
			} else {
				refused++
			}
			if count, ok := dropCount(msgs[i].OOB[:msgs[i].NN]); ok {
				lost += s.newDrops(count)
			}
		}
		if refused > 0 {
			s.refused(refused)
		}
		handle(packets, lost)
	}
}

// newDrops returns how many of the count drops no reader has seen yet. The count wraps around; readers may see it out
// of order.
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
