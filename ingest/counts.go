package ingest

import (
	"sync"

	"meshd/crdt"
	"meshd/internal/mutant"
)

const (
	// maxCounts are the spellings that one reader counts by itself, in 1.1 MiB: what fits the cache of its processor. Those
	// beyond it are counted where all readers count.
	maxCounts = 1 << 14

	// countsAge is after how many flushes, a minute, a reader looks its spellings up again: before any of the accumulators
	// that it knows can be forgotten.
	countsAge = 600
)

// counts are what one reader has counted since the last flush, of spellings that count up and say no time. Readers that
// moved the shared accumulators with every line would pull each of these from one processor's cache to another's: half of
// a line's time. So each reader keeps its own sums, under a lock that it takes for a batch of packets and the flusher for
// a drain.
type counts struct {
	acc *accumulators

	mu      sync.Mutex
	index   []uint32 // by hash, open addressing: 0, or 16 bits of the hash above the number of an entry, from 1
	entries []count
	age     int // drains since the first of the entries was made
}

// count is one spelling: 64 bytes, a cache line.
type count struct {
	hash    uint64
	text    string // name and tags, those of at
	name    int    // bytes of text
	at      *accumulator
	sum     crdt.Fixed
	samples uint64 // in sum
}

func newCounts(acc *accumulators) *counts { return &counts{acc: acc} }

// tag is what the index holds of a hash: bits that choose neither a place in it nor a shard.
func tag(hash uint64) uint32 { return uint32(hash>>48) << 16 }

// find returns the entry of a spelling, nil if there is none.
func (t *counts) find(hash uint64, s *spelling) *count {
	if len(t.index) == 0 {
		return nil
	}
	mask := uint64(len(t.index) - 1)
	for i := hash / numShards & mask; ; i = (i + 1) & mask {
		v := t.index[i]
		if v == 0 {
			return nil
		}
		if v&^0xffff != tag(hash) {
			continue
		}
		c := &t.entries[v&0xffff-1]
		if c.hash == hash && c.text[:c.name] == string(s.name) && c.text[c.name:] == string(s.tags) {
			return c
		}
	}
}

// grow adds a sample and reports whether it fits.
func (c *count) grow(amount crdt.Fixed) bool {
	sum, ok := c.sum.Add(amount)
	if !ok || crdt.MaxCell.Less(sum) {
		return false
	}
	c.sum = sum
	c.samples++
	return true
}

// enter makes an entry of an accumulator that has none, if there is room.
func (t *counts) enter(at *accumulator) {
	if len(t.entries) == maxCounts {
		return
	}
	t.entries = append(t.entries, count{hash: at.hash, text: at.text, name: int(at.name), at: at})
	if 2*len(t.entries) <= len(t.index) {
		t.place(len(t.entries) - 1)
		return
	}
	t.index = make([]uint32, max(4*firstBuckets, 2*len(t.index)))
	for i := range t.entries {
		t.place(i)
	}
}

// place puts an entry into the index, of which at least half is free.
func (t *counts) place(entry int) {
	hash, mask := t.entries[entry].hash, uint64(len(t.index)-1)
	i := hash / numShards & mask
	for t.index[i] != 0 {
		i = (i + 1) & mask
	}
	t.index[i] = tag(hash) | uint32(entry+1)
}

// drain moves what was counted to the accumulators. What does not fit there, beside what no node took, waits here.
func (t *counts) drain() {
	t.mu.Lock()
	defer t.mu.Unlock()
	left := false
	for i := range t.entries {
		c := &t.entries[i]
		if c.samples == 0 {
			continue
		}
		if !t.acc.count(c.at, c.sum, c.samples) {
			left = true
			continue
		}
		c.sum, c.samples = crdt.Fixed{}, 0
	}
	if t.age++; t.age < countsAge && len(t.entries) < maxCounts || left && !mutant.On("counts that do not fit dropped") {
		return
	}
	clear(t.entries)
	clear(t.index)
	t.entries, t.age = t.entries[:0], 0
}

// pending returns how many samples no drain has moved.
func (t *counts) pending() (samples uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := range t.entries {
		samples += t.entries[i].samples
	}
	return samples
}
