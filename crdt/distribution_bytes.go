package crdt

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/bits"
)

// The canonical bytes of a Distribution: a byte of flags, then for each flag from the lowest bit what it stands for.
//
//	0x01  zeros      uvarint
//	0x02  sum+       amount in compact form
//	0x04  sum-       amount in compact form
//	0x08  least      float, and with
//	0x10  greatest   float if it differs from least
//	0x20  positive buckets
//	0x40  negative buckets
//
// A float is the uvarint of its bits in reversed byte order, short for short decimals. The buckets of a sign are
// groups, finest scale first:
//
//	byte     6 - scale, plus 0x80 if another group follows
//	uvarint  number of buckets, at least 1
//	varint   index of the first, then its count as uvarint
//	...      uvarint (index - previous index - 1), uvarint count
//
// Nothing that is zero is written.
const (
	flagZeros    = 0x01
	flagSumPos   = 0x02
	flagSumNeg   = 0x04
	flagRange    = 0x08
	flagGreatest = 0x10
	flagPositive = 0x20
	flagNegative = 0x40

	moreGroups = 0x80
)

// AppendBinary implements State.
func (d *Distribution) AppendBinary(dst []byte) []byte {
	flags := d.flags()
	dst = append(dst, flags)
	if flags&flagZeros != 0 {
		dst = binary.AppendUvarint(dst, d.zero)
	}
	if flags&flagSumPos != 0 {
		dst = d.sumPos.AppendCompact(dst)
	}
	if flags&flagSumNeg != 0 {
		dst = d.sumNeg.AppendCompact(dst)
	}
	if flags&flagRange != 0 {
		dst = appendFloat(dst, d.least)
	}
	if flags&flagGreatest != 0 {
		dst = appendFloat(dst, d.greatest)
	}
	return d.negative.appendBinary(d.positive.appendBinary(dst))
}

// flags returns the first byte of d's canonical bytes.
func (d *Distribution) flags() (flags byte) {
	for _, f := range [...]struct {
		set bool
		bit byte
	}{
		{d.zero != 0, flagZeros},
		{!d.sumPos.IsZero(), flagSumPos},
		{!d.sumNeg.IsZero(), flagSumNeg},
		{d.ranged, flagRange},
		{d.ranged && d.greatest != d.least, flagGreatest},
		{len(d.positive) > 0, flagPositive},
		{len(d.negative) > 0, flagNegative},
	} {
		if f.set {
			flags |= f.bit
		}
	}
	return flags
}

func appendFloat(dst []byte, f float64) []byte {
	return binary.AppendUvarint(dst, bits.ReverseBytes64(math.Float64bits(f)))
}

func (bs buckets) appendBinary(dst []byte) []byte {
	for len(bs) > 0 {
		rank := bs[0].key.rank()
		n, _ := bs.find(bucketKey(rank+1) << indexBits)
		head := byte(rank)
		if n < len(bs) {
			head |= moreGroups
		}
		dst = append(dst, head)
		dst = binary.AppendUvarint(dst, uint64(n))
		for i, b := range bs[:n] {
			if i == 0 {
				dst = binary.AppendVarint(dst, int64(b.key.index()))
			} else {
				dst = binary.AppendUvarint(dst, uint64(b.key-bs[i-1].key-1))
			}
			dst = binary.AppendUvarint(dst, b.count)
		}
		bs = bs[n:]
	}
	return dst
}

func parseDistribution(b []byte, stamp uint64) (State, error) {
	r := &byteReader{b: b}
	var flags byte
	if f := r.bytes(1); f != nil {
		flags = f[0]
	}
	d := new(Distribution)
	if flags&flagZeros != 0 {
		d.zero = r.uvarint()
	}
	if flags&flagSumPos != 0 {
		d.sumPos = r.fixed()
	}
	if flags&flagSumNeg != 0 {
		d.sumNeg = r.fixed()
	}
	if flags&flagRange != 0 {
		d.ranged, d.least = true, readFloat(r)
		d.greatest = d.least
	}
	if flags&flagGreatest != 0 {
		d.greatest = readFloat(r)
	}
	if flags&flagPositive != 0 {
		d.positive = readBuckets(r, stamp)
	}
	if flags&flagNegative != 0 {
		d.negative = readBuckets(r, stamp)
	}
	if err := r.done(KindDistribution); err != nil {
		return nil, err
	}
	if flags != d.flags() || d.least > d.greatest || !d.recount() {
		return nil, fmt.Errorf("crdt: %w: distribution with flags %#x", ErrBytes, flags)
	}
	if d.hasScalars() {
		d.stamp = stamp
	}
	return d, nil
}

// readFloat returns a finite float; -0 is refused, since 0 is written for it.
func readFloat(r *byteReader) float64 {
	f := math.Float64frombits(bits.ReverseBytes64(r.uvarint()))
	if math.IsNaN(f) || math.IsInf(f, 0) || f == 0 && math.Signbit(f) {
		r.fail()
		return 0
	}
	return f
}

func readBuckets(r *byteReader, stamp uint64) (out buckets) {
	for last, more := -1, true; more; {
		head := r.bytes(1)
		n := r.count(2) // an index and a count
		if n == 0 || int(head[0]&^moreGroups) <= last {
			r.fail()
			return nil
		}
		last, more = int(head[0]&^moreGroups), head[0]&moreGroups != 0
		scale, index := MaxScale-last, r.varint()-1
		out = append(make(buckets, 0, len(out)+n), out...)
		b := r.b // not through r, which takes twice as long
		for i := range n {
			gap, count := uint64(0), uint64(0)
			if i > 0 {
				gap, b = cutUvarint(b)
			}
			count, b = cutUvarint(b)
			index += int64(min(gap, 1<<indexBits)) + 1
			if count == 0 || index != int64(int32(index)) || !validBucket(scale, int(index)) {
				r.fail()
				return nil
			}
			out = append(out, bucket{key: keyOf(scale, int(index)), count: count, stamp: stamp})
		}
		r.b = b
	}
	return out
}
