package history

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
)

// fakeKV is a disk in memory that stops working when told to: a commit is then lost whole, as after a crash.
type fakeKV struct {
	mu      sync.Mutex
	rows    map[string][]byte
	commits int
	crashAt int // the commit, from 1, that fails, and all after it; 0 is none
}

var errCrash = errors.New("crash")

func newFakeKV() *fakeKV { return &fakeKV{rows: make(map[string][]byte)} }

// restarted returns the disk as another process finds it.
func (k *fakeKV) restarted() *fakeKV {
	k.mu.Lock()
	defer k.mu.Unlock()
	return &fakeKV{rows: maps.Clone(k.rows)}
}

func (k *fakeKV) Get(key []byte) ([]byte, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Clone(k.rows[string(key)]), nil
}

func (k *fakeKV) sorted(prefix, from []byte) []string {
	k.mu.Lock()
	defer k.mu.Unlock()
	var keys []string
	for key := range k.rows {
		if strings.HasPrefix(key, string(prefix)) && key >= string(from) {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return keys
}

func (k *fakeKV) Scan(prefix []byte, fn func(key, value []byte) error) error {
	for _, key := range k.sorted(prefix, nil) {
		v, _ := k.Get([]byte(key))
		if err := fn([]byte(key), v); err != nil {
			return err
		}
	}
	return nil
}

func (k *fakeKV) Keys(prefix, from []byte, fn func(key []byte) error) error {
	for _, key := range k.sorted(prefix, from) {
		if err := fn([]byte(key)); err != nil {
			return err
		}
	}
	return nil
}

func (k *fakeKV) Commit(ops []Op) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.commits++
	if k.crashAt > 0 && k.commits >= k.crashAt {
		return errCrash
	}
	for _, op := range ops {
		if op.Delete {
			delete(k.rows, string(op.Key))
		} else {
			k.rows[string(op.Key)] = slices.Clone(op.Value)
		}
	}
	return nil
}
