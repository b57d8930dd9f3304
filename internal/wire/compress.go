package wire

import (
	"fmt"

	"github.com/klauspost/compress/zstd"
)

// The two codecs carry nothing from one call to the next; they are shared because their tables are large. They are
// made, and the encoder's tables with them, when the program starts: made later, inside the bubble of a test in
// virtual time, the library's internal channels could not be used outside of it.
var (
	compressor   = newCompressor()
	decompressor = newDecompressor()
)

func newCompressor() *zstd.Encoder {
	e, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderCRC(false),
		zstd.WithSingleSegment(true), zstd.WithLowerEncoderMem(true), zstd.WithWindowSize(1<<20))
	if err != nil {
		panic(err) // constant options
	}
	e.EncodeAll(nil, nil)
	return e
}

func newDecompressor() *zstd.Decoder {
	d, err := zstd.NewReader(nil, zstd.WithDecoderMaxMemory(MaxMessageBytes), zstd.WithDecoderMaxWindow(MaxMessageBytes),
		zstd.WithDecodeAllCapLimit(true))
	if err != nil {
		panic(err) // constant options
	}
	return d
}

// compress appends body compressed and reports true, or reports false and returns dst as it was if that does not
// pay: less than 1/16 saved, or so much that the result would fall below floor bytes or unpack beyond MaxRatio.
func compress(dst, body []byte, floor int) ([]byte, bool) {
	if len(body) < minCompress {
		return dst, false
	}
	out := compressor.EncodeAll(body, dst)
	n := len(out) - len(dst)
	if n > len(body)-len(body)/16 || n < max(floor, (len(body)+MaxRatio-1)/MaxRatio) {
		return out[:len(dst)], false
	}
	return out, true
}

// decompress unpacks b, whose unpacked size is declared as size, reusing buf if it is large enough.
func decompress(buf, b []byte, size, limit uint64) ([]byte, error) {
	if size > limit || size > MaxRatio*uint64(len(b)) {
		return nil, fmt.Errorf("%w: %d bytes unpack to %d, want at most %d and %d times as many", ErrLimit, len(b), size, limit, MaxRatio)
	}
	if uint64(cap(buf)) < size {
		buf = make([]byte, 0, size)
	}
	out, err := decompressor.DecodeAll(b, buf[:0:size])
	if err != nil {
		return nil, fmt.Errorf("%w: zstd: %w", ErrMalformed, err)
	}
	if uint64(len(out)) != size {
		return nil, fmt.Errorf("%w: body of %d bytes, %d declared", ErrMalformed, len(out), size)
	}
	return out, nil
}
