package crdt

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func drawSeries(t *rapid.T) *Series {
	text := rapid.SampledFrom([]string{"", "a", "b", "ab", "abc", string(bytes.Repeat([]byte("x"), 130)), string(bytes.Repeat([]byte("y"), 300))})
	s := &Series{
		Name: text.Draw(t, "name"), Kind: rapid.SampledFrom([]Kind{KindCounter, KindGauge}).Draw(t, "kind"),
		Gen: rapid.SampledFrom([]uint32{0, 1, 127, 128, 300}).Draw(t, "generation"),
	}
	for range rapid.IntRange(0, 2).Draw(t, "labels") {
		s.Labels = append(s.Labels, Label{text.Draw(t, "label"), text.Draw(t, "value")})
	}
	return s
}

func TestSeriesAreOrderedAndEqualAsTheirKeysAre(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := drawSeries(t), drawSeries(t)
		x, y := a.AppendKey(nil), b.AppendKey(nil)
		if got, want := a.CompareKey(b), bytes.Compare(x, y); got != want {
			t.Fatalf("%s and %s compare as %d, their keys as %d", a, b, got, want)
		}
		if got, want := a.Equal(b), bytes.Equal(x, y); got != want {
			t.Fatalf("%s and %s are equal: %t, their keys: %t", a, b, got, want)
		}
	})
}

// TestSeriesIndexIsAMap: whatever is put into it and taken out of it in whatever order.
func TestSeriesIndexIsAMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var all []*Series
		for i := range 40 {
			all = append(all, &Series{Name: fmt.Sprint("m", i%7), Kind: KindCounter, Labels: []Label{{"i", fmt.Sprint(i / 7)}}})
		}
		x := NewSeriesIndex(func(n uint32) *Series { return all[n] })
		if rapid.Bool().Draw(t, "collide") {
			x.slots = make([]seriesSlot, 64) // as full as it may be, so that runs wrap around and touch
		}
		want := map[uint32]bool{}
		for range rapid.IntRange(0, 200).Draw(t, "steps") {
			n := rapid.Uint32Range(0, uint32(len(all)-1)).Draw(t, "number")
			switch same := *all[n]; {
			case want[n]:
				if !x.Remove(&same) {
					t.Fatalf("%s is not there to be removed", &same)
				}
				delete(want, n)
			default:
				if x.Remove(&same) {
					t.Fatalf("%s was removed and never put", &same)
				}
				x.Put(&same, n)
				want[n] = true
			}
			for i, s := range all {
				if got, ok := x.Find(s); ok != want[uint32(i)] || ok && got != uint32(i) {
					t.Fatalf("%s has number %d: %t, want %v", s, got, ok, slices.Sorted(maps.Keys(want)))
				}
			}
			if x.Len() != len(want) {
				t.Fatalf("%d numbers, want %d", x.Len(), len(want))
			}
		}
	})
}
