package crdt

import (
	"errors"
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// counted returns a distribution of one bucket.
func counted(index int, n uint64) *Distribution {
	return &Distribution{positive: buckets{{key: keyOf(MaxScale, index), count: n}}, count: n}
}

func TestDistributionTotalsAreBounded(t *testing.T) {
	half := Fixed{Hi: 1 << 63}
	for _, c := range []struct {
		name       string
		total, add *Distribution
	}{
		{"counts", counted(1, math.MaxUint64), counted(2, 1)},
		{"zeros", &Distribution{zero: 1, count: 1}, counted(2, math.MaxUint64)},
		{"sum+", &Distribution{sumPos: half}, &Distribution{sumPos: half}},
		{"sum-", &Distribution{sumNeg: half}, &Distribution{sumNeg: half}},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := string(c.total.AppendBinary(nil))
			if err := c.total.Combine(c.add); !errors.Is(err, ErrLimit) {
				t.Errorf("combine: %v, want ErrLimit", err)
			}
			if err := c.total.AddExcess(c.add, nil); !errors.Is(err, ErrLimit) {
				t.Errorf("add excess: %v, want ErrLimit", err)
			}
			cell := new(Distribution)
			if rose, err := cell.Join(c.add, 1, c.total, 1); rose || !errors.Is(err, ErrLimit) {
				t.Errorf("join with a full sum: %v, %v, want ErrLimit", rose, err)
			}
			if _, err := c.total.Next(c.add); !errors.Is(err, ErrLimit) {
				t.Errorf("next: %v, want ErrLimit", err)
			}
			if string(c.total.AppendBinary(nil)) != before || cell.Count() != 0 {
				t.Error("a refusal changed something")
			}
		})
	}
	// Two copies that no single writer made may be too much for one cell.
	cell := counted(1, math.MaxUint64)
	if rose, err := cell.Join(counted(2, 1), 1, nil, 0); rose || !errors.Is(err, ErrLimit) {
		t.Errorf("join: %v, %v, want ErrLimit", rose, err)
	}
}

func TestNextRefusesWhatDoesNotFitTheCell(t *testing.T) {
	if _, err := counted(1, MaxCellCount).Next(counted(1, 1)); !errors.Is(err, ErrLimit) {
		t.Errorf("2^48 + 1 samples: %v, want ErrLimit", err)
	}
	for _, d := range []*Distribution{{sumPos: MaxCell}, {sumNeg: MaxCell}} {
		if _, err := d.Next(d); !errors.Is(err, ErrLimit) {
			t.Errorf("a sum of 2^65: %v, want ErrLimit", err)
		}
		if _, err := d.Next(counted(1, 1)); err != nil {
			t.Errorf("a full sum refuses a sample of nearly 0: %v", err)
		}
	}
}

// A delta carries the parts that changed, absolute, and nothing else.
func TestDistributionDelta(t *testing.T) {
	cell := written(t, observed(t, 1, 2, -5), observed(t, 2, 0))
	d, tag := cell.Delta(1, 2)
	got := d.(*Distribution)
	if want := (buckets{{key: keyOf(MaxScale, 63), count: 2, stamp: 2}}); tag != 2 || !slices.Equal(got.positive, want) || got.negative != nil {
		t.Errorf("delta of buckets %v, %v with tag %d, want %v", got.positive, got.negative, tag, want)
	}
	if got.zero != 1 || got.Sum().String() != "0" || got.least != -5 || got.greatest != 2 || got.Count() != 3 {
		t.Errorf("delta of scalars %+v", got)
	}
	d, tag = cell.Delta(0, 1)
	if got := d.(*Distribution); tag != 1 || got.hasScalars() || got.Count() != 2 {
		t.Errorf("delta of (0, 1] is %+v with tag %d, want two buckets", got, tag)
	}
	if d, tag := cell.Delta(2, 9); d != nil || tag != 0 {
		t.Errorf("delta of nothing is %v with tag %d", d, tag)
	}
	parts := 0
	cell.Stamps(1, func(stamp uint64, _ int) {
		if stamp != 2 {
			t.Errorf("part with stamp %d", stamp)
		}
		parts++
	})
	if parts != 2 {
		t.Errorf("%d parts changed, want a bucket and the scalars", parts)
	}
}

func TestRestrictToNothing(t *testing.T) {
	d := observed(t, 1, 2)
	if r := d.Restrict(counted(5, 1)); r != nil {
		t.Errorf("restricted to a bucket that it does not have: %+v", r)
	}
	r := d.Restrict(counted(63, 9)).(*Distribution)
	if r.Count() != 1 || r.hasScalars() {
		t.Errorf("restricted to one bucket: %+v", r)
	}
}

// Buckets merge into the right places, wherever the new ones are.
func TestAddBuckets(t *testing.T) {
	of := func(indexes ...int) (out buckets) {
		for _, i := range indexes {
			out = append(out, bucket{key: keyOf(MaxScale, i), count: 1, stamp: 1})
		}
		return out
	}
	for _, c := range []struct{ own, rise, want []int }{
		{nil, []int{1, 2}, []int{1, 2}},
		{[]int{1, 2}, nil, []int{1, 2}},
		{[]int{3, 4}, []int{1, 2}, []int{1, 2, 3, 4}},
		{[]int{1, 2}, []int{3, 4}, []int{1, 2, 3, 4}},
		{[]int{1, 3}, []int{2, 4}, []int{1, 2, 3, 4}},
		{[]int{1, 2, 5}, []int{2, 3, 5, 6}, []int{1, 2, 3, 5, 6}},
	} {
		bs, rise := of(c.own...), of(c.rise...)
		bs.add(rise, bs.spots(nil, rise, nil), 2)
		if len(bs) != len(c.want) {
			t.Fatalf("%v and %v give %v", c.own, c.rise, bs)
		}
		for i, index := range c.want {
			want := bucket{key: keyOf(MaxScale, index), stamp: 1}
			if slices.Contains(c.own, index) {
				want.count++
			}
			if slices.Contains(c.rise, index) {
				want.count++
				want.stamp = 2
			}
			if bs[i] != want {
				t.Errorf("%v and %v give %v at %d, want %v", c.own, c.rise, bs[i], i, want)
			}
		}
	}
}

// TestSpotsOfAnotherStateOnlyHelp: where buckets are in one state says nothing wrong of another, whatever that has.
func TestSpotsOfAnotherStateOnlyHelp(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		draw := func(what string) (out buckets) {
			indexes := rapid.SliceOfNDistinct(rapid.IntRange(-20, 20), 0, 30, rapid.ID[int]).Draw(t, what)
			slices.Sort(indexes)
			for _, i := range indexes {
				out = append(out, bucket{key: keyOf(MaxScale, i), count: 1})
			}
			return out
		}
		own, other, rise := draw("own"), draw("other"), draw("rise")
		if len(rise) == 0 {
			return
		}
		want := own.spots(nil, rise, nil)
		for j := range rise {
			if i, known := own.find(rise[j].key); i != want.index(j) || known != (want[j] >= 0) {
				t.Fatalf("bucket %d of %v in %v: %v", j, rise, own, want)
			}
		}
		if got := own.spots(nil, rise, other.spots(nil, rise, nil)); !slices.Equal(got, want) {
			t.Fatalf("%v in %v beside %v: %v, want %v", rise, own, other, got, want)
		}
	})
}
