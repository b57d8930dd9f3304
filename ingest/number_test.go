package ingest

import (
	"math"
	"math/big"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"meshd/crdt"
)

// exactAmount is amountOf by rational arithmetic alone.
func exactAmount(text, rate string) (string, bool) {
	num, ok1 := new(big.Rat).SetString(text)
	den, ok2 := new(big.Rat).SetString(rate)
	if !ok1 || !ok2 {
		return "", false
	}
	r := num.Quo(num.Abs(num), den)
	if r.Cmp(new(big.Rat).SetUint64(1<<63)) > 0 {
		return "", false
	}
	scaled := new(big.Rat).Mul(r, new(big.Rat).SetInt64(1<<48))
	q, rem := new(big.Int).QuoRem(scaled.Num(), scaled.Denom(), new(big.Int))
	twice := rem.Lsh(rem, 1)
	if c := twice.Cmp(scaled.Denom()); c > 0 || c == 0 && q.Bit(0) == 1 {
		q.Add(q, big.NewInt(1))
	}
	return new(big.Rat).SetFrac(q, big.NewInt(1<<48)).FloatString(48), true
}

func drawNumber(t *rapid.T, label string, digits int) string {
	var b strings.Builder
	b.WriteString(rapid.SampledFrom([]string{"", "+", "-"}).Draw(t, label+" sign"))
	b.WriteString(rapid.StringOfN(rapid.RuneFrom([]rune("0123456789")), 1, digits, -1).Draw(t, label+" whole"))
	if rapid.Bool().Draw(t, label+" point") {
		b.WriteString("." + rapid.StringOfN(rapid.RuneFrom([]rune("0123456789")), 0, digits, -1).Draw(t, label+" fraction"))
	}
	if rapid.Bool().Draw(t, label+" scientific") {
		b.WriteString(rapid.SampledFrom([]string{"e", "E", "e+", "e-"}).Draw(t, label+" e"))
		b.WriteString(rapid.StringOfN(rapid.RuneFrom([]rune("0123456789")), 1, 2, -1).Draw(t, label+" exponent"))
	}
	return b.String()
}

func TestAmountsAreRoundedOnceWhateverTheSpelling(t *testing.T) {
	rates := []string{"1", "0.5", "0.1", "0.3", "0.01", "0.0625", "1e-3", "0.33333333333333", "0.1000000000000000000", "0.999999"}
	rapid.Check(t, func(t *rapid.T) {
		text, rate := drawNumber(t, "value", 25), rapid.SampledFrom(rates).Draw(t, "rate")
		d, form := parseDecimal([]byte(text))
		if form == notNumber {
			t.Fatalf("%q is not a number", text)
		}
		by, form2 := parseDecimal([]byte(rate))
		if form2 != shortNumber || !validRate(by) {
			t.Fatalf("%q is not a rate", rate)
		}
		want, wantOK := exactAmount(text, rate)
		got, ok := amountOf([]byte(text), d, form, by)
		if ok != wantOK {
			t.Fatalf("%s / %s: ok is %v, want %v", text, rate, ok, wantOK)
		}
		if g := new(big.Rat); ok {
			if g.SetString(got.String()); g.FloatString(48) != want {
				t.Fatalf("%s / %s is %s, want %s", text, rate, got, want)
			}
		}
	})
}

func TestAmountsAgreeWithParseFixed(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := strings.TrimLeft(drawNumber(t, "value", 22), "-")
		d, form := parseDecimal([]byte(text))
		got, ok := amountOf([]byte(text), d, form, one)
		want, err := crdt.ParseFixed(text)
		if wantOK := err == nil && !crdt.MaxSample.Less(want); ok != wantOK || ok && got != want {
			t.Fatalf("%s is %s (%v), ParseFixed has %s (%v)", text, got, ok, want, err)
		}
	})
}

func TestFloatsAreTheNearest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := drawNumber(t, "value", rapid.IntRange(1, 25).Draw(t, "digits"))
		d, form := parseDecimal([]byte(text))
		got, ok := floatOf([]byte(text), d, form)
		want, err := strconv.ParseFloat(text, 64)
		if ok != (err == nil) || ok && (got != want || math.Signbit(got) && got == 0) {
			t.Fatalf("%s is %v (%v), want %v (%v)", text, got, ok, want, err)
		}
	})
}

func TestWholeCountsAreNumbers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringOfN(rapid.RuneFrom([]rune("0123456789-+.e:")), 0, 25, -1).Draw(t, "value")
		if rapid.Bool().Draw(t, "digits alone") {
			text = rapid.StringOfN(rapid.RuneFrom([]rune("0123456789")), 0, 25, -1).Draw(t, "digits")
		}
		want, err := strconv.ParseUint(text, 10, 64)
		whole := err == nil && len(text) <= maxCountDigits && text[0] != '+'
		var l line
		if r := l.parseLine([]byte("x:" + text + "|c")); r != reasonNone || l.whole != whole || whole && l.count != want || string(l.values) != text {
			t.Fatalf("%q is whole: %v, count %d, values %q: want %v, %d; refused for %q", text, l.whole, l.count, l.values, whole, want, r)
		}
		if n := l.parseCount([]byte(text)); n != 0 {
			t.Fatalf("%q without an end is a count of %d digits", text, n)
		}
	})
}
