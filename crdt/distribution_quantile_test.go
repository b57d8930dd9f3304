package crdt

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// quantileError is promise I8: the relative error of a quantile at scale 6.
const quantileError = 0.0055

var sources = map[string]func(r *rand.Rand) float64{
	"latencies": func(r *rand.Rand) float64 { return math.Exp(r.NormFloat64()*1.5 - 3) },
	"uniform":   func(r *rand.Rand) float64 { return r.Float64() * 1000 },
	"integers":  func(r *rand.Rand) float64 { return float64(r.IntN(1 << 12)) },
	"signed":    func(r *rand.Rand) float64 { return r.NormFloat64() * 1e6 },
	"powers":    func(r *rand.Rand) float64 { return math.Ldexp(1, r.IntN(24)-12) },
	"tail":      func(r *rand.Rand) float64 { return math.Pow(r.Float64(), -2) },
}

func TestQuantilesOfManyOrigins(t *testing.T) {
	const origins, perOrigin = 20, 2_000
	for name, draw := range sources {
		t.Run(name, func(t *testing.T) {
			r := rand.New(rand.NewPCG(1, 2))
			var raw []float64
			total, shuffled := new(Distribution), make([]*Distribution, 0, origins)
			for range origins {
				inc := new(Distribution)
				for range perOrigin {
					v := draw(r)
					raw = append(raw, v)
					mustObserve(t, inc, v, 1)
				}
				shuffled = append(shuffled, written(t, inc))
			}
			for _, i := range r.Perm(origins) {
				if err := total.Combine(shuffled[i]); err != nil {
					t.Fatal(err)
				}
			}
			slices.Sort(raw)
			checkQuantiles(t, total, raw, quantileError)
			if total.Scale() != MaxScale {
				t.Errorf("scale %d", total.Scale())
			}
		})
	}
}

// checkQuantiles compares quantiles with those of the sorted samples.
func checkQuantiles(t *testing.T, d *Distribution, sorted []float64, bound float64) {
	t.Helper()
	for _, q := range []float64{0, 0.001, 0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.999, 1} {
		want := sorted[int(q*float64(len(sorted)-1))]
		got, _ := d.Quantile(q)
		if want == 0 && got != 0 || math.Abs(got-want) > bound*math.Abs(want) {
			t.Errorf("quantile %v is %v, want %v (off by %.4f%%)", q, got, want, 100*(got-want)/want)
		}
	}
	if d.Min() != sorted[0] || d.Max() != sorted[len(sorted)-1] {
		t.Errorf("range [%v, %v], want [%v, %v]", d.Min(), d.Max(), sorted[0], sorted[len(sorted)-1])
	}
}

// Samples over 50 powers of two fill scale 6. The answer says that it is coarser, and keeps that scale's bound.
func TestQuantilesOverSeveralScales(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	inc := new(Distribution)
	var raw []float64
	for range 50_000 {
		v := math.Exp2(r.Float64()*50 - 10)
		raw = append(raw, v)
		mustObserve(t, inc, v, 1)
	}
	cell := written(t, inc)
	before := cell.AppendBinary(nil)
	slices.Sort(raw)
	checkQuantiles(t, cell, raw, 0.0109) // (g-1)/(g+1) at scale 5
	if _, scale := cell.Quantile(0.5); scale != 5 || cell.Scale() != 5 {
		t.Errorf("the answer says scale %d, the cell %d, want 5", scale, cell.Scale())
	}
	if string(cell.AppendBinary(nil)) != string(before) {
		t.Error("reading changed the state")
	}
	// The other side of zero is not concerned.
	mustObserve(t, cell, -7, 1)
	if v, scale := cell.Quantile(0); scale != MaxScale || math.Abs(v+7) > 7*quantileError {
		t.Errorf("lowest sample %v at scale %d, want about -7 at 6", v, scale)
	}
}

func TestQuantileEdges(t *testing.T) {
	d := new(Distribution)
	if v, scale := d.Quantile(0.5); !math.IsNaN(v) || scale != MaxScale {
		t.Errorf("quantile of nothing is %v at scale %d", v, scale)
	}
	mustObserve(t, d, -3, 1)
	mustObserve(t, d, 0, 2)
	mustObserve(t, d, 5, 1)
	for _, c := range []struct{ q, want float64 }{{0, -3}, {0.4, 0}, {0.6, 0}, {1, 5}} {
		if v, _ := d.Quantile(c.q); math.Abs(v-c.want) > quantileError*math.Abs(c.want) {
			t.Errorf("quantile %v is %v, want %v", c.q, v, c.want)
		}
	}
	for _, q := range []float64{-0.1, 1.1, math.NaN()} {
		if v, _ := d.Quantile(q); !math.IsNaN(v) {
			t.Errorf("quantile %v is %v, want NaN", q, v)
		}
	}
	huge := &Distribution{zero: math.MaxUint64, count: math.MaxUint64}
	if v, _ := huge.Quantile(1); v != 0 {
		t.Errorf("quantile 1 of 2^64-1 zeros is %v", v)
	}
	extremes := new(Distribution)
	mustObserve(t, extremes, math.SmallestNonzeroFloat64, 1)
	mustObserve(t, extremes, 1<<63, 1)
	if v, _ := extremes.Quantile(0); v != math.SmallestNonzeroFloat64 {
		t.Errorf("quantile 0 is %v, want the smallest float64", v)
	}
	if v, _ := extremes.Quantile(1); math.Abs(v/(1<<63)-1) > quantileError {
		t.Errorf("quantile 1 is %v, want 2^63", v)
	}
}

func TestBucketErrorAtEveryScale(t *testing.T) {
	for scale := MinScale; scale <= MaxScale; scale++ {
		g := math.Exp2(math.Ldexp(1, -scale))
		want := (g - 1) / (g + 1)
		for index := -3; index <= 3; index++ {
			l, u := bucketBounds(scale, index)
			m := bucketMiddle(scale, index)
			if math.Abs((m-l)/l-want) > 1e-9*g || math.Abs((u-m)/u-want) > 1e-9 {
				t.Errorf("bucket %d of scale %d: [%v, %v] read as %v, want error %v", index, scale, l, u, m, want)
			}
		}
	}
}
