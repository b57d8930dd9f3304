package history

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"

	"meshd/crdt"
)

// loadBlock records share one allocation of text, and are taken apart by one goroutine at a time. What they share lives as long as
// one of them: series of one time come and go together.
const loadBlock = 512

// record is one row of the tables on disk.
type record struct {
	ids   [2]uint32
	value string
}

// readRecords reads all rows with a prefix, whose keys end in n ids, in blocks.
func readRecords(kv KV, prefix []byte, n int) (blocks [][]record, err error) {
	var text []byte
	var ends []int
	var block []record
	flush := func() {
		all, begin := string(text), 0
		for i, end := range ends {
			block[i].value, begin = all[begin:end], end
		}
		blocks = append(blocks, block)
		block, text, ends = nil, text[:0], ends[:0]
	}
	err = kv.Scan(prefix, func(key, value []byte) error {
		ids, err := parseIDs(prefix, key, n)
		if err != nil {
			return err
		}
		if block == nil {
			block = make([]record, 0, loadBlock)
		}
		block = append(block, record{ids: ids})
		text = append(text, value...)
		if ends = append(ends, len(text)); len(block) == loadBlock {
			flush()
		}
		return nil
	})
	if len(block) > 0 {
		flush()
	}
	return blocks, err
}

// load reads the tables from the disk: definitions and pairs side by side, and all processors take them apart. A start waits
// for it.
func (s *Store) load() error {
	t := &s.tables
	owners, err := readRecords(s.cfg.KV, prefixOwner, 1)
	if err != nil {
		return err
	}
	for _, block := range owners {
		for _, r := range block {
			origin, err := parseOwner([]byte(r.value))
			if err != nil {
				return err
			}
			t.addOwner(&ownerEntry{origin: origin, id: r.ids[0], stored: true})
		}
	}
	var series, pairs [][]record
	var failed [2]error
	var reading sync.WaitGroup
	reading.Go(func() { series, failed[0] = readRecords(s.cfg.KV, prefixSeries, 1) })
	reading.Go(func() { pairs, failed[1] = readRecords(s.cfg.KV, prefixPair, 2) })
	reading.Wait()
	if err := errors.Join(failed[:]...); err != nil {
		return err
	}
	if err := t.loadSeries(series); err != nil {
		return err
	}
	if err := t.loadPairs(pairs); err != nil {
		return err
	}
	mark, err := s.cfg.KV.Get(keyMark)
	if err == nil && len(mark) == 8 {
		s.folded = binary.BigEndian.Uint64(mark)
		s.applied = s.folded
	}
	return err
}

// eachBlock calls f for every block, on all processors.
func eachBlock(blocks [][]record, f func(i int, block []record) error) error {
	return parallel(context.Background(), len(blocks), func() func(int) error {
		return func(i int) error { return f(i, blocks[i]) }
	})
}

func (t *tables) loadSeries(blocks [][]record) error {
	entries := make([][]seriesEntry, len(blocks))
	err := eachBlock(blocks, func(i int, block []record) error {
		entries[i] = make([]seriesEntry, len(block))
		for j := range block {
			series, err := parseSeries(block[j].value)
			if err != nil {
				return err
			}
			entries[i][j] = seriesEntry{series: series, id: block[j].ids[0], bucket: nameBucket(series.Name), stored: true}
		}
		return nil
	})
	if err != nil || len(blocks) == 0 {
		return err
	}
	last := blocks[len(blocks)-1]
	t.byID = make([]*seriesEntry, last[len(last)-1].ids[0]+1)
	var indexing sync.WaitGroup
	indexing.Go(func() {
		for i := range entries {
			for j := range entries[i] {
				t.index.add(&entries[i][j])
			}
		}
	})
	for i := range entries {
		for j := range entries[i] {
			e := &entries[i][j]
			t.byID[e.id] = e
			t.number(e)
		}
	}
	indexing.Wait()
	return nil
}

func (t *tables) loadPairs(blocks [][]record) error {
	loaded := make([][]pair, len(blocks))
	err := eachBlock(blocks, func(i int, block []record) error {
		loaded[i] = make([]pair, len(block))
		tiers := make([]tier, usualTiers*len(block))
		for j := range block {
			ids := block[j].ids
			if int(ids[0]) >= len(t.byID) || t.byID[ids[0]] == nil || int(ids[1]) >= len(t.ownerID) || t.ownerID[ids[1]] == nil {
				return fmt.Errorf("history: windows of series %d of owner %d, which are not defined", ids[0], ids[1])
			}
			own := tiers[usualTiers*j : usualTiers*j : usualTiers*(j+1)]
			loaded[i][j] = pair{series: t.byID[ids[0]], owner: t.ownerID[ids[1]], stored: true, tiers: own}
			if err := loaded[i][j].parseRecord([]byte(block[j].value)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for i := range loaded {
		for j := range loaded[i] {
			p := &loaded[i][j]
			p.series.pairs = append(p.series.pairs, p)
			p.owner.pairs++
		}
	}
	return nil
}

// parseSeries is the inverse of crdt.Series.AppendKey. The series keeps parts of key.
func parseSeries(key string) (*crdt.Series, error) {
	r := textReader{rest: key}
	s := &crdt.Series{Kind: crdt.Kind(r.byte()), Gen: uint32(r.uvarint()), Name: r.string()}
	for r.rest != "" {
		s.Labels = append(s.Labels, crdt.Label{Name: r.string(), Value: r.string()})
	}
	if r.bad {
		return nil, errors.New("history: malformed definition of a series")
	}
	return s, s.Check()
}

// textReader takes fields off the front of a string, and shares its bytes. After the first mistake there is nothing left.
type textReader struct {
	rest string
	bad  bool
}

func (r *textReader) fail() { r.rest, r.bad = "", true }

func (r *textReader) byte() byte {
	if r.rest == "" {
		r.fail()
		return 0
	}
	b := r.rest[0]
	r.rest = r.rest[1:]
	return b
}

func (r *textReader) uvarint() uint64 {
	head := []byte(r.rest[:min(len(r.rest), binary.MaxVarintLen64)])
	u, n := binary.Uvarint(head)
	if n <= 0 {
		r.fail()
		return 0
	}
	r.rest = r.rest[n:]
	return u
}

func (r *textReader) string() string {
	n := r.uvarint()
	if n > uint64(len(r.rest)) {
		r.fail()
		return ""
	}
	s := r.rest[:n]
	r.rest = r.rest[n:]
	return s
}
