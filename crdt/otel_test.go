package crdt

import (
	"errors"
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
	metrics "go.opentelemetry.io/proto/otlp/metrics/v1"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"
)

// overOTLP sends h through the bytes of the OpenTelemetry protocol.
func overOTLP(t failer, h *ExponentialHistogram) *ExponentialHistogram {
	t.Helper()
	b, err := proto.Marshal(&metrics.ExponentialHistogramDataPoint{
		Scale: h.Scale, Count: h.Count, ZeroCount: h.ZeroCount, Sum: &h.Sum, Min: &h.Min, Max: &h.Max,
		Positive: &metrics.ExponentialHistogramDataPoint_Buckets{Offset: h.Positive.Offset, BucketCounts: h.Positive.Counts},
		Negative: &metrics.ExponentialHistogramDataPoint_Buckets{Offset: h.Negative.Offset, BucketCounts: h.Negative.Counts},
	})
	if err != nil {
		t.Fatalf("marshal: %v", err)
	}
	var p metrics.ExponentialHistogramDataPoint
	if err := proto.Unmarshal(b, &p); err != nil {
		t.Fatalf("unmarshal: %v", err)
	}
	return &ExponentialHistogram{
		Scale: p.Scale, Count: p.Count, ZeroCount: p.ZeroCount, Sum: p.GetSum(), Min: p.GetMin(), Max: p.GetMax(),
		Positive: ExponentialBuckets{Offset: p.Positive.Offset, Counts: p.Positive.BucketCounts},
		Negative: ExponentialBuckets{Offset: p.Negative.Offset, Counts: p.Negative.BucketCounts},
	}
}

func TestExponentialRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := new(Distribution)
		for range rapid.IntRange(0, 20).Draw(t, "samples") {
			mustObserve(t, d, genSample(t), rapid.Uint64Range(1, 1000).Draw(t, "weight"))
		}
		got, err := DistributionFromExponential(overOTLP(t, d.Exponential()))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(bucketCounts(d.positive), bucketCounts(got.positive)); diff != "" {
			t.Fatalf("positive buckets (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff(bucketCounts(d.negative), bucketCounts(got.negative)); diff != "" {
			t.Fatalf("negative buckets (-want +got):\n%s", diff)
		}
		if got.Count() != d.Count() || got.Zeros() != d.Zeros() {
			t.Fatalf("%d samples with %d zeros, want %d with %d", got.Count(), got.Zeros(), d.Count(), d.Zeros())
		}
		if got.Sum().Float64() != d.Sum().Float64() {
			t.Fatalf("sum %s, want %s", got.Sum(), d.Sum())
		}
		if d.Count() > 0 && (got.Min() != d.Min() || got.Max() != d.Max()) {
			t.Fatalf("range [%v, %v], want [%v, %v]", got.Min(), got.Max(), d.Min(), d.Max())
		}
	})
}

// At a power of two, the OpenTelemetry bucket ends: offset 64k - 1 of scale 6 holds 2^k.
func TestExponentialAtPowersOfTwo(t *testing.T) {
	for exp := -1074; exp <= 63; exp++ {
		d := observed(t, math.Ldexp(1, exp), -math.Ldexp(1, exp))
		h := d.Exponential()
		want := ExponentialBuckets{Offset: int32(64*exp - 1), Counts: []uint64{1}}
		if diff := cmp.Diff([]ExponentialBuckets{want, want}, []ExponentialBuckets{h.Positive, h.Negative}); diff != "" {
			t.Fatalf("2^%d (-want +got):\n%s", exp, diff)
		}
		h.Min, h.Max = math.NaN(), math.NaN()
		back, err := DistributionFromExponential(h)
		if err != nil {
			t.Fatal(err)
		}
		if back.Max() != math.Ldexp(1, exp) || back.Min() != -math.Ldexp(1, exp) {
			t.Fatalf("2^%d came back with the bounds [%v, %v]", exp, back.Min(), back.Max())
		}
	}
}

func TestExponentialOfSeveralScales(t *testing.T) {
	d := &Distribution{
		positive: buckets{{key: keyOf(6, 4), count: 1}, {key: keyOf(6, 9), count: 2}, {key: keyOf(5, -2), count: 4}, {key: keyOf(5, 2), count: 8}},
		negative: buckets{{key: keyOf(6, -1), count: 3}},
	}
	d.recount()
	h := d.Exponential()
	if want := (ExponentialBuckets{Offset: -2, Counts: []uint64{4, 0, 0, 0, 9, 0, 2}}); h.Scale != 5 || !cmp.Equal(h.Positive, want) {
		t.Errorf("positive %v at scale %d, want %v at 5", h.Positive, h.Scale, want)
	}
	if want := (ExponentialBuckets{Offset: -1, Counts: []uint64{3}}); !cmp.Equal(h.Negative, want) {
		t.Errorf("negative %v, want %v", h.Negative, want)
	}
}

func TestDistributionFromExponential(t *testing.T) {
	nan := math.NaN()
	for _, c := range []struct {
		name     string
		h        ExponentialHistogram
		err      error
		positive buckets
		min, max float64
		sum      string
	}{
		{name: "empty", h: ExponentialHistogram{Min: nan, Max: nan}, min: nan, max: nan, sum: "0"},
		{
			name:     "coarse scale is kept",
			h:        ExponentialHistogram{Scale: 0, Count: 3, Sum: 9, Min: 1.5, Max: 4, Positive: ExponentialBuckets{Counts: []uint64{1, 2}}},
			positive: buckets{{key: keyOf(0, 0), count: 1}, {key: keyOf(0, 1), count: 2}}, min: 1.5, max: 4, sum: "9",
		},
		{
			name:     "fine scale is folded",
			h:        ExponentialHistogram{Scale: 8, Count: 6, Sum: 6, Min: nan, Max: nan, Positive: ExponentialBuckets{Offset: -2, Counts: []uint64{1, 2, 3}}},
			positive: buckets{{key: keyOf(6, -1), count: 3}, {key: keyOf(6, 0), count: 3}}, min: significandBounds[63] / 2, max: significandBounds[1], sum: "6",
		},
		{
			name: "unknown range of both signs",
			h:    ExponentialHistogram{Count: 3, ZeroCount: 1, Sum: -6, Min: nan, Max: nan, Negative: ExponentialBuckets{Offset: 1, Counts: []uint64{1, 0, 1}}},
			min:  -16, max: 0, sum: "-6",
		},
		{
			name:     "range that contradicts the buckets",
			h:        ExponentialHistogram{Count: 1, Sum: 3, Min: 7, Max: -7, Positive: ExponentialBuckets{Offset: 1, Counts: []uint64{1}}},
			positive: buckets{{key: keyOf(0, 1), count: 1}}, min: 4, max: 2, sum: "3",
		},
		{
			name:     "greatest bucket",
			h:        ExponentialHistogram{Scale: 6, Count: 1, Min: nan, Max: nan, Positive: ExponentialBuckets{Offset: maxFineIndex, Counts: []uint64{1}}},
			positive: buckets{{key: keyOf(6, maxFineIndex), count: 1}}, min: math.Ldexp(significandBounds[63], 1023), max: math.MaxFloat64, sum: "0",
		},
		{name: "scale too coarse", h: ExponentialHistogram{Scale: -5, Count: 1, Positive: ExponentialBuckets{Counts: []uint64{1}}}, err: ErrRange},
		{name: "index too high", h: ExponentialHistogram{Scale: 0, Count: 1, Positive: ExponentialBuckets{Offset: 1024, Counts: []uint64{1}}}, err: ErrRange},
		{name: "index beyond 32 bits", h: ExponentialHistogram{Count: 1, Negative: ExponentialBuckets{Offset: math.MaxInt32, Counts: []uint64{0, 1}}}, err: ErrRange},
		{name: "2^64 in a folded bucket", h: ExponentialHistogram{Scale: 7, Count: 0, Positive: ExponentialBuckets{Counts: []uint64{math.MaxUint64, 1}}}, err: ErrRange},
		{name: "2^64 in all", h: ExponentialHistogram{Count: 0, Positive: ExponentialBuckets{Counts: []uint64{math.MaxUint64, 1}}}, err: ErrRange},
		{name: "counts that do not agree", h: ExponentialHistogram{Count: 2, Positive: ExponentialBuckets{Counts: []uint64{1}}}, err: ErrRange},
		{name: "infinite sum", h: ExponentialHistogram{Count: 1, ZeroCount: 1, Sum: math.Inf(1)}, err: ErrRange},
		{name: "sum that is not a number", h: ExponentialHistogram{Count: 1, ZeroCount: 1, Sum: nan}, err: ErrRange},
	} {
		t.Run(c.name, func(t *testing.T) {
			d, err := DistributionFromExponential(&c.h)
			if !errors.Is(err, c.err) {
				t.Fatalf("error %v, want %v", err, c.err)
			}
			if err != nil {
				return
			}
			if !cmp.Equal([]bucket(d.positive), []bucket(c.positive), cmp.AllowUnexported(bucket{})) {
				t.Errorf("buckets %v, want %v", d.positive, c.positive)
			}
			same := func(a, b float64) bool { return a == b || math.IsNaN(a) && math.IsNaN(b) }
			if !same(d.Min(), min(c.min, c.max)) || !same(d.Max(), max(c.min, c.max)) || d.Sum().String() != c.sum {
				t.Errorf("range [%v, %v], sum %s, want [%v, %v], %s", d.Min(), d.Max(), d.Sum(), c.min, c.max, c.sum)
			}
		})
	}
}
