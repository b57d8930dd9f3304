package query

import "hash/maphash"

// groupIndex finds groups by their keys without keeping the keys: it has their hashes, and the caller compares. 30 bytes a group,
// where a map of strings takes five times as much.
type groupIndex struct {
	seed   maphash.Seed
	byHash map[uint64]int32 // the latest of them
	older  []int32          // of each group: the one before it with the same hash, -1 for none
}

func newGroupIndex() groupIndex {
	return groupIndex{seed: maphash.MakeSeed(), byHash: map[uint64]int32{}}
}

func (x *groupIndex) hash(key []byte) uint64 { return maphash.Bytes(x.seed, key) }

// first returns a group whose key has the hash, -1 if there is none. The others are behind it.
func (x *groupIndex) first(hash uint64) int {
	if i, ok := x.byHash[hash]; ok {
		return int(i)
	}
	return -1
}

func (x *groupIndex) behind(group int) int { return int(x.older[group]) }

// add takes in the next group.
func (x *groupIndex) add(hash uint64) {
	x.older = append(x.older, int32(x.first(hash)))
	x.byHash[hash] = int32(len(x.older) - 1)
}
