package crdt

import (
	"bytes"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/cespare/xxhash/v2"
	"pgregory.net/rapid"
)

// genUniqueIncrement draws an increment of a few values, or of so many that it is dense.
func genUniqueIncrement(t *rapid.T) State {
	u := new(Unique)
	n := rapid.OneOf(rapid.IntRange(0, 20), rapid.IntRange(0, 4_000), rapid.SampledFrom([]int{60_000})).Draw(t, "values")
	r := rand.New(rand.NewPCG(rapid.Uint64Range(0, 7).Draw(t, "seed"), 1))
	for range n {
		u.InsertHash(r.Uint64())
	}
	return u
}

// registersOf returns the ranks of u, whatever its form.
func registersOf(u *Unique) (ranks [uniqueRegisters]uint8) {
	u.each(func(index uint16, rank uint8) { ranks[index] = rank })
	return ranks
}

func TestInsertHash(t *testing.T) {
	for _, c := range []struct {
		hash  uint64
		index uint16
		rank  uint8
	}{
		{0, 0, maxRank},
		{math.MaxUint64, uniqueRegisters - 1, 1},
		{1, 0, maxRank - 1},
		{1 << 49, 0, 1},
		{1 << 50, 1, maxRank},
		{5<<50 | 1<<48, 5, 2},
	} {
		u := new(Unique)
		u.InsertHash(c.hash)
		u.InsertHash(c.hash)
		if want := []register{{index: c.index, rank: c.rank}}; !slices.Equal(u.sparse, want) {
			t.Errorf("hash %#x sets %v, want %v", c.hash, u.sparse, want)
		}
	}
}

// The form in memory shows nowhere: a sparse state and the same one made dense are joined, cut, restricted and
// written alike.
func TestFormsAgree(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := genUniqueIncrement(t).(*Unique), genUniqueIncrement(t).(*Unique)
		want := registersOf(a)
		for i, rank := range registersOf(b) {
			want[i] = max(want[i], rank)
		}
		for _, grown := range [][2]bool{{false, false}, {true, false}, {false, true}, {true, true}} {
			a, b := a.Clone().(*Unique), b.Clone().(*Unique)
			if grown[0] {
				a.grow()
			}
			if grown[1] {
				b.grow()
			}
			d, err := a.Next(b)
			if err != nil {
				t.Fatal(err)
			}
			sum := new(Unique)
			rose, err := a.Join(b, 5, sum, 6)
			if err != nil {
				t.Fatal(err)
			}
			if registersOf(a) != want || registersOf(sum) != registersOf(b) {
				t.Fatal("the join is not the maximum per register")
			}
			delta, tag := a.Delta(4, 5)
			if rose != (delta != nil) || rose && tag != 5 {
				t.Fatalf("rose: %v, but the delta is %v with tag %d", rose, delta, tag)
			}
			if next := registersOf(d.(*Unique)); rose != (next != [uniqueRegisters]uint8{}) {
				t.Fatal("Next names registers that do not rise, or not all that do")
			}
			if again, _ := a.Join(d, 7, nil, 0); again {
				t.Fatal("a register rose twice")
			}
			checkRestrict(t, a, b)
		}
	})
}

func checkRestrict(t *rapid.T, a, b *Unique) {
	t.Helper()
	want := registersOf(a)
	for i, rank := range registersOf(b) {
		if rank == 0 {
			want[i] = 0
		}
	}
	got, ok := a.Restrict(b).(*Unique)
	if ok != (want != [uniqueRegisters]uint8{}) || ok && registersOf(got) != want {
		t.Fatal("Restrict does not keep exactly the registers of its argument")
	}
}

func TestDenseDeltaIsWholeBlocks(t *testing.T) {
	u := new(Unique)
	u.grow()
	u.dense.raise(0, 3, 1)
	u.dense.raise(1, 4, 2)
	u.dense.raise(blockRegisters, 5, 3)
	u.dense.raise(uniqueRegisters-1, 6, 9)
	d, tag := u.Delta(1, 8)
	want := []register{{2, 0, 3}, {2, 1, 4}, {3, blockRegisters, 5}}
	if got := d.(*Unique).sparse; tag != 3 || !slices.Equal(got, want) {
		t.Errorf("delta %v with tag %d, want %v with 3", got, tag, want)
	}
	var stamps []uint64
	u.Stamps(2, func(stamp uint64, _ int) { stamps = append(stamps, stamp) })
	if want := []uint64{3, 9}; !slices.Equal(stamps, want) {
		t.Errorf("stamps %v, want %v", stamps, want)
	}
	if d, _ := u.Delta(9, 20); d != nil {
		t.Errorf("delta of nothing is %v", d)
	}
}

func TestUniqueGrowsWhenDenseIsSmaller(t *testing.T) {
	u := new(Unique)
	for i := range uint64(maxSparse) {
		u.InsertHash(i << 50)
	}
	if u.dense != nil {
		t.Fatalf("dense with %d registers", maxSparse)
	}
	joined := u.Clone().(*Unique)
	more := &Unique{sparse: []register{{index: uniqueRegisters - 1, rank: 1}}}
	if err := joined.Combine(more); err != nil || joined.dense == nil {
		t.Errorf("sparse with %d registers after a join, error %v", maxSparse+1, err)
	}
	u.InsertHash(math.MaxUint64)
	if u.dense == nil {
		t.Errorf("sparse with %d registers", maxSparse+1)
	}
	if !bytes.Equal(u.AppendBinary(nil)[:3], joined.AppendBinary(nil)[:3]) || u.Size() > 20<<10 {
		t.Errorf("a dense state takes %d bytes", u.Size())
	}
}

// The estimate has a standard error of at most 1% (I8) and no bias, at every size.
func TestEstimateError(t *testing.T) {
	const runs, maxLog = 40, 20
	var errs [maxLog + 1][]float64 // per power of two of distinct values
	r := rand.New(rand.NewPCG(20, 26))
	for range runs {
		u := new(Unique)
		next := 1
		for n, log := 1, 0; n <= 1_000_000; n++ {
			u.InsertHash(r.Uint64())
			if n != next {
				continue
			}
			errs[log] = append(errs[log], u.Estimate()/float64(n)-1)
			log++
			next = min(1<<log, 1_000_000)
			if n == 1_000_000 {
				break
			}
		}
	}
	var all, sum float64
	var count int
	for log, es := range errs {
		var squares, mean float64
		for _, e := range es {
			squares += e * e / runs
			mean += e / runs
		}
		rms := math.Sqrt(squares)
		t.Logf("2^%-2d values: rms error %.3f%%, mean %+.3f%%", log, 100*rms, 100*mean)
		// The rms of 40 runs scatters by 1/sqrt(80) = 11% around the true one, the mean by a rms error / sqrt(40).
		if rms > 0.01 {
			t.Errorf("2^%d values: rms error %.3f%%, want at most 1%%", log, 100*rms)
		}
		if math.Abs(mean) > 4*0.0081/math.Sqrt(runs) {
			t.Errorf("2^%d values: mean error %.3f%%: biased", log, 100*mean)
		}
		all, sum, count = all+squares, sum+mean, count+1
	}
	t.Logf("all sizes: rms error %.3f%%, mean %+.3f%%", 100*math.Sqrt(all/float64(count)), 100*sum/float64(count))
}

func TestEstimateOfAUnion(t *testing.T) {
	const origins, each = 10, 20_000 // neighbours share half of their values
	total := new(Unique)
	for o := range origins {
		u := new(Unique)
		for i := range each {
			u.InsertHash(hashOf(o*each/2 + i))
		}
		if err := total.Combine(u); err != nil {
			t.Fatal(err)
		}
		if err := total.AddExcess(u, nil); err != nil {
			t.Fatal(err)
		}
		total.Remove(u)
	}
	want := float64(each/2*(origins-1) + each)
	if got := total.Estimate(); math.Abs(got/want-1) > 0.025 {
		t.Errorf("union of %d values estimated as %.0f", int(want), got)
	}
}

func hashOf(i int) uint64 {
	return xxhash.Sum64([]byte{byte(i), byte(i >> 8), byte(i >> 16), byte(i >> 24)})
}

func TestEstimateExtremes(t *testing.T) {
	if got := new(Unique).Estimate(); got != 0 {
		t.Errorf("nothing is estimated as %v", got)
	}
	u := new(Unique)
	u.InsertHash(1)
	if got := u.Estimate(); math.Abs(got-1) > 1e-4 {
		t.Errorf("one value is estimated as %v", got)
	}
	u.grow()
	for i := range u.dense.ranks {
		u.dense.ranks[i] = maxRank
	}
	if got := u.Estimate(); !math.IsInf(got, 1) {
		t.Errorf("full registers are estimated as %v, want +Inf", got)
	}
	u.dense.ranks[0] = maxRank - 1
	if got := u.Estimate(); got < 1<<63 || math.IsInf(got, 1) {
		t.Errorf("nearly full registers are estimated as %v", got)
	}
}

// TestCoversIsThatNothingRises holds Covers to what a join does, in all forms.
func TestCoversIsThatNothingRises(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := genUniqueIncrement(t).(*Unique), genUniqueIncrement(t).(*Unique)
		if rapid.Bool().Draw(t, "more") { // so that it is often true
			a.merge(b, 0)
		}
		for _, form := range []func(*Unique){func(*Unique) {}, (*Unique).grow} {
			x, y := a.Clone().(*Unique), b.Clone().(*Unique)
			form(x)
			for range 2 {
				joined := x.Clone().(*Unique)
				if got, want := x.Covers(y), !joined.merge(y, 0); got != want {
					t.Fatalf("%d registers cover %d: %v, want %v", x.registers(), y.registers(), got, want)
				}
				y.grow()
			}
		}
	})
}
