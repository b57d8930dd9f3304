package history

import (
	"encoding/binary"
	"fmt"
	"slices"

	"meshd/crdt"
	"meshd/internal/column"
)

// Columns of an observed series:
//
//	uvarint  runs of sources anywhere in the chunk; a blob column of the sources; a column of their starts
//	how many samples each window has; for each the runs of that list left out before it; its time less the window's start; the
//	values, as a column of amounts
//
// A source that is scraped by one node is one run, and its name stands there once.

func (e *encoder) appendObserved(dst []byte, points []Point) []byte {
	type run struct {
		source string
		start  int64
	}
	used := make(map[run]int)
	for i := range points {
		for s := range points[i].Value.X.(*crdt.Observed).Samples() {
			used[run{s.Source, s.Start}] = 0
		}
	}
	list := make([]run, 0, len(used))
	for r := range used {
		list = append(list, r)
	}
	slices.SortFunc(list, func(a, b run) int {
		return compareRuns(crdt.Sample{Source: a.source, Start: a.start}, crdt.Sample{Source: b.source, Start: b.start})
	})
	dst = binary.AppendUvarint(dst, uint64(len(list)))
	e.bytes, e.ends, e.ints[0] = e.bytes[:0], e.ends[:0], e.ints[0][:0]
	for i, r := range list {
		used[r] = i
		e.bytes = append(e.bytes, r.source...)
		e.ends, e.ints[0] = append(e.ends, len(e.bytes)), append(e.ints[0], r.start)
	}
	dst = e.col.Ints(e.col.Blobs(dst, e.bytes, e.ends), e.ints[0])

	sizes, gaps, times := e.ints[0][:0], e.ints[1][:0], e.ints[2][:0]
	e.fixed = e.fixed[:0]
	for i := range points {
		next, n := 0, int64(0)
		for s := range points[i].Value.X.(*crdt.Observed).Samples() {
			at := used[run{s.Source, s.Start}]
			gaps, times = append(gaps, int64(at-next)), append(times, s.Time-points[i].Window.Start)
			e.fixed = append(e.fixed, s.Value)
			next = at + 1
			n++
		}
		sizes = append(sizes, n)
	}
	e.ints = [3][]int64{sizes, gaps, times}
	return e.col.Fixed(e.col.Ints(e.col.Ints(e.col.Ints(dst, sizes), gaps), times), e.fixed)
}

func compareRuns(a, b crdt.Sample) int {
	switch {
	case a.Source != b.Source && a.Source < b.Source, a.Source == b.Source && a.Start < b.Start:
		return -1
	case a.Source == b.Source && a.Start == b.Start:
		return 0
	}
	return 1
}

func (d *decoder) readObserved(r *column.Reader, v valueRange) error {
	size := r.Uvarint()
	if r.Err != nil || size > crdt.MaxJoinedRuns {
		return fmt.Errorf("%w: %d runs", errChunk, size)
	}
	list := make([]crdt.Sample, size)
	all, ends := d.col.Blobs(r, int(size))
	if r.Err != nil {
		return fmt.Errorf("%w: sources", errChunk)
	}
	last := 0
	for i, end := range ends {
		list[i].Source = string(all[last:end])
		last = end
	}
	for i, start := range d.column(r, 0, int(size)) {
		list[i].Start = start
	}
	sizes := d.column(r, 0, v.n)
	total := int64(0)
	for _, n := range sizes {
		if n < 0 || n > int64(size) {
			return fmt.Errorf("%w: window of %d samples, of %d", errChunk, n, size)
		}
		total += n
	}
	if total > maxParts {
		return fmt.Errorf("%w: %d samples", errChunk, total)
	}
	gaps, times := d.column(r, 1, int(total)), d.column(r, 2, int(total))
	values := make([]crdt.Fixed, total)
	d.col.Fixed(r, int(total), func(i int, f crdt.Fixed) { values[i] = f })
	if r.Err != nil {
		return errChunk
	}
	return setObserved(v, list, sizes, gaps, times, values)
}

// setObserved puts together the windows that are wanted.
func setObserved(v valueRange, list []crdt.Sample, sizes, gaps, times []int64, values []crdt.Fixed) error {
	for i, n := range sizes {
		value := v.at(i)
		if value != nil {
			x := new(crdt.Observed)
			next := int64(0)
			for j := range n {
				if gaps[j] < 0 || gaps[j] >= int64(len(list))-next {
					return fmt.Errorf("%w: run beyond the list", errChunk)
				}
				at := next + gaps[j]
				next = at + 1
				s := list[at]
				s.Time, s.Value = v.points[i-v.low].Window.Start+times[j], values[j]
				if err := x.Put(s); err != nil {
					return fmt.Errorf("%w: %w", errChunk, err)
				}
			}
			value.X = x
		}
		gaps, times, values = gaps[n:], times[n:], values[n:]
	}
	return nil
}
