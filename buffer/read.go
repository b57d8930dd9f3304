package buffer

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/dgraph-io/badger/v4"
)

// Get returns the value under key in a new slice, or ErrNotFound.
func (s *Store) Get(key []byte) ([]byte, error) {
	txn, done, err := s.snapshot()
	if err != nil {
		return nil, err
	}
	defer done()
	item, err := txn.Get(dataKey(key))
	if errors.Is(err, badger.ErrKeyNotFound) {
		return nil, ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("buffer: get: %w", err)
	}
	v, err := appendValue(make([]byte, 0, item.ValueSize()), txn, item)
	if errors.Is(err, ErrNotFound) {
		return nil, ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("buffer: get: %w", err)
	}
	return v, nil
}

// Scan calls fn for every key with the prefix (all keys if it is empty), in ascending order of bytes, as they were
// when Scan began. The slices are valid during the call only and must not be changed. Scan ends with the first error
// of fn and returns it as it is. fn may call the Store; a Scan that takes long delays the return of disk space.
func (s *Store) Scan(prefix []byte, fn func(key, value []byte) error) error {
	txn, done, err := s.snapshot()
	if err != nil {
		return err
	}
	defer done()
	return scan(txn, prefix, fn)
}

// View calls fn with a function that scans as Scan does, always the same instant. That function is valid during the call only.
func (s *Store) View(fn func(scan func(prefix []byte, fn func(key, value []byte) error) error) error) error {
	txn, done, err := s.snapshot()
	if err != nil {
		return err
	}
	defer done()
	return fn(func(prefix []byte, fn func(key, value []byte) error) error { return scan(txn, prefix, fn) })
}

func scan(txn *badger.Txn, prefix []byte, fn func(key, value []byte) error) (err error) {
	// Values lie beside their keys, so that prefetching would only hold 100 of them in memory.
	it := txn.NewIterator(badger.IteratorOptions{Prefix: dataKey(prefix)})
	defer it.Close()
	var value []byte
	for it.Rewind(); it.Valid(); it.Next() {
		item := it.Item()
		if value, err = appendValue(value[:0], txn, item); errors.Is(err, ErrNotFound) {
			continue
		}
		if err != nil {
			return fmt.Errorf("buffer: scan: %w", err)
		}
		if err := fn(item.Key()[1:], value); err != nil {
			return err
		}
	}
	return nil
}

// Keys calls fn for every key with the prefix that is not below from, in ascending order of bytes, as they were when Keys began,
// and reads no value. The slice is valid during the call only. Keys ends with the first error of fn and returns it as it is. fn
// may call the Store.
func (s *Store) Keys(prefix, from []byte, fn func(key []byte) error) error {
	txn, done, err := s.snapshot()
	if err != nil {
		return err
	}
	defer done()
	it := txn.NewIterator(badger.IteratorOptions{Prefix: dataKey(prefix)})
	defer it.Close()
	if bytes.Compare(from, prefix) < 0 {
		from = prefix // Badger would look no further
	}
	for it.Seek(dataKey(from)); it.Valid(); it.Next() {
		if err := fn(it.Item().Key()[1:]); err != nil {
			return err
		}
	}
	return nil
}

// snapshot opens a view of what is committed, which the caller must end with done: Close waits for it. Opening waits
// while a journal is applied; the view itself holds no lock.
func (s *Store) snapshot() (txn *badger.Txn, done func(), err error) {
	s.commits.RLock()
	defer s.commits.RUnlock()
	if s.closed.Load() {
		return nil, nil, ErrClosed
	}
	s.readers.Add(1)
	s.touched.Store(true)
	txn = s.db.NewTransaction(false)
	return txn, func() {
		txn.Discard()
		s.readers.Done()
	}, nil
}
