package wire

import (
	"encoding/binary"
	"fmt"
	"math/bits"

	"meshd/crdt"
)

// Heartbeat says: the sender's live incarnation is at Head, and nothing else changed as of LagMs before WallMs.
type Heartbeat struct {
	Head   [crdt.NumStreams]uint64
	WallMs int64  // the sender's wall clock, milliseconds since the Unix epoch; 0 to MaxHeartbeatMs
	LagMs  uint32 // of a hub, if what it stated reaches less far than the time
}

// MaxHeartbeatMs is the latest time that a Heartbeat can state, in the year 2109. Times outside of 0 to
// MaxHeartbeatMs are sent as the nearer end: a clock that wrong is out of every bound either way.
const MaxHeartbeatMs = 1<<heartbeatTimeBits - 1

// A heartbeat is the one message that idle sessions send, so it is packed by hand: 6 bytes, little endian, of time (42
// bits) and the lengths in bytes, less one, of both heads (3 bits each), then the heads in that many bytes. With the
// type that is 14 bytes up to 2^32 commits (136 a second for a year) and 2^24 flushes of windows (one every 10 s for
// 5 years), and never more than 23. A lag that is not 0 follows in as few bytes as it fits in, at most 4.
const (
	heartbeatTimeBits  = 42
	heartbeatWordBytes = 6
	heartbeatLagBytes  = 4
)

func (m *Heartbeat) append(dst []byte) []byte {
	word := uint64(min(max(m.WallMs, 0), MaxHeartbeatMs))
	for s, h := range m.Head {
		word |= uint64(headBytes(h)-1) << (heartbeatTimeBits + 3*s)
	}
	dst = appendUint(dst, word, heartbeatWordBytes)
	for _, h := range m.Head {
		dst = appendUint(dst, h, headBytes(h))
	}
	if m.LagMs > 0 {
		dst = appendUint(dst, uint64(m.LagMs), headBytes(uint64(m.LagMs)))
	}
	return dst
}

// headBytes returns the bytes that h takes, at least one.
func headBytes(h uint64) int { return max(1, (bits.Len64(h)+7)/8) }

func appendUint(dst []byte, v uint64, n int) []byte {
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], v)
	return append(dst, b[:n]...)
}

func parseHeartbeat(b []byte) (*Heartbeat, error) {
	var m Heartbeat
	if len(b) < heartbeatWordBytes {
		return nil, fmt.Errorf("%w: heartbeat of %d bytes", ErrMalformed, len(b))
	}
	word := readUint(b[:heartbeatWordBytes])
	b = b[heartbeatWordBytes:]
	m.WallMs = int64(word & MaxHeartbeatMs)
	for s := range m.Head {
		n := int(word>>(heartbeatTimeBits+3*s)&7) + 1
		if n > len(b) {
			return nil, fmt.Errorf("%w: heartbeat ends early", ErrMalformed)
		}
		m.Head[s] = readUint(b[:n])
		if headBytes(m.Head[s]) != n {
			return nil, fmt.Errorf("%w: head %d in %d bytes", ErrMalformed, m.Head[s], n)
		}
		b = b[n:]
	}
	if len(b) == 0 {
		return &m, nil
	}
	if len(b) > heartbeatLagBytes || b[len(b)-1] == 0 {
		return nil, fmt.Errorf("%w: lag in %d bytes", ErrMalformed, len(b))
	}
	m.LagMs = uint32(readUint(b))
	return &m, nil
}

func readUint(b []byte) uint64 {
	var full [8]byte
	copy(full[:], b)
	return binary.LittleEndian.Uint64(full[:])
}
