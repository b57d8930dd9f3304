package crdt

import (
	"errors"
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"pgregory.net/rapid"
)

// prometheusOf returns what the Prometheus client library makes of the samples at schema 6.
func prometheusOf(t failer, values []float64) *NativeHistogram {
	t.Helper()
	h := prometheus.NewHistogram(prometheus.HistogramOpts{
		Name:                         "h",
		NativeHistogramBucketFactor:  1.0109, // schema 6
		NativeHistogramZeroThreshold: prometheus.NativeHistogramZeroThresholdZero,
	})
	for _, v := range values {
		h.Observe(v)
	}
	var m dto.Metric
	if err := h.Write(&m); err != nil {
		t.Fatalf("write: %v", err)
	}
	p := m.Histogram
	spans := func(in []*dto.BucketSpan) (out []NativeSpan) {
		for _, s := range in {
			if s.GetLength() > 0 {
				out = append(out, NativeSpan{Offset: s.GetOffset(), Length: s.GetLength()})
			}
		}
		return out
	}
	return &NativeHistogram{
		Schema: p.GetSchema(), ZeroThreshold: p.GetZeroThreshold(), Count: p.GetSampleCount(), ZeroCount: p.GetZeroCount(), Sum: p.GetSampleSum(),
		PositiveSpans: spans(p.PositiveSpan), PositiveBuckets: p.PositiveDelta,
		NegativeSpans: spans(p.NegativeSpan), NegativeBuckets: p.NegativeDelta,
	}
}

// The same samples fall into the same buckets here and in Prometheus' own library.
func TestBucketsEqualThoseOfPrometheus(t *testing.T) {
	check := func(t failer, values []float64) {
		t.Helper()
		d := observed(t, values...)
		theirs, err := DistributionFromNative(prometheusOf(t, values))
		if err != nil {
			t.Fatalf("import: %v", err)
		}
		if diff := cmp.Diff(bucketCounts(theirs.positive), bucketCounts(d.positive)); diff != "" {
			t.Fatalf("positive buckets (-prometheus +ours):\n%s", diff)
		}
		if diff := cmp.Diff(bucketCounts(theirs.negative), bucketCounts(d.negative)); diff != "" {
			t.Fatalf("negative buckets (-prometheus +ours):\n%s", diff)
		}
		if theirs.Zeros() != d.Zeros() || theirs.Count() != d.Count() {
			t.Fatalf("%d zeros of %d, prometheus has %d of %d", d.Zeros(), d.Count(), theirs.Zeros(), theirs.Count())
		}
	}
	t.Run("powers of two", func(t *testing.T) {
		for exp := -1074; exp <= 63; exp += 7 {
			v := math.Ldexp(1, exp)
			check(t, []float64{v, -v, math.Nextafter(v, 0), -math.Nextafter(v, 0), math.Nextafter(v, 1<<63)})
		}
	})
	t.Run("beside bounds", func(t *testing.T) {
		const ulps = 0x1p-50 // the bounds in Prometheus' table are up to three units in the last place too low
		for _, b := range significandBounds {
			check(t, []float64{b * (1 + ulps), b * (1 - ulps), -64 * b * (1 + ulps)})
		}
	})
	t.Run("any", func(t *testing.T) {
		rapid.Check(t, func(t *rapid.T) {
			check(t, rapid.SliceOfN(rapid.Custom(genSample), 0, 20).Draw(t, "samples"))
		})
	})
}

// At a power of two, the Prometheus bucket ends: bucket 64k of schema 6 holds 2^k.
func TestNativeAtPowersOfTwo(t *testing.T) {
	for exp := -1074; exp <= 63; exp++ {
		v := math.Ldexp(1, exp)
		h, err := observed(t, v, -v).Native()
		if err != nil {
			t.Fatal(err)
		}
		want := []NativeSpan{{Offset: int32(64 * exp), Length: 1}}
		if !cmp.Equal(h.PositiveSpans, want) || !cmp.Equal(h.NegativeSpans, want) {
			t.Fatalf("2^%d is in %v and %v, want %v", exp, h.PositiveSpans, h.NegativeSpans, want)
		}
		back, err := DistributionFromNative(h)
		if err != nil {
			t.Fatal(err)
		}
		if back.Max() != v || back.Min() != -v {
			t.Fatalf("2^%d came back with the bounds [%v, %v]", exp, back.Min(), back.Max())
		}
	}
}

func TestNativeRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := new(Distribution)
		for range rapid.IntRange(0, 20).Draw(t, "samples") {
			mustObserve(t, d, genSample(t), rapid.Uint64Range(1, 1000).Draw(t, "weight"))
		}
		h, err := d.Native()
		if err != nil {
			t.Fatal(err)
		}
		got, err := DistributionFromNative(h)
		if err != nil {
			t.Fatal(err)
		}
		again, err := got.Native()
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(h, again); diff != "" {
			t.Fatalf("after a round trip (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff(bucketCounts(d.positive), bucketCounts(got.positive)); diff != "" {
			t.Fatalf("positive buckets (-want +got):\n%s", diff)
		}
		if d.Count() > 0 && (got.Min() > d.Min() || got.Max() < d.Max()) {
			t.Fatalf("range [%v, %v] leaves out part of [%v, %v]", got.Min(), got.Max(), d.Min(), d.Max())
		}
	})
}

func TestNativeRefuses(t *testing.T) {
	big := &Distribution{positive: buckets{{key: keyOf(6, 0), count: 1 << 63}}}
	if _, err := big.Native(); !errors.Is(err, ErrRange) {
		t.Errorf("2^63 positive samples: %v, want ErrRange", err)
	}
	big.negative, big.positive = big.positive, nil
	if _, err := big.Native(); !errors.Is(err, ErrRange) {
		t.Errorf("2^63 negative samples: %v, want ErrRange", err)
	}
	span := func(offset int32, length uint32) []NativeSpan { return []NativeSpan{{offset, length}} }
	for _, c := range []struct {
		name string
		h    NativeHistogram
	}{
		{"custom buckets", NativeHistogram{Schema: -53, Count: 1, PositiveSpans: span(0, 1), PositiveBuckets: []int64{1}}},
		{"schema 9", NativeHistogram{Schema: 9}},
		{"overflow bucket", NativeHistogram{Schema: 6, Count: 1, PositiveSpans: span(1024*64+1, 1), PositiveBuckets: []int64{1}}},
		{"span beyond the buckets", NativeHistogram{PositiveSpans: span(0, math.MaxUint32), PositiveBuckets: []int64{1}}},
		{"bucket beyond the spans", NativeHistogram{Count: 1, NegativeBuckets: []int64{1}}},
		{"spans that overlap", NativeHistogram{Count: 2, PositiveSpans: []NativeSpan{{0, 1}, {-1, 1}}, PositiveBuckets: []int64{1, 0}}},
		{"negative count", NativeHistogram{Count: 1, PositiveSpans: span(0, 2), PositiveBuckets: []int64{1, -2}}},
		{"overflowing count", NativeHistogram{Count: 1, PositiveSpans: span(0, 2), PositiveBuckets: []int64{math.MaxInt64, 1}}},
		{"counts that do not agree", NativeHistogram{Count: 2, PositiveSpans: span(0, 1), PositiveBuckets: []int64{1}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if d, err := DistributionFromNative(&c.h); !errors.Is(err, ErrRange) {
				t.Errorf("%v, error %v, want ErrRange", d, err)
			}
		})
	}
	if d, err := DistributionFromNative(&NativeHistogram{Schema: 8, Count: 2, PositiveSpans: span(1, 4), PositiveBuckets: []int64{1, 0, -1, 0}}); err != nil || d.Count() != 2 || len(d.positive) != 1 {
		t.Errorf("schema 8: %v, %v", d, err)
	}
}
