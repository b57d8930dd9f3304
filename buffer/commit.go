package buffer

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/dgraph-io/badger/v4"
)

const (
	// MaxKeyBytes is the longest key: room for an origin's name and a few numbers several times over.
	MaxKeyBytes = 4 << 10
	// MaxValueBytes is the largest value: four times the largest frame.
	MaxValueBytes = 16 << 20
	// MaxBatchBytes bounds one Commit, keys and values together: it stands twice on the disk until it is applied.
	MaxBatchBytes = 1 << 30
)

// Op sets a key or deletes it. Key and Value belong to the Store until Commit returns, and are not changed.
type Op struct {
	Key    []byte
	Value  []byte
	TTL    time.Duration // 0 = for ever; else the key is gone after TTL, rounded up to the next whole second
	Delete bool          // Value and TTL are ignored; deleting an absent key is no error
}

// Commit makes all of ops true at once, in order, and durable before it returns. After a nil error they survive
// power loss; after any error wrapping ErrFull, ErrClosed or a refused op nothing of ops was written. After another
// error the outcome is unknown until the next Open, and all later commits are refused: what failed is the disk.
//
// A batch of up to 15% of a memtable (about 150 KiB by default) costs one synced write, a larger one is written twice.
// With ErrFull, batches of nothing but deletions still pass.
func (s *Store) Commit(ops []Op) error {
	start := time.Now()
	size, err := checkOps(ops)
	if err != nil {
		return err
	}
	if len(ops) == 0 {
		return nil
	}
	if err := s.usable(); err != nil {
		return err
	}
	if err := s.space.admit(size, deletesOnly(ops)); err != nil {
		s.met.refused(err)
		return err
	}
	expires := func(ttl time.Duration) uint64 { return uint64(start.Add(ttl + time.Second - 1).Unix()) }
	journaled, err := s.write(ops, expires)
	if err != nil {
		return fmt.Errorf("buffer: commit %d keys: %w", len(ops), err)
	}
	s.touched.Store(true)
	s.met.committed(time.Since(start), size, journaled)
	return nil
}

// checkOps refuses what cannot be stored and adds up the bytes.
func checkOps(ops []Op) (size int, err error) {
	for i := range ops {
		op := &ops[i]
		switch {
		case len(op.Key) == 0 || len(op.Key) > MaxKeyBytes:
			return 0, fmt.Errorf("buffer: key %d of %d bytes: want 1 to %d", i, len(op.Key), MaxKeyBytes)
		case len(op.Value) > MaxValueBytes:
			return 0, fmt.Errorf("buffer: value %d of %d bytes: want at most %d, split it", i, len(op.Value), MaxValueBytes)
		case op.TTL < 0:
			return 0, fmt.Errorf("buffer: negative TTL %v of key %d", op.TTL, i)
		}
		size += len(op.Key) + entryBytes
		if !op.Delete {
			size += len(op.Value)
		}
		if size > MaxBatchBytes {
			return 0, fmt.Errorf("buffer: batch of more than %d bytes: split it", MaxBatchBytes)
		}
	}
	return size, nil
}

func deletesOnly(ops []Op) bool {
	for i := range ops {
		if !ops[i].Delete {
			return false
		}
	}
	return true
}

func (s *Store) usable() error {
	if s.closed.Load() {
		return ErrClosed
	}
	if err := s.broken.Load(); err != nil {
		return fmt.Errorf("buffer: an earlier write failed, restart the node to recover: %w", *err)
	}
	return nil
}

// fail remembers that a write failed halfway. Going on could let a journal of before overwrite what comes after.
func (s *Store) fail(err error) error {
	s.broken.CompareAndSwap(nil, &err)
	return err
}

// write takes the short way, one blind transaction beside others, or the long way, alone.
func (s *Store) write(ops []Op, expires func(time.Duration) uint64) (journaled bool, err error) {
	if done, err := s.writeShort(ops, expires); done {
		return false, err
	}
	s.commits.Lock()
	defer s.commits.Unlock()
	if err := s.usable(); err != nil {
		return false, err
	}
	entries, err := s.expand(ops, expires)
	if err != nil {
		return false, err
	}
	if s.lim.fit(entries) == len(entries) {
		return false, s.transact(entries)
	}
	return true, s.journal(entries)
}

// writeShort commits ops if they fit one transaction and nothing has to be read first.
func (s *Store) writeShort(ops []Op, expires func(time.Duration) uint64) (done bool, err error) {
	s.commits.RLock()
	defer s.commits.RUnlock()
	if err := s.usable(); err != nil {
		return true, err
	}
	if s.chunked.Load() || len(ops) > s.lim.count {
		return false, nil
	}
	entries := make([]entry, len(ops))
	for i := range ops {
		if s.isLarge(&ops[i]) {
			return false, nil
		}
		entries[i] = plainEntry(&ops[i], expires)
	}
	if s.lim.fit(entries) < len(entries) {
		return false, nil
	}
	return true, s.transact(entries)
}

// entry is one key of Badger's, as it is stored.
type entry struct {
	key, value []byte
	expires    uint64 // unix seconds, 0 = never
	form       byte   // how to read value
	del        bool
}

func (e *entry) size() int { return len(e.key) + len(e.value) + entryBytes }

// fit returns how many of the first entries go into one transaction.
func (l limits) fit(entries []entry) int {
	size := 0
	for i := range entries {
		size += entries[i].size()
		if size > l.bytes || i >= l.count {
			return i
		}
	}
	return len(entries)
}

// transact commits entries in one synced transaction; they fit.
func (s *Store) transact(entries []entry) error {
	txn := s.db.NewTransaction(true)
	defer txn.Discard()
	for i := range entries {
		e := &entries[i]
		var err error
		if e.del {
			err = txn.Delete(e.key)
		} else {
			err = txn.SetEntry(&badger.Entry{Key: e.key, Value: e.value, ExpiresAt: e.expires, UserMeta: e.form})
		}
		if err != nil {
			return s.fail(err) // refused by limits that checkOps and fit should have kept
		}
	}
	if err := txn.Commit(); err != nil {
		if errors.Is(err, badger.ErrBlockedWrites) || errors.Is(err, badger.ErrDBClosed) {
			return ErrClosed
		}
		return s.fail(err)
	}
	return nil
}

// transactAll commits entries in as many transactions as it takes, in order, with a fault point before each.
func (s *Store) transactAll(step string, entries []entry) error {
	for len(entries) > 0 {
		if err := s.fault(step); err != nil {
			return err
		}
		n := s.lim.fit(entries)
		if err := s.transact(entries[:n]); err != nil {
			return err
		}
		entries = entries[n:]
	}
	return nil
}

func (s *Store) fault(step string) error {
	if s.cfg.Fault == nil {
		return nil
	}
	if err := s.cfg.Fault(step); err != nil {
		return s.fail(fmt.Errorf("%s: %w", step, err))
	}
	return nil
}

// Keys of Badger's: one byte says whose they are.
const (
	spaceData    = 'd' // + the caller's key
	spaceChunk   = 'c' // + value id + index: parts of a large value
	spaceJournal = 'j' // + journal id + index: records of a batch
	spaceHead    = 'h' // alone: the journal that is complete
)

func dataKey(key []byte) []byte {
	return append(append(make([]byte, 0, 1+len(key)), spaceData), key...)
}

func partKey(space byte, id uint64, index uint32) []byte {
	b := append(make([]byte, 0, 13), space)
	b = binary.BigEndian.AppendUint64(b, id)
	return binary.BigEndian.AppendUint32(b, index)
}
