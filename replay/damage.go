package replay

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"slices"

	"meshd/internal/mutant"
)

// DamageError reports records that cannot be read: bytes that do not check, or what is in the log no more (ErrTrimmed).
type DamageError struct {
	Where string   // file and byte, or partition and offset
	Bytes int64    // that were passed over; 0 where they are not known
	From  Position // where reading ended
	Next  Position // the first position behind the damage; From when it is the end of the log
	Lost  int64    // records between, at most; at the end of the log, at least
	Err   error
}

func (e *DamageError) Error() string {
	if errors.Is(e.Err, ErrTrimmed) {
		return fmt.Sprintf("%d records at %s are gone: %v", e.Lost, e.Where, e.Err)
	}
	return fmt.Sprintf("damaged at %s, %d bytes and up to %d records lost: restore that file, or go on behind it: %v", e.Where, e.Bytes, e.Lost, e.Err)
}

func (e *DamageError) Unwrap() error { return e.Err }

// ReadOn is Log.Read that goes on behind damage, each time after damaged has agreed to that. A nil damaged agrees to nothing.
func ReadOn(ctx context.Context, log Log, from Position, f func(*Entry) error, damaged func(*DamageError) error) (Position, error) {
	for {
		pos, err := log.Read(ctx, from, f)
		damage, ok := errors.AsType[*DamageError](err)
		if !ok || damaged == nil {
			return pos, err
		}
		if err := damaged(damage); err != nil {
			return pos, err
		}
		if !pos.Before(damage.Next) {
			return pos, nil // nothing is behind it
		}
		from = damage.Next
	}
}

// behind finds where to go on reading a file behind a batch that does not check: the byte and the offset of the next whole batch
// below limit, or limit, end and false when there is none. end is the offset after the file's last record; < 0: it is not known.
//
// A header whose length leads to another header of the right offset is believed: then one batch is lost. Otherwise it is a byte of the
// header that turned, and the next place is looked for where a whole batch with its checksum lies, with another one or the end behind it:
// what lies within a batch is data of others, and could look like one. One that stands alone is taken when there is no other.
func (l *Embedded) behind(file *os.File, at, expect, limit, end int64) (to, offset int64, found bool, err error) {
	leads := func(at int64, h *batchHead) bool {
		if at += h.length; at == limit {
			return h.end() == end
		}
		next, err := headAt(file, at, limit)
		return err == nil && next.first == h.end()
	}
	if h, err := headAt(file, at, limit); err == nil && h.first == expect && leads(at, &h) {
		return at + h.length, h.end(), true, nil
	}
	most := end
	if end < 0 {
		most = math.MaxInt64
	}
	rest := make([]byte, limit-at)
	if _, err := file.ReadAt(rest, at); err != nil {
		return 0, 0, false, err
	}
	alone := batchHead{}
	for i := int64(1); i+batchHeader <= int64(len(rest)) && !mutant.On("damage ends its segment"); i++ {
		b := rest[i:]
		if b[8] != batchFormat || b[9] > batchZstd { // most bytes are seen off here
			continue
		}
		h, err := parseHead(b)
		if err != nil || h.first < expect || h.end() > most || h.length > int64(len(b)) || l.codec.parseBatch(b[:h.length], h.end(), nil) != nil {
			continue
		}
		if h.length == int64(len(b)) || leads(at+i, &h) {
			return at + i, h.first, true, nil
		}
		if alone.length == 0 {
			alone, to = h, at+i
		}
	}
	if alone.length > 0 {
		return to, alone.first, true, nil
	}
	return limit, max(end, expect), false, nil
}

// headAt reads the header at a byte of a file.
func headAt(file *os.File, at, limit int64) (batchHead, error) {
	head := make([]byte, max(0, min(batchHeader, limit-at)))
	if _, err := file.ReadAt(head, at); err != nil {
		return batchHead{}, err
	}
	return parseHead(head)
}

// torn reports whether the bytes at the end of a file, from where a batch of an offset should begin, are what a crash leaves of a batch
// that was never acknowledged: the beginning of one, or bytes that were never written.
func torn(rest []byte, expect int64) bool {
	if len(rest) < batchHeader || !slices.ContainsFunc(rest, func(b byte) bool { return b != 0 }) {
		return true
	}
	h, err := parseHead(rest)
	return err == nil && h.first == expect && h.length > int64(len(rest))
}

// tail is what lies behind the last whole batch of a log and is no torn end.
type tail struct {
	bytes   int64
	records int64 // at least
	err     error
}

// tailOf looks at the end of the last segment, from a byte on where no whole batch begins.
func tailOf(file *os.File, at, limit, expect int64, err error) (tail, error) {
	rest := make([]byte, limit-at)
	if _, err := file.ReadAt(rest, at); err != nil {
		return tail{}, err
	}
	if torn(rest, expect) {
		return tail{}, nil
	}
	t := tail{bytes: limit - at, records: 1, err: err}
	if h, err := parseHead(rest); err == nil && h.first == expect {
		t.records = int64(h.count)
	}
	return t, nil
}

// damage is the error for a reader that came to the tail.
func (s *segment) damage() error {
	if s.tail.bytes == 0 {
		return nil
	}
	return &DamageError{
		Where: fmt.Sprintf("%s, byte %d, its end", s.path, s.size), Bytes: s.tail.bytes, From: Position{s.end}, Next: Position{s.end}, Lost: s.tail.records,
		Err: s.tail.err,
	}
}
