package wire

import (
	"encoding/binary"
	"fmt"
	"math/bits"
)

// A packed column holds unsigned integers in blocks of 128 (patched frame of reference, after Zukowski et al.,
// "Super-Scalar RAM-CPU Cache Compression", ICDE 2006):
//
//	header   1 byte: width w in bits, 0 to 64; 0x80 is set if patches follow
//	low bits ceil(n*w/8) bytes: the low w bits of each value, least significant bit first
//	patches  if 0x80: count (1 byte), then count times: index (1 byte, ascending), uvarint of value >> w (not 0)
//
// The number of values is known from elsewhere. A column of equal small numbers costs a byte for 128 of them, one
// large value among small ones costs only itself.
const (
	blockLen   = 128
	patchFlag  = 0x80
	maxWidth   = 64
	blockBytes = blockLen * maxWidth / 8
)

// appendPacked appends vals as a packed column.
func appendPacked(dst []byte, vals []uint64) []byte {
	for len(vals) > 0 {
		n := min(len(vals), blockLen)
		dst = appendBlock(dst, vals[:n])
		vals = vals[n:]
	}
	return dst
}

func appendBlock(dst []byte, vals []uint64) []byte {
	w, patches := chooseWidth(vals)
	header := byte(w)
	if patches > 0 {
		header |= patchFlag
	}
	dst = appendBits(append(dst, header), vals, w)
	if patches == 0 {
		return dst
	}
	dst = append(dst, byte(patches))
	for i, v := range vals {
		if bits.Len64(v) > w {
			dst = append(dst, byte(i))
			dst = binary.AppendUvarint(dst, v>>w)
		}
	}
	return dst
}

// chooseWidth returns the width that makes the block shortest, and how many values it leaves to patches.
func chooseWidth(vals []uint64) (width, patches int) {
	var count [maxWidth + 1]int // values by their length in bits
	lengths, longest := uint64(0), 0
	for _, v := range vals {
		l := bits.Len64(v)
		if l > 0 {
			lengths |= 1 << (l - 1)
		}
		count[l]++
		longest = max(longest, l)
	}
	width, best := longest, packedBytes(len(vals), longest)
	for w := range longest {
		cost, over := packedBytes(len(vals), w)+1, 0
		for longer := lengths >> w; longer != 0; longer &= longer - 1 {
			beyond := bits.TrailingZeros64(longer) + 1
			n := count[w+beyond]
			over += n
			cost += n * (1 + (beyond+6)/7)
		}
		if cost < best {
			width, patches, best = w, over, cost
		}
	}
	return width, patches
}

func packedBytes(n, w int) int { return (n*w + 7) / 8 }

func appendBits(dst []byte, vals []uint64, w int) []byte {
	if w == 0 {
		return dst
	}
	mask := ^uint64(0) >> (64 - w)
	var acc uint64 // bits not yet written, have of them
	have := 0
	for _, v := range vals {
		v &= mask
		acc |= v << have
		if have+w < 64 {
			have += w
			continue
		}
		dst = binary.LittleEndian.AppendUint64(dst, acc)
		acc = v >> (64 - have) // a shift by 64 gives 0
		have += w - 64
	}
	for ; have > 0; have -= 8 {
		dst = append(dst, byte(acc))
		acc >>= 8
	}
	return dst
}

// unpacker reads columns from b, one after another. The first error stays.
type unpacker struct {
	b    []byte
	err  error
	vals [blockLen]uint64
	bits [blockBytes + 8]byte // 8 more, so that any value can be read with one load
}

func (u *unpacker) reset(b []byte) { u.b, u.err = b, nil }

func (u *unpacker) fail(what string) {
	if u.err == nil {
		u.err = fmt.Errorf("%w: %s", ErrMalformed, what)
	}
}

// keep keeps an error that wraps one of this package.
func (u *unpacker) keep(err error) {
	if u.err == nil {
		u.err = err
	}
}

// block returns the next n <= 128 values of a column. They are valid until the next call.
func (u *unpacker) block(n int) []uint64 {
	out := u.vals[:n]
	if u.err != nil || len(u.b) == 0 {
		u.fail("column ends early")
		clear(out)
		return out
	}
	header := u.b[0]
	w := int(header &^ patchFlag)
	size := packedBytes(n, w)
	if w > maxWidth || size > len(u.b)-1 {
		u.fail("column block longer than its column")
		clear(out)
		return out
	}
	u.unpack(out, u.b[1:1+size], w)
	u.b = u.b[1+size:]
	if header&patchFlag != 0 {
		u.patch(out, w)
	}
	return out
}

func (u *unpacker) unpack(out []uint64, packed []byte, w int) {
	if w == 0 {
		clear(out)
		return
	}
	copy(u.bits[:], packed)
	mask := ^uint64(0) >> (64 - w)
	bit := 0
	for i := range out {
		at, shift := bit>>3, bit&7
		v := binary.LittleEndian.Uint64(u.bits[at:]) >> shift
		if shift+w > 64 {
			v |= uint64(u.bits[at+8]) << (64 - shift)
		}
		out[i] = v & mask
		bit += w
	}
}

func (u *unpacker) patch(out []uint64, w int) {
	count, last := int(u.byte()), -1
	for range count {
		i, high := int(u.byte()), u.uvarint()
		if i <= last || i >= len(out) || bits.Len64(high) > maxWidth-w {
			u.fail("column patch out of place")
			return
		}
		out[i] |= high << w
		last = i
	}
}

func (u *unpacker) byte() byte {
	if len(u.b) == 0 {
		u.fail("column ends early")
		return 0
	}
	c := u.b[0]
	u.b = u.b[1:]
	return c
}

func (u *unpacker) uvarint() uint64 {
	v, n := binary.Uvarint(u.b)
	if n <= 0 {
		u.fail("bad varint")
		return 0
	}
	u.b = u.b[n:]
	return v
}

// take returns the next n bytes, without a copy.
func (u *unpacker) take(n uint64) []byte {
	if n > uint64(len(u.b)) {
		u.fail("column ends early")
		return nil
	}
	out := u.b[:n:n]
	u.b = u.b[n:]
	return out
}

// end reports the first error, or that bytes are left over.
func (u *unpacker) end() error {
	if len(u.b) > 0 {
		u.fail("bytes after the end of a column")
	}
	return u.err
}
