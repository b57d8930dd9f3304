package replay

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Kind says what a record holds.
type Kind byte

// The kinds. They are part of the format: never renumber.
const (
	KindFrame        Kind = 1 // one frame of lifetime cells
	KindPublication  Kind = 2 // one frame of windows
	KindSnapshotPart Kind = 3 // a part of a snapshot of all cells
	KindSnapshotEnd  Kind = 4 // it is complete
	KindEvents       Kind = 5 // a batch of raw events
)

// Limits of one record and one batch. A frame has at most 8 MiB (internal/wire); a batch is one write.
const (
	MaxKeyBytes   = 1 << 10
	MaxValueBytes = 8<<20 + 1<<10
	MaxBatchBytes = 32 << 20
)

// Record is what is appended.
type Record struct {
	Kind  Kind
	Key   []byte // records with the same key keep their order; an origin, as a rule
	Value []byte
}

// Entry is a record that is read.
type Entry struct {
	Record          // the slices are valid during the call only
	Partition int   // of the log; 0 where it has one
	Offset    int64 // in the partition
	Time      int64 // when it was appended, milliseconds since the Unix epoch
}

// Position is where to go on reading: per partition the offset of the next record. A nil Position, and an offset of 0, is the oldest
// record. It stays valid while the log exists; who reads from it when records behind it were trimmed is told so (ErrTrimmed).
type Position []int64

// offset returns the offset for a partition, 0 for one that is not named: a log may have grown one.
func (p Position) offset(partition int) int64 {
	if partition >= len(p) {
		return 0
	}
	return p[partition]
}

// Before reports whether p is behind q in some partition: reading from p to q would give records.
func (p Position) Before(q Position) bool {
	for i := range q {
		if p.offset(i) < q[i] {
			return true
		}
	}
	return false
}

// Clone returns a copy.
func (p Position) Clone() Position { return slices.Clone(p) }

// Log is a durable log. Its methods are safe for concurrent use. replaytest.Run says what an engine must do.
type Log interface {
	// Append writes records and returns when they survive the loss of power, with the position after them. After an
	// error they may be in the log or not: appending them again is harmless. The slices are the caller's again.
	Append(ctx context.Context, records []Record) (Position, error)

	// Read calls f for the records from a position to what was the end when Read was called, and returns the position
	// after the last record for which f returned nil. Records of one key come in the order of their Append. An error
	// of f ends the reading and is returned as it is. A *DamageError says what cannot be read, and where reading can go on.
	Read(ctx context.Context, from Position, f func(*Entry) error) (Position, error)

	// Bounds returns the position of the oldest record and the one after the newest.
	Bounds(ctx context.Context) (first, end Position, err error)

	// At returns a position that no record appended at or after t is before.
	At(ctx context.Context, t time.Time) (Position, error)

	// Trim says that nobody needs the records before a position: the engine deletes what of it is older or more than
	// it was told to keep.
	Trim(ctx context.Context, before Position) error

	// Close releases the log. Calls that run end with an error.
	Close() error
}

// Errors a caller branches on.
var (
	ErrClosed  = errors.New("log is closed")
	ErrRecord  = errors.New("record cannot be appended")
	ErrFull    = errors.New("reserve of the log's disk reached: free space there, keep less, or move the log to a larger disk")
	ErrForeign = errors.New("log belongs to another mesh")
	ErrNewer   = errors.New("log was written by a newer version: run that version")
	ErrLocked  = errors.New("log is in use by another process: stop it, or choose another directory")
	ErrEvents  = errors.New("this is a log of raw events, of --archive-events: name the one of --archive")
	ErrBroken  = errors.New("a write failed and what is on disk is unknown: start again")
	ErrTrimmed = errors.New("the log keeps them no longer: what a later snapshot does not hold, windows, is missing")
)

// checkRecords refuses what no engine takes.
func checkRecords(records []Record) error {
	size := 0
	for i := range records {
		r := &records[i]
		switch {
		case r.Kind == 0:
			return fmt.Errorf("%w: record %d has no kind", ErrRecord, i)
		case len(r.Key) > MaxKeyBytes:
			return fmt.Errorf("%w: key of record %d has %d bytes, want at most %d", ErrRecord, i, len(r.Key), MaxKeyBytes)
		case len(r.Value) > MaxValueBytes:
			return fmt.Errorf("%w: value of record %d has %d bytes, want at most %d", ErrRecord, i, len(r.Value), MaxValueBytes)
		}
		size += len(r.Key) + len(r.Value)
	}
	if size > MaxBatchBytes {
		return fmt.Errorf("%w: batch of %d bytes, want at most %d: append it in parts", ErrRecord, size, MaxBatchBytes)
	}
	return nil
}
