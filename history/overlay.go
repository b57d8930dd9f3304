package history

import (
	"cmp"
	"fmt"
	"math"
	"slices"
)

// overlay holds the windows of one series, owner, width and span that are not in a chunk on disk yet. What a fold is writing is held
// beside what came since, until it is on disk.
type overlay struct {
	place
	now  run
	fold *run     // nil: no fold is at it
	next *overlay // of the same width
}

// overlayBytes is what an overlay takes with nothing in it, and its place among those that a fold is to write.
const overlayBytes = 80 + 16

// place is a span of windows of one width.
type place struct{ width, span int64 }

// run is some windows of one place: the last few as they are, the others packed as chunks are. Readers copy it while they hold
// the lock: segments and points move, what they point to never changes.
type run struct {
	packed []segment
	tail   []Point
}

// segment is a chunk of windows that came one after the other. Of a level there are less than mergeAt, then they are one of
// the next: a window is written again as often as there are levels, three times for a fold's 720.
type segment struct {
	level       int
	first, last int64 // starts
	chunk       []byte
}

// newSegment packs points.
func newSegment(c *codec, level int, at place, points []Point) segment {
	return segment{
		level: level, first: points[0].Window.Start, last: points[len(points)-1].Window.Start,
		chunk: c.enc.appendChunk(nil, at.span, points),
	}
}

// copy returns what may begin in [from, to), for use without the lock.
func (r *run) copy(from, to int64) run {
	out := run{tail: slices.Clone(within(r.tail, from, to))}
	for _, s := range r.packed {
		if s.last >= from && s.first < to {
			out.packed = append(out.packed, s)
		}
	}
	return out
}

const (
	// maxTail windows of a run are kept as they are. Of 4, 8, 16 and 32, 8 takes the least memory before time rises: 0.7 KB a series
	// of numbers on average, 1.2 KB a gauge, over two hours.
	maxTail = 8
	mergeAt = 4
	// maxMerged bytes of segments are merged at most: sketches are long and gain nothing by it.
	maxMerged = 64 << 10
	// pointBytes is what a point takes without the state behind it.
	pointBytes = 72
	// segmentBytes is what a segment takes without its chunk.
	segmentBytes = 64
)

func (r *run) empty() bool { return len(r.packed) == 0 && len(r.tail) == 0 }

// size returns the bytes of memory, about.
func (r *run) size() int64 {
	n := 0
	for i := range r.packed {
		n += len(r.packed[i].chunk) + segmentBytes
	}
	for i := range r.tail {
		n += weight(&r.tail[i])
	}
	return int64(n)
}

// weight returns the bytes of memory that a point takes, about.
func weight(p *Point) int {
	if p.Value.X == nil {
		return pointBytes
	}
	return pointBytes + p.Value.X.Size()
}

// add joins one point and returns by how much the run grew.
func (r *run) add(c *codec, at place, p Point) (grown int64, err error) {
	i, held := slices.BinarySearchFunc(r.tail, p.Window.Start, func(q Point, start int64) int { return cmp.Compare(q.Window.Start, start) })
	if held {
		before := weight(&r.tail[i])
		if err := joinPoint(&r.tail[i], &p); err != nil {
			return 0, err
		}
		return int64(weight(&r.tail[i]) - before), nil
	}
	r.tail = slices.Insert(r.tail, i, p)
	if len(r.tail) < maxTail {
		return int64(weight(&p)), nil
	}
	before := r.size() - int64(weight(&p))
	if err := r.pack(c, at); err != nil {
		return 0, err
	}
	return r.size() - before, nil
}

// pack moves the tail into a segment, and merges segments of one level.
func (r *run) pack(c *codec, at place) error {
	r.packed = append(r.packed, newSegment(c, 0, at, r.tail))
	r.tail = nil
	for n := len(r.packed); n >= mergeAt && r.packed[n-mergeAt].level == r.packed[n-1].level; n = len(r.packed) {
		last := run{packed: r.packed[n-mergeAt:]}
		if last.size() > maxMerged {
			return nil
		}
		c.dec.reset()
		points, err := last.join(&c.dec, nil, at, math.MinInt64, math.MaxInt64)
		if err != nil {
			return err
		}
		r.packed = append(r.packed[:n-mergeAt], newSegment(c, r.packed[n-1].level+1, at, points))
	}
	return nil
}

// join joins the points that begin in [from, to) into points. They are valid until d's reset, and read-only.
func (r *run) join(d *decoder, points []Point, at place, from, to int64) ([]Point, error) {
	for i := range r.packed {
		packed, err := d.points(nil, r.packed[i].chunk, at.span, at.width, from, to)
		if err != nil {
			return nil, err
		}
		if points, err = joinPoints(points, packed); err != nil {
			return nil, err
		}
	}
	return joinPoints(points, within(r.tail, from, to))
}

// within returns those of points, which ascend, that begin in [from, to).
func within(points []Point, from, to int64) []Point {
	for len(points) > 0 && points[0].Window.Start < from {
		points = points[1:]
	}
	for len(points) > 0 && points[len(points)-1].Window.Start >= to {
		points = points[:len(points)-1]
	}
	return points
}

// joinPoint joins q into p. What p pointed to is left as it is: a reader may have it.
func joinPoint(p, q *Point) error {
	v := p.Value.Clone()
	if _, err := v.Join(&q.Value, 0, nil, 0); err != nil {
		return fmt.Errorf("history: join window %d: %w", p.Window.Start, err)
	}
	p.Value = v
	return nil
}

// joinPoints joins more into points, which ascend both. The slice of points may be changed, that of more is left.
func joinPoints(points, more []Point) ([]Point, error) {
	if len(more) == 0 {
		return points, nil
	}
	if len(points) == 0 || points[len(points)-1].Window.Start < more[0].Window.Start {
		return append(points, more...), nil
	}
	out := make([]Point, 0, len(points)+len(more))
	for len(points) > 0 && len(more) > 0 {
		switch a, b := &points[0], &more[0]; {
		case a.Window.Start < b.Window.Start:
			out, points = append(out, *a), points[1:]
		case a.Window.Start > b.Window.Start:
			out, more = append(out, *b), more[1:]
		default:
			p := *a
			if err := joinPoint(&p, b); err != nil {
				return nil, err
			}
			out, points, more = append(out, p), points[1:], more[1:]
		}
	}
	return append(append(out, points...), more...), nil
}
