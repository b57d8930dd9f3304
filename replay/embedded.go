package replay

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"meshd/internal/dirlock"
)

// EmbeddedConfig says where an embedded log lives and what it keeps.
type EmbeddedConfig struct {
	Dir  string // created if missing, unless ReadOnly
	Mesh string // whose log this is; one of another mesh is refused with ErrForeign

	// SegmentBytes is when a segment is full and the next is begun. 0 = 64 MiB: small enough that trimming follows
	// what it may delete, large enough that a year's segments are thousands and not millions.
	SegmentBytes int64
	// KeepBytes and KeepFor say what of the trimmed part is kept all the same: the newest KeepBytes of the log, and
	// what is younger than KeepFor. 0 = nothing.
	KeepBytes int64
	KeepFor   time.Duration

	// ReserveBytes is the free space below which Append refuses with ErrFull. 0 = none, for tests.
	ReserveBytes uint64
	// FreeSpace measures the disk under a directory; required with ReserveBytes.
	FreeSpace func(dir string) (free, total uint64, err error)

	// Damaged is told what is damaged in the segment that is appended to; nil = nobody is. What was appended before stays as it is, but for
	// an end that makes no batch, which is cut off.
	Damaged func(error)

	// ReadOnly opens a log beside the process that writes it: it takes no lock, cuts nothing off and cannot append.
	ReadOnly bool
	// Now is the clock that stamps batches. nil = time.Now.
	Now func() time.Time
}

// Embedded is a log in a directory of this machine.
type Embedded struct {
	cfg   EmbeddedConfig
	lock  *os.File
	codec *codec

	write   sync.Mutex // held while a batch is written; guards file, out, scratch and broken
	file    *os.File   // the last segment
	out     []byte
	scratch []byte
	broken  error

	mu       sync.RWMutex // guards segments
	segments []*segment   // by first offset; the last one grows
	closed   bool
}

var _ Log = (*Embedded)(nil)

// OpenEmbedded opens or creates a log and cuts off what a crash left unfinished. The caller must Close it.
func OpenEmbedded(cfg EmbeddedConfig) (*Embedded, error) {
	if cfg.SegmentBytes <= 0 {
		cfg.SegmentBytes = 64 << 20
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	l := &Embedded{cfg: cfg}
	if err := l.open(); err != nil {
		if l.lock != nil {
			_ = dirlock.Release(l.lock)
		}
		return nil, fmt.Errorf("replay: open %s: %w", cfg.Dir, err)
	}
	return l, nil
}

func (l *Embedded) open() (err error) {
	if l.codec, err = newCodec(); err != nil {
		return err
	}
	if !l.cfg.ReadOnly {
		if l.lock, err = dirlock.Acquire(l.cfg.Dir); errors.Is(err, dirlock.ErrHeld) {
			return ErrLocked
		} else if err != nil {
			return err
		}
	}
	if err := claim(l.cfg.Dir, l.cfg.Mesh, l.cfg.ReadOnly); err != nil {
		return err
	}
	if err := l.load(); err != nil {
		return err
	}
	if l.cfg.ReadOnly {
		return nil
	}
	if len(l.segments) == 0 {
		return l.roll(0)
	}
	last := l.segments[len(l.segments)-1]
	last.tail = tail{} // it is cut off
	if l.file, err = os.OpenFile(last.path, os.O_WRONLY, 0o600); err != nil {
		return err
	}
	if err := l.file.Truncate(last.size); err != nil {
		return err
	}
	return l.file.Sync()
}

// Append implements Log.
func (l *Embedded) Append(ctx context.Context, records []Record) (Position, error) {
	pos, err := l.append(ctx, records)
	if err != nil {
		return nil, fmt.Errorf("replay: append: %w", err)
	}
	return pos, nil
}

func (l *Embedded) append(ctx context.Context, records []Record) (Position, error) {
	if err := errors.Join(ctx.Err(), checkRecords(records)); err != nil {
		return nil, err
	}
	l.write.Lock()
	defer l.write.Unlock()
	last, err := l.last()
	switch {
	case err != nil:
		return nil, err
	case l.cfg.ReadOnly:
		return nil, errors.New("opened for reading only")
	case l.broken != nil:
		return nil, l.broken
	case len(records) == 0:
		return Position{last.end}, nil
	}
	if err := l.room(); err != nil {
		return nil, err
	}
	if last.size >= l.cfg.SegmentBytes {
		if err := l.roll(last.end); err != nil {
			return nil, err
		}
		last, _ = l.last()
	}
	now := l.cfg.Now().UnixMilli()
	l.out, l.scratch = l.codec.appendBatch(l.out[:0], l.scratch, last.end, now, records)
	if err := l.flush(last.size); err != nil {
		// What reached the disk is unknown, and a later sync could call lost pages written.
		l.broken = fmt.Errorf("%w: %w", ErrBroken, err)
		return nil, l.broken
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	last.grow(int64(len(l.out)), last.end+int64(len(records)), now)
	return Position{last.end}, nil
}

func (l *Embedded) flush(at int64) error {
	if _, err := l.file.WriteAt(l.out, at); err != nil {
		return err
	}
	return syncData(l.file)
}

func (l *Embedded) room() error {
	if l.cfg.ReserveBytes == 0 {
		return nil
	}
	free, _, err := l.cfg.FreeSpace(l.cfg.Dir)
	if err != nil {
		return fmt.Errorf("measure the disk: %w", err)
	}
	if free < l.cfg.ReserveBytes {
		return ErrFull
	}
	return nil
}

// roll begins the segment whose first record is at offset first.
func (l *Embedded) roll(first int64) error {
	path := filepath.Join(l.cfg.Dir, segmentName(first))
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	if err := errors.Join(file.Sync(), syncDir(l.cfg.Dir)); err != nil {
		_ = file.Close()
		return err
	}
	if l.file != nil {
		_ = l.file.Close() // every batch in it is synced
	}
	l.file = file
	l.mu.Lock()
	defer l.mu.Unlock()
	l.segments = append(l.segments, &segment{path: path, first: first, end: first})
	return nil
}

func (l *Embedded) last() (*segment, error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if l.closed {
		return nil, ErrClosed
	}
	if len(l.segments) == 0 { // a reader of an empty log
		return &segment{}, nil
	}
	return l.segments[len(l.segments)-1], nil
}

// Bounds implements Log. A log that was opened for reading looks at the directory again.
func (l *Embedded) Bounds(context.Context) (first, end Position, err error) {
	if err := l.refresh(); err != nil {
		return nil, nil, fmt.Errorf("replay: %w", err)
	}
	l.mu.RLock()
	defer l.mu.RUnlock()
	if l.closed {
		return nil, nil, fmt.Errorf("replay: %w", ErrClosed)
	}
	if len(l.segments) == 0 {
		return Position{0}, Position{0}, nil
	}
	return Position{l.segments[0].first}, Position{l.segments[len(l.segments)-1].end}, nil
}

// Trim implements Log. The last segment always stays: its name says which offset comes next.
func (l *Embedded) Trim(_ context.Context, before Position) error {
	l.write.Lock()
	defer l.write.Unlock()
	if l.cfg.ReadOnly {
		return errors.New("replay: trim: opened for reading only")
	}
	young := l.cfg.Now().Add(-l.cfg.KeepFor).UnixMilli()
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return fmt.Errorf("replay: trim: %w", ErrClosed)
	}
	var kept int64
	for _, s := range l.segments {
		kept += s.size
	}
	n := 0
	for _, s := range l.segments[:len(l.segments)-1] {
		kept -= s.size
		if s.end > before.offset(0) || (l.cfg.KeepFor > 0 && s.newest > young) || kept < l.cfg.KeepBytes {
			break
		}
		n++
	}
	old := l.segments[:n:n]
	l.segments = l.segments[n:]
	l.mu.Unlock()
	var errs []error
	for _, s := range old {
		errs = append(errs, os.Remove(s.path))
	}
	if n > 0 {
		errs = append(errs, syncDir(l.cfg.Dir))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("replay: trim: %w", err)
	}
	return nil
}

// Bytes returns what the log takes on disk.
func (l *Embedded) Bytes() (n int64) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	for _, s := range l.segments {
		n += s.size
	}
	return n
}

// Close implements Log.
func (l *Embedded) Close() error {
	l.write.Lock()
	defer l.write.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil
	}
	l.closed = true
	var errs []error
	if l.file != nil {
		errs = append(errs, l.file.Close())
	}
	if l.lock != nil {
		errs = append(errs, dirlock.Release(l.lock))
	}
	return errors.Join(errs...)
}
