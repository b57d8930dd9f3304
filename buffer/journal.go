package buffer

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"github.com/dgraph-io/badger/v4"
)

// A batch beyond one transaction is committed in four steps, each synced before the next:
//
//  1. stage: its entries as records, packed into parts under spaceJournal and a fresh id
//  2. head:  the single key spaceHead: id, number of parts, checksum. From here on the batch is committed.
//  3. apply: the entries themselves, in several transactions. Setting and deleting again changes nothing.
//  4. clear: the head first, then the parts
//
// Store.commits is held alone from 1 to 4: no other commit comes between a head and its application, so replaying at
// Open cannot overwrite anything newer. A crash in 1 leaves parts without a head, which Open deletes; in 2 and 3 a
// head, which Open applies; in 4 parts without a head again.
//
// A record is: flags (1: bit 0 delete, bit 1 chunked), expiry (uvarint, unix seconds), key length (uvarint), value
// length (uvarint), key, value. Records are not split over parts.

const (
	flagDelete  = 1 << 0
	flagChunked = 1 << 1
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// head is the value of spaceHead: id (8), parts (4), CRC-32C of all parts in order (4), big endian.
type head struct {
	id    uint64
	parts uint32
	sum   uint32
}

const headBytes = 16

var headKey = []byte{spaceHead}

func (h head) append(b []byte) []byte {
	b = binary.BigEndian.AppendUint64(b, h.id)
	b = binary.BigEndian.AppendUint32(b, h.parts)
	return binary.BigEndian.AppendUint32(b, h.sum)
}

func parseHead(b []byte) (head, error) {
	if len(b) != headBytes {
		return head{}, fmt.Errorf("%w (journal head of %d bytes)", ErrCorrupt, len(b))
	}
	return head{binary.BigEndian.Uint64(b), binary.BigEndian.Uint32(b[8:]), binary.BigEndian.Uint32(b[12:])}, nil
}

func appendRecord(b []byte, e *entry) []byte {
	var flags byte
	if e.del {
		flags |= flagDelete
	}
	if e.form == formChunked {
		flags |= flagChunked
	}
	b = append(b, flags)
	b = binary.AppendUvarint(b, e.expires)
	b = binary.AppendUvarint(b, uint64(len(e.key)))
	b = binary.AppendUvarint(b, uint64(len(e.value)))
	b = append(b, e.key...)
	return append(b, e.value...)
}

// parseRecord reads one record and returns what follows it. The entry's slices point into b.
func parseRecord(b []byte) (e entry, rest []byte, err error) {
	if len(b) == 0 || b[0] > flagDelete|flagChunked {
		return e, nil, fmt.Errorf("%w (journal record)", ErrCorrupt)
	}
	e.del = b[0]&flagDelete != 0
	if b[0]&flagChunked != 0 {
		e.form = formChunked
	}
	b = b[1:]
	var n [3]uint64
	for i := range n {
		v, w := binary.Uvarint(b)
		if w <= 0 {
			return e, nil, fmt.Errorf("%w (journal record number)", ErrCorrupt)
		}
		n[i], b = v, b[w:]
	}
	e.expires = n[0]
	if n[1] == 0 || n[1] > uint64(len(b)) || n[2] > uint64(len(b))-n[1] {
		return e, nil, fmt.Errorf("%w (journal record of %d and %d bytes where %d are left)", ErrCorrupt, n[1], n[2], len(b))
	}
	e.key, e.value = b[:n[1]:n[1]], b[n[1]:n[1]+n[2]]
	return e, b[n[1]+n[2]:], nil
}

// journal commits entries by the four steps. The caller holds commits.
func (s *Store) journal(entries []entry) error {
	h, err := s.stage(entries)
	if err != nil {
		return err
	}
	if err := s.fault("head"); err != nil {
		return err
	}
	if err := s.transact([]entry{{key: headKey, value: h.append(nil)}}); err != nil {
		return err
	}
	if err := s.transactAll("apply", entries); err != nil {
		return err
	}
	return s.clearJournal()
}

// stage writes the parts. One is in memory at a time.
func (s *Store) stage(entries []entry) (head, error) {
	h := head{id: randomID()}
	limit := s.lim.bytes - entryBytes - len(partKey(spaceJournal, 0, 0))
	var part []byte
	flush := func() error {
		h.sum = crc32.Update(h.sum, castagnoli, part)
		err := s.transactAll("stage", []entry{{key: partKey(spaceJournal, h.id, h.parts), value: part}})
		h.parts++
		part = part[:0]
		return err
	}
	for i := range entries {
		e := &entries[i]
		if len(part)+e.size() > limit { // size is not less than the record's
			if err := flush(); err != nil {
				return h, err
			}
		}
		part = appendRecord(part, e)
	}
	return h, flush()
}

// recoverJournal applies a complete journal, deletes what is left of any, and finds out whether chunks exist.
func (s *Store) recoverJournal() error {
	var h head
	err := s.db.View(func(txn *badger.Txn) error {
		it := txn.NewIterator(badger.IteratorOptions{Prefix: []byte{spaceChunk}})
		it.Rewind()
		s.chunked.Store(it.Valid())
		it.Close()
		item, err := txn.Get(headKey)
		if err != nil {
			return err
		}
		return item.Value(func(v []byte) (err error) {
			h, err = parseHead(v)
			return err
		})
	})
	switch {
	case err == nil:
		if err := s.replay(h); err != nil {
			return err
		}
	case !errors.Is(err, badger.ErrKeyNotFound):
		return err
	}
	return s.clearJournal()
}

// replay applies the journal of h: all of it is read and checked before anything is written.
func (s *Store) replay(h head) error {
	parts, err := s.readParts(h)
	if err != nil {
		return err
	}
	s.cfg.Logger.Info("buffer: completing a commit that was cut off", "parts", len(parts))
	var entries []entry
	for _, part := range parts {
		for len(part) > 0 {
			var e entry
			if e, part, err = parseRecord(part); err != nil {
				return err
			}
			if e.form == formChunked {
				s.chunked.Store(true)
			}
			entries = append(entries, e)
		}
	}
	return s.transactAll("apply", entries)
}

func (s *Store) readParts(h head) (parts [][]byte, err error) {
	var sum uint32
	err = s.db.View(func(txn *badger.Txn) error {
		for i := range h.parts {
			item, err := txn.Get(partKey(spaceJournal, h.id, i))
			if err != nil {
				return fmt.Errorf("%w (part %d of %d: %w)", ErrCorrupt, i, h.parts, err)
			}
			part, err := item.ValueCopy(nil)
			if err != nil {
				return err
			}
			sum = crc32.Update(sum, castagnoli, part)
			parts = append(parts, part)
		}
		return nil
	})
	if err == nil && sum != h.sum {
		err = fmt.Errorf("%w (checksum of a journal of %d parts)", ErrCorrupt, h.parts)
	}
	return parts, err
}

// clearJournal deletes the head, if there is one, and then every part.
func (s *Store) clearJournal() error {
	var entries []entry
	err := s.db.View(func(txn *badger.Txn) error {
		if _, err := txn.Get(headKey); err == nil {
			entries = append(entries, entry{key: headKey, del: true})
		} else if !errors.Is(err, badger.ErrKeyNotFound) {
			return err
		}
		it := txn.NewIterator(badger.IteratorOptions{Prefix: []byte{spaceJournal}})
		defer it.Close()
		for it.Rewind(); it.Valid(); it.Next() {
			entries = append(entries, entry{key: it.Item().KeyCopy(nil), del: true})
		}
		return nil
	})
	if err != nil {
		return s.fail(err)
	}
	return s.transactAll("clear", entries)
}
