package history

import (
	"encoding/binary"
	"fmt"
	"maps"
	"math"
	"slices"

	"meshd/crdt"
	"meshd/internal/column"
)

// Columns of a distribution:
//
//	zeros, sums of positive samples, sums of negative ones
//	a column of 0 or 1: has a least and a greatest sample; then these of those that have them
//	uvarint  buckets in use anywhere in the chunk, positive ones first; how many are positive; a column of their keys
//	how many buckets each window has; for each the buckets of that list left out before it; its count
//
// Windows beside each other use the same buckets: in the list they are neighbours.

func (e *encoder) appendDistributions(dst []byte, points []Point) []byte {
	parts := make([]crdt.DistributionParts, len(points))
	used := make(map[int64]int)
	for i := range points {
		parts[i] = points[i].Value.X.(*crdt.Distribution).Parts(crdt.DistributionParts{})
		for j := range parts[i].Keys {
			used[bucketOf(&parts[i], j)] = 0
		}
	}
	e.ints[0] = e.ints[0][:0]
	for i := range parts {
		e.ints[0] = append(e.ints[0], int64(parts[i].Zeros))
	}
	dst = e.col.Ints(dst, e.ints[0])
	for _, sum := range [...]func(*crdt.DistributionParts) crdt.Fixed{
		func(p *crdt.DistributionParts) crdt.Fixed { return p.SumPos }, func(p *crdt.DistributionParts) crdt.Fixed { return p.SumNeg },
	} {
		e.fixed = e.fixed[:0]
		for i := range parts {
			e.fixed = append(e.fixed, sum(&parts[i]))
		}
		dst = e.col.Fixed(dst, e.fixed)
	}
	dst = e.appendRanges(dst, parts)

	list := slices.Sorted(maps.Keys(used))
	positive, _ := slices.BinarySearch(list, negativeBucket)
	dst = binary.AppendUvarint(binary.AppendUvarint(dst, uint64(len(list))), uint64(positive))
	for i, k := range list {
		used[k] = i
		list[i] = k &^ negativeBucket
	}
	dst = e.col.Ints(dst, list)
	sizes, gaps, counts := e.ints[0][:0], e.ints[1][:0], e.ints[2][:0]
	for i := range parts {
		sizes = append(sizes, int64(len(parts[i].Keys)))
		next := 0
		for j, n := range parts[i].Counts {
			at := used[bucketOf(&parts[i], j)]
			gaps, counts = append(gaps, int64(at-next)), append(counts, int64(n))
			next = at + 1
		}
	}
	e.ints = [3][]int64{sizes, gaps, counts}
	return e.col.Ints(e.col.Ints(e.col.Ints(dst, sizes), gaps), counts)
}

// negativeBucket is set in the list's keys of negative samples.
const negativeBucket = int64(1) << 32

func bucketOf(p *crdt.DistributionParts, i int) int64 {
	if i >= p.Positive {
		return int64(p.Keys[i]) | negativeBucket
	}
	return int64(p.Keys[i])
}

func (e *encoder) appendRanges(dst []byte, parts []crdt.DistributionParts) []byte {
	e.ints[0] = e.ints[0][:0]
	for i := range parts {
		e.ints[0] = append(e.ints[0], 0)
		if parts[i].Ranged {
			e.ints[0][i] = 1
		}
	}
	dst = e.col.Ints(dst, e.ints[0])
	for _, bound := range [...]func(*crdt.DistributionParts) float64{
		func(p *crdt.DistributionParts) float64 { return p.Least }, func(p *crdt.DistributionParts) float64 { return p.Greatest },
	} {
		e.floats = e.floats[:0]
		for i := range parts {
			if parts[i].Ranged {
				e.floats = append(e.floats, bound(&parts[i]))
			}
		}
		dst = e.col.Floats(dst, e.floats)
	}
	return dst
}

func (d *decoder) readDistributions(r *column.Reader, v valueRange) error {
	parts := make([]crdt.DistributionParts, v.n)
	for i, z := range d.column(r, 0, v.n) {
		parts[i].Zeros = uint64(z)
	}
	d.col.Fixed(r, v.n, func(i int, f crdt.Fixed) { parts[i].SumPos = f })
	d.col.Fixed(r, v.n, func(i int, f crdt.Fixed) { parts[i].SumNeg = f })
	d.readRanges(r, parts)

	size, positive := r.Uvarint(), r.Uvarint()
	if r.Err != nil || size > maxParts || positive > size {
		return fmt.Errorf("%w: list of %d buckets, %d positive", errChunk, size, positive)
	}
	list := slices.Clone(d.column(r, 0, int(size)))
	sizes := d.column(r, 0, v.n)
	total := int64(0)
	for _, n := range sizes {
		if n < 0 || n > int64(size) {
			return fmt.Errorf("%w: window of %d buckets, of %d", errChunk, n, size)
		}
		total += n
	}
	if total > maxParts {
		return fmt.Errorf("%w: %d buckets", errChunk, total)
	}
	gaps, counts := d.column(r, 1, int(total)), d.column(r, 2, int(total))
	if r.Err != nil {
		return errChunk
	}
	return setDistributions(parts, v, list, int(positive), sizes, gaps, counts)
}

func (d *decoder) readRanges(r *column.Reader, parts []crdt.DistributionParts) {
	ranged := 0
	for i, f := range d.column(r, 0, len(parts)) {
		if f != 0 && f != 1 {
			r.Err = errChunk
		}
		if parts[i].Ranged = f == 1; parts[i].Ranged {
			ranged++
		}
	}
	d.floats[0] = d.col.Floats(d.floats[0][:0], r, ranged)
	d.floats[1] = d.col.Floats(d.floats[1][:0], r, ranged)
	next := 0
	for i := range parts {
		if parts[i].Ranged {
			parts[i].Least, parts[i].Greatest = d.floats[0][next], d.floats[1][next]
			next++
		}
	}
}

// setDistributions puts together the windows that are wanted.
func setDistributions(parts []crdt.DistributionParts, v valueRange, list []int64, positive int, sizes, gaps, counts []int64) error {
	var scratch crdt.DistributionParts
	for i := range parts {
		n := int(sizes[i])
		value := v.at(i)
		if value == nil {
			gaps, counts = gaps[n:], counts[n:]
			continue
		}
		p := parts[i]
		p.Keys, p.Counts = scratch.Keys[:0], scratch.Counts[:0]
		next := int64(0)
		for j := range n {
			if gaps[j] < 0 || gaps[j] >= int64(len(list))-next {
				return fmt.Errorf("%w: bucket beyond the list", errChunk)
			}
			at := next + gaps[j]
			next = at + 1
			key := list[at]
			if key < 0 || key > math.MaxUint32 {
				return fmt.Errorf("%w: bucket key %d", errChunk, key)
			}
			if int(at) < positive {
				p.Positive++
			}
			p.Keys, p.Counts = append(p.Keys, uint32(key)), append(p.Counts, uint64(counts[j]))
		}
		gaps, counts = gaps[n:], counts[n:]
		x, err := crdt.DistributionOf(p)
		if err != nil {
			return fmt.Errorf("%w: %w", errChunk, err)
		}
		value.X, scratch = x, p
	}
	return nil
}
