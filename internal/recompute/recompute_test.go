package recompute

import (
	"errors"
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"meshd/crdt"
	"meshd/internal/eventlog"
	"meshd/node"
)

func series(kind crdt.Kind, ad int) *crdt.Series {
	return &crdt.Series{Name: "clicks", Kind: kind, Labels: []crdt.Label{{Name: "ad", Value: fmt.Sprint(ad)}}}
}

// counts are what nodes count: by region, node, series and window.
type counts map[string]*crdt.Value

func (c counts) add(t *rapid.T, region, name string, s *crdt.Series, start int64, v *crdt.Value) {
	key := fmt.Sprintf("%s/%s %s %d", region, name, s, start)
	if c[key] == nil {
		bottom := crdt.Bottom(v.Kind)
		c[key] = &bottom
	}
	one := v.Clone()
	if err := c[key].Combine(&one); err != nil {
		t.Fatal(err)
	}
}

// TestWhatWasCountedAndTheDifferencesAreWhatTheRuleCounts is the law of corrections, with what others counted in the same windows beside.
func TestWhatWasCountedAndTheDifferencesAreWhatTheRuleCounts(t *testing.T) {
	const width = 10_000
	rapid.Check(t, func(t *rapid.T) {
		rule := func(_ crdt.Origin, s *crdt.Series) (*crdt.Series, error) { // as it came but for some
			switch s.Get("ad") {
			case "1":
				return series(s.Kind, 0), nil
			case "2":
				return nil, nil
			case "3":
				return nil, errors.New("refused")
			}
			return s, nil
		}
		r, again := New(rule, width), New(rule, width)
		was, want := counts{}, counts{}
		type event struct {
			o  crdt.Origin
			ev eventlog.Event
		}
		var all []event
		for i := range rapid.IntRange(0, 40).Draw(t, "events") {
			kind := rapid.SampledFrom([]crdt.Kind{crdt.KindCounter, crdt.KindUpDown, crdt.KindDistribution}).Draw(t, "kind")
			o := crdt.Origin{Class: crdt.ClassNode, Region: rapid.SampledFrom([]string{"eu", "us"}).Draw(t, "region"), Node: rapid.SampledFrom([]string{"a", "b"}).Draw(t, "node")}
			ev := eventlog.Event{Number: uint64(i + 1), Time: rapid.Int64Range(0, 5*width).Draw(t, "time"), Series: series(kind, rapid.IntRange(0, 4).Draw(t, "ad"))}
			ev.Inc = crdt.Value{Kind: kind}
			switch kind {
			case crdt.KindDistribution:
				d := new(crdt.Distribution)
				if err := d.Observe(float64(rapid.IntRange(-5, 5).Draw(t, "sample")), 1); err != nil {
					t.Fatal(err)
				}
				ev.Inc.X = d
			case crdt.KindUpDown:
				ev.Inc.N = crdt.FixedFromUint(rapid.Uint64Range(0, 9).Draw(t, "down"))
				fallthrough
			default:
				ev.Inc.P = crdt.FixedFromUint(rapid.Uint64Range(0, 9).Draw(t, "up"))
			}
			switch rapid.IntRange(0, 2).Draw(t, "counted") {
			case 1:
				ev.Dropped = true
			case 2:
				if ad := rapid.IntRange(0, 4).Draw(t, "counted as"); fmt.Sprint(ad) != ev.Series.Get("ad") {
					ev.Counted = series(kind, ad)
				}
			}
			all = append(all, event{o, ev})
			start := crdt.WindowAt(ev.Time, width).Start
			if c := ev.CountedAs(); c != nil {
				was.add(t, o.Region, o.Node, c, start, &ev.Inc)
			}
			is, err := rule(o, ev.Series)
			if err != nil {
				is = ev.CountedAs() // it stays
			}
			if is != nil {
				want.add(t, o.Region, o.Node, is, start, &ev.Inc)
			}
			if rapid.Bool().Draw(t, "others") {
				was.add(t, o.Region, o.Node, ev.Series, start, &ev.Inc)
				want.add(t, o.Region, o.Node, ev.Series, start, &ev.Inc)
			}
		}
		for i := range all {
			if err := errors.Join(r.Add(all[i].o, &all[i].ev), again.Add(all[len(all)-1-i].o, &all[len(all)-1-i].ev)); err != nil {
				t.Fatal(err)
			}
		}
		if a, b := fmt.Sprint(text(r.Differences())), fmt.Sprint(text(again.Differences())); a != b {
			t.Fatalf("in another order:\n%s\n%s", a, b)
		}
		for _, minus := range []bool{false, true} { // all that is too little first
			for region, ds := range r.Differences() {
				for i := range ds {
					d := &ds[i]
					if d.Minus != minus {
						continue
					}
					key := fmt.Sprintf("%s/%s %s %d", region, d.Node, d.Series, d.Start)
					if was[key] == nil {
						bottom := crdt.Bottom(d.Series.Kind)
						was[key] = &bottom
					}
					plus, less := &d.Value, (*crdt.Value)(nil)
					if minus {
						plus, less = nil, &d.Value
					}
					if whole, err := was[key].Correct(plus, less); !whole || err != nil {
						t.Fatalf("%s: whole %v, %v", key, whole, err)
					}
				}
			}
		}
		for key, v := range was {
			exp := want[key]
			if exp == nil {
				bottom := crdt.Bottom(v.Kind)
				exp = &bottom
			}
			if amounts(v) != amounts(exp) {
				t.Fatalf("%s is %s, want %s", key, amounts(v), amounts(exp))
			}
		}
		for key, v := range want {
			if was[key] == nil && !v.IsNothing() {
				t.Fatalf("%s lacks", key)
			}
		}
		if r.Events != uint64(len(all)) || len(r.Left) != 0 {
			t.Fatalf("%d events of %d, %v left", r.Events, len(all), r.Left)
		}
	})
}

// amounts is all that corrections are exact in: not the range of a distribution.
func amounts(v *crdt.Value) string {
	if d, ok := v.X.(*crdt.Distribution); ok {
		sum := d.Sum()
		return fmt.Sprintf("%d samples, %s", d.Count(), sum.String())
	}
	if v.Kind == crdt.KindDistribution {
		return "0 samples, 0"
	}
	return fmt.Sprintf("%s %s", v.P, v.N)
}

func text(by map[string][]node.Difference) (out []string) {
	for _, region := range []string{"eu", "us"} {
		for _, d := range by[region] {
			out = append(out, fmt.Sprintf("%s %s %v %s %d %x\n", region, d.Node, d.Minus, d.Series, d.Start, d.Value.AppendBinary(nil)))
		}
	}
	return out
}

func TestWhatCannotBeTakenBackIsLeft(t *testing.T) {
	r := New(func(crdt.Origin, *crdt.Series) (*crdt.Series, error) { return nil, nil }, 10_000)
	r.most = 2
	g := eventlog.Event{Number: 1, Series: &crdt.Series{Name: "g", Kind: crdt.KindGauge}, Inc: crdt.Value{Kind: crdt.KindGauge, X: &crdt.Gauge{Value: 1}}}
	if err := r.Add(crdt.Origin{}, &g); err != nil || r.Left[crdt.KindGauge] != 1 || r.Changed != 0 {
		t.Errorf("%v, %+v", err, r)
	}
	var err error
	for i := range 3 {
		ev := eventlog.Event{Number: 1, Series: series(crdt.KindCounter, i), Inc: crdt.Value{Kind: crdt.KindCounter, P: crdt.FixedFromUint(1)}}
		err = errors.Join(err, r.Add(crdt.Origin{}, &ev))
	}
	if !errors.Is(err, ErrTooMany) {
		t.Errorf("%v, want %v", err, ErrTooMany)
	}
}

func TestChangesAreSumsBySeries(t *testing.T) {
	r := New(func(_ crdt.Origin, s *crdt.Series) (*crdt.Series, error) { return series(s.Kind, 9), nil }, 10_000)
	for i := range 6 {
		ev := eventlog.Event{Number: uint64(i), Time: int64(i) * 7000, Series: series(crdt.KindCounter, i%2), Inc: crdt.Value{Kind: crdt.KindCounter, P: crdt.FixedFromUint(1)}}
		if err := r.Add(crdt.Origin{Region: "eu", Node: fmt.Sprint(i)}, &ev); err != nil {
			t.Fatal(err)
		}
	}
	got, err := r.Changes()
	if err != nil || len(got) != 3 {
		t.Fatalf("%v, %v", got, err)
	}
	for i, want := range []string{"3 0", "3 0", "0 6"} {
		if text := fmt.Sprintf("%s %s", got[i].Was.P, got[i].Is.P); text != want {
			t.Errorf("%s: %s, want %s", got[i].Series, text, want)
		}
	}
}
