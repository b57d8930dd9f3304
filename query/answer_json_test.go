package query

import (
	"encoding/json"
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// TestAppendedTotals compares the encoder by hand with the one of the standard library.
func TestAppendedTotals(t *testing.T) {
	number := rapid.Custom(func(t *rapid.T) float64 {
		f := rapid.OneOf(rapid.Float64(), rapid.SampledFrom([]float64{0, 1e-7, 1e-9, 1.5e-10, 1e21, 1e20, 1e-300, -3})).Draw(t, "number")
		if f-f != 0 {
			return 0
		}
		return f
	})
	text := rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{"", "a<b>&c", "\u2028", "\xff", `"\`, "\x7f"}))
	maybe := func(t *rapid.T) *float64 {
		if rapid.Bool().Draw(t, "null") {
			return nil
		}
		f := number.Draw(t, "f")
		return &f
	}
	amount := func(t *rapid.T) Amount {
		a := Amount{Value: number.Draw(t, "value"), ValueExact: text.Draw(t, "exact"), RelativeError: number.Draw(t, "error")}
		if rapid.Bool().Draw(t, "updown") {
			a.UpDown = &UpDown{Added: number.Draw(t, "p"), AddedExact: "1", Removed: number.Draw(t, "n"), RemovedExact: text.Draw(t, "n exact")}
		}
		if rapid.Bool().Draw(t, "summary") {
			newest := timeOfMillis(rapid.Int64Range(-1<<40, 1<<42).Draw(t, "newest"))
			expected := rapid.Uint64().Draw(t, "expected")
			a.Summary = &Summary{Count: math.MaxUint64, Sum: number.Draw(t, "sum"), SumExact: text.Draw(t, "sum exact"), Min: maybe(t), Max: maybe(t), Avg: maybe(t), Newest: &newest, Expected: &expected}
		}
		if rapid.Bool().Draw(t, "sketch") {
			a.Sketch = &Sketch{Quantiles: rapid.MapOf(text, number).Draw(t, "quantiles"), Scale: -4}
		}
		if rapid.Bool().Draw(t, "set") {
			e := append([]string{}, rapid.SliceOf(text).Draw(t, "elements")...)
			a.Elements = &e
		}
		return a
	}
	results := func(t *rapid.T) []Result {
		out := []Result{}
		for range rapid.IntRange(0, 3).Draw(t, "results") {
			out = append(out, Result{Metric: text.Draw(t, "metric"), Kind: "counter", Labels: labelsOrNone(rapid.MapOf(text, text).Draw(t, "labels")), Amount: amount(t)})
		}
		return out
	}
	rapid.Check(t, func(t *rapid.T) {
		a := TotalAnswer{Results: results(t), Warnings: rapid.SliceOf(text).Draw(t, "warnings"), Error: text.Draw(t, "error"), Coverage: Coverage{Complete: true}}
		for range rapid.IntRange(0, 2).Draw(t, "periods") {
			a.Periods = append(a.Periods, PeriodAnswer{Start: timeOfMillis(rapid.Int64Range(0, 1<<42).Draw(t, "start")), Results: results(t)})
		}
		want, err := json.Marshal(&a)
		if err != nil {
			t.Fatal(err)
		}
		got, err := appendTotalAnswer(nil, &a)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(string(want), string(got)); d != "" {
			t.Fatalf("(-want +got):\n%s", d)
		}
	})
}

func labelsOrNone(m map[string]string) map[string]string {
	if m == nil {
		return map[string]string{}
	}
	return m
}
