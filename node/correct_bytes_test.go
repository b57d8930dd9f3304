package node

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"meshd/crdt"
)

func amountOf(n uint64) crdt.Value {
	return crdt.Value{Kind: crdt.KindCounter, P: crdt.FixedFromUint(n)}
}

func TestDifferencesThatAreNone(t *testing.T) {
	one := []Difference{{Node: "n", Series: &crdt.Series{Name: "m", Kind: crdt.KindCounter}, Start: 1000, Value: amountOf(1)}}
	good, err := AppendDifferences(correctionA, one)
	if err != nil {
		t.Fatal(err)
	}
	for what, b := range map[string][]byte{
		"cut short":             good[:len(good)-1],
		"no frame":              {3, 1, 2, 3},
		"of another correction": good,
	} {
		id := correctionA
		if what == "of another correction" {
			id = "fedcba9876543210"
		}
		if ds, err := ParseDifferences(b, id); err == nil {
			t.Errorf("%s: %v", what, ds)
		}
	}
}

func TestDifferencesRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var ds []Difference
		seen := map[string]bool{}
		for range rapid.IntRange(0, 30).Draw(t, "differences") {
			kind := rapid.SampledFrom([]crdt.Kind{crdt.KindCounter, crdt.KindUpDown, crdt.KindDistribution}).Draw(t, "kind")
			s := &crdt.Series{Name: "m", Kind: kind, Labels: []crdt.Label{{Name: "l", Value: rapid.SampledFrom([]string{"x", "y"}).Draw(t, "label")}}}
			d := Difference{
				Node: rapid.SampledFrom([]string{"a", "b"}).Draw(t, "node"), Minus: rapid.Bool().Draw(t, "minus"), Series: s,
				Start: rapid.Int64Range(0, 1e6).Draw(t, "start") * 1000, Value: crdt.Value{Kind: kind},
			}
			if kind == crdt.KindDistribution {
				x := new(crdt.Distribution)
				if err := x.Observe(rapid.Float64Range(-9, 9).Draw(t, "sample"), 2); err != nil {
					t.Fatal(err)
				}
				d.Value.X = x
			} else {
				d.Value.P = crdt.FixedFromUint(rapid.Uint64Range(1, 99).Draw(t, "p"))
			}
			if kind == crdt.KindUpDown {
				d.Value.N = crdt.FixedFromUint(rapid.Uint64Range(0, 99).Draw(t, "n"))
			}
			key := fmt.Sprint(d.Node, d.Minus, s, d.Start)
			if seen[key] {
				continue
			}
			seen[key] = true
			ds = append(ds, d)
		}
		b, err := AppendDifferences(correctionA, ds)
		if err != nil {
			t.Fatal(err)
		}
		got, err := ParseDifferences(b, correctionA)
		if err != nil || len(got) != len(ds) {
			t.Fatalf("%d of %d, %v", len(got), len(ds), err)
		}
		text := func(ds []Difference) (out []string) { // in any order
			for _, d := range ds {
				out = append(out, fmt.Sprintf("%s %v %s %d %x", d.Node, d.Minus, d.Series, d.Start, d.Value.AppendBinary(nil)))
			}
			slices.Sort(out)
			return out
		}
		if d := cmp.Diff(text(ds), text(got)); d != "" {
			t.Fatalf("(-want +got):\n%s", d)
		}
	})
}

func FuzzParseDifferences(f *testing.F) {
	good, err := AppendDifferences(correctionA, []Difference{{Node: "n", Series: &crdt.Series{Name: "m", Kind: crdt.KindCounter}, Start: 1000, Value: amountOf(1)}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add(append(good, good...))
	f.Fuzz(func(t *testing.T, b []byte) {
		ds, err := ParseDifferences(b, correctionA)
		for i := range ds {
			if err == nil && (ds[i].Value.Kind != ds[i].Series.Kind || !ds[i].Series.Kind.Corrects() || ds[i].Series.IsSide()) {
				t.Fatalf("%+v is taken for a difference", ds[i])
			}
		}
	})
}
