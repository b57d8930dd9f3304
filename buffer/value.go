package buffer

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/dgraph-io/badger/v4"
)

// Forms of a stored value, in Badger's user byte.
const (
	formWhole   = 0 // the value itself
	formChunked = 1 // a ticket: the value lies in chunks
)

// A value too large for a transaction is cut into chunks under a fresh random id, and its key holds a ticket: id (8),
// number of chunks (4), length (4), big endian. Chunks and ticket are written by one commit, so they exist together.
type ticket struct {
	id     uint64
	chunks uint32
	length uint32
}

const ticketBytes = 16

func (t ticket) bytes() []byte {
	b := binary.BigEndian.AppendUint64(make([]byte, 0, ticketBytes), t.id)
	b = binary.BigEndian.AppendUint32(b, t.chunks)
	return binary.BigEndian.AppendUint32(b, t.length)
}

func parseTicket(b []byte) (ticket, error) {
	if len(b) != ticketBytes {
		return ticket{}, fmt.Errorf("%w (ticket of %d bytes)", ErrCorrupt, len(b))
	}
	t := ticket{binary.BigEndian.Uint64(b), binary.BigEndian.Uint32(b[8:]), binary.BigEndian.Uint32(b[12:])}
	if t.length > MaxValueBytes || t.chunks > t.length {
		return ticket{}, fmt.Errorf("%w (ticket for %d bytes in %d chunks)", ErrCorrupt, t.length, t.chunks)
	}
	return t, nil
}

func randomID() uint64 {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	return binary.BigEndian.Uint64(b[:])
}

func (s *Store) isLarge(op *Op) bool { return !op.Delete && len(op.Value) > s.lim.value }

func plainEntry(op *Op, expires func(time.Duration) uint64) entry {
	e := entry{key: dataKey(op.Key), del: op.Delete}
	if !op.Delete {
		e.value = op.Value
		if op.TTL > 0 {
			e.expires = expires(op.TTL)
		}
	}
	return e
}

// expand turns ops into entries: large values cut up, chunks of the values they replace deleted, and of several ops on
// one key only the last, so that no chunk is written that no ticket names. The caller holds commits.
func (s *Store) expand(ops []Op, expires func(time.Duration) uint64) ([]entry, error) {
	last := make(map[string]int, len(ops))
	for i := range ops {
		last[string(ops[i].Key)] = i
	}
	txn := s.db.NewTransaction(false)
	defer txn.Discard()
	entries := make([]entry, 0, len(last))
	for i := range ops {
		op := &ops[i]
		if last[string(op.Key)] != i {
			continue
		}
		e := plainEntry(op, expires)
		var err error
		if entries, err = s.dropChunks(entries, txn, e.key); err != nil {
			return nil, err
		}
		if s.isLarge(op) {
			s.chunked.Store(true)
			entries = s.appendChunks(entries, &e)
		}
		entries = append(entries, e)
	}
	return entries, nil
}

// dropChunks appends the deletion of the chunks under key, if it holds any.
func (s *Store) dropChunks(entries []entry, txn *badger.Txn, key []byte) ([]entry, error) {
	if !s.chunked.Load() {
		return entries, nil
	}
	item, err := txn.Get(key)
	if errors.Is(err, badger.ErrKeyNotFound) {
		return entries, nil
	}
	if err != nil {
		return nil, err
	}
	if item.UserMeta() != formChunked {
		return entries, nil
	}
	err = item.Value(func(b []byte) error {
		t, err := parseTicket(b)
		for i := range t.chunks {
			entries = append(entries, entry{key: partKey(spaceChunk, t.id, i), del: true})
		}
		return err
	})
	return entries, err
}

// appendChunks appends the chunks of e's value and puts the ticket in its place.
func (s *Store) appendChunks(entries []entry, e *entry) []entry {
	t := ticket{id: randomID(), length: uint32(len(e.value))}
	for rest := e.value; len(rest) > 0; t.chunks++ {
		n := min(len(rest), s.lim.value)
		entries = append(entries, entry{key: partKey(spaceChunk, t.id, t.chunks), value: rest[:n], expires: e.expires})
		rest = rest[n:]
	}
	e.form, e.value = formChunked, t.bytes()
	return entries
}

// appendValue appends the value of item to b. It returns ErrNotFound if the chunks of a value that has a TTL ran out
// since its ticket was read.
func appendValue(b []byte, txn *badger.Txn, item *badger.Item) ([]byte, error) {
	if item.UserMeta() == formWhole {
		err := item.Value(func(v []byte) error {
			b = append(b, v...)
			return nil
		})
		return b, err
	}
	var t ticket
	err := item.Value(func(v []byte) (err error) {
		t, err = parseTicket(v)
		return err
	})
	if err != nil {
		return b, err
	}
	start := len(b)
	for i := range t.chunks {
		chunk, err := txn.Get(partKey(spaceChunk, t.id, i))
		if errors.Is(err, badger.ErrKeyNotFound) && item.ExpiresAt() != 0 {
			return b, ErrNotFound
		}
		if err != nil {
			return b, fmt.Errorf("%w (chunk %d of %d: %w)", ErrCorrupt, i, t.chunks, err)
		}
		if err := chunk.Value(func(v []byte) error { b = append(b, v...); return nil }); err != nil {
			return b, err
		}
	}
	if len(b)-start != int(t.length) {
		return b, fmt.Errorf("%w (value of %d bytes where %d were written)", ErrCorrupt, len(b)-start, t.length)
	}
	return b, nil
}
