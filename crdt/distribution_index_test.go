package crdt

import (
	"math"
	"math/big"
	"math/bits"
	"testing"

	"pgregory.net/rapid"
)

// exactIndex computes the fine index of v in integers: v is in (2^(i/64), 2^((i+1)/64)] exactly when v^64 is in
// (2^i, 2^(i+1)].
func exactIndex(v float64) int {
	b := math.Float64bits(v)
	m, e := b&(1<<52-1), int(b>>52)
	if e == 0 {
		e = 1
	} else {
		m |= 1 << 52
	}
	power := new(big.Int).Exp(new(big.Int).SetUint64(m), big.NewInt(64), nil)
	log := power.BitLen() // the logarithm of power, rounded up, unless power is a power of two
	if bits.OnesCount64(m) == 1 {
		log--
	}
	return log - 1 + 64*(e-1075)
}

func TestIndexAtPowersOfTwo(t *testing.T) {
	for exp := -1074; exp <= 1023; exp++ {
		v := math.Ldexp(1, exp)
		if got, want := fineIndex(v), 64*exp-1; got != want {
			t.Fatalf("index of 2^%d is %d, want %d: the upper bound is included", exp, got, want)
		}
		if above := math.Nextafter(v, math.Inf(1)); fineIndex(above) != exactIndex(above) {
			t.Fatalf("index above 2^%d is %d, want %d", exp, fineIndex(above), exactIndex(above))
		}
		if below := math.Nextafter(v, 0); below > 0 && fineIndex(below) != exactIndex(below) {
			t.Fatalf("index below 2^%d is %d, want %d", exp, fineIndex(below), exactIndex(below))
		}
	}
	if got := fineIndex(math.MaxFloat64); got != maxFineIndex {
		t.Errorf("index of the greatest float64 is %d, want %d", got, maxFineIndex)
	}
	if got := fineIndex(math.SmallestNonzeroFloat64); got != minFineIndex {
		t.Errorf("index of the smallest float64 is %d, want %d", got, minFineIndex)
	}
}

func TestIndexIsExactBesideBounds(t *testing.T) {
	for j, bound := range significandBounds {
		for _, exp := range []int{-1022, -300, -1, 0, 1, 300, 1022} {
			v := math.Ldexp(bound, exp)
			if got, want := fineIndex(v), 64*exp+j-1; got != want {
				t.Errorf("index of bound 2^(%d/64) 2^%d is %d, want %d", j, exp, got, want)
			}
			for _, v := range []float64{math.Nextafter(v, 0), v, math.Nextafter(v, math.Inf(1))} {
				if fineIndex(v) != exactIndex(v) {
					t.Errorf("index of %v beside bound %d is %d, want %d", v, j, fineIndex(v), exactIndex(v))
				}
			}
		}
	}
}

func TestIndexOfAnyFloat(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := math.Float64frombits(rapid.Uint64Range(1, math.Float64bits(math.MaxFloat64)).Draw(t, "bits"))
		if fineIndex(v) != exactIndex(v) {
			t.Fatalf("index of %v is %d, want %d", v, fineIndex(v), exactIndex(v))
		}
		for scale := MinScale; scale <= MaxScale; scale++ {
			k := keyOf(MaxScale, fineIndex(v)).at(scale)
			if k.scale() != scale || !validBucket(scale, k.index()) {
				t.Fatalf("key of %v at scale %d has scale %d, index %d", v, scale, k.scale(), k.index())
			}
			if b := k.bounds(); v < b[0] || v > b[1] {
				t.Fatalf("%v is in the bucket %v of scale %d", v, b, scale)
			}
		}
	})
}

// TestMappingNeedsCorrection keeps the reason for the table of bounds: without it DDSketch's mapping puts powers of
// two, and values beside them, into the wrong bucket.
func TestMappingNeedsCorrection(t *testing.T) {
	wrong := 0
	for exp := -1022; exp <= 1023; exp++ {
		above := math.Nextafter(math.Ldexp(1, exp), math.Inf(1))
		if logarithmic.Index(above) != exactIndex(above) {
			wrong++
		}
	}
	if wrong == 0 {
		t.Error("DDSketch's mapping is right beside every power of two: fineIndex can be simplified")
	}
	t.Logf("%d of 2046 values above a power of two are in the wrong bucket", wrong)
}

// Whichever way an architecture rounds the logarithm, the index is the same.
func TestIndexDoesNotDependOnTheGuess(t *testing.T) {
	for j, bound := range significandBounds[:fineSteps] {
		for _, m := range []float64{bound, math.Nextafter(bound, 2)} {
			want := exactIndex(m)
			for guess := want - 1; guess <= want+1; guess++ {
				if got := significandIndex(m, guess); got != want {
					t.Errorf("index of %v beside bound %d is %d, want %d (guessed %d)", m, j, got, want, guess)
				}
			}
		}
	}
}

func TestValidBucket(t *testing.T) {
	for _, c := range []struct {
		scale, index int
		want         bool
	}{
		{6, 0, true},
		{6, maxFineIndex, true},
		{6, maxFineIndex + 1, false},
		{6, minFineIndex, true},
		{6, minFineIndex - 1, false},
		{0, 1023, true},
		{0, 1024, false},
		{0, -1075, true},
		{0, -1076, false},
		{-4, 63, true},
		{-4, 64, false},
		{-5, 0, false},
		{7, 0, false},
	} {
		if got := validBucket(c.scale, c.index); got != c.want {
			t.Errorf("bucket %d of scale %d is valid: %v, want %v", c.index, c.scale, got, c.want)
		}
	}
}
