package buffer

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/dgraph-io/badger/v4"
	"github.com/prometheus/client_golang/prometheus"

	"meshd/internal/dirlock"
)

// Errors a caller branches on. All others are the environment's and end with what to do.
var (
	ErrNotFound = errors.New("buffer: no such key")
	ErrFull     = errors.New("buffer: disk reserve reached: free space on the data directory's disk, or move it to a larger one")
	ErrClosed   = errors.New("buffer: store is closed")
	ErrLocked   = errors.New("data directory is in use by another process: stop it, or choose another directory")
	ErrForeign  = errors.New("data directory belongs to someone else")
	ErrNewer    = errors.New("data directory was written by a newer version: run that version, or restore a backup of this one")
	ErrCorrupt  = errors.New("data is damaged: move the directory away and start empty, peers and hubs fill it again")
)

// Config says where a Store lives, whose it is and how much it may use.
type Config struct {
	Dir string // data directory; created if missing, and then only this process may use it

	Mesh, Region, Node string // whose data this is; a directory of any other is refused with ErrForeign

	// MemoryBytes is the memory budget of the whole process; the store takes less than half of it, by the
	// formula at tune. 0 = 64 MiB; less than 32 MiB counts as 32 MiB, more than 2 GiB as 2 GiB.
	MemoryBytes int64

	// ReserveBytes is the free space that Commit leaves on the disk. 0 = max(256 MiB, 2% of the disk), but at most a
	// tenth of the disk. It is never less than the room one compaction needs (16 MiB by default), see reserveFor.
	ReserveBytes uint64

	Logger     *slog.Logger          // nil = silent
	Registerer prometheus.Registerer // nil = no metrics

	// FreeSpace measures the disk under dir, in bytes. nil = ask the file system. Tests fake a full disk here.
	FreeSpace func(dir string) (free, total uint64, err error)

	// Fault is called before each step of a journaled commit with the step's name; an error stops the commit there, as
	// a crash would, and breaks the store until it is opened again. nil = none. For tests.
	Fault func(step string) error
}

// Store is an open data directory.
type Store struct {
	cfg   Config
	lim   limits
	db    *badger.DB
	lock  *os.File // flock on Dir
	space spaceGuard
	met   *metrics

	// commits: held shared by a commit that is one blind transaction, alone by one that reads before it writes or
	// takes several transactions. Readers hold it shared while they take their snapshot, so none shows half a journal.
	commits sync.RWMutex
	readers sync.WaitGroup        // open snapshots; added to under commits
	chunked atomic.Bool           // a chunked value may exist: overwriting must look for old chunks
	broken  atomic.Pointer[error] // first failed write; the outcome on disk is unknown until the next Open
	closed  atomic.Bool

	touched atomic.Bool   // tables may have become resident since keepSmall last looked
	stop    chan struct{} // ends keepSmall
	done    chan struct{} // keepSmall has ended
}

// storeDir is Badger's folder inside Dir; META lies beside it.
const storeDir = "store"

// Open opens or creates the data directory and completes what a crash cut off. The caller must Close the Store.
func Open(cfg Config) (*Store, error) {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.FreeSpace == nil {
		cfg.FreeSpace = FreeSpace
	}
	s, err := open(cfg)
	if err != nil {
		return nil, fmt.Errorf("buffer: open %s: %w", cfg.Dir, err)
	}
	return s, nil
}

func open(cfg Config) (_ *Store, err error) {
	t := tune(cfg.MemoryBytes)
	if cfg.Dir == "" {
		return nil, errors.New("no data directory given: set --data")
	}
	lock, err := dirlock.Acquire(cfg.Dir)
	if errors.Is(err, dirlock.ErrHeld) {
		return nil, ErrLocked
	}
	if err != nil {
		return nil, err
	}
	s := &Store{cfg: cfg, lock: lock, lim: t.limits(), stop: make(chan struct{}), done: make(chan struct{})}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.release())
		}
	}()
	old, err := claim(cfg, t.memTable)
	if err != nil {
		return nil, err
	}
	path := filepath.Join(cfg.Dir, storeDir)
	if err := prepare(path, cfg.Logger); err != nil {
		return nil, err
	}
	if s.db, err = openBadger(path, cfg, t, old); err != nil {
		return nil, err
	}
	if err := s.space.init(cfg, path, t); err != nil {
		return nil, err
	}
	if err := s.recoverJournal(); err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	if s.met, err = newMetrics(s); err != nil {
		return nil, fmt.Errorf("register metrics: %w", err)
	}
	s.touched.Store(true)
	go s.keepSmall(s.stop, s.done)
	return s, nil
}

// openBadger opens Badger with the memtables of t. Logs of a larger memtable that a crash left behind would not fit
// the arena of a smaller one (Badger ends the process), so they are flushed first under the size they were written.
func openBadger(path string, cfg Config, t tuning, old int64) (*badger.DB, error) {
	if old > t.memTable {
		before := t
		before.memTable = old
		db, err := guardedOpen(before.options(path, cfg.Logger))
		if err != nil {
			return nil, err
		}
		if err := db.Close(); err != nil {
			return nil, err
		}
		if err := writeMeta(cfg, t.memTable); err != nil {
			return nil, err
		}
	}
	return guardedOpen(t.options(path, cfg.Logger))
}

// guardedOpen turns a panic over damaged files, and damage that Badger only logs, into ErrCorrupt.
func guardedOpen(opt badger.Options, log *badgerLog) (db *badger.DB, err error) {
	defer func() {
		if r := recover(); r != nil {
			db, err = nil, fmt.Errorf("%w (%v)", ErrCorrupt, r)
		}
	}()
	if db, err = badger.Open(opt); err != nil {
		return nil, blame(err)
	}
	if msg := log.firstError(); msg != "" {
		return nil, errors.Join(fmt.Errorf("%w (%s)", ErrCorrupt, msg), db.Close())
	}
	return db, nil
}

// blame tells an error of the environment, which passes, from damage. Badger keeps few of the errors it wraps, so that
// their text has to do.
func blame(err error) error {
	for _, e := range []syscall.Errno{
		syscall.EACCES, syscall.EPERM, syscall.EROFS, syscall.ENOSPC, syscall.EDQUOT, syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM, syscall.EIO,
	} {
		if errors.Is(err, e) || strings.Contains(err.Error(), e.Error()) {
			return fmt.Errorf("%w: remove the cause and start again", err)
		}
	}
	return fmt.Errorf("%w (%w)", ErrCorrupt, err)
}

// Close waits for running commits and reads and closes the directory. Calls after the first return nil. It must not be
// called from within Scan.
func (s *Store) Close() error {
	s.commits.Lock()
	first := s.closed.CompareAndSwap(false, true)
	s.commits.Unlock() // a Scan that is still running may read on
	if !first {
		return nil
	}
	close(s.stop)
	<-s.done
	s.readers.Wait()
	s.met.unregister()
	if err := s.release(); err != nil {
		return fmt.Errorf("buffer: close: %w", err)
	}
	return nil
}

func (s *Store) release() error {
	var err error
	if s.db != nil {
		err = s.db.Close()
	}
	return errors.Join(err, dirlock.Release(s.lock))
}

// Free returns the free bytes of the disk as last measured, less what was written since, and the bytes kept in reserve.
func (s *Store) Free() (free, reserve uint64) {
	return s.space.estimate(), s.space.reserve
}

// Size returns the bytes that the store occupies on disk, 0 if the directory cannot be read.
func (s *Store) Size() uint64 {
	return occupied(filepath.Join(s.cfg.Dir, storeDir))
}
