package crdt

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
)

func observation(t testing.TB, samples ...Sample) *Value {
	t.Helper()
	o := new(Observed)
	for _, s := range samples {
		if err := o.Put(s); err != nil {
			t.Fatal(err)
		}
	}
	return &Value{Kind: KindObserved, X: o}
}

func TestObserversAreJoinedAndSourcesAdded(t *testing.T) {
	five, seven, two := FixedFromUint(5), FixedFromUint(7), FixedFromUint(2)
	a := observation(t, Sample{"x", 100, 1000, five}, Sample{"y", 0, 1000, two})
	b := observation(t, Sample{"x", 100, 2000, seven}, Sample{"x", 3000, 3500, two})
	both := joined(t, a, b)
	want := []Sample{{"x", 100, 2000, seven}, {"x", 3000, 3500, two}, {"y", 0, 1000, two}}
	if got := slices.Collect(both.X.(*Observed).Samples()); !slices.Equal(got, want) {
		t.Errorf("samples %v, want %v", got, want)
	}
	if got := both.X.(*Observed).Total(); got != FixedFromUint(11) {
		t.Errorf("total %v, want 11", got)
	}
	for s := range both.X.(*Observed).Samples() {
		if s != want[0] {
			t.Errorf("first sample %v, want %v", s, want[0])
		}
		break
	}
}

// A run of unknown start is one of the others for all we know: of a source it counts, or they do, never both.
func TestUnknownStartsAreNotAdded(t *testing.T) {
	five, seven, two := FixedFromUint(5), FixedFromUint(7), FixedFromUint(2)
	for _, tc := range []struct {
		name    string
		samples []Sample
		want    uint64
	}{
		{"known runs", []Sample{{"x", 100, 1, five}, {"x", 200, 1, seven}}, 12},
		{"unknown and less", []Sample{{"x", 100, 1, five}, {"x", 0, 1, two}}, 5},
		{"unknown and more", []Sample{{"x", 100, 1, five}, {"x", 0, 1, seven}}, 7},
		{"known before 1970", []Sample{{"x", -100, 1, five}, {"x", 0, 1, two}, {"x", 100, 1, two}}, 7},
		{"of another source", []Sample{{"x", 100, 1, five}, {"y", 0, 1, two}}, 7},
	} {
		if got := observation(t, tc.samples...).X.(*Observed).Total(); got != FixedFromUint(tc.want) {
			t.Errorf("%s: total %v, want %d", tc.name, got, tc.want)
		}
	}
}

func TestObservedNextNamesOnlyWhatRises(t *testing.T) {
	cell := applied(t, KindObserved, observation(t, Sample{"x", 0, 1000, FixedFromUint(5)}, Sample{"y", 0, 1000, FixedFromUint(1)}))
	// The source went back without a new start: nothing is guessed. y is unchanged.
	d, err := cell.Next(observation(t, Sample{"x", 0, 2000, FixedFromUint(3)}, Sample{"y", 0, 1000, FixedFromUint(1)}))
	if err != nil {
		t.Fatal(err)
	}
	want := []Sample{{"x", 0, 2000, FixedFromUint(5)}}
	if got := slices.Collect(d.X.(*Observed).Samples()); !slices.Equal(got, want) {
		t.Errorf("next %v, want %v", got, want)
	}
}

func TestObservedCollectsTheGreatestOfARun(t *testing.T) {
	v := observation(t, Sample{"x", 0, 1000, FixedFromUint(5)}, Sample{"x", 0, 900, FixedFromUint(6)}, Sample{"x", 0, -900, FixedFromUint(1)})
	want := []Sample{{"x", 0, 1000, FixedFromUint(6)}}
	if got := slices.Collect(v.X.(*Observed).Samples()); !slices.Equal(got, want) {
		t.Errorf("samples %v, want %v", got, want)
	}
}

func TestObservedLimits(t *testing.T) {
	o := new(Observed)
	if err := o.Put(Sample{Source: strings.Repeat("s", MaxSourceBytes+1)}); !errors.Is(err, ErrLimit) {
		t.Errorf("long source: %v, want ErrLimit", err)
	}
	above, _ := MaxSample.Add(Fixed{Lo: 1})
	if err := o.Put(Sample{Value: above}); !errors.Is(err, ErrRange) {
		t.Errorf("value above 2^63: %v, want ErrRange", err)
	}
	full := make([]Sample, MaxObservedRuns)
	for i := range full {
		full[i] = Sample{Source: fmt.Sprint(i), Value: MaxSample}
	}
	cell := applied(t, KindObserved, observation(t, full...))
	if err := cell.X.(*Observed).Put(Sample{Source: "more"}); !errors.Is(err, ErrLimit) {
		t.Errorf("one run more in an increment: %v, want ErrLimit", err)
	}
	one := observation(t, Sample{Source: "more"})
	if _, err := cell.Next(one); !errors.Is(err, ErrLimit) {
		t.Errorf("one run more in a cell: %v, want ErrLimit", err)
	}

	union, empty := Bottom(KindObserved), Bottom(KindObserved)
	for i := range MaxJoinedRuns / MaxObservedRuns {
		for j := range full {
			full[j].Start = int64(i + 1)
		}
		mustJoin(t, &union, observation(t, full...), 1)
	}
	if _, err := union.Join(one, 2, nil, 0); !errors.Is(err, ErrLimit) {
		t.Errorf("join beyond the limit: %v, want ErrLimit", err)
	}
	if _, err := empty.Join(one, 1, &union, 1); !errors.Is(err, ErrLimit) || empty.X.(*Observed).Total() != (Fixed{}) || len(empty.X.(*Observed).runs) != 0 {
		t.Errorf("join into a full sum: %v, want ErrLimit and nothing changed", err)
	}
	want, _ := MaxSample.MulUint(MaxJoinedRuns)
	if got := union.X.(*Observed).Total(); got != want {
		t.Errorf("the greatest total is %v, want %v", got, want)
	}
}

func TestObservedRefusesMalformedBytes(t *testing.T) {
	for name, b := range map[string]string{
		"nothing":             "",
		"sources not sorted":  "\x02\x01y\x00\x00\x00\x01x\x00\x00\x00",
		"run repeated":        "\x02\x01x\x00\x00\x00\x01x\x00\x00\x01",
		"source cut":          "\x01\x05xyz",
		"long source":         "\x01\x81\x02" + strings.Repeat("s", 257) + "\x00\x00\x00",
		"value above 2^63":    "\x01\x01x\x00\x00\xf4\x80\x00\x00\x00\x00\x00\x00\x01",
		"more runs than room": "\xff\xff\xff\x7f\x01x\x00\x00\x00",
		"no value":            "\x01\x01x\x00\x00",
	} {
		if x, err := ParseState(KindObserved, []byte(b), 0); !errors.Is(err, ErrBytes) || x != nil {
			t.Errorf("%s: %v, %v, want ErrBytes", name, x, err)
		}
	}
}

// The first increment, or the first copy, is taken whole: what is changed afterwards must not reach into it.
func TestFirstReadingsAreNotShared(t *testing.T) {
	five, seven := FixedFromUint(5), FixedFromUint(7)
	first := observation(t, Sample{"x", 100, 1000, five})
	grown, cell, sum := Bottom(KindObserved), Bottom(KindObserved), Bottom(KindObserved)
	if err := grown.Grow(first); err != nil {
		t.Fatal(err)
	}
	if _, err := cell.Join(&grown, 3, &sum, 4); err != nil {
		t.Fatal(err)
	}
	if err := grown.Grow(observation(t, Sample{"x", 100, 2000, seven})); err != nil {
		t.Fatal(err)
	}
	want := Sample{"x", 100, 1000, five}
	for name, v := range map[string]*Value{"the increment": first, "the cell": &cell, "the sum": &sum} {
		if got := slices.Collect(v.X.(*Observed).Samples()); !slices.Equal(got, []Sample{want}) {
			t.Errorf("%s became %v, want %v", name, got, want)
		}
	}
	if d, tag, ok := cell.Delta(2, 3, 3); !ok || tag != 3 || d.X == nil {
		t.Errorf("the cell's reading is not stamped 3: tag %d, %v", tag, ok)
	}
	if d, tag, ok := sum.Delta(3, 4, 4); !ok || tag != 4 || d.X == nil {
		t.Errorf("the sum's reading is not stamped 4: tag %d, %v", tag, ok)
	}
}
