package crdt

import (
	"errors"
	"math"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// genSample draws samples of any sign and magnitude up to 2^50, of which a cell holds thousands, with exact bounds and
// their neighbours among them.
func genSample(t *rapid.T) float64 {
	bound := rapid.Custom(func(t *rapid.T) float64 {
		return math.Ldexp(1, rapid.IntRange(-1074, 50).Draw(t, "exponent"))
	})
	magnitude := rapid.OneOf(
		rapid.SampledFrom([]float64{0, 1, 1.5, 100}),
		rapid.Float64Range(1e-3, 1e3),
		rapid.Float64Range(0, 1<<50),
		bound,
		rapid.Map(bound, func(v float64) float64 { return math.Nextafter(v, 0) }),
	).Draw(t, "magnitude")
	if rapid.Bool().Draw(t, "negative") {
		return -magnitude
	}
	return magnitude
}

// genDistributionIncrement draws an increment of a few samples, now and then one that fills a scale.
func genDistributionIncrement(t *rapid.T) State {
	d := new(Distribution)
	for range rapid.IntRange(0, 8).Draw(t, "samples") {
		mustObserve(t, d, genSample(t), rapid.Uint64Range(1, 3).Draw(t, "weight"))
	}
	if rapid.IntRange(0, 9).Draw(t, "wide") == 0 {
		first := rapid.IntRange(-3000, 0).Draw(t, "first")
		for i := range rapid.IntRange(1500, 3000).Draw(t, "buckets") {
			mustObserve(t, d, bucketMiddle(MaxScale, first+i), 1)
		}
	}
	return d
}

func mustObserve(t failer, d *Distribution, v float64, weight uint64) {
	t.Helper()
	if err := d.Observe(v, weight); err != nil {
		t.Fatalf("observe %v: %v", v, err)
	}
}

// written returns the cell of a writer that committed increments one by one.
func written(t failer, incs ...State) *Distribution {
	t.Helper()
	cell := new(Distribution)
	for i, inc := range incs {
		d, err := cell.Next(inc)
		if err != nil {
			t.Fatalf("next: %v", err)
		}
		if _, err := cell.Join(d, uint64(i+1), nil, 0); err != nil {
			t.Fatalf("join: %v", err)
		}
	}
	return cell
}

func TestObserve(t *testing.T) {
	for _, c := range []struct {
		name   string
		v      float64
		weight uint64
		err    error
		count  uint64
		sum    string
	}{
		{"one", 1, 1, nil, 1, "1"},
		{"negative", -2.5, 1, nil, 1, "-2.5"},
		{"zero", 0, 3, nil, 3, "0"},
		{"minus zero", math.Copysign(0, -1), 1, nil, 1, "0"},
		{"weighted", 0.25, 10, nil, 10, "2.5"},
		{"no weight", 7, 0, nil, 0, "0"},
		{"below the resolution of sums", 1e-300, 1, nil, 1, "0"},
		{"greatest", 1 << 63, 1, nil, 1, "9223372036854775808"},
		{"greatest sum", 1 << 63, 2, nil, 2, "18446744073709551616"},
		{"greatest weight", 1, MaxCellCount, nil, MaxCellCount, "281474976710656"},
		{"sum too great", 1 << 63, 3, ErrRange, 0, "0"},
		{"sum beyond a Fixed", 1 << 63, math.MaxUint64, ErrRange, 0, "0"},
		{"weight too great", 1, MaxCellCount + 1, ErrLimit, 0, "0"},
		{"value too great", math.Nextafter(1<<63, math.Inf(1)), 1, ErrRange, 0, "0"},
		{"NaN", math.NaN(), 1, ErrRange, 0, "0"},
		{"infinite", math.Inf(1), 1, ErrRange, 0, "0"},
		{"minus infinite", math.Inf(-1), 0, ErrRange, 0, "0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := new(Distribution)
			if err := d.Observe(c.v, c.weight); !errors.Is(err, c.err) {
				t.Fatalf("error %v, want %v", err, c.err)
			}
			if d.Count() != c.count || d.Sum().String() != c.sum {
				t.Errorf("count %d, sum %s, want %d, %s", d.Count(), d.Sum(), c.count, c.sum)
			}
			if c.count == 0 {
				if !math.IsNaN(d.Min()) || !math.IsNaN(d.Max()) {
					t.Errorf("range of nothing is [%v, %v]", d.Min(), d.Max())
				}
				return
			}
			if d.Min() != c.v || d.Max() != c.v || c.v == 0 && math.Signbit(d.Min()) {
				t.Errorf("range [%v, %v], want %v twice", d.Min(), d.Max(), c.v)
			}
		})
	}
}

func TestObserveRefusesWhatDoesNotFitTheCell(t *testing.T) {
	d := new(Distribution)
	mustObserve(t, d, 1<<63, 1)
	mustObserve(t, d, 1<<62, 2)
	before := d.AppendBinary(nil)
	if err := d.Observe(1, 1); !errors.Is(err, ErrLimit) {
		t.Fatalf("sum above 2^64: %v, want ErrLimit", err)
	}
	mustObserve(t, d, -1, MaxCellCount-3)
	if err := d.Observe(-1, 1); !errors.Is(err, ErrLimit) {
		t.Fatalf("more than 2^48 samples: %v, want ErrLimit", err)
	}
	d.Remove(&Distribution{sumNeg: d.sumNeg, negative: d.negative})
	d.least = 1 << 62
	if after := d.AppendBinary(nil); string(after) != string(before) {
		t.Errorf("refused samples changed %x to %x", before, after)
	}
}

// The sketch is, bucket by bucket, what the raw samples say, whichever way they were grouped into increments.
func TestBucketsEqualAnOracle(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		positive, negative := make(map[bucketKey]uint64), make(map[bucketKey]uint64)
		var zeros, n uint64
		cell, inc := new(Distribution), new(Distribution)
		commit := func() {
			d, err := cell.Next(inc)
			if err != nil {
				t.Fatalf("next: %v", err)
			}
			if _, err := cell.Join(d, 1, nil, 0); err != nil {
				t.Fatalf("join: %v", err)
			}
			inc = new(Distribution)
		}
		for range rapid.IntRange(0, 60).Draw(t, "samples") {
			v := genSample(t)
			mustObserve(t, inc, v, 1)
			n++
			switch {
			case v == 0:
				zeros++
			case v < 0:
				negative[keyOf(MaxScale, exactIndex(-v))]++
			default:
				positive[keyOf(MaxScale, exactIndex(v))]++
			}
			if rapid.Bool().Draw(t, "commit") {
				commit()
			}
		}
		commit()
		if diff := cmp.Diff(positive, bucketCounts(cell.positive)); diff != "" {
			t.Errorf("positive buckets (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff(negative, bucketCounts(cell.negative)); diff != "" {
			t.Errorf("negative buckets (-want +got):\n%s", diff)
		}
		if cell.Zeros() != zeros || cell.Count() != n {
			t.Errorf("%d zeros of %d samples, want %d of %d", cell.Zeros(), cell.Count(), zeros, n)
		}
	})
}

func TestNewBucketsOpenAtACoarserScale(t *testing.T) {
	const extra = 100
	inc := new(Distribution)
	for i := range maxBuckets + extra {
		mustObserve(t, inc, bucketMiddle(MaxScale, i-1000), 1)
	}
	inNext := new(Distribution)
	for i := range maxBuckets + extra {
		one := new(Distribution)
		mustObserve(t, one, bucketMiddle(MaxScale, i-1000), 1)
		d, err := inNext.Next(one)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := inNext.Join(d, 1, nil, 0); err != nil {
			t.Fatal(err)
		}
	}
	for name, d := range map[string]*Distribution{"observed": inc, "committed at once": written(t, inc), "one by one": inNext} {
		scales := make(map[int]int)
		for _, b := range d.positive {
			scales[b.key.scale()]++
		}
		if scales[6] != maxBuckets || scales[5] != extra/2 || len(scales) != 2 {
			t.Errorf("%s: buckets per scale %v, want %d at 6 and %d at 5", name, scales, maxBuckets, extra/2)
		}
		if d.Scale() != 5 || d.Count() != maxBuckets+extra {
			t.Errorf("%s: scale %d of %d samples", name, d.Scale(), d.Count())
		}
	}
	// An open bucket keeps counting where it is.
	again := new(Distribution)
	mustObserve(t, again, bucketMiddle(MaxScale, -1000), 5)
	d, err := inNext.Next(again)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := d.(*Distribution).positive, (buckets{{key: keyOf(MaxScale, -1000), count: 6}}); !slices.Equal(got, want) {
		t.Errorf("next of an open bucket is %v, want %v", got, want)
	}
}

func TestAFullScaleNeverBlocks(t *testing.T) {
	d := new(Distribution)
	for i := minFineIndex; i <= fineIndex(1<<40); i++ {
		mustObserve(t, d, max(bucketMiddle(MaxScale, i), math.SmallestNonzeroFloat64), 1)
	}
	perScale := make(map[int]int)
	for _, b := range d.positive {
		perScale[b.key.scale()]++
	}
	for scale, n := range perScale {
		if n > maxBuckets {
			t.Errorf("%d buckets at scale %d", n, scale)
		}
	}
	if len(perScale) < 6 || d.Count() != uint64(fineIndex(1<<40)-minFineIndex+1) {
		t.Errorf("%d samples in %v", d.Count(), perScale)
	}
}

// Cells at the limit obey the laws too: replicas of their deltas meet in the same bytes, and totals over origins are
// their sum, in any order.
func TestLawsAtTheLimit(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var cells [2]*Distribution
		var replicas [2]Distribution
		sum, combined := new(Distribution), new(Distribution)
		for i := range cells {
			cells[i] = written(t, genDistributionIncrement(t), genDistributionIncrement(t), genDistributionIncrement(t))
			if err := combined.Combine(cells[i]); err != nil {
				t.Fatal(err)
			}
		}
		type piece struct{ origin, seq int }
		pieces := []piece{{0, 1}, {0, 2}, {0, 3}, {1, 1}, {1, 2}, {1, 3}, {0, 1}, {1, 2}}
		for _, p := range rapid.Permutation(pieces).Draw(t, "order") {
			d, tag := cells[p.origin].Delta(uint64(p.seq-1), uint64(p.seq))
			if d == nil {
				continue
			}
			got, err := parseDistribution(d.AppendBinary(nil), tag)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := replicas[p.origin].Join(got, tag, sum, 9); err != nil {
				t.Fatal(err)
			}
		}
		for i := range cells {
			if string(replicas[i].AppendBinary(nil)) != string(cells[i].AppendBinary(nil)) {
				t.Fatalf("replica %d differs from its cell", i)
			}
		}
		if string(sum.AppendBinary(nil)) != string(combined.AppendBinary(nil)) {
			t.Fatalf("running sum of %d samples, want %d", sum.Count(), combined.Count())
		}
		sum.Remove(cells[0])
		if sum.Count() != cells[1].Count() || sum.Sum() != cells[1].Sum() {
			t.Fatalf("%d samples are left, want %d", sum.Count(), cells[1].Count())
		}
	})
}

func TestFineCountsTheSamplesOfABucket(t *testing.T) {
	d := observed(t, 1, 1, -1, 3, 0)
	for _, row := range []struct {
		negative bool
		index    int32
		want     uint64
	}{{false, -1, 2}, {true, -1, 1}, {false, 101, 1}, {false, 102, 0}, {true, 101, 0}, {false, 1 << 30, 0}, {false, -1 << 31, 0}} {
		if got := d.Fine(row.negative, row.index); got != row.want {
			t.Errorf("%d samples in bucket %d, negative %v, want %d", got, row.index, row.negative, row.want)
		}
	}
}
