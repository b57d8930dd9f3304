package crdt

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
)

func samplesOf(t testing.TB, values ...float64) *Distribution {
	t.Helper()
	d := new(Distribution)
	for _, v := range values {
		if err := d.Observe(v, 1); err != nil {
			t.Fatal(err)
		}
	}
	return d
}

func histogram(t testing.TB, source string, start int64, d *Distribution) *Value {
	t.Helper()
	h := new(Histograms)
	if err := h.Put(source, start, d); err != nil {
		t.Fatal(err)
	}
	return &Value{Kind: KindHistogram, X: h}
}

// unionOf returns the join of all.
func unionOf(t testing.TB, values ...*Value) *Value {
	t.Helper()
	out := Bottom(values[0].Kind)
	for _, v := range values {
		mustJoin(t, &out, v, 1)
	}
	return &out
}

// totalCount returns the number of samples of a value and their sum.
func totalCount(v *Value) string {
	d := v.X.(*Histograms).Total()
	return fmt.Sprint(d.Count(), " sum ", d.Sum())
}

func TestHistogramsOfSourcesAreAdded(t *testing.T) {
	one, two := []float64{1}, []float64{1, 2}
	for _, tc := range []struct {
		name   string
		values []*Value
		want   string
	}{
		{"seen twice", []*Value{histogram(t, "x", 5, samplesOf(t, two...)), histogram(t, "x", 5, samplesOf(t, two...))}, "2 sum 3"},
		{"later, then earlier", []*Value{histogram(t, "x", 5, samplesOf(t, two...)), histogram(t, "x", 5, samplesOf(t, one...))}, "2 sum 3"},
		{"another run", []*Value{histogram(t, "x", 5, samplesOf(t, two...)), histogram(t, "x", 6, samplesOf(t, one...))}, "3 sum 4"},
		{"another source", []*Value{histogram(t, "x", 5, samplesOf(t, two...)), histogram(t, "y", 5, samplesOf(t, one...))}, "3 sum 4"},
		{"an unknown start and less", []*Value{histogram(t, "x", 5, samplesOf(t, two...)), histogram(t, "x", 0, samplesOf(t, one...))}, "2 sum 3"},
		{"an unknown start and more", []*Value{histogram(t, "x", 5, samplesOf(t, one...)), histogram(t, "x", 0, samplesOf(t, two...))}, "2 sum 3"},
	} {
		if got := totalCount(unionOf(t, tc.values...)); got != tc.want {
			t.Errorf("%s: %s, want %s", tc.name, got, tc.want)
		}
	}
}

// A source that goes to coarser buckets says the same samples again, in other buckets: they must not count twice.
func TestACoarserSnapshotReplacesAFinerOne(t *testing.T) {
	fine := samplesOf(t, 1, 2, 3)
	coarse := samplesOf(t, 1, 2, 3, 1e9)
	coarse.positive = coarse.positive.folded(2)
	same := samplesOf(t, 1, 2, 3)
	same.positive = same.positive.folded(2)
	for _, values := range [][]*Value{
		{histogram(t, "x", 5, fine), histogram(t, "x", 5, same), histogram(t, "x", 5, coarse)},
		{histogram(t, "x", 5, coarse), histogram(t, "x", 5, fine), histogram(t, "x", 5, same)},
	} {
		if got := totalCount(unionOf(t, values...)); got != "4 sum 1000000006" {
			t.Errorf("%s, want 4 sum 1000000006", got)
		}
	}
	if d := unionOf(t, histogram(t, "x", 5, same), histogram(t, "x", 5, fine)).X.(*Histograms).Total(); d.Scale() != 2 {
		t.Errorf("of equal counts the scale is %d, want the coarser, 2", d.Scale())
	}
}

func TestHistogramNextNamesOnlyWhatRises(t *testing.T) {
	cell := applied(t, KindHistogram, histogram(t, "x", 1, samplesOf(t, 1, 2)), histogram(t, "y", 1, samplesOf(t, 1)))
	inc := unionOf(t, histogram(t, "x", 1, samplesOf(t, 1)), histogram(t, "y", 1, samplesOf(t, 1, 3)))
	d, err := cell.Next(inc)
	if err != nil {
		t.Fatal(err)
	}
	runs := d.X.(*Histograms).runs
	if len(runs) != 1 || runs[0].source != "y" || runs[0].value.d.Count() != 2 {
		t.Errorf("next names %d runs, want y alone: %+v", len(runs), runs)
	}
}

func TestHistogramLimits(t *testing.T) {
	h := new(Histograms)
	if err := h.Put(strings.Repeat("s", MaxSourceBytes+1), 0, new(Distribution)); !errors.Is(err, ErrLimit) {
		t.Errorf("long source: %v, want ErrLimit", err)
	}
	wide := new(Distribution)
	for i := range 2000 {
		v := 1 + float64(i)*float64(i)
		if err := errors.Join(wide.Observe(v, 1), wide.Observe(-v, 1)); err != nil {
			t.Fatal(err)
		}
	}
	count := wide.Count()
	if err := h.Put("wide", 0, wide); err != nil {
		t.Fatal(err)
	}
	if d := h.Total(); d.Count() != count || len(d.positive)+len(d.negative) > MaxHistogramBuckets {
		t.Errorf("%d samples in %d buckets, want %d in at most %d", d.Count(), len(d.positive)+len(d.negative), count, MaxHistogramBuckets)
	}
	if err := h.Put("full", 0, &Distribution{zero: MaxCellCount + 1, count: MaxCellCount + 1}); !errors.Is(err, ErrLimit) {
		t.Errorf("2^48 samples: %v, want ErrLimit", err)
	}
	many := Bottom(KindHistogram)
	for i := range MaxHistogramRuns {
		mustJoin(t, &many, histogram(t, fmt.Sprint(i), 1, samplesOf(t, 1)), 1)
	}
	more := histogram(t, "more", 1, samplesOf(t, 1))
	if _, err := many.Next(more); !errors.Is(err, ErrLimit) {
		t.Errorf("one run more in a cell: %v, want ErrLimit", err)
	}
	if err := many.X.(*Histograms).Put("more", 1, samplesOf(t, 1)); !errors.Is(err, ErrLimit) {
		t.Errorf("one run more in an increment: %v, want ErrLimit", err)
	}
}

func TestHistogramsRefuseMalformedBytes(t *testing.T) {
	v := unionOf(t, histogram(t, "x", 1, samplesOf(t, 1)), histogram(t, "y", 1, samplesOf(t, 2)))
	good := v.X.AppendBinary(nil)
	two := v.X.(*Histograms).runs
	unsorted := (&Histograms{runs: runSet[snapshot]{two[1], two[0]}}).AppendBinary(nil)
	repeated := (&Histograms{runs: runSet[snapshot]{two[0], two[0]}}).AppendBinary(nil)
	if _, err := ParseState(KindHistogram, good, 1); err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string][]byte{
		"nothing":         nil,
		"cut":             good[:len(good)-1],
		"something after": append(slices.Clone(good), 0),
		"not sorted":      unsorted,
		"repeated":        repeated,
		"too many":        []byte("\xff\xff\xff\x7f\x00\x00\x01\x00"),
	} {
		if x, err := ParseState(KindHistogram, b, 0); !errors.Is(err, ErrBytes) || x != nil {
			t.Errorf("%s: %v, %v, want ErrBytes", name, x, err)
		}
	}
}
