package archive

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"meshd/internal/mutant"
	"meshd/node"
	"meshd/replay"
)

const (
	// batchBytes is what one append brings: enough that a sync is a small part of it, little enough to be held in memory twice.
	batchBytes = 4 << 20
	// pollEvery is how often the disk is looked at: the log is that much behind, beside its own time.
	pollEvery = time.Second
	// snapshotEvery bounds what a rebuild reads besides the snapshot: the frames of a day.
	snapshotEvery = 24 * time.Hour
)

// Disk is what is archived.
type Disk interface {
	node.Reader
	// View calls f with a reader that shows one instant.
	View(f func(node.Reader) error) error
}

// Node is whose disk that is.
type Node interface {
	LogEnd(ctx context.Context) (uint64, error)
	Archived(at node.ArchivePosition)
}

// Config is what a Writer is made of.
type Config struct {
	Open   func(context.Context) (replay.Log, error) // called until it succeeds; the Writer closes what it returns
	Name   string                                    // of the log: another one begins anew
	Disk   Disk
	Node   Node
	Region string // of the node
	Dir    string // the data directory

	Poll       time.Duration // 0 = a second
	Logger     *slog.Logger
	Registerer prometheus.Registerer // nil = not registered
}

// Writer copies a hub's disk into a durable log, for as long as it runs. What it keeps in memory is one batch. While
// the log is away the disk keeps what waits, within node.CoreConfig.ArchiveBytes; beyond that a snapshot is taken.
type Writer struct {
	cfg   Config
	met   metrics
	log   replay.Log
	state state
	me    writer

	at    node.ArchivePosition
	whole bool // a snapshot of this process is in the log: the position means something
	next  time.Time

	decided map[[sha256.Size]byte]bool // what operators decided, as far as this process appended it; they are few
	batch   []replay.Record
	bytes   int
}

// NewWriter reads what the directory remembers. A directory that was not archived into this log before is archived whole.
func NewWriter(cfg Config) (*Writer, error) {
	if cfg.Poll == 0 {
		cfg.Poll = pollEvery
	}
	w := &Writer{cfg: cfg, met: newMetrics(), decided: map[[sha256.Size]byte]bool{}}
	var err error
	if w.state, w.me, err = load(cfg.Dir, cfg.Name, func(b []byte) { rand.Read(b) }); err != nil {
		return nil, fmt.Errorf("archive: %w", err)
	}
	w.at.Tag = w.state.Tag
	if cfg.Registerer != nil {
		if err := w.met.register(cfg.Registerer); err != nil {
			return nil, fmt.Errorf("archive: %w", err)
		}
	}
	return w, nil
}

// Run archives until ctx ends. It never fails for good: what the log does not take now it takes later.
func (w *Writer) Run(ctx context.Context) error {
	defer func() {
		if w.log != nil {
			_ = w.log.Close() // what it took is synced
		}
	}()
	(&repeated{
		every: w.cfg.Poll, log: w.cfg.Logger.With("log", w.cfg.Name), failures: w.met.failures, pass: w.pass,
		fails: "the archive takes nothing: what it misses stays on disk", works: "the archive works again",
	}).run(ctx)
	return nil
}

// pass archives all that is on disk.
func (w *Writer) pass(ctx context.Context) (err error) {
	if w.log == nil {
		if w.log, err = w.cfg.Open(ctx); err != nil {
			return err
		}
	}
	if !w.whole || !time.Now().Before(w.next) {
		if err := w.snapshot(ctx); err != nil {
			return err
		}
	}
	for {
		next, lost, err := node.ReadArchive(w.cfg.Disk, w.at, batchBytes, w.add)
		if errors.Is(err, node.ErrUnarchived) {
			w.cfg.Logger.Warn("the log was away for so long that records are gone: a snapshot is taken instead")
			w.drop()
			w.whole = false
			return w.snapshot(ctx)
		}
		if err != nil {
			w.drop()
			return err
		}
		if mutant.On("position kept before append") {
			if err := w.keep(next); err != nil {
				return err
			}
		}
		if err := w.decisions(ctx); err != nil {
			w.drop()
			return err
		}
		if next == w.at {
			return nil
		}
		if err := w.flush(ctx); err != nil {
			return err
		}
		w.met.lost.Add(float64(lost))
		if err := w.keep(next); err != nil {
			return err
		}
	}
}

// decisions appends what operators decided since it was looked at. It is read after the frames of a batch and appended before them:
// a frame that was written when a drop was known must not come before it.
func (w *Writer) decisions(ctx context.Context) error {
	var news []replay.Record
	err := node.ReadDecisions(w.cfg.Disk, func(rec node.ArchiveRecord) error {
		if sum := sha256.Sum256(rec.Message); !w.decided[sum] {
			w.decided[sum] = true
			news = append(news, replay.Record{Kind: replay.KindFrame, Key: w.me.key(rec.Of), Value: rec.Message})
		}
		return nil
	})
	if err == nil && len(news) > 0 {
		err = w.write(ctx, news)
	}
	if err != nil {
		clear(w.decided)
	}
	return err
}

// write appends records. A log that is broken is closed: opened again it knows what is on disk.
func (w *Writer) write(ctx context.Context, records []replay.Record) error {
	_, err := w.log.Append(ctx, records)
	if errors.Is(err, replay.ErrBroken) {
		_ = w.log.Close()
		w.log = nil
	}
	return err
}

// keep makes a position durable whose records are in the log, and lets the node delete what is before it.
func (w *Writer) keep(at node.ArchivePosition) error {
	w.at = at
	if at.Tag != w.state.Tag {
		w.state.Tag = at.Tag
		if err := Store(w.cfg.Dir, stateName, w.state); err != nil {
			return err
		}
	}
	w.cfg.Node.Archived(at)
	return nil
}

// snapshot appends all that is on disk but publications, under the next generation.
func (w *Writer) snapshot(ctx context.Context) error {
	end, err := w.cfg.Node.LogEnd(ctx)
	if err != nil {
		return err
	}
	_, begin, err := w.log.Bounds(ctx)
	if err != nil {
		return err
	}
	w.me.Generation++ // before its first record, and for good: what a snapshot that failed left behind is no part of another
	w.state.Generation = w.me.Generation
	if err := Store(w.cfg.Dir, stateName, w.state); err != nil {
		return err
	}
	var lsn uint64
	var all tally
	err = w.cfg.Disk.View(func(r node.Reader) (err error) {
		lsn, err = node.ReadSnapshot(r, w.cfg.Region, func(rec node.ArchiveRecord) error {
			all.add(rec.Message)
			w.append(replay.KindSnapshotPart, rec)
			if w.bytes >= batchBytes {
				return w.flush(ctx)
			}
			return nil
		})
		return err
	})
	if err == nil {
		w.append(replay.KindSnapshotEnd, node.ArchiveRecord{Message: all.appendBinary(nil)})
		err = w.flush(ctx)
	}
	if err != nil {
		w.drop()
		return err
	}
	w.whole, w.next = true, time.Now().Add(snapshotEvery)
	w.met.snapshots.Inc()
	w.at.LSN = max(end, lsn)
	w.cfg.Node.Archived(w.at)
	return w.log.Trim(ctx, begin)
}

func (w *Writer) add(rec node.ArchiveRecord) error {
	kind := replay.KindFrame
	if rec.Publication {
		kind = replay.KindPublication
	}
	w.append(kind, rec)
	return nil
}

func (w *Writer) append(kind replay.Kind, rec node.ArchiveRecord) {
	w.batch = append(w.batch, replay.Record{Kind: kind, Key: w.me.key(rec.Of), Value: rec.Message})
	w.bytes += len(rec.Message) + keyBytes
}

// flush appends what was collected.
func (w *Writer) flush(ctx context.Context) error {
	defer w.drop()
	if len(w.batch) == 0 {
		return nil
	}
	if err := w.write(ctx, w.batch); err != nil {
		return err
	}
	w.met.records.Add(float64(len(w.batch)))
	w.met.bytes.Add(float64(w.bytes))
	return nil
}

func (w *Writer) drop() {
	clear(w.batch)
	w.batch, w.bytes = w.batch[:0], 0
}
