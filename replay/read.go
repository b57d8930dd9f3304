package replay

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sort"
	"time"

	"meshd/internal/mutant"
)

// Read implements Log. It holds no lock while f runs.
func (l *Embedded) Read(ctx context.Context, from Position, f func(*Entry) error) (Position, error) {
	if err := l.refresh(); err != nil {
		return from, fmt.Errorf("replay: read: %w", err)
	}
	segments, err := l.snapshot()
	if err != nil {
		return from, fmt.Errorf("replay: read: %w", err)
	}
	next := from.offset(0)
	if err := l.trimmed(segments, next); err != nil {
		return from, err
	}
	var buf []byte
	for i := range segments {
		s := &segments[i]
		if s.end <= next && s.end > s.first {
			continue
		}
		next = max(next, s.first)
		if next, buf, err = l.readSegment(ctx, s, next, buf, f); err != nil {
			return Position{next}, err
		}
	}
	if n := len(segments); n > 0 && next >= segments[n-1].end {
		return Position{next}, segments[n-1].damage()
	}
	return Position{next}, nil
}

// trimmed tells a reader that goes on at an offset that records are gone which it has not read.
func (l *Embedded) trimmed(segments []segment, next int64) error {
	if len(segments) == 0 || next == 0 || next >= segments[0].first || mutant.On("trimmed in silence") {
		return nil
	}
	return l.gone(next, segments[0].first)
}

func (l *Embedded) gone(next, first int64) error {
	return &DamageError{
		Where: fmt.Sprintf("offset %d of %s", next, l.cfg.Dir), From: Position{next}, Next: Position{first}, Lost: first - next, Err: ErrTrimmed,
	}
}

// snapshot returns the segments as they are now.
func (l *Embedded) snapshot() ([]segment, error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if l.closed {
		return nil, ErrClosed
	}
	out := make([]segment, len(l.segments))
	for i, s := range l.segments {
		out[i] = *s
	}
	return out, nil
}

// readSegment calls f for the records of one segment from an offset on and returns the offset to go on at.
func (l *Embedded) readSegment(ctx context.Context, s *segment, next int64, buf []byte, f func(*Entry) error) (int64, []byte, error) {
	file, err := os.Open(s.path)
	if errors.Is(err, os.ErrNotExist) && !mutant.On("trimmed in silence") { // meanwhile
		return next, buf, l.gone(next, s.end)
	}
	if err != nil {
		return next, buf, fmt.Errorf("replay: read: %w", err)
	}
	defer file.Close()
	m := s.seek(next)
	at, expect := m.at, m.offset
	for at < s.size {
		if err := ctx.Err(); err != nil {
			return next, buf, err
		}
		var h batchHead
		h, buf, err = readBatch(file, buf, at, s.size)
		switch {
		case err == nil && h.first != expect:
			err = fmt.Errorf("%w: it begins at offset %d, not %d", errBatch, h.first, expect)
		case err == nil: // one before next, too: its length is not to be believed unchecked
			err = l.codec.parseBatch(buf, next, f)
		}
		if call, ok := errors.AsType[*callbackError](err); ok {
			return call.offset, buf, call.err
		}
		if errors.Is(err, errBatch) {
			if at, expect, err = l.pass(file, s, at, expect, next, err); err != nil {
				return next, buf, err
			}
			continue
		}
		if err != nil {
			return next, buf, fmt.Errorf("replay: read: %w", err)
		}
		at, expect = at+h.length, h.end()
		next = max(next, expect)
	}
	if expect < s.end && next < s.end {
		return next, buf, &DamageError{
			Where: fmt.Sprintf("%s, byte %d, its end", s.path, at), From: Position{next}, Next: Position{s.end}, Lost: s.end - next,
			Err: fmt.Errorf("%w: it is not there", errBatch),
		}
	}
	return max(next, s.end), buf, nil
}

// pass goes behind a batch that does not check, in silence if a reader who goes on at next wants nothing of it.
func (l *Embedded) pass(file *os.File, s *segment, at, expect, next int64, why error) (to, offset int64, err error) {
	to, offset, _, err = l.behind(file, at, expect, s.size, s.end)
	if err != nil {
		return at, expect, fmt.Errorf("replay: read: %w", err)
	}
	if offset > next {
		return at, expect, &DamageError{
			Where: fmt.Sprintf("%s, byte %d", s.path, at), Bytes: to - at, From: Position{next}, Next: Position{offset}, Lost: offset - next, Err: why,
		}
	}
	return to, offset, nil
}

// seek returns the last mark that is not beyond an offset.
func (s *segment) seek(offset int64) mark {
	i := sort.Search(len(s.marks), func(i int) bool { return s.marks[i].offset > offset })
	if i == 0 {
		return mark{offset: s.first}
	}
	return s.marks[i-1]
}

// At implements Log. Clocks may jump back between batches: it returns the first batch that was appended at t or later.
func (l *Embedded) At(_ context.Context, t time.Time) (Position, error) {
	if err := l.refresh(); err != nil {
		return nil, fmt.Errorf("replay: find time: %w", err)
	}
	segments, err := l.snapshot()
	if err != nil {
		return nil, fmt.Errorf("replay: find time: %w", err)
	}
	ms := t.UnixMilli()
	end := int64(0)
	for i := range segments {
		s := &segments[i]
		end = s.end
		if s.newest < ms {
			continue
		}
		found := int64(-1)
		err := eachHead(s.path, 0, s.size, func(_ int64, h *batchHead) bool {
			if h.time >= ms {
				found = h.first
			}
			return found < 0
		})
		switch {
		case errors.Is(err, errBatch): // whoever reads there gets the error
			return Position{s.first}, nil
		case err != nil:
			return nil, fmt.Errorf("replay: find time: %w", err)
		case found >= 0:
			return Position{found}, nil
		}
	}
	return Position{end}, nil
}
