package replay

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"meshd/internal/mutant"
)

const segmentSuffix = ".log"

// markBytes is how far marks of a segment lie apart: finding an offset reads so much at most.
const markBytes = 1 << 20

// segment is one file of the log. Fields but path and first are guarded by Embedded.mu.
type segment struct {
	path   string
	first  int64 // offset of its first record
	end    int64 // offset after its last record
	size   int64 // bytes of whole batches
	newest int64 // when its last batch was appended, milliseconds since the Unix epoch
	marks  []mark
	tail   tail // of the last segment
}

// mark is where a batch begins.
type mark struct{ at, offset int64 }

func segmentName(first int64) string { return fmt.Sprintf("%020d%s", first, segmentSuffix) }

// grow records a batch behind the others.
func (s *segment) grow(bytes, end, time int64) {
	if n := len(s.marks); n == 0 || s.size-s.marks[n-1].at >= markBytes {
		s.marks = append(s.marks, mark{at: s.size, offset: s.end})
	}
	s.size += bytes
	s.end = end
	s.newest = max(s.newest, time)
}

// load finds the segments. Only the last one may end torn; the others are taken to end where the next begins.
func (l *Embedded) load() error {
	names, err := filepath.Glob(filepath.Join(l.cfg.Dir, "*"+segmentSuffix))
	if err != nil {
		return err
	}
	slices.Sort(names)
	var found []*segment
	for _, path := range names {
		first, err := strconv.ParseInt(strings.TrimSuffix(filepath.Base(path), segmentSuffix), 10, 64)
		if err != nil || filepath.Base(path) != segmentName(first) {
			return fmt.Errorf("%s is no segment of a log: move it away", path)
		}
		found = append(found, &segment{path: path, first: first, end: first})
	}
	for i, s := range found {
		if i == len(found)-1 {
			err = l.scanLast(s)
		} else {
			err = l.scan(s, found[i+1].first)
		}
		if err != nil {
			return err
		}
	}
	l.mu.Lock()
	l.segments = found
	l.mu.Unlock()
	return nil
}

// refresh looks for what the writing process has appended.
func (l *Embedded) refresh() error {
	if !l.cfg.ReadOnly {
		return nil
	}
	return l.load()
}

// scan reads the headers of a segment that is complete. Damage is found when it is read: opening only needs marks.
func (l *Embedded) scan(s *segment, next int64) error {
	info, err := os.Stat(s.path)
	if err != nil {
		return err
	}
	// A damaged header hides the ones behind it; whoever reads there gets the error.
	if err := eachHead(s.path, 0, info.Size(), func(at int64, h *batchHead) bool {
		if h.first != s.end {
			return false
		}
		s.grow(h.length, h.end(), h.time)
		return true
	}); err != nil && !errors.Is(err, errBatch) {
		return err
	}
	s.end, s.size, s.newest = next, info.Size(), max(s.newest, info.ModTime().UnixMilli())
	return nil
}

// scanLast checks every batch of the last segment and ends it behind the last whole one. What does not check although whole batches lie
// behind it is damage, and so is an end that no crash leaves: whoever reads there gets the error, and whoever appends is told now.
func (l *Embedded) scanLast(s *segment) error {
	file, err := os.Open(s.path)
	if err != nil {
		return err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return err
	}
	var buf []byte
	for s.size < info.Size() {
		var h batchHead
		if h, buf, err = readBatch(file, buf, s.size, info.Size()); err == nil {
			err = l.codec.parseBatch(buf, h.end(), nil)
		}
		if err == nil && h.first != s.end {
			err = fmt.Errorf("%w: it begins at offset %d, not %d", errBatch, h.first, s.end)
		}
		if err == nil {
			s.grow(h.length, h.end(), h.time)
			continue
		}
		if !errors.Is(err, errBatch) {
			return err
		}
		to, offset, found, failed := l.behind(file, s.size, s.end, info.Size(), -1)
		if failed != nil {
			return failed
		}
		if !found || mutant.On("damaged length ends the log") {
			s.tail, failed = tailOf(file, s.size, info.Size(), s.end, err)
			l.tell(s.damage())
			return failed
		}
		l.tell(&DamageError{
			Where: fmt.Sprintf("%s, byte %d", s.path, s.size), Bytes: to - s.size, From: Position{s.end}, Next: Position{offset}, Lost: offset - s.end, Err: err,
		})
		s.size, s.end = to, offset
	}
	return nil
}

// tell says what is damaged where this process appends.
func (l *Embedded) tell(damage error) {
	if damage != nil && l.cfg.Damaged != nil && !l.cfg.ReadOnly {
		l.cfg.Damaged(damage)
	}
}

// readBatch reads the batch at a byte of a file whose whole batches end at limit.
func readBatch(file *os.File, buf []byte, at, limit int64) (batchHead, []byte, error) {
	if limit-at < batchHeader {
		return batchHead{}, buf, fmt.Errorf("%w: %d bytes of its header", errBatch, limit-at)
	}
	buf = slices.Grow(buf[:0], batchHeader)[:batchHeader]
	if _, err := file.ReadAt(buf, at); err != nil {
		return batchHead{}, buf, err
	}
	h, err := parseHead(buf)
	if err != nil {
		return h, buf, err
	}
	if at+h.length > limit {
		return h, buf, fmt.Errorf("%w: %d of %d bytes", errBatch, limit-at, h.length)
	}
	buf = slices.Grow(buf[:0], int(h.length))[:h.length]
	if _, err := file.ReadAt(buf, at); err != nil {
		return h, buf, err
	}
	return h, buf, nil
}

// eachHead calls f for the headers of the batches between two bytes of a file until it returns false.
func eachHead(path string, at, limit int64, f func(at int64, h *batchHead) bool) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	head := make([]byte, batchHeader)
	for at+batchHeader <= limit {
		if _, err := file.ReadAt(head, at); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		h, err := parseHead(head)
		if err != nil {
			return err
		}
		if !f(at, &h) {
			return nil
		}
		at += h.length
	}
	return nil
}
