package crdt

import (
	"fmt"
	"math"
)

// MaxCellCount is how many samples the cell of one writer counts at most. A total, below 2^64, has room for 65,536
// full cells.
const MaxCellCount = 1 << 48

// Distribution is a histogram of base-2 exponential buckets, a DDSketch that is at the same time an OpenTelemetry
// exponential histogram of scale 6 and a Prometheus native histogram of schema 6.
//
// Its parts are the buckets of each sign, keyed (scale, index), and the scalars: the count of zeros, the sums of
// positive and of absolute negative samples, the least and the greatest sample. A bucket never moves to another
// scale, since halving before a max is not associative. Instead a writer whose cell holds 2,048 buckets of a sign
// and scale opens new ones at the next coarser scale; the open ones keep counting. Halving happens on reads only.
// Totals over origins hold the union of their buckets: were they limited too, two hubs could count one sample in
// different buckets, and a reader that takes the maximum per bucket would count it twice.
//
// The zero value is empty. A Distribution is not safe for concurrent use.
type Distribution struct {
	positive, negative buckets // by magnitude

	zero           uint64
	sumPos, sumNeg Fixed
	ranged         bool // least and greatest are set
	least          float64
	greatest       float64
	stamp          uint64 // of the scalars

	count uint64 // all samples: zero and the counts of all buckets
}

// Observe adds weight samples of value v to an increment. It does not allocate once the buckets are open.
//
// ErrRange: v is NaN, infinite or beyond 2^63, or v times weight is beyond 2^64. ErrLimit: the increment would hold
// more than a cell may. In both cases nothing is changed. A weight of 0 changes nothing.
func (d *Distribution) Observe(v float64, weight uint64) error {
	amount, err := FixedFromFloat(math.Abs(v))
	if err != nil {
		return fmt.Errorf("crdt: %w: sample %v, want -2^63 to 2^63", ErrRange, v)
	}
	if weight == 0 {
		return nil
	}
	amount, ok := amount.MulUint(weight)
	if !ok || MaxCell.Less(amount) {
		return fmt.Errorf("crdt: %w: sample %v with weight %d, want at most 2^64", ErrRange, v, weight)
	}
	side, sum := &d.positive, &d.sumPos
	if v < 0 {
		side, sum = &d.negative, &d.sumNeg
	}
	total, _ := sum.Add(amount) // below 2^80: d.sum and amount are at most 2^64
	if MaxCell.Less(total) || weight > MaxCellCount || d.count > MaxCellCount-weight {
		return errFullCell
	}
	*sum = total
	d.count += weight
	if v == 0 {
		v = 0 // not -0
		d.zero += weight
	} else {
		side.observe(keyOf(MaxScale, fineIndex(math.Abs(v))), weight)
	}
	d.widen(v, v)
	return nil
}

// widen extends the range of samples to include least and greatest, and reports whether it did not before.
func (d *Distribution) widen(least, greatest float64) bool {
	if d.ranged && d.least <= least && d.greatest >= greatest {
		return false
	}
	if d.ranged {
		least, greatest = min(d.least, least), max(d.greatest, greatest)
	}
	d.ranged, d.least, d.greatest = true, least, greatest
	return true
}

// hasScalars reports whether any scalar differs from bottom.
func (d *Distribution) hasScalars() bool {
	return d.ranged || d.zero != 0 || !d.sumPos.IsZero() || !d.sumNeg.IsZero()
}

// Count returns the number of samples.
func (d *Distribution) Count() uint64 { return d.count }

// Zeros returns the number of samples that were 0.
func (d *Distribution) Zeros() uint64 { return d.zero }

// Sum returns the sum of all samples, each rounded once to 2^-48.
func (d *Distribution) Sum() Net { return Net{P: d.sumPos, N: d.sumNeg} }

// Min returns the least sample, NaN if there is none.
func (d *Distribution) Min() float64 {
	if !d.ranged {
		return math.NaN()
	}
	return d.least
}

// Max returns the greatest sample, NaN if there is none.
func (d *Distribution) Max() float64 {
	if !d.ranged {
		return math.NaN()
	}
	return d.greatest
}

// Fine returns how many samples of one sign lie in the bucket of an index at MaxScale.
func (d *Distribution) Fine(negative bool, index int32) uint64 {
	side := d.positive
	if negative {
		side = d.negative
	}
	if !validBucket(MaxScale, int(index)) {
		return 0
	}
	return side.get(keyOf(MaxScale, int(index)))
}

// Scale returns the coarsest scale in use, at which all buckets can be read: MaxScale unless the samples of some
// writer span more than 2,048 buckets or came in coarser ones.
func (d *Distribution) Scale() int { return min(d.positive.coarsest(), d.negative.coarsest()) }
