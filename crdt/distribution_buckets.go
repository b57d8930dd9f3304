package crdt

import (
	"cmp"
	"math/bits"
	"slices"
)

// bucket is one part of a Distribution. count is at least 1 in a state.
type bucket struct {
	key   bucketKey
	count uint64
	stamp uint64
}

// buckets are those of one sign, sorted by key.
type buckets []bucket

const (
	// maxBuckets is how many buckets of one sign and scale a writer opens. At scale 6 they span 32 powers of two.
	// At scale -1 there are fewer indexes than that, so that one of the scales always has room.
	maxBuckets = 2048

	numScales   = MaxScale - MinScale + 1
	bucketBytes = 24 // in memory
)

// find returns where bucket k is, or would be. Most calls are of a hot path: slices.BinarySearchFunc takes twice as
// long, since it calls a function per step.
func (bs buckets) find(k bucketKey) (int, bool) {
	low, high := 0, len(bs)
	if high > 0 && bs[high-1].key < k {
		return high, false
	}
	for low < high {
		if mid := int(uint(low+high) >> 1); bs[mid].key < k {
			low = mid + 1
		} else {
			high = mid
		}
	}
	return low, low < len(bs) && bs[low].key == k
}

// get returns the count of bucket k, 0 if there is none.
func (bs buckets) get(k bucketKey) uint64 {
	if i, ok := bs.find(k); ok {
		return bs[i].count
	}
	return 0
}

// room returns how many buckets of k's scale may still be opened. Totals over origins may hold more than a writer
// opens, so it can be negative.
func (bs buckets) room(k bucketKey) int {
	first, _ := bs.find(k &^ (1<<indexBits - 1))
	last, _ := bs.find((k | (1<<indexBits - 1)) + 1)
	return maxBuckets - (last - first)
}

// observe counts n samples in the bucket of key k, or in a coarser one if it would be new and its scale is full.
func (bs *buckets) observe(k bucketKey, n uint64) {
	i, ok := bs.find(k)
	if ok {
		(*bs)[i].count += n
		return
	}
	if len(*bs) >= maxBuckets && bs.room(k) <= 0 {
		bs.observe(k.at(k.scale()-1), n)
		return
	}
	*bs = slices.Insert(*bs, i, bucket{key: k, count: n})
}

// next returns the absolute counts of the buckets that inc touches, by the same rule as observe. Buckets are placed
// in order of their keys, so the result depends on the two states alone.
func (bs buckets) next(inc buckets) buckets {
	out := make(buckets, 0, len(inc))
	var opened [numScales]int
	for _, b := range inc {
		for k := b.key; ; k = k.at(k.scale() - 1) {
			i, placed := out.find(k)
			if placed {
				out[i].count += b.count
				break
			}
			own := bs.get(k)
			if own == 0 {
				if bs.room(k) <= opened[k.rank()] {
					continue
				}
				opened[k.rank()]++
			}
			out = slices.Insert(out, i, bucket{key: k, count: own + b.count})
			break
		}
	}
	return out
}

// spots are where the buckets of a delta are in a state: the index of each, or, of one that the state has not, the complement
// of the index that it would have.
type spots []int32

// index returns where the j-th bucket is, or would be.
func (at spots) index(j int) int {
	if at[j] < 0 {
		return int(^at[j])
	}
	return int(at[j])
}

// seek returns the index of the first bucket from i on whose key is not below k.
func (bs buckets) seek(i int, k bucketKey) int {
	for i < len(bs) && bs[i].key < k {
		i++
	}
	return i
}

// excess appends max(0, a-b) of each bucket to dst, in order, and where it is in part to at.
func (bs buckets) excess(dst buckets, at spots, part buckets) (buckets, spots) {
	i := 0
	for _, b := range bs {
		i = part.seek(i, b.key)
		spot := int32(i)
		if i == len(part) || part[i].key != b.key {
			spot = ^spot
		} else if have := part[i].count; have < b.count {
			b.count -= have
		} else {
			continue
		}
		dst, at = append(dst, b), append(at, spot)
	}
	return dst, at
}

// spots appends where the buckets of rise are in bs. near, if not empty, says where they are in another state: one that has all
// of its buckets, as a total does of the cells in it, has at least as many between two of them, which need not be looked at.
func (bs buckets) spots(at spots, rise buckets, near spots) spots {
	i, last := 0, 0
	for j := range rise {
		k := rise[j].key
		if len(near) > 0 {
			next := near.index(j)
			if skip := i + next - last; skip > 0 && skip <= len(bs) && bs[skip-1].key < k {
				i = skip
			}
			last = next
		}
		i = bs.seek(i, k)
		spot := int32(i)
		if i == len(bs) || bs[i].key != k {
			spot = ^spot
		}
		at = append(at, spot)
	}
	return at
}

// add adds the counts of rise, which it does not keep, and stamps what rose. at says where they are. The caller has excluded
// overflow.
func (bs *buckets) add(rise buckets, at spots, stamp uint64) {
	own, fresh := *bs, 0
	for j, spot := range at {
		if spot < 0 {
			fresh++
			continue
		}
		b := &own[spot]
		b.count += rise[j].count
		b.stamp = max(b.stamp, stamp)
	}
	if fresh == 0 {
		return
	}
	// Move from the back, so that nothing is overwritten before it has moved.
	end := len(own)
	out := slices.Grow(own, fresh)[:end+fresh]
	for j := len(at) - 1; fresh > 0; j-- {
		if at[j] >= 0 {
			continue
		}
		from := int(^at[j])
		copy(out[from+fresh:], out[from:end])
		fresh--
		out[from+fresh] = bucket{key: rise[j].key, count: rise[j].count, stamp: stamp}
		end = from
	}
	*bs = out
}

// remove subtracts the counts of o and drops buckets that become empty.
func (bs *buckets) remove(o buckets) {
	for i := range *bs {
		b := &(*bs)[i]
		b.count -= min(b.count, o.get(b.key))
	}
	*bs = slices.DeleteFunc(*bs, func(b bucket) bool { return b.count == 0 })
}

// restrict returns the buckets whose keys d has.
func (bs buckets) restrict(d buckets) buckets {
	var out buckets
	for _, b := range d {
		if i, ok := bs.find(b.key); ok {
			out = append(out, bs[i])
		}
	}
	return out
}

// changed returns the buckets with a stamp in (from, to] and the highest such stamp.
func (bs buckets) changed(from, to uint64) (out buckets, tag uint64) {
	n := 0
	for _, b := range bs {
		if b.stamp > from && b.stamp <= to {
			n++
			tag = max(tag, b.stamp)
		}
	}
	if n == 0 {
		return nil, 0
	}
	out = make(buckets, 0, n)
	for _, b := range bs {
		if b.stamp > from && b.stamp <= to {
			out = append(out, b)
		}
	}
	return out, tag
}

// total adds the counts to n; ok is false if they pass 2^64.
func (bs buckets) total(n uint64) (sum uint64, ok bool) {
	var carry, carries uint64
	for _, b := range bs {
		n, carry = bits.Add64(n, b.count, 0)
		carries |= carry
	}
	return n, carries == 0
}

// coarsest returns the coarsest scale in use.
func (bs buckets) coarsest() int {
	if len(bs) == 0 {
		return MaxScale
	}
	return bs[len(bs)-1].key.scale()
}

// folded returns the counts at a scale that is not finer than any in use, sorted by index. It may return bs itself.
func (bs buckets) folded(scale int) buckets {
	if len(bs) == 0 || bs[0].key.scale() == scale {
		return bs // finest first: if the first is of that scale, all are
	}
	out := make(buckets, len(bs))
	for i, b := range bs {
		out[i] = bucket{key: b.key.at(scale), count: b.count}
	}
	slices.SortFunc(out, func(a, b bucket) int { return cmp.Compare(a.key, b.key) })
	n := 0
	for _, b := range out[1:] {
		if out[n].key == b.key {
			out[n].count += b.count
			continue
		}
		n++
		out[n] = b
	}
	return out[:n+1]
}
