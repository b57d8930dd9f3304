package column

import (
	"bytes"
	"encoding/hex"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func readInts(t interface{ Fatalf(string, ...any) }, b []byte, n int) []int64 {
	var d Decoder
	r := Reader{B: b}
	got := d.Ints(nil, &r, n)
	if r.Err != nil || len(r.B) > 0 {
		t.Fatalf("%d bytes left, %v", len(r.B), r.Err)
	}
	return got
}

func TestIntsComeBack(t *testing.T) {
	edge := []int64{math.MinInt64, math.MaxInt64, 0, -1, 1, 127, 128, 255, 1 << 62, -1 << 62}
	rapid.Check(t, func(t *rapid.T) {
		value := rapid.OneOf(rapid.Int64(), rapid.SampledFrom(edge), rapid.Int64Range(-100, 100),
			rapid.Map(rapid.Int64Range(0, 1000), func(v int64) int64 { return 4096 * v }))
		if rapid.Bool().Draw(t, "calm") {
			value = rapid.Int64Range(0, 300)
		}
		values := rapid.SliceOfN(value, 0, 200).Draw(t, "values")
		var e Encoder
		b := e.Ints(nil, values)
		if got := readInts(t, b, len(values)); !slices.Equal(got, values) {
			t.Fatalf("got %v, want %v", got, values)
		}
		if again := e.Ints(nil, values); !bytes.Equal(again, b) {
			t.Fatal("the same values took other bytes with a used encoder")
		}
	})
}

// Golden bytes: what is on a disk must stay readable.
func TestIntsGolden(t *testing.T) {
	walk := make([]int64, 64)
	rnd := rand.New(rand.NewPCG(1, 2))
	for i := 1; i < len(walk); i++ {
		walk[i] = walk[i-1] + rnd.Int64N(3) - 1
	}
	for _, row := range []struct {
		name   string
		values []int64
		want   string
	}{
		{"one", []int64{7}, "000e00"},
		{"equal", []int64{7, 7, 7, 7}, "000e00"},
		{"line", []int64{1000, 2000, 3000, 4000}, "11e807d00f02"},
		{"packed", []int64{1, 0, 3, 2, 200}, "050209010c04600c"},
		{"walk", walk, "050002a20505865251a88284866220aa142a20"},
	} {
		t.Run(row.name, func(t *testing.T) {
			var e Encoder
			if got := hex.EncodeToString(e.Ints(nil, row.values)); got != row.want {
				t.Errorf("got %s, want %s", got, row.want)
			}
		})
	}
}

func TestMalformedColumnsAreRefused(t *testing.T) {
	var e Encoder
	rnd := rand.New(rand.NewPCG(1, 2))
	values := make([]int64, 500)
	for i := range values {
		values[i] = rnd.Int64N(1000)
	}
	whole := e.Ints(nil, values)
	for cut := range whole {
		var d Decoder
		r := Reader{B: whole[:cut]}
		if d.Ints(nil, &r, len(values)); !errors.Is(r.Err, ErrBytes) {
			t.Fatalf("%d of %d bytes were read as a column: %v", cut, len(whole), r.Err)
		}
	}
}

func FuzzInts(f *testing.F) {
	var e Encoder
	f.Add(e.Ints(nil, []int64{1, 2, 3, 1000, -5}), 5)
	f.Add(e.Ints(nil, make([]int64, 100)), 100)
	f.Fuzz(func(t *testing.T, b []byte, n int) {
		if n < 0 || n > 10_000 {
			return
		}
		var d Decoder
		r := Reader{B: b}
		values := d.Ints(nil, &r, n)
		if len(values) != n {
			t.Fatalf("%d values, want %d", len(values), n)
		}
		if r.Err != nil {
			return
		}
		var e Encoder
		if got := readInts(t, e.Ints(nil, values), n); !slices.Equal(got, values) {
			t.Fatal("values that were read do not come back")
		}
	})
}

func BenchmarkInts(b *testing.B) {
	rnd := rand.New(rand.NewPCG(1, 2))
	walk, v := make([]int64, 4320), 50.0
	for i := range walk {
		v = min(max(v+rnd.NormFloat64(), 0), 100)
		walk[i] = int64(v)
	}
	var e Encoder
	col := e.Ints(nil, walk)
	b.Run("append", func(b *testing.B) {
		b.SetBytes(int64(8 * len(walk)))
		for b.Loop() {
			col = e.Ints(col[:0], walk)
		}
		b.ReportMetric(float64(len(col))/float64(len(walk)), "B/value")
	})
	b.Run("read", func(b *testing.B) {
		var d Decoder
		b.SetBytes(int64(8 * len(walk)))
		for b.Loop() {
			walk = d.Ints(walk[:0], &Reader{B: col}, len(walk))
		}
	})
}
