package history

import (
	"encoding/binary"
	"fmt"
	"slices"

	"meshd/crdt"
	"meshd/internal/column"
)

// A curve travels between nodes as records, each of which has windows of one width in one span:
//
//	bytes    key of the series (crdt.Series.AppendKey), behind its length
//	bytes    region, node of the owner, each behind its length
//	byte     1 if the next record goes on with the curve, else 0
//	uvarint  width, in seconds
//	uvarint  start of the span, in seconds
//	bytes    chunk, behind its length: chunk.go
//
// It is the chunk that a fold would write of these windows.
const (
	recordLast   = 0
	recordGoesOn = 1
)

// CurveWriter makes records of curves. The zero CurveWriter is ready; it is not safe for concurrent use.
type CurveWriter struct {
	enc   encoder
	chunk []byte
}

// Append calls part with dst and the first records of the curve behind it when they exceed limit bytes, goes on with what part
// returns, and returns the bytes that are left. Records are far smaller than a part of a chunk in memory, 1 MiB.
func (w *CurveWriter) Append(dst []byte, c *Curve, limit int, part func([]byte) ([]byte, error)) ([]byte, error) {
	for rest := c.Points; len(rest) > 0; {
		n, at := recordOf(rest)
		w.chunk = w.enc.appendChunk(w.chunk[:0], at.span, rest[:n])
		rest = rest[n:]
		more := byte(recordLast)
		if len(rest) > 0 {
			more = recordGoesOn
		}
		dst = appendBytes(dst, c.Series.AppendKey(nil))
		dst = appendBytes(appendBytes(dst, []byte(c.Owner.Region)), []byte(c.Owner.Node))
		dst = append(dst, more)
		dst = binary.AppendUvarint(binary.AppendUvarint(dst, uint64(at.width/1000)), uint64(at.span/1000))
		dst = appendBytes(dst, w.chunk)
		if len(dst) >= limit {
			var err error
			if dst, err = part(dst); err != nil {
				return nil, err
			}
		}
	}
	return dst, nil
}

// recordOf returns how many of points, of which there is one at least, become one record.
func recordOf(points []Point) (n int, at place) {
	width := points[0].Window.Width
	at = place{width: width, span: floor(points[0].Window.Start, spanMillis(width))}
	behind, size := at.span+spanMillis(width), 0
	for n < len(points) && points[n].Window.Width == width && points[n].Window.Start < behind {
		if size += weight(&points[n]); size > splitBytes && n > 0 {
			break
		}
		n++
	}
	return n, at
}

func appendBytes(dst, b []byte) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(b))), b...)
}

// CurveReader reads what a CurveWriter wrote, whoever did. The zero CurveReader is ready; it is not safe for concurrent use.
type CurveReader struct {
	dec    decoder
	curve  *Curve // of which more is to come
	key    []byte // of its series
	series map[string]*crdt.Series
}

// maxCurvePoints bounds the windows of one curve: a year of hours, a month of minutes and a week of 10 s are 112,000; of seconds that
// are kept for a week, 600,000.
const maxCurvePoints = 1 << 20

// Read yields every curve that ends in b, which is a whole number of records. A curve is valid during the call. The error of yield
// comes back as it is; any other says that b is malformed.
func (r *CurveReader) Read(b []byte, yield func(*Curve) error) error {
	in := column.Reader{B: b}
	for len(in.B) > 0 {
		key, region, node := in.Bytes(in.Uvarint()), in.Bytes(in.Uvarint()), in.Bytes(in.Uvarint())
		more := in.Byte()
		at := place{width: seconds(in.Uvarint()), span: seconds(in.Uvarint())}
		chunk := in.Bytes(in.Uvarint())
		if in.Err != nil || more > recordGoesOn {
			return fmt.Errorf("%w: record of a curve", errChunk)
		}
		if err := checkPlace(at); err != nil {
			return err
		}
		if err := r.enter(key, Owner{Region: string(region), Node: string(node)}); err != nil {
			return err
		}
		c := r.curve
		before := len(c.Points)
		var err error
		if c.Points, err = r.dec.points(c.Points, chunk, at.span, at.width, at.span, at.span+spanMillis(at.width)); err != nil {
			return err
		}
		if err := checkRecord(c, before); err != nil {
			return err
		}
		if more == recordGoesOn {
			continue
		}
		r.curve = nil
		if err := yield(c); err != nil {
			return err
		}
		r.dec.reset()
	}
	return nil
}

// Done reports whether no curve was left unfinished.
func (r *CurveReader) Done() bool { return r.curve == nil }

// seconds turns seconds into milliseconds, what is too large into something that is refused.
func seconds(n uint64) int64 {
	if n > uint64(maxStart/1000) {
		return -1
	}
	return int64(n) * 1000
}

// checkPlace refuses a span that no window has.
func checkPlace(at place) error {
	if err := checkWindow(crdt.Window{Width: at.width}); err != nil {
		return err
	}
	if at.span < 0 || at.span%spanMillis(at.width) != 0 {
		return fmt.Errorf("%w: span at %d ms", errChunk, at.span)
	}
	return nil
}

// enter makes curve that of a record.
func (r *CurveReader) enter(key []byte, o Owner) error {
	if r.curve != nil {
		if o != r.curve.Owner || string(key) != string(r.key) {
			return fmt.Errorf("%w: a curve ends without a last record", errChunk)
		}
		return nil
	}
	s := r.series[string(key)]
	if s == nil {
		var err error
		if s, err = parseSeries(string(key)); err != nil {
			return fmt.Errorf("%w: %w", errChunk, err)
		}
		if r.series == nil || len(r.series) == maxSeriesHeld {
			r.series = make(map[string]*crdt.Series)
		}
		r.series[string(key)] = s
	}
	r.curve, r.key = &Curve{Owner: o, Series: s}, slices.Clone(key)
	return nil
}

// maxSeriesHeld bounds the series that a reader remembers, so that those of a thousand nodes are one: some 50 MB.
const maxSeriesHeld = 100_000

// checkRecord refuses windows that are not behind those before, or no windows of their series.
func checkRecord(c *Curve, before int) error {
	if len(c.Points) > maxCurvePoints {
		return fmt.Errorf("%w: more than %d windows", errChunk, maxCurvePoints)
	}
	for i := before; i < len(c.Points); i++ {
		p := &c.Points[i]
		if i > 0 && p.Window.Start <= c.Points[i-1].Window.Start || p.Value.Kind != c.Series.Kind.WindowKind() {
			return fmt.Errorf("%w: %s in the curve of a %s", errChunk, p.Value.Kind, c.Series.Kind)
		}
	}
	return nil
}

// AppendSeries appends the key of a series behind its length.
func AppendSeries(dst []byte, s *crdt.Series) []byte { return appendBytes(dst, s.AppendKey(nil)) }

// ReadSeries yields the series that AppendSeries wrote.
func ReadSeries(b []byte, yield func(*crdt.Series) error) error {
	in := column.Reader{B: b}
	for len(in.B) > 0 {
		key := in.Bytes(in.Uvarint())
		if in.Err != nil {
			return fmt.Errorf("%w: list of series", errChunk)
		}
		s, err := parseSeries(string(key))
		if err != nil {
			return fmt.Errorf("%w: %w", errChunk, err)
		}
		if err := yield(s); err != nil {
			return err
		}
	}
	return nil
}
