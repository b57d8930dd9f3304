package column

import (
	"encoding/hex"
	"slices"
	"testing"

	"meshd/crdt"

	"pgregory.net/rapid"
)

func readFixed(t interface{ Fatalf(string, ...any) }, b []byte, n int) []crdt.Fixed {
	var d Decoder
	r := Reader{B: b}
	got := make([]crdt.Fixed, n)
	d.Fixed(&r, n, func(i int, f crdt.Fixed) { got[i] = f })
	if r.Err != nil || len(r.B) > 0 {
		t.Fatalf("%d bytes left, %v", len(r.B), r.Err)
	}
	return got
}

func TestFixedComeBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		shift := rapid.UintRange(0, 127).Draw(t, "shift")
		value := rapid.OneOf(
			rapid.Map(rapid.Uint64(), crdt.FixedFromUint),
			rapid.Map(rapid.Uint64Range(0, 1000), func(u uint64) crdt.Fixed { return shiftLeft(u, shift) }),
			rapid.Map(rapid.Uint64(), func(u uint64) crdt.Fixed { return crdt.Fixed{Hi: u, Lo: u * 31} }))
		if rapid.Bool().Draw(t, "whole") {
			value = rapid.Map(rapid.Uint64Range(0, 1000), crdt.FixedFromUint)
		}
		values := rapid.SliceOfN(value, 0, 100).Draw(t, "values")
		var e Encoder
		if got := readFixed(t, e.Fixed(nil, values), len(values)); !slices.Equal(got, values) {
			t.Fatalf("got %v, want %v", got, values)
		}
	})
}

func TestFixedGolden(t *testing.T) {
	half, _ := crdt.FixedFromFloat(1.5)
	for _, row := range []struct {
		name   string
		values []crdt.Fixed
		want   string
	}{
		{"whole", []crdt.Fixed{crdt.FixedFromUint(1), crdt.FixedFromUint(2), crdt.FixedFromUint(4)}, "3004020234"},
		{"halves", []crdt.Fixed{half, crdt.FixedFromUint(2)}, "2f04060102"},
		{"zeros", []crdt.Fixed{{}, {}}, "00000000"},
		{"long", []crdt.Fixed{{Hi: 1 << 63, Lo: 1}, {Hi: 1}}, "ff04ffffffffffffffffff01400000000000000000010000000000008004000101"},
	} {
		t.Run(row.name, func(t *testing.T) {
			var e Encoder
			if got := hex.EncodeToString(e.Fixed(nil, row.values)); got != row.want {
				t.Errorf("got %s, want %s", got, row.want)
			}
		})
	}
}

func TestBlobsComeBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		blobs := rapid.SliceOfN(rapid.OneOf(rapid.SliceOfN(rapid.Byte(), 0, 50), rapid.SampledFrom([][]byte{make([]byte, 300), []byte("the same words")})), 0, 30).Draw(t, "blobs")
		var all []byte
		var ends []int
		for _, b := range blobs {
			all = append(all, b...)
			ends = append(ends, len(all))
		}
		var e Encoder
		var d Decoder
		r := Reader{B: e.Blobs(nil, all, ends)}
		got, gotEnds := d.Blobs(&r, len(blobs))
		if r.Err != nil || len(r.B) > 0 || !slices.Equal(gotEnds, ends) || !slices.Equal(got, all) {
			t.Fatalf("%d bytes left, %v; got %x at %v, want %x at %v", len(r.B), r.Err, got, gotEnds, all, ends)
		}
	})
}

func FuzzBlobs(f *testing.F) {
	var e Encoder
	f.Add(e.Blobs(nil, make([]byte, 300), []int{100, 300}), 2)
	f.Add(e.Blobs(nil, []byte("short"), []int{2, 5}), 2)
	f.Fuzz(func(t *testing.T, b []byte, n int) {
		if n < 0 || n > 1000 {
			return
		}
		var d Decoder
		r := Reader{B: b}
		all, ends := d.Blobs(&r, n)
		if r.Err == nil && (len(ends) != n || n > 0 && ends[n-1] != len(all)) {
			t.Fatalf("%d blobs that end at %v of %d bytes, want %d", len(ends), ends, len(all), n)
		}
	})
}
