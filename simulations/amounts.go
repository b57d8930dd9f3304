package simulations

import (
	"math"

	"meshd/crdt"
)

// magnitudes are the absolute values of the samples that clients observe; zero is one more. None is the bound of a
// bucket, so that the index of its bucket is plain arithmetic and the oracle needs nothing of package crdt.
var magnitudes = [...]float64{1.03, 1.7, 2.9, 3.1, 5.5, 7.3, 11.1, 13.7, 19.9, 29.3, 37.7, 53.9}

const numSamples = 2*len(magnitudes) + 1

// sample returns the value of sample i: zero, then the positive ones, then the negative ones.
func sample(i int) float64 {
	switch {
	case i == 0:
		return 0
	case i <= len(magnitudes):
		return magnitudes[i-1]
	}
	return -magnitudes[i-1-len(magnitudes)]
}

// bucketsOf are the indexes at scale 6 of the magnitudes.
var bucketsOf = func() (out [len(magnitudes)]int32) {
	for i, m := range magnitudes {
		out[i] = int32(math.Ceil(math.Log2(m)*64)) - 1
	}
	return out
}()

// amounts are the parts of a value that are added over origins: P and N of counters and updowns, and of distributions
// the sums and the count of every sample that clients write.
type amounts struct {
	P, N crdt.Fixed
	B    [numSamples]uint64
}

func (a *amounts) add(b *amounts) {
	a.P, _ = a.P.Add(b.P)
	a.N, _ = a.N.Add(b.N)
	for i := range a.B {
		a.B[i] += b.B[i]
	}
}

func (a *amounts) sub(b *amounts) {
	a.P, a.N = a.P.Sub(b.P), a.N.Sub(b.N)
	for i := range a.B {
		a.B[i] -= b.B[i]
	}
}

func (a *amounts) max(b *amounts) {
	a.P, a.N = a.P.Max(b.P), a.N.Max(b.N)
	for i := range a.B {
		a.B[i] = max(a.B[i], b.B[i])
	}
}

func (a *amounts) min(b *amounts) {
	if b.P.Less(a.P) {
		a.P = b.P
	}
	if b.N.Less(a.N) {
		a.N = b.N
	}
	for i := range a.B {
		a.B[i] = min(a.B[i], b.B[i])
	}
}

// within reports whether every part of a is at most that of b.
func (a *amounts) within(b *amounts) bool {
	if b.P.Less(a.P) || b.N.Less(a.N) {
		return false
	}
	for i := range a.B {
		if a.B[i] > b.B[i] {
			return false
		}
	}
	return true
}

// amountsOf returns the additive parts of v. ok is false if v counts a sample that no client ever wrote.
func amountsOf(v *crdt.Value) (a amounts, ok bool) {
	a.P, a.N = v.P, v.N
	d, is := v.X.(*crdt.Distribution)
	if !is {
		return a, true
	}
	a.P, a.N = d.Sum().P, d.Sum().N
	a.B[0] = d.Zeros()
	known := d.Zeros()
	if d.Count() > known {
		for i, at := range bucketsOf {
			pos, neg := d.Fine(false, at), d.Fine(true, at)
			a.B[1+i], a.B[1+i+len(magnitudes)] = pos, neg
			known += pos + neg
		}
	}
	return a, known == d.Count()
}
