package column

import (
	"encoding/hex"
	"math"
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"
)

func readFloats(t interface{ Fatalf(string, ...any) }, b []byte, n int) []float64 {
	var d Decoder
	r := Reader{B: b}
	got := d.Floats(nil, &r, n)
	if r.Err != nil || len(r.B) > 0 {
		t.Fatalf("%d bytes left, %v", len(r.B), r.Err)
	}
	return got
}

func TestFloatsComeBackWithTheSameBits(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		value := rapid.SampledFrom([]*rapid.Generator[float64]{
			rapid.Float64(),
			rapid.Float64Range(-100, 100),
			rapid.Map(rapid.Int64Range(-1000, 1000), func(v int64) float64 { return float64(v) / 1000 }),
			rapid.Map(rapid.Int64Range(0, 1000), func(v int64) float64 { return float64(v)/10 + 0.2 }),
			rapid.SampledFrom([]float64{0, math.Copysign(0, -1), math.MaxFloat64, -math.MaxFloat64, 5e-324, math.NaN(), math.Inf(1), math.Inf(-1)}),
		}).Draw(t, "generator")
		values := rapid.SliceOfN(value, 0, 100).Draw(t, "values")
		var e Encoder
		for i, got := range readFloats(t, e.Floats(nil, values), len(values)) {
			if math.Float64bits(got) != math.Float64bits(values[i]) {
				t.Fatalf("value %d: got %v, want %v", i, got, values[i])
			}
		}
	})
}

func TestFloatsNearOthersComeBackWithTheSameBits(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		expected := rapid.SliceOfN(rapid.OneOf(rapid.Float64(), rapid.Float64Range(-100, 100)), 0, 100).Draw(t, "expected")
		values := make([]float64, len(expected))
		for i, f := range expected {
			values[i] = math.Round(10*f)/10 + rapid.SampledFrom([]float64{0, 0.1, 3, 1e9}).Draw(t, "beside")
		}
		var e Encoder
		var d Decoder
		b := e.FloatsNear([]byte{7}, values, expected)
		if plain := e.Floats(nil, values); len(b)-1 > len(plain) {
			t.Fatalf("%d bytes, %d without the others", len(b)-1, len(plain))
		}
		r := Reader{B: b[1:]}
		got := d.FloatsNear(nil, &r, expected)
		if r.Err != nil || len(r.B) > 0 {
			t.Fatalf("%d bytes left, %v", len(r.B), r.Err)
		}
		for i := range got {
			if math.Float64bits(got[i]) != math.Float64bits(values[i]) {
				t.Fatalf("value %d: got %v, want %v", i, got[i], values[i])
			}
		}
	})
}

func TestFloatsGolden(t *testing.T) {
	for _, row := range []struct {
		name   string
		values []float64
		want   string
	}{
		{"decimals", []float64{0.1, 0.2, 0.3}, "01010202000000"},
		{"a sum of decimals", []float64{0.1 + 0.2, 0.5, 0.25}, "02140532032900000000"},
		{"no decimals", []float64{math.Pi, math.E}, "0c14abadaafaa80cd6a1c8e39c9e01010114b804a3070102"},
	} {
		t.Run(row.name, func(t *testing.T) {
			var e Encoder
			if got := hex.EncodeToString(e.Floats(nil, row.values)); got != row.want {
				t.Errorf("got %s, want %s", got, row.want)
			}
		})
	}
}

// Sums of decimals are not decimals, but a few floats beside them: they must not cost what noise costs.
func TestSumsOfDecimalsAreShort(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	values := make([]float64, 1000)
	for i := range values {
		for range 10 {
			values[i] += float64(rnd.IntN(1000)) / 1000
		}
	}
	var e Encoder
	if n := len(e.Floats(nil, values)); n > 2*len(values) {
		t.Errorf("%d values took %d bytes, want at most 2 a value", len(values), n)
	}
}

func FuzzFloats(f *testing.F) {
	var e Encoder
	f.Add(e.Floats(nil, []float64{1, 2, 3.5}), 3)
	f.Add(e.Floats(nil, []float64{math.Pi, math.E}), 2)
	f.Fuzz(func(t *testing.T, b []byte, n int) {
		if n < 0 || n > 10_000 {
			return
		}
		var d Decoder
		r := Reader{B: b}
		values := d.Floats(nil, &r, n)
		if r.Err != nil {
			return
		}
		var e Encoder
		for i, got := range readFloats(t, e.Floats(nil, values), n) {
			if math.Float64bits(got) != math.Float64bits(values[i]) {
				t.Fatalf("value %d: got %v, want %v", i, got, values[i])
			}
		}
	})
}
