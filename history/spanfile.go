package history

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	"meshd/internal/column"
	"meshd/internal/mutant"
)

// The value under a chunk's key is a uvarint, a uvarint for each later part of the span, and the chunk of the first part. The
// numbers are the windows of the span with which the parts begin, ascending; their keys end in them. A later part is its
// chunk alone. A span has parts if its windows are large, so that no value grows beyond what a fold may hold in memory: those of
// sketches, not those of numbers.

// splitBytes is the memory of the windows of one part, about. 2,160 rollups take a third of it.
const splitBytes = 1 << 20

// header are the starts of the later parts of a span.
type header []int64

func (h header) append(dst []byte, at place) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(h)))
	for _, start := range h {
		dst = binary.AppendUvarint(dst, uint64(at.index(start)))
	}
	return dst
}

func (p place) index(start int64) int { return int((start - p.span) / p.width) }

// parseHeader returns the header and the chunk behind it.
func parseHeader(b []byte, at place) (header, []byte, error) {
	r := column.Reader{B: b}
	n := r.Uvarint()
	if n > maxPoints {
		return nil, nil, fmt.Errorf("%w: %d parts", errChunk, n)
	}
	var h header
	for range n {
		index := r.Uvarint()
		if index == 0 || index > maxPoints {
			return nil, nil, fmt.Errorf("%w: part at %d", errChunk, index)
		}
		h = append(h, at.span+int64(index)*at.width)
	}
	if r.Err != nil || !slices.IsSorted(h) {
		return nil, nil, fmt.Errorf("%w: parts", errChunk)
	}
	return h, r.B, nil
}

// bounds returns the starts of part i: [from, to).
func (h header) bounds(i int) (from, to int64) {
	from, to = math.MinInt64, math.MaxInt64
	if i > 0 {
		from = h[i-1]
	}
	if i < len(h) {
		to = h[i]
	}
	return from, to
}

// readSpan appends the points of a span that begin in [from, to). They are valid until d's reset.
func readSpan(kv KV, d *decoder, dst []Point, key chunkKey, from, to int64) ([]Point, error) {
	at := place{width: key.width, span: key.span}
	value, err := kv.Get(key.part(0))
	if err != nil || value == nil {
		return dst, err
	}
	h, chunk, err := parseHeader(value, at)
	if err != nil {
		return dst, err
	}
	for i := range len(h) + 1 {
		low, high := h.bounds(i)
		if high <= from || low >= to {
			continue
		}
		if i > 0 {
			if chunk, err = kv.Get(key.part(at.index(low))); err != nil {
				return dst, err
			}
		}
		if len(chunk) == 0 {
			continue // a first part may be empty
		}
		if dst, err = d.points(dst, chunk, at.span, at.width, from, to); err != nil {
			return dst, fmt.Errorf("chunk %x: %w", key.part(0), err)
		}
	}
	return dst, nil
}

// foldSpan returns the writes that join fresh, which is not empty, into a span: those parts that it touches, split where they
// grew too large. newest is the start of the last of fresh, late how many of fresh are not behind what was there.
func (c *codec) foldSpan(kv KV, key chunkKey, fresh *run) (ops []Op, newest int64, late int, err error) {
	at := place{width: key.width, span: key.span}
	c.dec.reset()
	news, err := fresh.join(&c.dec, nil, at, math.MinInt64, math.MaxInt64)
	if err != nil {
		return nil, 0, 0, err
	}
	value, err := kv.Get(key.part(0))
	if err != nil {
		return nil, 0, 0, err
	}
	var old header
	var first []byte
	if value != nil {
		if old, first, err = parseHeader(value, at); err != nil {
			return nil, 0, 0, err
		}
	}
	var parts header // after the fold
	for i := range len(old) + 1 {
		low, high := old.bounds(i)
		if i > 0 {
			parts = append(parts, low)
		}
		mine := within(news, low, high)
		if len(mine) == 0 {
			continue
		}
		chunk := first
		if i > 0 {
			if chunk, err = kv.Get(key.part(at.index(low))); err != nil {
				return nil, 0, 0, err
			}
		}
		var points []Point
		if len(chunk) > 0 && !mutant.On("fold forgets the chunk") {
			if points, err = c.dec.points(nil, chunk, at.span, at.width, math.MinInt64, math.MaxInt64); err != nil {
				return nil, 0, 0, fmt.Errorf("chunk %x: %w", key.part(0), err)
			}
			late += len(within(mine, math.MinInt64, points[len(points)-1].Window.Start+1))
		}
		if points, err = joinPoints(points, mine); err != nil {
			return nil, 0, 0, err
		}
		for j, piece := range split(points) {
			encoded := c.enc.appendChunk(nil, at.span, piece)
			if i == 0 && j == 0 {
				first = encoded
				continue
			}
			start := piece[0].Window.Start
			if j == 0 && !mutant.On("part of a span overwritten") {
				start = low
			} else {
				parts = append(parts, start)
			}
			ops = append(ops, Op{Key: key.part(at.index(start)), Value: encoded})
		}
	}
	return append(ops, Op{Key: key.part(0), Value: append(parts.append(nil, at), first...)}), news[len(news)-1].Window.Start, late, nil
}

// split cuts points into pieces of splitBytes at most, or of one point.
func split(points []Point) (pieces [][]Point) {
	size, begin := 0, 0
	for i := range points {
		w := weight(&points[i])
		if size+w > splitBytes && i > begin {
			pieces = append(pieces, points[begin:i])
			size, begin = 0, i
		}
		size += w
	}
	return append(pieces, points[begin:])
}
