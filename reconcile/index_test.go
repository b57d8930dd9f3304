package reconcile

import (
	"testing"

	"pgregory.net/rapid"
)

// TestAnIndexIsAMap compares an index with a map, for series in any order, dense and not.
func TestAnIndexIsAMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var x index
		want := map[SeriesID]uint32{}
		span := rapid.SampledFrom([]uint32{8, 200, 1 << 20}).Draw(t, "span")
		for i, raw := range rapid.SliceOfDistinct(rapid.Uint32Range(0, span), rapid.ID[uint32]).Draw(t, "series") {
			x.put(SeriesID(raw), uint32(i))
			want[SeriesID(raw)] = uint32(i)
			if len(x.dense) > 4*(len(want)+4) {
				t.Fatalf("%d entries take %d places", len(want), len(x.dense))
			}
		}
		if x.len() != len(want) {
			t.Fatalf("%d entries, want %d", x.len(), len(want))
		}
		for id, ref := range want {
			if got, ok := x.get(id); !ok || got != ref {
				t.Fatalf("series %d is %d, %v, want %d", id, got, ok, ref)
			}
			if _, has := want[id+1]; !has {
				if got, ok := x.get(id + 1); ok {
					t.Fatalf("series %d is %d, but was never entered", id+1, got)
				}
			}
		}
	})
}
