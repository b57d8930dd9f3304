package crdt

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"hash/maphash"
	"strings"
)

// SeriesIndex finds the numbers that its owner gave to series, by what these are: kind, generation, name and labels. It holds
// neither the series nor their keys, and nothing that a collector would have to look at: 8 to 20 bytes a series. What it answers
// depends on no order and no chance, though where it keeps a number does.
//
// It may be read from several goroutines at once.
type SeriesIndex struct {
	seed  maphash.Seed
	at    func(number uint32) *Series
	slots []seriesSlot // a power of two of them; the next free one behind that of the hash
	n     int
}

type seriesSlot struct{ hash, next uint32 } // next is the number + 1; 0: free

// NewSeriesIndex returns an empty index. at returns the series of a number that was put into it.
func NewSeriesIndex(at func(number uint32) *Series) *SeriesIndex {
	return &SeriesIndex{seed: maphash.MakeSeed(), at: at, slots: make([]seriesSlot, 16)}
}

// Len returns how many numbers there are.
func (x *SeriesIndex) Len() int { return x.n }

// Find returns the number of a series.
func (x *SeriesIndex) Find(s *Series) (number uint32, ok bool) {
	slot, ok := x.find(s, x.hash(s))
	if !ok {
		return 0, false
	}
	return x.slots[slot].next - 1, true
}

// Put enters the number of a series that is not in it. At least one of 2^32 numbers stays unused.
func (x *SeriesIndex) Put(s *Series, number uint32) {
	if x.n >= len(x.slots)/4*3 {
		x.grow()
	}
	x.n++
	x.put(seriesSlot{x.hash(s), number + 1})
}

// Remove takes a series out and reports whether it was there.
func (x *SeriesIndex) Remove(s *Series) bool {
	hole, ok := x.find(s, x.hash(s))
	if !ok {
		return false
	}
	x.n--
	mask := len(x.slots) - 1
	for i := (hole + 1) & mask; x.slots[i].next != 0; i = (i + 1) & mask {
		// What would not be found any more if the hole stayed free moves into it.
		if home := int(x.slots[i].hash) & mask; (i-home)&mask >= (i-hole)&mask {
			x.slots[hole], hole = x.slots[i], i
		}
	}
	x.slots[hole] = seriesSlot{}
	return true
}

func (x *SeriesIndex) hash(s *Series) uint32 {
	var key [256]byte
	return uint32(maphash.Bytes(x.seed, s.AppendKey(key[:0])))
}

func (x *SeriesIndex) find(s *Series, hash uint32) (slot int, ok bool) {
	mask := len(x.slots) - 1
	for i := int(hash) & mask; x.slots[i].next != 0; i = (i + 1) & mask {
		if x.slots[i].hash == hash && x.at(x.slots[i].next-1).Equal(s) {
			return i, true
		}
	}
	return 0, false
}

func (x *SeriesIndex) put(slot seriesSlot) {
	mask := len(x.slots) - 1
	i := int(slot.hash) & mask
	for x.slots[i].next != 0 {
		i = (i + 1) & mask
	}
	x.slots[i] = slot
}

func (x *SeriesIndex) grow() {
	old := x.slots
	x.slots = make([]seriesSlot, 2*len(old))
	for _, slot := range old {
		if slot.next != 0 {
			x.put(slot)
		}
	}
}

// Equal reports whether two series are one: their keys are equal.
func (s *Series) Equal(o *Series) bool {
	if s == o {
		return true
	}
	if s.Kind != o.Kind || s.Gen != o.Gen || s.Name != o.Name || len(s.Labels) != len(o.Labels) {
		return false
	}
	for i := range s.Labels {
		if s.Labels[i] != o.Labels[i] {
			return false
		}
	}
	return true
}

// CompareKey orders series as bytes.Compare orders what AppendKey appends.
func (s *Series) CompareKey(o *Series) int {
	if c := cmp.Or(cmp.Compare(s.Kind, o.Kind), compareUvarint(uint64(s.Gen), uint64(o.Gen)), compareText(s.Name, o.Name)); c != 0 {
		return c
	}
	for i := range min(len(s.Labels), len(o.Labels)) {
		a, b := &s.Labels[i], &o.Labels[i]
		if c := cmp.Or(compareText(a.Name, b.Name), compareText(a.Value, b.Value)); c != 0 {
			return c
		}
	}
	return cmp.Compare(len(s.Labels), len(o.Labels))
}

func compareText(a, b string) int {
	return cmp.Or(compareUvarint(uint64(len(a)), uint64(len(b))), strings.Compare(a, b))
}

func compareUvarint(a, b uint64) int {
	if a == b {
		return 0
	}
	var x, y [binary.MaxVarintLen64]byte
	return bytes.Compare(x[:binary.PutUvarint(x[:], a)], y[:binary.PutUvarint(y[:], b)])
}
