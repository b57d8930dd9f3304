package crdt

import (
	"bytes"
	"errors"
	"math"
	"math/big"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

var oracleScale = new(big.Int).Lsh(big.NewInt(1), fractionBits)

// oracle returns f exactly.
func oracle(f Fixed) *big.Rat { return new(big.Rat).SetFrac(oracleInt(f), oracleScale) }

// oracleInt returns f in units of 2^-48.
func oracleInt(f Fixed) *big.Int {
	hi := new(big.Int).SetUint64(f.Hi)
	return hi.Lsh(hi, 64).Or(hi, new(big.Int).SetUint64(f.Lo))
}

// oracleRound rounds r, in units of 2^-48, to the nearest integer, ties to even.
func oracleRound(r *big.Rat) *big.Int {
	scaled := new(big.Rat).Mul(r, new(big.Rat).SetInt(oracleScale))
	q, rem := new(big.Int).QuoRem(scaled.Num(), scaled.Denom(), new(big.Int))
	switch c := rem.Lsh(rem, 1).Cmp(scaled.Denom()); {
	case c > 0, c == 0 && q.Bit(0) == 1:
		q.Add(q, big.NewInt(1))
	}
	return q
}

// fixedGen draws numbers of every length, with runs of zeros and ones.
func fixedGen() *rapid.Generator[Fixed] {
	return rapid.Custom(func(t *rapid.T) Fixed {
		f := Fixed{Hi: rapid.Uint64().Draw(t, "hi"), Lo: rapid.Uint64().Draw(t, "lo")}
		switch rapid.IntRange(0, 4).Draw(t, "shape") {
		case 0:
			f.Hi = 0
		case 1:
			f.Lo &^= fractionMask
		case 2:
			f = FixedFromUint(rapid.Uint64().Draw(t, "integer"))
		case 3:
			f.Lo &= math.MaxUint64 << rapid.IntRange(0, 63).Draw(t, "zeros")
			f.Hi |= math.MaxUint64 << rapid.IntRange(0, 64).Draw(t, "ones")
		}
		return f
	})
}

func TestFixedArithmeticAgainstBigIntegers(t *testing.T) {
	limit := new(big.Int).Lsh(big.NewInt(1), 128)
	rapid.Check(t, func(t *rapid.T) {
		f, g, n := fixedGen().Draw(t, "f"), fixedGen().Draw(t, "g"), rapid.Uint64().Draw(t, "n")
		a, b := oracleInt(f), oracleInt(g)
		same := func(op string, got Fixed, ok bool, want *big.Int) {
			if fits := want.Cmp(limit) < 0; ok != fits || ok && oracleInt(got).Cmp(want) != 0 || !ok && !got.IsZero() {
				t.Fatalf("%v %s %v, n %d = %v, %v, want %v", f, op, g, n, got, ok, want)
			}
		}
		sum, ok := f.Add(g)
		same("+", sum, ok, new(big.Int).Add(a, b))
		product, ok := f.MulUint(n)
		same("* n", product, ok, new(big.Int).Mul(a, new(big.Int).SetUint64(n)))
		diff := new(big.Int).Sub(a, b)
		if diff.Sign() < 0 {
			diff.SetInt64(0)
		}
		same("-", f.Sub(g), true, diff)
		if c := a.Cmp(b); f.Cmp(g) != c || f.Less(g) != (c < 0) || f.IsZero() != (a.Sign() == 0) {
			t.Fatalf("%v against %v: Cmp %d, Less %v, want %d", f, g, f.Cmp(g), f.Less(g), c)
		}
		if m := f.Max(g); m.Less(f) || m.Less(g) || m != f && m != g {
			t.Fatalf("max(%v, %v) = %v", f, g, m)
		}
		if c := bytes.Compare(f.AppendBinary(nil), g.AppendBinary(nil)); c != f.Cmp(g) {
			t.Fatalf("bytes of %v and %v compare as %d", f, g, c)
		}
	})
}

func TestFixedFromFloatRoundsHalfToEvenOnce(t *testing.T) {
	near := rapid.Custom(func(t *rapid.T) float64 { // an odd multiple of 2^-49 and its neighbours
		f := math.Ldexp(float64(rapid.Uint64Range(0, 1<<40).Draw(t, "m")), -49)
		return math.Float64frombits(math.Float64bits(f) + rapid.Uint64Range(0, 2).Draw(t, "ulps"))
	})
	all := rapid.Map(rapid.Uint64Range(0, math.Float64bits(1<<63)), math.Float64frombits)
	rapid.Check(t, func(t *rapid.T) {
		f := rapid.OneOf(rapid.Float64Range(0, 1<<63), near, all).Draw(t, "f")
		got, err := FixedFromFloat(f)
		if err != nil {
			t.Fatalf("%v: %v", f, err)
		}
		if want := oracleRound(new(big.Rat).SetFloat64(f)); oracleInt(got).Cmp(want) != 0 {
			t.Fatalf("%v = %v, want %v / 2^48", f, got, want)
		}
	})
}

func TestFixedFromFloatBounds(t *testing.T) {
	for _, f := range []float64{math.NaN(), math.Inf(1), math.Inf(-1), -1, -math.SmallestNonzeroFloat64, math.Nextafter(1<<63, math.Inf(1))} {
		if got, err := FixedFromFloat(f); !errors.Is(err, ErrRange) || !got.IsZero() {
			t.Errorf("FixedFromFloat(%v) = %v, %v, want ErrRange", f, got, err)
		}
	}
	for f, want := range map[float64]Fixed{
		1 << 63:                     MaxSample,
		math.Copysign(0, -1):        {},
		math.SmallestNonzeroFloat64: {},
		0x1p-49:                     {},
		math.Nextafter(0x1p-49, 1):  {Lo: 1},
		0x1p-48:                     {Lo: 1},
		1:                           {Lo: 1 << 48},
		math.Nextafter(1<<63, 0):    FixedFromUint(1<<63 - 1<<10),
	} {
		if got, err := FixedFromFloat(f); err != nil || got != want {
			t.Errorf("FixedFromFloat(%v) = %+v, %v, want %+v", f, got, err, want)
		}
	}
	if MaxSample.String() != "9223372036854775808" || MaxCell.String() != "18446744073709551616" {
		t.Errorf("MaxSample %v, MaxCell %v", MaxSample, MaxCell)
	}
}

func TestFixedToFloatIsNearest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f, g := fixedGen().Draw(t, "f"), fixedGen().Draw(t, "g")
		if want, _ := oracle(f).Float64(); f.Float64() != want {
			t.Fatalf("%v = %v, want %v", f, f.Float64(), want)
		}
		net := Net{P: f, N: g}
		want := new(big.Rat).Sub(oracle(f), oracle(g))
		if w, _ := want.Float64(); net.Float64() != w {
			t.Fatalf("%v - %v = %v, want %v", f, g, net.Float64(), w)
		}
		if r, ok := new(big.Rat).SetString(net.String()); !ok || r.Cmp(want) != 0 {
			t.Fatalf("%v - %v = %s", f, g, net)
		}
	})
}

func TestFixedToFloatSeesEveryBit(t *testing.T) {
	tie := Fixed{Hi: 1<<63 | 1<<10} // half way between two floats, the lower one even
	for _, row := range []struct {
		f    Fixed
		want float64
	}{
		{tie, 0x1p79},
		{Fixed{Hi: tie.Hi, Lo: 1}, math.Nextafter(0x1p79, math.Inf(1))},
		{Fixed{Hi: tie.Hi - 1, Lo: math.MaxUint64}, 0x1p79},
		{Fixed{Hi: tie.Hi | 1<<11}, 0x1p79 + 2*0x1p27},
	} {
		if got := row.f.Float64(); got != row.want {
			t.Errorf("%v = %v, want %v", row.f, got, row.want)
		}
	}
}

func TestFixedStringIsExactAndParsesBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := fixedGen().Draw(t, "f")
		s := f.String()
		if r, ok := new(big.Rat).SetString(s); !ok || r.Cmp(oracle(f)) != 0 {
			t.Fatalf("%+v = %s", f, s)
		}
		if strings.Contains(s, ".") && strings.HasSuffix(s, "0") {
			t.Fatalf("%s has trailing zeros", s)
		}
		if got, err := ParseFixed(s); err != nil || got != f {
			t.Fatalf("ParseFixed(%s) = %v, %v", s, got, err)
		}
	})
}

func TestFixedString(t *testing.T) {
	for want, f := range map[string]Fixed{
		"0":                         {},
		"1":                         FixedFromUint(1),
		"9999999999999999999":       FixedFromUint(9_999_999_999_999_999_999),
		"10000000000000000000":      FixedFromUint(10_000_000_000_000_000_000),
		"10000000000000000010":      FixedFromUint(10_000_000_000_000_000_010),
		"1208925819614629174706175": fixedFromInteger(1<<16-1, math.MaxUint64),
		"0.5":                       {Lo: 1 << 47},
		"2.25":                      {Lo: 9 << 46},
		"0.000000000000003552713678800500929355621337890625": {Lo: 1},
	} {
		if got := f.String(); got != want {
			t.Errorf("%+v = %s, want %s", f, got, want)
		}
	}
}

func TestParseFixed(t *testing.T) {
	long := strings.Repeat("0", 500)
	for _, row := range []struct {
		in, want string
		err      error
	}{
		{in: "0", want: "0"},
		{in: "-0", want: "0"},
		{in: "+12", want: "12"},
		{in: "12.", want: "12"},
		{in: ".5", want: "0.5"},
		{in: "1e3", want: "1000"},
		{in: "25E-2", want: "0.25"},
		{in: "0." + long + "1e501", want: "1"},
		{in: "1" + long + "e-500", want: "1"},
		{in: "0e999999999999999999999", want: "0"},
		{in: "1e-999999999999999999999", want: "0"},
		{in: "1e-16", want: "0"},
		{in: "0.0000000000000017763568394002504646778106689453125", want: "0"},                                                 // 2^-49: tie to even
		{in: "0.0000000000000053290705182007513940334320068359375", want: "0.00000000000000710542735760100185871124267578125"}, // 3 * 2^-49
		{in: "0.00000000000000177635683940025046467781066894531251", want: Fixed{Lo: 1}.String()},
		{in: "1208925819614629174706175.999999999999996447286321199499070644378662109375", want: "1208925819614629174706175.999999999999996447286321199499070644378662109375"},
		{in: "1208925819614629174706175.9999999999999999", err: ErrRange}, // rounds up to 2^80
		{in: "1208925819614629174706176", err: ErrRange},
		{in: "1e999999999999999999999", err: ErrRange},
		{in: "-1", err: ErrRange},
		{in: "-1e-300", err: ErrRange},
		{in: "", err: ErrBytes},
		{in: ".", err: ErrBytes},
		{in: "+", err: ErrBytes},
		{in: "--1", err: ErrBytes},
		{in: "1.2.3", err: ErrBytes},
		{in: "1e", err: ErrBytes},
		{in: "1e+", err: ErrBytes},
		{in: "e1", err: ErrBytes},
		{in: "1e1.5", err: ErrBytes},
		{in: "1_000", err: ErrBytes},
		{in: "0x10", err: ErrBytes},
		{in: "NaN", err: ErrBytes},
		{in: "Inf", err: ErrBytes},
		{in: " 1", err: ErrBytes},
		{in: strings.Repeat("1", maxDecimalBytes+1), err: ErrBytes},
	} {
		got, err := ParseFixed(row.in)
		if !errors.Is(err, row.err) || row.err == nil && got.String() != row.want {
			t.Errorf("ParseFixed(%.60s) = %v, %v, want %s, %v", row.in, got, err, row.want, row.err)
		}
	}
}

func TestParseFixedRoundsAsTheOracle(t *testing.T) {
	decimals := rapid.OneOf(
		rapid.StringMatching(`[0-9]{1,12}(\.[0-9]{1,12})?`),
		rapid.StringMatching(`[0-9]{0,30}[0-9](\.[0-9]{0,60})?([eE][+-]?[0-9]{1,2})?`),
		rapid.Custom(func(t *rapid.T) string { // exactly half way, and one digit beside it
			tie := new(big.Rat).SetFrac(big.NewInt(rapid.Int64Range(0, 1<<60).Draw(t, "m")), new(big.Int).Lsh(big.NewInt(1), 49))
			return tie.FloatString(49) + rapid.SampledFrom([]string{"", "0", "1"}).Draw(t, "more")
		}),
	)
	top := new(big.Int).Lsh(big.NewInt(1), 128)
	rapid.Check(t, func(t *rapid.T) {
		s := decimals.Draw(t, "decimal")
		r, ok := new(big.Rat).SetString(s)
		if !ok {
			t.Fatalf("oracle cannot read %q", s)
		}
		want := oracleRound(r)
		got, err := ParseFixed(s)
		if want.Cmp(top) >= 0 {
			if !errors.Is(err, ErrRange) {
				t.Fatalf("ParseFixed(%s) = %v, %v, want ErrRange", s, got, err)
			}
			return
		}
		if err != nil || oracleInt(got).Cmp(want) != 0 {
			t.Fatalf("ParseFixed(%s) = %v, %v, want %v / 2^48", s, got, err, want)
		}
	})
}

func TestFixedCompactHasOneFormPerValue(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := fixedGen().Draw(t, "f")
		b := f.AppendCompact([]byte("x"))[1:]
		if len(b) > MaxCompactBytes {
			t.Fatalf("%v takes %d bytes", f, len(b))
		}
		got, n, err := ParseCompact(append(b, "rest"...))
		if err != nil || got != f || n != len(b) {
			t.Fatalf("%v as %x parses as %v, %d bytes, %v", f, b, got, n, err)
		}
		cut := rapid.IntRange(0, len(b)-1).Draw(t, "cut")
		if _, _, err := ParseCompact(b[:cut]); !errors.Is(err, ErrBytes) {
			t.Fatalf("%x cut to %d bytes: %v", b, cut, err)
		}
	})
	rapid.Check(t, func(t *rapid.T) {
		b := rapid.SliceOfN(rapid.OneOf(rapid.Byte(), rapid.ByteRange(0xf0, 0xff), rapid.Just(byte(0))), 0, 20).Draw(t, "bytes")
		f, n, err := ParseCompact(b)
		if err == nil && !bytes.Equal(f.AppendCompact(nil), b[:n]) {
			t.Fatalf("%x parses as %v, which is written %x", b[:n], f, f.AppendCompact(nil))
		}
	})
}

func TestFixedCompactSizes(t *testing.T) {
	for _, row := range []struct {
		f    Fixed
		size int
	}{
		{FixedFromUint(0), 1},
		{FixedFromUint(compact2 - 1), 1},
		{FixedFromUint(compact2), 2},
		{FixedFromUint(compact3 - 1), 2},
		{FixedFromUint(compact3), 3},
		{FixedFromUint(compact4 - 1), 3},
		{FixedFromUint(compact4), 4},
		{FixedFromUint(1<<27 - 1), 4},
		{FixedFromUint(999_999_999), 4},
		{FixedFromUint(compact5 - 1), 4},
		{FixedFromUint(compact5), 5},
		{FixedFromUint(1 << 32), 6},
		{FixedFromUint(math.MaxUint64), 9},
		{MaxCell, 10},
		{fixedFromInteger(1<<16-1, 0), 11},
		{Fixed{Lo: 1 << 47}, 3},
		{Fixed{Lo: 1}, 8},
		{Fixed{Hi: math.MaxUint64, Lo: math.MaxUint64}, MaxCompactBytes},
	} {
		b := row.f.AppendCompact(nil)
		if got, n, err := ParseCompact(b); len(b) != row.size || n != row.size || got != row.f || err != nil {
			t.Errorf("%v as %x: %d bytes, want %d; parses as %v, %v", row.f, b, len(b), row.size, got, err)
		}
	}
}

func TestFixedCompactRefusesOtherForms(t *testing.T) {
	for name, b := range map[string][]byte{
		"unused first byte f7":        {0xf7, 1, 2, 3},
		"unused first byte fe":        {0xfe, 1, 2, 3},
		"unused first byte ff":        {0xff, 1, 2, 3},
		"four bytes for a short form": {0xf0, 0x40, 0x10, 0x20, 0x7f},
		"leading zero":                {0xf1, 0, 0xff, 0xff, 0xff, 0xff},
		"fraction of zero":            {0xf8, 1, 0},
		"fraction with trailing zero": {0xf9, 1, 1, 0},
		"fraction of a fraction":      {0xf8, 0xf8, 1, 1, 1},
		"fraction without integer":    {0xf8, 0xf0, 1},
	} {
		if f, n, err := ParseCompact(b); !errors.Is(err, ErrBytes) || n != 0 {
			t.Errorf("%s: %x parses as %v, %d bytes, %v", name, b, f, n, err)
		}
	}
}
