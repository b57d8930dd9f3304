package crdt

import "math"

// Quantile returns the sample of rank floor(q (n-1)), counted from 0 in ascending order, with a relative error of at
// most (g-1)/(g+1), g = 2^(2^-scale): 0.542% at MaxScale. The scale that the answer used is coarser than MaxScale if
// buckets on its side of zero are; finer ones were then folded into them, the state unchanged. The error bound holds
// down to the smallest normal float64. NaN: there is no sample, or q is not in [0, 1].
func (d *Distribution) Quantile(q float64) (value float64, scale int) {
	if d.count == 0 || !(q >= 0 && q <= 1) {
		return math.NaN(), MaxScale
	}
	rank := d.count - 1
	if r := q * float64(rank); r < float64(rank) {
		rank = uint64(r)
	}
	below, _ := d.negative.total(0)
	switch {
	case rank < below:
		value, scale = d.negative.magnitude(below - 1 - rank)
		value = -value
	case rank-below < d.zero:
		return 0, MaxScale
	default:
		value, scale = d.positive.magnitude(rank - below - d.zero)
	}
	if d.ranged {
		value = min(max(value, d.least), d.greatest)
	}
	return value, scale
}

// magnitude estimates the magnitude of the given rank, below the number of samples, among those of one sign.
func (bs buckets) magnitude(rank uint64) (value float64, scale int) {
	scale = bs.coarsest()
	bs = bs.folded(scale)
	for rank >= bs[0].count {
		rank -= bs[0].count
		bs = bs[1:]
	}
	return bucketMiddle(scale, bs[0].key.index()), scale
}

// bucketMiddle returns the value whose relative error is the same for both bounds l and u of a bucket: 2lu/(l+u).
func bucketMiddle(scale, index int) float64 {
	gamma := math.Exp2(math.Ldexp(1, -scale))
	return boundTimes(2*gamma/(gamma+1), scale, index)
}
