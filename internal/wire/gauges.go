package wire

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/bits"

	"meshd/crdt"
)

// Gauges are the earliest time in milliseconds (uvarint) and four packed columns: the zigzag difference of the cell's
// seq and that of the write (0 in what a writer sends), milliseconds above the earliest, the logical part of the time,
// and the IEEE 754 bits of the value reversed, so that values with short mantissas are short.

func appendGauges(dst []byte, vals []uint64, at valueAt) []byte {
	gauge := func(i int) (*crdt.Gauge, uint64) {
		v, seq := at(i)
		return v.X.(*crdt.Gauge), seq
	}
	first := int64(math.MaxInt64)
	for i := range vals {
		g, _ := gauge(i)
		first = min(first, g.Time.Millis())
	}
	dst = binary.AppendUvarint(dst, uint64(first))
	for i := range vals {
		g, seq := gauge(i)
		vals[i] = zigzag(int64(seq - g.Seq()))
	}
	dst = appendPacked(dst, vals)
	for i := range vals {
		g, _ := gauge(i)
		vals[i] = uint64(g.Time.Millis() - first)
	}
	dst = appendPacked(dst, vals)
	for i := range vals {
		g, _ := gauge(i)
		vals[i] = uint64(g.Time.Logical())
	}
	dst = appendPacked(dst, vals)
	for i := range vals {
		g, _ := gauge(i)
		vals[i] = bits.Reverse64(math.Float64bits(g.Value + 0)) // -0 is 0
	}
	return appendPacked(dst, vals)
}

// maxMillis is the latest time that an HLC can hold.
const maxMillis = 1<<48 - 1

// gauges reads n gauges into what at gives. It goes through the canonical bytes of each one (crdt.Gauge.AppendBinary),
// so that what a gauge may hold is decided in crdt alone.
func (u *unpacker) gauges(n int, at valueAt) error {
	if u.err != nil || n > blockLen*len(u.b) {
		u.fail("column ends early")
		return u.err
	}
	first := u.uvarint()
	cols := make([]uint64, 0, 4*n)
	for range 4 {
		for i := 0; i < n; i += blockLen {
			cols = append(cols, u.block(min(n-i, blockLen))...)
		}
	}
	seqs, millis, logical, values := cols[:n], cols[n:2*n], cols[2*n:3*n], cols[3*n:]
	var buf []byte
	for i := range n {
		if first > maxMillis || millis[i] > maxMillis-first || logical[i] > math.MaxUint16 {
			return fmt.Errorf("%w: gauge at %d+%d.%d", ErrInvalid, first, millis[i], logical[i])
		}
		v, seq := at(i)
		buf = binary.AppendUvarint(buf[:0], seq-uint64(unzigzag(seqs[i])))
		buf = binary.BigEndian.AppendUint64(buf, uint64(crdt.HLCFrom(int64(first+millis[i]), uint16(logical[i]))))
		buf = binary.AppendUvarint(buf, bits.ReverseBytes64(bits.Reverse64(values[i])))
		var err error
		if v.X, err = crdt.ParseState(crdt.KindGauge, buf, seq); err != nil {
			return stateError(err)
		}
	}
	return u.err
}
