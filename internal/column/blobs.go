package column

import (
	"encoding/binary"

	"github.com/klauspost/compress/zstd"
)

// A column of blobs is a column of their lengths, a uvarint, and all of them one after the other: as they are if the uvarint
// is 0, else as so many bytes of zstd.

// maxBlobs bounds the bytes of all blobs of a column, unpacked: several times what any writer puts into one.
const maxBlobs = 64 << 20

// minPacked is the number of bytes below which zstd's own headers are not worth it.
const minPacked = 64

// Blobs appends blobs as a column: parts[i] ends at ends[i] in all, where parts[i+1] begins.
func (e *Encoder) Blobs(dst, all []byte, ends []int) []byte {
	if len(ends) == 0 {
		return dst
	}
	e.scaled = e.scaled[:0]
	last := 0
	for _, end := range ends {
		e.scaled = append(e.scaled, int64(end-last))
		last = end
	}
	dst = e.Ints(dst, e.scaled)
	if len(all) >= minPacked {
		if e.zstd == nil {
			e.zstd = newZstdEncoder()
		}
		if e.extra = e.zstd.EncodeAll(all, e.extra[:0]); len(e.extra) < len(all) {
			return append(binary.AppendUvarint(dst, uint64(len(e.extra))), e.extra...)
		}
	}
	return append(append(dst, 0), all...)
}

func newZstdEncoder() *zstd.Encoder {
	z, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedDefault), zstd.WithEncoderCRC(false), zstd.WithSingleSegment(true),
		zstd.WithLowerEncoderMem(true), zstd.WithWindowSize(1<<20), zstd.WithEncoderConcurrency(1))
	if err != nil {
		panic(err) // constant options
	}
	return z
}

func newZstdDecoder() *zstd.Decoder {
	z, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxBlobs), zstd.WithDecodeAllCapLimit(true))
	if err != nil {
		panic(err) // constant options
	}
	return z
}

// Blobs reads the next column of n blobs: blob i is all[ends[i-1]:ends[i]]. They are valid until the next call.
func (d *Decoder) Blobs(r *Reader, n int) (all []byte, ends []int) {
	d.ends = d.ends[:0]
	if n == 0 {
		return nil, d.ends
	}
	d.scaled = d.Ints(d.scaled[:0], r, n)
	total := int64(0)
	for _, size := range d.scaled {
		if size < 0 || size > maxBlobs || total > maxBlobs {
			r.fail()
			return nil, nil
		}
		total += size
		d.ends = append(d.ends, int(total))
	}
	packed := r.Uvarint()
	if packed == 0 {
		all = r.Bytes(uint64(total))
		return all, d.ends
	}
	b := r.Bytes(packed)
	if r.Err != nil || total > maxBlobs || uint64(total) > maxRatio*packed {
		r.fail()
		return nil, nil
	}
	if d.zstd == nil {
		d.zstd = newZstdDecoder()
	}
	if int64(cap(d.blobs)) < total {
		d.blobs = make([]byte, 0, total)
	}
	out, err := d.zstd.DecodeAll(b, d.blobs[:0:total])
	if err != nil || int64(len(out)) != total {
		r.fail()
		return nil, nil
	}
	return out, d.ends
}

// maxRatio bounds what unpacking allocates by what was given: zstd makes three bytes of 128 KiB that are equal, and what is
// that repetitive is short anyway.
const maxRatio = 1 << 16
