package crdt

import (
	"bytes"
	"testing"

	"pgregory.net/rapid"
)

func drawSide(t *rapid.T) Side {
	return Side{
		ID: rapid.StringMatching(`[0-9a-f]{16}`).Draw(t, "id"), Minus: rapid.Bool().Draw(t, "minus"), Node: rapid.StringMatching(`[a-z0-9-]{1,9}`).Draw(t, "node"),
	}
}

func TestASideNamesWhatItStandsBeside(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := &Series{Name: "m", Kind: rapid.SampledFrom([]Kind{KindCounter, KindUpDown, KindDistribution}).Draw(t, "kind"), Gen: rapid.Uint32().Draw(t, "gen")}
		for _, name := range []string{"a", "meshd.", "meshd.nodes", "z"}[:rapid.IntRange(0, 4).Draw(t, "labels")] {
			s.Labels = append(s.Labels, Label{name, rapid.StringMatching(`[a-z]{0,3}`).Draw(t, "value")})
		}
		side := drawSide(t)
		beside := s.Beside(side)
		base, got, ok := beside.Side()
		if err := beside.Check(); err != nil || !ok || got != side || !beside.IsSide() {
			t.Fatalf("%v is %v %v of %v, %v", beside, got, ok, side, err)
		}
		if !bytes.Equal(base.AppendKey(nil), s.AppendKey(nil)) || s.IsSide() {
			t.Fatalf("%v stands beside %v, want %v", beside, base, s)
		}
		if _, _, ok := s.Side(); ok {
			t.Fatalf("%v is a side", s)
		}
	})
}

func TestASeriesWithAllItsLabelsHasSides(t *testing.T) {
	s := &Series{Name: "m", Kind: KindCounter}
	for i := range MaxLabels {
		s.Labels = append(s.Labels, Label{Name: string(rune('a'+i/26)) + string(rune('a'+i%26))})
	}
	if err := s.Beside(Side{ID: "0123456789abcdef", Node: "n"}).Check(); err != nil {
		t.Error(err)
	}
	s.Labels = append(s.Labels, Label{Name: "zz"})
	if s.Check() == nil {
		t.Error("33 labels of a client's are accepted")
	}
}

func TestWhatIsNoSide(t *testing.T) {
	for what, s := range map[string]*Series{
		"another kind": (&Series{Name: "m", Kind: KindUnique}).Beside(Side{ID: "0123456789abcdef", Node: "n"}),
		"no id":        (&Series{Name: "m", Kind: KindCounter}).Beside(Side{ID: "x", Node: "n"}),
		"no node":      (&Series{Name: "m", Kind: KindCounter}).Beside(Side{ID: "0123456789abcdef"}),
		"no sign":      {Name: "m", Kind: KindCounter, Labels: []Label{{CorrectionLabel, "0123456789abcdef"}, {CorrectionNodeLabel, "n"}}},
	} {
		if _, _, ok := s.Side(); ok || !s.IsSide() {
			t.Errorf("%s: %v is taken for one, or may be seen", what, s)
		}
	}
}

// TestCorrectingIsExact: what some counted, less what of it was counted wrong, and what should have been, is what the right rule counts.
func TestCorrectingIsExact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		kind := rapid.SampledFrom([]Kind{KindCounter, KindUpDown, KindDistribution}).Draw(t, "kind")
		draw := func(name string) Value {
			v := Bottom(kind)
			for range rapid.IntRange(0, 4).Draw(t, name) {
				inc := Value{Kind: kind}
				switch kind {
				case KindDistribution:
					d := new(Distribution)
					if err := d.Observe(rapid.Float64Range(-1e6, 1e6).Draw(t, "sample"), 1); err != nil {
						t.Fatal(err)
					}
					inc.X = d
				case KindUpDown:
					inc.N = FixedFromUint(rapid.Uint64Range(0, 1<<40).Draw(t, "n"))
					fallthrough
				default:
					inc.P = FixedFromUint(rapid.Uint64Range(0, 1<<40).Draw(t, "p"))
				}
				if err := v.Combine(&inc); err != nil {
					t.Fatal(err)
				}
			}
			return v
		}
		rest, wrong, right := draw("rest"), draw("wrong"), draw("right")
		counted, want := rest.Clone(), rest.Clone()
		if counted.Combine(&wrong) != nil || want.Combine(&right) != nil {
			t.Fatal("sums")
		}
		whole, err := counted.Correct(&right, &wrong)
		if err != nil || !whole {
			t.Fatalf("whole: %v, %v", whole, err)
		}
		if kind == KindDistribution { // the range is that of all that was ever counted
			if counted.X == nil {
				return
			}
			got, exp := counted.X.(*Distribution), new(Distribution)
			if want.X != nil {
				exp = want.X.(*Distribution)
			}
			gotSum, expSum := got.Sum(), exp.Sum()
			if got.Count() != exp.Count() || gotSum.String() != expSum.String() {
				t.Fatalf("%d samples, %s; want %d, %s", got.Count(), gotSum.String(), exp.Count(), expSum.String())
			}
			return
		}
		if counted != want {
			t.Fatalf("%v, want %v", counted, want)
		}
		less, more := rest.Clone(), Value{Kind: kind, P: FixedFromUint(1)}
		if err := more.Combine(&rest); err != nil {
			t.Fatal(err)
		}
		if whole, err := less.Correct(nil, &more); whole || err != nil || !less.IsNothing() {
			t.Fatalf("less than nothing: %v %v %v", less, whole, err)
		}
	})
}
