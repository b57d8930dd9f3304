package column

import (
	"encoding/binary"
	"slices"

	"github.com/klauspost/compress/fse"
	"github.com/klauspost/compress/zstd"
)

// Decoder reads columns. It holds scratch memory only: the zero Decoder is ready, and is not safe for concurrent use.
type Decoder struct {
	code      fse.Scratch
	residuals []uint64
	scaled    []int64
	off       []int64
	ends      []int
	blobs     []byte
	zstd      *zstd.Decoder
}

// Reader takes columns off the front of bytes. After the first mistake it has an error and returns zeros.
type Reader struct {
	B   []byte
	Err error
}

func (r *Reader) fail() { r.B, r.Err = nil, ErrBytes }

// Byte returns the next byte.
func (r *Reader) Byte() byte {
	if b := r.Bytes(1); b != nil {
		return b[0]
	}
	return 0
}

// Bytes returns the next n bytes, which alias B, or nil.
func (r *Reader) Bytes(n uint64) []byte {
	if r.Err != nil || n > uint64(len(r.B)) {
		r.fail()
		return nil
	}
	out := r.B[:n]
	r.B = r.B[n:]
	return out
}

// Uvarint returns the next number.
func (r *Reader) Uvarint() uint64 {
	u, n := binary.Uvarint(r.B)
	if n <= 0 {
		r.fail()
		return 0
	}
	r.B = r.B[n:]
	return u
}

// Varint returns the next signed number.
func (r *Reader) Varint() int64 { return unzigzag(r.Uvarint()) }

// Ints appends the n values of the next column to dst. If r has an error then or had one, they are zeros.
func (d *Decoder) Ints(dst []int64, r *Reader, n int) []int64 {
	start := len(dst)
	dst = slices.Grow(dst, n)[:start+n]
	out := dst[start:]
	if n > 0 {
		d.read(out, r)
	}
	if r.Err != nil {
		clear(out)
	}
	return dst
}

func (d *Decoder) read(out []int64, r *Reader) {
	head, unit := r.Byte(), int64(1)
	if head&flagUnit != 0 {
		unit = int64(r.Uvarint())
	}
	order, form := int(head&3), head>>2&3
	if head >= flagUnit<<1 || order > 2 || order > len(out) || form > formCoded {
		r.fail()
		return
	}
	seeds := max(order, 1)
	seed := [2]int64{r.Varint()}
	if order == 2 {
		seed[1] = r.Varint()
	}
	z := d.unpack(r, form, len(out)-order)
	if r.Err != nil {
		return
	}
	switch order {
	case 0:
		for i, u := range z {
			out[i] = seed[0] + int64(u)*unit
		}
	case 1:
		v := seed[0]
		out[0] = v
		rest := out[seeds:]
		for i, u := range z {
			v += unzigzag(u) * unit
			rest[i] = v
		}
	case 2:
		v, step := seed[0]+seed[1], seed[1]
		out[0], out[1] = seed[0], v
		rest := out[seeds:]
		for i, u := range z {
			step += unzigzag(u) * unit
			v += step
			rest[i] = v
		}
	}
}

// unpack returns n residuals, valid until the next call, or nil and an error in r.
func (d *Decoder) unpack(r *Reader, form byte, n int) []uint64 {
	d.residuals = slices.Grow(d.residuals[:0], n)[:n]
	z := d.residuals
	switch form {
	case formOne:
		one := r.Uvarint()
		for i := range z {
			z[i] = one
		}
	case formPacked:
		width := uint(r.Byte())
		if width == 0 || width > 64 {
			r.fail()
			return nil
		}
		in := bitReader{b: r.Bytes((uint64(n)*uint64(width) + 7) / 8)}
		for i := range z {
			z[i] = in.read(width)
		}
	case formCoded:
		d.decode(r, z)
	}
	return z
}

func (d *Decoder) decode(r *Reader, z []uint64) {
	block := r.Bytes(r.Uvarint())
	if r.Err != nil || len(block) == 0 {
		r.fail()
		return
	}
	d.code.DecompressLimit = max(len(z), 1)
	symbol, err := fse.Decompress(block, &d.code)
	if err != nil || len(symbol) != len(z) {
		r.fail()
		return
	}
	bitsLeft := uint64(0)
	for _, s := range symbol {
		if s >= literals {
			bitsLeft += uint64(s-literals)/2 + classBits - 2
		}
		if int(s) >= symbols {
			r.fail()
			return
		}
	}
	if bitsLeft == 0 {
		for i, s := range symbol {
			z[i] = uint64(s)
		}
		return
	}
	in := bitReader{b: r.Bytes((bitsLeft + 7) / 8)}
	for i, s := range symbol {
		if z[i] = uint64(s); s >= literals {
			extra := uint(s-literals)/2 + classBits - 2
			z[i] = (2|uint64(s)&1)<<extra | in.read(extra)
		}
	}
}
