package crdt

import (
	"fmt"
	"slices"

	"meshd/internal/mutant"
)

var (
	errFullCell  = fmt.Errorf("crdt: %w: a distribution cell holds at most 2^48 samples and sums of 2^64", ErrLimit)
	errFullTotal = fmt.Errorf("crdt: %w: a distribution total holds less than 2^64 samples and sums below 2^80", ErrLimit)
)

// usualBuckets is how many buckets a delta rarely exceeds: their rises are computed on the stack.
const usualBuckets = 128

// scalarBytes is the encoded size of the scalars, about.
const scalarBytes = 24

// Join implements State: the maximum per bucket and scalar, the minimum for the least sample.
func (d *Distribution) Join(o State, stamp uint64, sum State, sumStamp uint64) (bool, error) {
	var scratch [usualBuckets]bucket
	var spot [usualBuckets]int32
	in := o.(*Distribution)
	if mutant.On("halved before the maximum") {
		in = in.halved()
	}
	rise, at := in.excess(d, scratch[:0], spot[:0])
	if rise.count == 0 && mutant.On("sketch added twice") {
		rise = *in
		at = d.spots(nil, in, nil)
	}
	if rise.count == 0 && !rise.hasScalars() {
		return false, nil
	}
	if !d.fits(&rise) {
		return false, errFullTotal
	}
	if sum != nil {
		total := sum.(*Distribution)
		if !total.fits(&rise) {
			return false, errFullTotal
		}
		var spot [usualBuckets]int32
		total.addAt(&rise, total.spots(spot[:0], &rise, at), sumStamp)
	}
	if mutant.On("part stamps ignored") {
		stamp = 1
	}
	d.addAt(&rise, at, stamp)
	return true, nil
}

// excess returns max(0, d-part) of each additive part, the buckets in scratch while they fit, and d's range if it is
// not within part's; and, in at, where the buckets of both signs are in part.
func (d *Distribution) excess(part *Distribution, scratch buckets, at spots) (Distribution, spots) {
	var out Distribution
	out.positive, at = d.positive.excess(scratch, at, part.positive)
	out.negative, at = d.negative.excess(out.positive[len(out.positive):], at, part.negative)
	out.zero = d.zero - min(d.zero, part.zero)
	out.sumPos, out.sumNeg = d.sumPos.Sub(part.sumPos), d.sumNeg.Sub(part.sumNeg)
	if d.ranged && !(part.ranged && part.least <= d.least && part.greatest >= d.greatest) {
		out.ranged, out.least, out.greatest = true, d.least, d.greatest
	}
	out.recount()
	return out, at
}

// recount sets count and reports whether it is below 2^64.
func (d *Distribution) recount() bool {
	n, ok1 := d.positive.total(d.zero)
	n, ok2 := d.negative.total(n)
	d.count = n
	return ok1 && ok2
}

// fits reports whether rise can be added: no count is above the count of all samples.
func (d *Distribution) fits(rise *Distribution) bool {
	_, ok1 := d.sumPos.Add(rise.sumPos)
	_, ok2 := d.sumNeg.Add(rise.sumNeg)
	return ok1 && ok2 && d.count+rise.count >= d.count
}

// add adds the additive parts of rise, which fits, and widens the range. It stamps nothing and keeps no reference to rise.
func (d *Distribution) add(rise *Distribution) {
	var spot [usualBuckets]int32
	d.addAt(rise, d.spots(spot[:0], rise, nil), 0)
}

// spots appends where the buckets of both signs of rise are in d. near says where they are in another state, or nothing.
func (d *Distribution) spots(at spots, rise *Distribution, near spots) spots {
	n := min(len(rise.positive), len(near))
	return d.negative.spots(d.positive.spots(at, rise.positive, near[:n]), rise.negative, near[n:])
}

// addAt adds rise where at says that its buckets are in d, and stamps what rose.
func (d *Distribution) addAt(rise *Distribution, at spots, stamp uint64) {
	n := len(rise.positive)
	d.positive.add(rise.positive, at[:n], stamp)
	d.negative.add(rise.negative, at[n:], stamp)
	d.count += rise.count
	// A total's range may contain that of rise already.
	rose := rise.ranged && d.widen(rise.least, rise.greatest)
	if rose || rise.zero != 0 || !rise.sumPos.IsZero() || !rise.sumNeg.IsZero() {
		d.zero += rise.zero
		d.sumPos, _ = d.sumPos.Add(rise.sumPos)
		d.sumNeg, _ = d.sumNeg.Add(rise.sumNeg)
		d.stamp = max(d.stamp, stamp)
	}
}

// Next implements State. New buckets are opened at a coarser scale where the limit is reached.
func (d *Distribution) Next(inc State) (State, error) {
	i := inc.(*Distribution)
	if !d.fits(i) || d.count+i.count > MaxCellCount {
		return nil, errFullCell
	}
	out := &Distribution{
		positive: d.positive.next(i.positive),
		negative: d.negative.next(i.negative),
	}
	if i.hasScalars() {
		out.zero = d.zero + i.zero
		out.sumPos, _ = d.sumPos.Add(i.sumPos)
		out.sumNeg, _ = d.sumNeg.Add(i.sumNeg)
		for _, s := range [...]*Distribution{d, i} {
			if s.ranged {
				out.widen(s.least, s.greatest)
			}
		}
	}
	if MaxCell.Less(out.sumPos) || MaxCell.Less(out.sumNeg) {
		return nil, errFullCell
	}
	out.recount()
	return out, nil
}

// Delta implements State. The scalars are one part.
func (d *Distribution) Delta(from, to uint64) (State, uint64) {
	var out Distribution
	var tagNeg, tag uint64
	out.positive, tag = d.positive.changed(from, to)
	out.negative, tagNeg = d.negative.changed(from, to)
	tag = max(tag, tagNeg)
	if d.stamp > from && d.stamp <= to && d.hasScalars() {
		out.setScalars(d)
		tag = max(tag, d.stamp)
	}
	if tag == 0 {
		return nil, 0
	}
	out.recount()
	return &out, tag
}

// setScalars copies the scalars of o and their stamp.
func (d *Distribution) setScalars(o *Distribution) {
	d.zero, d.sumPos, d.sumNeg, d.stamp = o.zero, o.sumPos, o.sumNeg, o.stamp
	d.ranged, d.least, d.greatest = o.ranged, o.least, o.greatest
}

// Stamps implements State.
func (d *Distribution) Stamps(from uint64, f func(stamp uint64, size int)) {
	const size = 3 // gap and count
	for _, bs := range [...]buckets{d.positive, d.negative} {
		for _, b := range bs {
			if b.stamp > from {
				f(b.stamp, size)
			}
		}
	}
	if d.stamp > from && d.hasScalars() {
		f(d.stamp, scalarBytes)
	}
}

// Restrict implements State.
func (d *Distribution) Restrict(o State) State {
	p := o.(*Distribution)
	out := &Distribution{positive: d.positive.restrict(p.positive), negative: d.negative.restrict(p.negative)}
	if p.hasScalars() {
		out.setScalars(d)
	}
	out.recount()
	if out.count == 0 && !out.hasScalars() {
		return nil
	}
	return out
}

// Combine implements State. ErrLimit: nothing was changed.
func (d *Distribution) Combine(o State) error {
	p := o.(*Distribution)
	if !d.fits(p) {
		return errFullTotal
	}
	d.add(p)
	return nil
}

// AddExcess implements State. ErrLimit: nothing was changed.
func (d *Distribution) AddExcess(own, part State) error {
	o, p := own.(*Distribution), new(Distribution)
	if part != nil {
		p = part.(*Distribution)
	}
	var scratch [usualBuckets]bucket
	var spot [usualBuckets]int32
	rise, _ := o.excess(p, scratch[:0], spot[:0]) // where they are in p says nothing of d
	rise.ranged, rise.least, rise.greatest = o.ranged, o.least, o.greatest
	if !d.fits(&rise) {
		return errFullTotal
	}
	d.add(&rise)
	return nil
}

// Remove implements State. The range stays: it can only be too wide then.
func (d *Distribution) Remove(o State) {
	p := o.(*Distribution)
	d.positive.remove(p.positive)
	d.negative.remove(p.negative)
	d.zero -= min(d.zero, p.zero)
	d.sumPos, d.sumNeg = d.sumPos.Sub(p.sumPos), d.sumNeg.Sub(p.sumNeg)
	d.recount()
}

// Clone implements State.
func (d *Distribution) Clone() State {
	out := *d
	out.positive, out.negative = slices.Clone(d.positive), slices.Clone(d.negative)
	return &out
}

// Size implements State.
func (d *Distribution) Size() int {
	const header = 144
	return header + bucketBytes*(cap(d.positive)+cap(d.negative))
}
