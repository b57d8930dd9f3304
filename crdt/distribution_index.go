package crdt

import (
	"math"
	"math/big"

	"github.com/DataDog/sketches-go/ddsketch/mapping"
)

// Scales of buckets. A bucket of scale s and index i holds the magnitudes in (g^i, g^(i+1)] with g = 2^(2^-s): the
// index of an OpenTelemetry exponential histogram, one less than that of a Prometheus native histogram.
const (
	MaxScale = 6  // g = 1.0109: relative error of a quantile at most 0.542%
	MinScale = -4 // g = 65536: the coarsest scale that OpenTelemetry and Prometheus both have
)

const (
	fineSteps = 1 << MaxScale // buckets of scale 6 per power of two

	// Fine indexes of the smallest and the greatest positive float64. Those of coarser scales follow by shifting.
	minFineIndex = -1074*fineSteps - 1
	maxFineIndex = 1024*fineSteps - 1
)

// significandBounds[j] is the greatest float64 up to 2^(j/64), so that comparing with it is comparing with the bound
// itself. It is computed in extended precision, since the last bit of math.Exp2 differs between architectures.
var significandBounds = func() (bounds [fineSteps + 1]float64) {
	const bits = 160
	step := new(big.Float).SetPrec(bits).SetInt64(2)
	for range MaxScale {
		step.Sqrt(step)
	}
	b := new(big.Float).SetPrec(bits).SetInt64(1)
	for j := range bounds {
		bounds[j], _ = new(big.Float).SetPrec(53).SetMode(big.ToZero).Set(b).Float64()
		b.Mul(b, step)
	}
	return bounds
}()

// logarithmic is DDSketch's mapping (Masson et al., "DDSketch", VLDB 2019) for gamma = 2^(1/64). Its constructor
// fails only for a gamma of 1 or less.
var logarithmic, _ = mapping.NewLogarithmicMappingWithGamma(significandBounds[1], 0)

// fineIndex returns the index of v, positive and finite, at scale 6.
//
// DDSketch's mapping alone is not enough: its buckets include the lower bound, and the rounding of the logarithm
// moves values beside a bound into the neighbouring bucket, the more so the further v is from 1. So it sees only the
// significand, where it is off by one at most, and the table of bounds has the last word. The exponent is exact,
// for subnormal values too.
func fineIndex(v float64) int {
	half, exp := math.Frexp(v)
	m := 2 * half
	return (exp-1)*fineSteps + significandIndex(m, logarithmic.Index(m))
}

// significandIndex returns the index of m, in [1, 2), given a guess that is off by one at most.
func significandIndex(m float64, guess int) int {
	j := min(max(guess, 0), fineSteps-1)
	if m <= significandBounds[j] {
		return j - 1
	}
	if m > significandBounds[j+1] {
		return j + 1
	}
	return j
}

// bucketBounds returns the bounds of bucket index at scale: magnitudes in (lower, upper]. Bounds beyond the float64
// range are 0 or +Inf.
func bucketBounds(scale, index int) (lower, upper float64) {
	return boundTimes(1, scale, index), boundTimes(1, scale, index+1)
}

// boundTimes returns f times the lower bound of bucket index at scale, rounded once.
func boundTimes(f float64, scale, index int) float64 {
	fine := index << (MaxScale - scale)
	return math.Ldexp(f*significandBounds[fine&(fineSteps-1)], fine>>MaxScale)
}

// bucketKey names a bucket: the scale in the upper bits, finest first, then the index, ascending. So sorted keys
// are grouped by scale.
type bucketKey uint32

const (
	indexBits = 18 // the fine indexes span 134,273 values
	indexBias = 1 << (indexBits - 1)
)

func keyOf(scale, index int) bucketKey {
	return bucketKey(uint32(MaxScale-scale)<<indexBits | uint32(index+indexBias))
}

func (k bucketKey) rank() int  { return int(k >> indexBits) } // 0 is the finest scale
func (k bucketKey) scale() int { return MaxScale - k.rank() }
func (k bucketKey) index() int { return int(k&(1<<indexBits-1)) - indexBias }

// at returns the bucket of the coarser (or equal) scale that contains k. A pair of upper-inclusive buckets
// (2j, 2j+1) makes bucket j of the next scale, for negative indexes too.
func (k bucketKey) at(scale int) bucketKey { return keyOf(scale, k.index()>>(k.scale()-scale)) }

// validBucket reports whether some float64 lies in bucket index of scale.
func validBucket(scale, index int) bool {
	if scale < MinScale || scale > MaxScale {
		return false
	}
	shift := MaxScale - scale
	return index >= minFineIndex>>shift && index <= maxFineIndex>>shift
}
