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

// excess appends max(0, a-b) of each bucket to dst, in order.
func (bs buckets) excess(dst, part buckets) buckets {
	j := 0
	for _, b := range bs {
		for j < len(part) && part[j].key < b.key {
			j++
		}
		if j < len(part) && part[j].key == b.key {
			if part[j].count >= b.count {
				continue
			}
			b.count -= part[j].count
		}
		dst = append(dst, b)
	}
	return dst
}

// add adds the counts of rise, which it does not keep, and stamps what rose. The caller has excluded overflow.
func (bs *buckets) add(rise buckets, stamp uint64) {
	fresh := bs.addKnown(rise, stamp)
	if fresh == 0 {
		return
	}
	// Merge from the back, so that nothing is overwritten before it has moved. While fresh > 0, j >= 0.
	i := len(*bs) - 1
	out := slices.Grow(*bs, fresh)[:len(*bs)+fresh]
	for at, j := len(out)-1, len(rise)-1; fresh > 0; at-- {
		switch {
		case i >= 0 && out[i].key == rise[j].key:
			j--
			fallthrough
		case i >= 0 && out[i].key > rise[j].key:
			out[at] = out[i]
			i--
		default:
			out[at] = bucket{key: rise[j].key, count: rise[j].count, stamp: stamp}
			j--
			fresh--
		}
	}
	*bs = out
}

// addKnown adds the counts of the buckets that bs has already and returns how many it has not.
func (bs buckets) addKnown(rise buckets, stamp uint64) (fresh int) {
	i := 0
	for _, r := range rise {
		for i < len(bs) && bs[i].key < r.key {
			i++
		}
		if i == len(bs) || bs[i].key != r.key {
			fresh++
			continue
		}
		bs[i].count += r.count
		bs[i].stamp = max(bs[i].stamp, stamp)
	}
	return fresh
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
