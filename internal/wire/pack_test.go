package wire

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func TestPackedColumn(t *testing.T) {
	same := func(v uint64, n int) []uint64 { return slices.Repeat([]uint64{v}, n) }
	tests := []struct {
		name string
		vals []uint64
		want int // bytes
	}{
		{"nothing", nil, 0},
		{"a block of zeros", same(0, 128), 1},
		{"two blocks of zeros", same(0, 129), 2},
		{"a block of ones", same(1, 128), 1 + 16},
		{"full width", same(1<<63, 2), 1 + 16},
		{"one large value among zeros", append(same(0, 127), 1<<40), 1 + 1 + 1 + 6},
		{"one large value among bytes", append(same(255, 100), 1<<40), 1 + 101 + 1 + 1 + 5},
		{"30 bits", same(1<<29, 128), 1 + 480},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			b := appendPacked(nil, test.vals)
			if len(b) != test.want {
				t.Errorf("%d bytes, want %d: %x", len(b), test.want, b)
			}
			checkColumn(t, b, test.vals)
		})
	}
}

func checkColumn(t interface{ Errorf(string, ...any) }, b []byte, vals []uint64) {
	var u unpacker
	u.reset(b)
	var got []uint64
	for left := len(vals); left > 0; left -= blockLen {
		got = append(got, u.block(min(left, blockLen))...)
	}
	if err := u.end(); err != nil || !slices.Equal(got, vals) {
		t.Errorf("unpacked to %v, %v, want %v", got, err, vals)
	}
}

func TestPackedColumnRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		value := rapid.Custom(func(t *rapid.T) uint64 {
			return rapid.Uint64().Draw(t, "value") >> rapid.IntRange(0, 63).Draw(t, "shift")
		})
		vals := rapid.SliceOfN(value, 0, 300).Draw(t, "values")
		checkColumn(t, appendPacked(nil, vals), vals)
	})
}

func TestPackedColumnRefused(t *testing.T) {
	tests := []struct {
		name string
		b    []byte
	}{
		{"nothing", nil},
		{"width of 65", append([]byte{65}, make([]byte, 100)...)},
		{"low bits cut", []byte{8, 1, 2}},
		{"patches cut", []byte{patchFlag}},
		{"patch cut", []byte{patchFlag, 1, 0}},
		{"patch beyond the block", []byte{patchFlag, 1, 4, 1}},
		{"patches out of order", []byte{patchFlag, 2, 1, 1, 0, 1}},
		{"patch beyond 64 bits", []byte{patchFlag | 4, 0, 0, 1, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1}},
		{"bytes left over", []byte{0, 0}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var u unpacker
			u.reset(test.b)
			u.block(4)
			wantError(t, u.end(), ErrMalformed)
		})
	}
}
