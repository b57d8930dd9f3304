package crdt

import (
	"math"
	"math/rand/v2"
	"testing"
)

// latencies returns n samples that fill about a hundred buckets.
func latencies(n int) []float64 {
	r := rand.New(rand.NewPCG(5, 6))
	out := make([]float64, n)
	for i := range out {
		out[i] = math.Exp2(-4 + 100.0/64*r.Float64())
	}
	return out
}

func TestObserveDoesNotAllocate(t *testing.T) {
	d, values := new(Distribution), latencies(10_000)
	for _, v := range values {
		mustObserve(t, d, v, 1)
	}
	i := 0
	if n := testing.AllocsPerRun(1000, func() {
		mustObserve(t, d, values[i], 1)
		i++
	}); n != 0 {
		t.Errorf("%v allocations per sample", n)
	}
}

func TestJoinDoesNotAllocateOnceBucketsAreOpen(t *testing.T) {
	d, sum := observed(t, latencies(1000)...), new(Distribution)
	cell := new(Distribution)
	if _, err := cell.Join(d, 1, sum, 1); err != nil {
		t.Fatal(err)
	}
	values := latencies(1000)
	i := 0
	if n := testing.AllocsPerRun(100, func() {
		mustObserve(t, d, values[i], 1)
		i++
		if rose, err := cell.Join(d, 1, sum, 1); !rose || err != nil {
			t.Errorf("rose: %v, error %v", rose, err)
		}
	}); n != 0 {
		t.Errorf("%v allocations per join", n)
	}
}

func BenchmarkObserve(b *testing.B) {
	d, values := new(Distribution), latencies(1<<12)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if err := d.Observe(values[i&(1<<12-1)], 1); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkFineIndex(b *testing.B) {
	values := latencies(1 << 12)
	sum := 0
	for i := 0; b.Loop(); i++ {
		sum += fineIndex(values[i&(1<<12-1)])
	}
	if sum == 0 {
		b.Error("all indexes are 0")
	}
}

// versions returns two states of a cell of about a hundred buckets: the second has more in every bucket.
func versions(b *testing.B) [2]*Distribution {
	first := observed(b, latencies(10_000)...)
	second := first.Clone().(*Distribution)
	if err := second.Combine(first); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(len(first.positive)), "buckets")
	return [2]*Distribution{first, second}
}

// BenchmarkDistributionJoin joins a delta in which every bucket rose to a cell, with a running sum.
func BenchmarkDistributionJoin(b *testing.B) {
	v := versions(b)
	cells := make([]*Distribution, 1024)
	sum := new(Distribution)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		at := i & (len(cells) - 1)
		if at == 0 {
			b.StopTimer()
			for j := range cells {
				cells[j] = v[0].Clone().(*Distribution)
			}
			sum = v[0].Clone().(*Distribution)
			b.StartTimer()
		}
		if rose, err := cells[at].Join(v[1], 2, sum, 2); !rose || err != nil {
			b.Fatal(rose, err)
		}
	}
}

func BenchmarkDistributionJoinNothingNew(b *testing.B) {
	v := versions(b)
	for b.Loop() {
		if rose, err := v[1].Join(v[0], 2, nil, 0); rose || err != nil {
			b.Fatal(rose, err)
		}
	}
}

func BenchmarkDistributionParse(b *testing.B) {
	raw := versions(b)[1].AppendBinary(nil)
	b.ReportAllocs()
	b.SetBytes(int64(len(raw)))
	for b.Loop() {
		if _, err := parseDistribution(raw, 1); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDistributionNext(b *testing.B) {
	v := versions(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := v[1].Next(v[0]); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDistributionAppend(b *testing.B) {
	v := versions(b)
	var buf []byte
	for b.Loop() {
		buf = v[1].AppendBinary(buf[:0])
	}
	b.SetBytes(int64(len(buf)))
}

func BenchmarkQuantile(b *testing.B) {
	v := versions(b)
	b.ReportAllocs()
	for b.Loop() {
		if q, _ := v[1].Quantile(0.99); math.IsNaN(q) {
			b.Fatal(q)
		}
	}
}
