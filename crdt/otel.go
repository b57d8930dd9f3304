package crdt

import (
	"fmt"
	"math"
)

// ExponentialHistogram is the data of one point of an OpenTelemetry exponential histogram, with a zero threshold of
// 0. (opentelemetry-proto, metrics.proto, ExponentialHistogramDataPoint.)
type ExponentialHistogram struct {
	Scale              int32
	Count, ZeroCount   uint64
	Sum                float64
	Min, Max           float64 // NaN if unknown
	Positive, Negative ExponentialBuckets
}

// ExponentialBuckets are the counts of adjacent buckets by ascending magnitude. Counts[i] is that of magnitudes in
// (g^(Offset+i), g^(Offset+i+1)], g = 2^(2^-Scale).
type ExponentialBuckets struct {
	Offset int32
	Counts []uint64
}

// Exponential returns d as an OpenTelemetry histogram of its coarsest scale in use: at scale 6 nothing is lost
// but what lies below the precision of a float64 sum. At scale 6 a sign spans at most 134,273 buckets.
func (d *Distribution) Exponential() *ExponentialHistogram {
	scale := d.Scale()
	return &ExponentialHistogram{
		Scale: int32(scale), Count: d.count, ZeroCount: d.zero, Sum: d.Sum().Float64(), Min: d.Min(), Max: d.Max(),
		Positive: d.positive.exponential(scale), Negative: d.negative.exponential(scale),
	}
}

func (bs buckets) exponential(scale int) ExponentialBuckets {
	if len(bs) == 0 {
		return ExponentialBuckets{}
	}
	bs = bs.folded(scale)
	first := bs[0].key
	out := ExponentialBuckets{Offset: int32(first.index()), Counts: make([]uint64, bs[len(bs)-1].key-first+1)}
	for _, b := range bs {
		out.Counts[b.key-first] = b.count
	}
	return out
}

// DistributionFromExponential returns h as an increment. Scales finer than 6 are folded to 6, others are kept. A sum
// of samples of both signs becomes part of sum+ or sum- as a whole: their difference is right. An unknown minimum
// or maximum becomes the outer bound of the outermost bucket. ErrRange: a scale, index or sum that a Distribution
// cannot hold, or counts that do not agree.
func DistributionFromExponential(h *ExponentialHistogram) (*Distribution, error) {
	d := &Distribution{zero: h.ZeroCount}
	for _, side := range [...]struct {
		into *buckets
		from *ExponentialBuckets
	}{{&d.positive, &h.Positive}, {&d.negative, &h.Negative}} {
		for i, n := range side.from.Counts {
			if err := side.into.importBucket(h.Scale, int64(side.from.Offset)+int64(i), n); err != nil {
				return nil, err
			}
		}
	}
	if err := d.finishImport(h.Count, h.Sum, h.Min, h.Max); err != nil {
		return nil, err
	}
	return d, nil
}

// importBucket counts n samples in a bucket of another histogram. Calls come by ascending index.
func (bs *buckets) importBucket(scale int32, index int64, n uint64) error {
	if n == 0 {
		return nil
	}
	if scale > MaxScale {
		index >>= scale - MaxScale
		scale = MaxScale
	}
	if index != int64(int32(index)) || !validBucket(int(scale), int(index)) {
		return fmt.Errorf("crdt: %w: histogram bucket %d of scale %d", ErrRange, index, scale)
	}
	k := keyOf(int(scale), int(index))
	if last := len(*bs) - 1; last >= 0 && (*bs)[last].key == k {
		b := &(*bs)[last]
		if b.count+n < n {
			return fmt.Errorf("crdt: %w: histogram bucket %d with 2^64 samples", ErrRange, index)
		}
		b.count += n
		return nil
	}
	*bs = append(*bs, bucket{key: k, count: n})
	return nil
}

// finishImport sets what follows from the buckets and zeros, and checks it against what the other histogram says.
func (d *Distribution) finishImport(count uint64, sum, least, greatest float64) error {
	if !d.recount() || d.count != count {
		return fmt.Errorf("crdt: %w: histogram of %d samples with %d in its buckets", ErrRange, count, d.count)
	}
	amount, err := FixedFromFloat(math.Abs(sum))
	if err != nil {
		return fmt.Errorf("crdt: %w: histogram with sum %v", ErrRange, sum)
	}
	if sum > 0 {
		d.sumPos = amount
	} else {
		d.sumNeg = amount
	}
	if count > 0 {
		lowest, highest := d.outermost()
		least, greatest = within(least, lowest[0], lowest[1]), within(greatest, highest[1], highest[0])
		d.widen(min(least, greatest), max(least, greatest))
	}
	return nil
}

// outermost returns the bounds of the lowest and of the highest bucket, zeros included; d is not empty.
func (d *Distribution) outermost() (lowest, highest [2]float64) {
	var all [][2]float64 // ascending
	if neg := d.negative; len(neg) > 0 {
		a, b := neg[len(neg)-1].key.bounds(), neg[0].key.bounds()
		all = append(all, [2]float64{-a[1], -a[0]}, [2]float64{-b[1], -b[0]})
	}
	if d.zero > 0 {
		all = append(all, [2]float64{})
	}
	if pos := d.positive; len(pos) > 0 {
		all = append(all, pos[0].key.bounds(), pos[len(pos)-1].key.bounds())
	}
	return all[0], all[len(all)-1]
}

// bounds returns the magnitudes between which the samples of bucket k lie, finite.
func (k bucketKey) bounds() [2]float64 {
	lower, upper := bucketBounds(k.scale(), k.index())
	return [2]float64{lower, min(upper, math.MaxFloat64)}
}

// within returns v moved between the bounds outer and inner, outer if v is NaN. A range that left samples outside
// would cut quantiles.
func within(v, outer, inner float64) float64 {
	if math.IsNaN(v) {
		v = outer
	}
	return min(max(v, min(outer, inner)), max(outer, inner)) + 0 // not -0
}
