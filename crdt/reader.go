package crdt

import (
	"encoding/binary"
	"fmt"
	"math"
)

// byteReader takes canonical bytes apart. After the first mistake it is empty and bad, and returns zeros, so that
// callers check once, with done. What it returns aliases its input.
type byteReader struct {
	b   []byte
	bad bool
}

func (r *byteReader) fail() { r.b, r.bad = nil, true }

// bytes returns the next n bytes.
func (r *byteReader) bytes(n int) []byte {
	if n < 0 || n > len(r.b) {
		r.fail()
		return nil
	}
	out := r.b[:n]
	r.b = r.b[n:]
	return out
}

// uint64 returns 8 bytes, big endian.
func (r *byteReader) uint64() uint64 {
	if b := r.bytes(8); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

// uvarint returns a number in its shortest form.
func (r *byteReader) uvarint() uint64 {
	u, rest := cutUvarint(r.b)
	if r.b = rest; rest == nil {
		r.fail()
	}
	return u
}

// cutUvarint cuts a number in its shortest form, mostly a small one, off b. Without one it returns nil, as it does of nil.
func cutUvarint(b []byte) (u uint64, rest []byte) {
	if len(b) > 0 && b[0] < 0x80 {
		return uint64(b[0]), b[1:]
	}
	return cutLongUvarint(b)
}

func cutLongUvarint(b []byte) (u uint64, rest []byte) {
	u, n := binary.Uvarint(b)
	if n <= 0 || n > 1 && b[n-1] == 0 {
		return 0, nil
	}
	return u, b[n:]
}

// varint returns a signed number in its shortest form.
func (r *byteReader) varint() int64 {
	u := r.uvarint()
	return int64(u>>1) ^ -int64(u&1)
}

// uint32 returns a number below 2^32 in its shortest form.
func (r *byteReader) uint32() uint32 {
	u := r.uvarint()
	if u > math.MaxUint32 {
		r.fail()
	}
	return uint32(u)
}

// count returns a number of items that take at least size bytes each: more than could follow are refused, so that
// callers may allocate for them.
func (r *byteReader) count(size int) int {
	u := r.uvarint()
	if u > uint64(len(r.b)/size) {
		r.fail()
		return 0
	}
	return int(u)
}

// fixed returns an amount in its compact form.
func (r *byteReader) fixed() Fixed {
	f, n, err := ParseCompact(r.b)
	if err != nil {
		r.fail()
		return Fixed{}
	}
	r.b = r.b[n:]
	return f
}

// done returns an error if anything was malformed or is left over.
func (r *byteReader) done(k Kind) error {
	if r.bad || len(r.b) > 0 {
		return fmt.Errorf("crdt: %w: %s", ErrBytes, k)
	}
	return nil
}
