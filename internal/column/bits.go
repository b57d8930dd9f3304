package column

import "encoding/binary"

// bitWriter appends bits to b, lowest first.
type bitWriter struct {
	b   []byte
	acc uint64
	n   uint // bits in acc, below 8 after each write
}

// write appends the lowest n bits of v, n at most 64; the others are 0.
func (w *bitWriter) write(v uint64, n uint) {
	if n > 56 {
		w.write(v&(1<<32-1), 32)
		v, n = v>>32, n-32
	}
	w.acc |= v << w.n
	w.n += n
	for w.n >= 8 {
		w.b = append(w.b, byte(w.acc))
		w.acc >>= 8
		w.n -= 8
	}
}

// done appends what is left, filled up with zeros, and returns all.
func (w *bitWriter) done() []byte {
	if w.n > 0 {
		w.b = append(w.b, byte(w.acc))
		w.acc, w.n = 0, 0
	}
	return w.b
}

// bitReader reads bits of b, lowest first. Behind the end it reads zeros.
type bitReader struct {
	b   []byte
	pos uint // in bits
}

// read returns the next n bits, n at most 64.
func (r *bitReader) read(n uint) uint64 {
	if n > 56 {
		low := r.read(32)
		return low | r.read(n-32)<<32
	}
	at := r.pos >> 3
	var word uint64
	if at+8 <= uint(len(r.b)) {
		word = binary.LittleEndian.Uint64(r.b[at:])
	} else {
		for i := uint(0); at+i < uint(len(r.b)); i++ {
			word |= uint64(r.b[at+i]) << (8 * i)
		}
	}
	word = word >> (r.pos & 7) & (1<<n - 1)
	r.pos += n
	return word
}
