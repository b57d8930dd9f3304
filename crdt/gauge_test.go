package crdt

import (
	"errors"
	"math"
	"reflect"
	"testing"
)

func gaugeValue(g Gauge) *Value { return &Value{Kind: KindGauge, X: &g} }

// applied commits the increments to one cell, with seqs from 1.
func applied(t testing.TB, k Kind, incs ...*Value) *Value {
	t.Helper()
	cell := Bottom(k)
	for i, inc := range incs {
		d, err := cell.Next(inc)
		if err != nil {
			t.Fatalf("next %d: %v", i, err)
		}
		if d.X == nil && inc.X != nil {
			continue // it says nothing new
		}
		mustJoin(t, &cell, &d, uint64(i+1))
	}
	return &cell
}

func TestGaugeIncrements(t *testing.T) {
	set := func(time HLC, v float64) *Value { return gaugeValue(Gauge{Time: time, Value: v}) }
	dated := func(ms int64, v float64) *Value {
		return gaugeValue(Gauge{Time: HLCFrom(ms, 0), Value: v, Dated: true})
	}
	at := func(ms int64, logical uint16) HLC { return HLCFrom(ms, logical) }
	adjust := func(time HLC, v float64) *Value { return gaugeValue(Gauge{Time: time, Value: v, Adjust: true}) }
	for _, row := range []struct {
		name string
		incs []*Value
		want Gauge
	}{
		{"set", []*Value{set(10, 5)}, Gauge{Time: 10, Value: 5, stamp: 1}},
		{"the later write wins", []*Value{set(10, 5), set(20, 3)}, Gauge{Time: 20, Value: 3, stamp: 2}},
		{"the later write wins though the clock went back", []*Value{set(10, 5), set(4, 3)}, Gauge{Time: 11, Value: 3, stamp: 2}},
		{"adjust moves the last value", []*Value{set(10, 5), adjust(20, -2)}, Gauge{Time: 20, Value: 3, stamp: 2}},
		{"adjust nothing", []*Value{adjust(10, -2)}, Gauge{Time: 10, Value: -2, stamp: 1}},
		{"a client's older setting comes late", []*Value{dated(20, 5), dated(10, 3)}, Gauge{Time: at(20, 0), Value: 5, stamp: 1}},
		{"of one millisecond the later counts", []*Value{dated(20, 5), dated(20, 3)}, Gauge{Time: at(20, 1), Value: 3, stamp: 2}},
		{"a setting that comes twice counts once", []*Value{dated(20, 5), dated(20, 5)}, Gauge{Time: at(20, 0), Value: 5, stamp: 1}},
		{"a client's newer setting counts", []*Value{dated(20, 5), dated(30, 3)}, Gauge{Time: at(30, 0), Value: 3, stamp: 2}},
		{"what is set now replaces what a client dated ahead", []*Value{dated(20, 5), set(at(10, 0), 3)}, Gauge{Time: at(20, 1), Value: 3, stamp: 2}},
		{"adjust moves a dated setting", []*Value{dated(20, 5), adjust(at(10, 0), -2)}, Gauge{Time: at(20, 1), Value: 3, stamp: 2}},
		{"negative zero is zero", []*Value{set(10, math.Copysign(0, -1))}, Gauge{Time: 10, stamp: 1}},
	} {
		cell := applied(t, KindGauge, row.incs...)
		if got := *cell.X.(*Gauge); got != row.want || cell.X.(*Gauge).Seq() != row.want.stamp {
			t.Errorf("%s: %+v, want %+v", row.name, got, row.want)
		}
		// Collected into one commit the increments lead to the same value.
		acc := Bottom(KindGauge)
		for _, inc := range row.incs {
			if err := acc.Grow(inc); err != nil {
				t.Errorf("%s: grow: %v", row.name, err)
			}
		}
		once := applied(t, KindGauge, set(1, 100), &acc).X.(*Gauge)
		all := applied(t, KindGauge, append([]*Value{set(1, 100)}, row.incs...)...).X.(*Gauge)
		if once.Value != all.Value {
			t.Errorf("%s: %v in one commit, %v in several", row.name, once.Value, all.Value)
		}
	}
}

func TestGaugeRefusesWhatIsNotFinite(t *testing.T) {
	cell := applied(t, KindGauge, gaugeValue(Gauge{Time: 1, Value: math.MaxFloat64}))
	for name, inc := range map[string]Gauge{
		"NaN":      {Time: 2, Value: math.NaN()},
		"infinite": {Time: 2, Value: math.Inf(-1)},
		"overflow": {Time: 2, Value: math.MaxFloat64, Adjust: true},
	} {
		if _, err := cell.Next(gaugeValue(inc)); !errors.Is(err, ErrRange) {
			t.Errorf("%s: next: %v, want ErrRange", name, err)
		}
		acc := gaugeValue(Gauge{Time: 1, Value: math.MaxFloat64})
		before := *acc.X.(*Gauge)
		if err := acc.Grow(gaugeValue(inc)); !errors.Is(err, ErrRange) || *acc.X.(*Gauge) != before {
			t.Errorf("%s: grow: %v, left %+v, want ErrRange", name, err, acc.X)
		}
	}
	empty := Bottom(KindGauge)
	if err := empty.Grow(gaugeValue(Gauge{Value: math.NaN()})); !errors.Is(err, ErrRange) || empty.X != nil {
		t.Errorf("grow of nothing: %v, left %v, want ErrRange", err, empty.X)
	}
}

func TestGaugeOverOriginsIsTheNewest(t *testing.T) {
	a := Gauge{Time: 10, Value: 1, stamp: 900}
	b := Gauge{Time: 20, Value: 2, stamp: 1}
	tie := Gauge{Time: 20, Value: 3, stamp: 5}
	v := Bottom(KindGauge)
	for _, g := range []Gauge{tie, a, b} {
		if err := v.Combine(gaugeValue(g)); err != nil {
			t.Fatal(err)
		}
	}
	if got := *v.X.(*Gauge); got != tie {
		t.Errorf("combined %+v, want %+v", got, tie)
	}
}

func TestRollup(t *testing.T) {
	r := RollupOf([]*Gauge{{Time: 10, Value: 4}, {Time: 30, Value: -1}, {Time: 20, Value: 6}})
	want := Rollup{Count: 3, Sum: 9, Min: -1, Max: 6, Last: 30, LastValue: -1}
	if *r != want {
		t.Errorf("RollupOf = %+v, want %+v", *r, want)
	}
	r.Stamp, r.Expected = 100, 4
	v := Value{Kind: KindRollup, X: r}
	for _, o := range []*Rollup{{Stamp: 90, Count: 1, Expected: 2, Sum: 8, Min: 8, Max: 8, Last: 40, LastValue: 8}, {Stamp: 120, Expected: 5}} {
		if err := v.Combine(&Value{Kind: KindRollup, X: o}); err != nil {
			t.Fatal(err)
		}
	}
	want = Rollup{Stamp: 120, Count: 4, Expected: 11, Sum: 17, Min: -1, Max: 8, Last: 40, LastValue: 8}
	if *r != want {
		t.Errorf("over regions %+v, want %+v", *r, want)
	}
}

func TestRollupStaysFinite(t *testing.T) {
	r := RollupOf([]*Gauge{{Value: math.MaxFloat64}, {Value: math.MaxFloat64}})
	if r.Sum != math.MaxFloat64 {
		t.Errorf("sum %v, want the largest float64", r.Sum)
	}
	if r = RollupOf([]*Gauge{{Value: -math.MaxFloat64}, {Value: -math.MaxFloat64}}); r.Sum != -math.MaxFloat64 {
		t.Errorf("sum %v, want the least float64", r.Sum)
	}
	full := &Rollup{Count: math.MaxUint32, Expected: math.MaxUint32}
	full.add(&Rollup{Count: 2, Expected: 2})
	if full.Count != math.MaxUint32 || full.Expected != math.MaxUint32 {
		t.Errorf("counts wrapped to %d, %d", full.Count, full.Expected)
	}
	cell := Bottom(KindRollup)
	if _, err := cell.Next(&Value{Kind: KindRollup, X: &Rollup{Sum: math.NaN()}}); !errors.Is(err, ErrRange) {
		t.Errorf("NaN: %v, want ErrRange", err)
	}
}

func TestRollupIsWrittenWholeThoughTheClockGoesBack(t *testing.T) {
	first := Rollup{Stamp: 100, Count: 5, Expected: 5, Sum: 50, Min: 10, Max: 10}
	second := Rollup{Stamp: 90, Count: 1, Expected: 5, Sum: 3, Min: 3, Max: 3}
	cell := applied(t, KindRollup, &Value{Kind: KindRollup, X: &first}, &Value{Kind: KindRollup, X: &second})
	want := second
	want.Stamp, want.stamp = 101, 2
	if got := *cell.X.(*Rollup); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	// An edge that knows a description of its own region keeps the newer one; two are never added.
	v := Value{Kind: KindRollup, X: &first}
	if err := v.AddExcess(cell, &Value{Kind: KindRollup}); err != nil {
		t.Fatal(err)
	}
	want.stamp = 0
	if got := *v.X.(*Rollup); !reflect.DeepEqual(got, want) {
		t.Errorf("with excess %+v, want %+v", got, want)
	}
}
