package crdt

import (
	"bytes"
	"encoding/hex"
	"errors"
	"testing"

	"github.com/cespare/xxhash/v2"
	"pgregory.net/rapid"
)

// goldenUniques are on the disks of version 1: they are only ever added to. Long ones are given by size and hash.
var goldenUniques = []struct {
	name  string
	bytes string
	size  int
	hash  uint64
	build func() *Unique
}{
	{name: "empty", bytes: "0000", build: func() *Unique { return new(Unique) }},
	{name: "two", bytes: "000203" + "73", build: func() *Unique {
		u := new(Unique)
		u.raise(0, 3, 1)
		u.raise(2, maxRank, 1)
		return u
	}},
	{name: "last register", bytes: "0001" + "c1ff3f", build: func() *Unique {
		u := new(Unique)
		u.raise(uniqueRegisters-1, 1, 1)
		return u
	}},
	{name: "longest sparse", size: 3 + 8192, hash: 0x10c9061afc4f96e9, build: func() *Unique {
		u := new(Unique)
		for i := range uint16(maxSparseEncoded) {
			u.raise(2*i, uint8(i%maxRank)+1, 1)
		}
		return u
	}},
	{name: "shortest dense", size: 1 + uniqueDenseBytes, hash: 0x102a098ea1657a1f, build: func() *Unique {
		u := new(Unique)
		for i := range uint16(maxSparseEncoded + 1) {
			u.raise(i, uint8(i%maxRank)+1, 1)
		}
		return u
	}},
}

func TestGoldenUniques(t *testing.T) {
	for _, g := range goldenUniques {
		t.Run(g.name, func(t *testing.T) {
			u := g.build()
			b := u.AppendBinary(nil)
			if g.bytes != "" && hex.EncodeToString(b) != g.bytes {
				t.Fatalf("bytes %x, want %s", b, g.bytes)
			}
			if g.bytes == "" && (len(b) != g.size || xxhash.Sum64(b) != g.hash) {
				t.Fatalf("%d bytes of hash %#x, want %d of %#x", len(b), xxhash.Sum64(b), g.size, g.hash)
			}
			got, err := parseUnique(b, 4)
			if err != nil {
				t.Fatal(err)
			}
			if registersOf(got.(*Unique)) != registersOf(u) {
				t.Error("other registers were read than written")
			}
		})
	}
}

func TestUniqueBytesRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		u := genUniqueIncrement(t).(*Unique)
		b := u.AppendBinary(nil)
		got, err := parseUnique(b, 4)
		if err != nil {
			t.Fatal(err)
		}
		if registersOf(got.(*Unique)) != registersOf(u) || (got.(*Unique).dense == nil) != (u.dense == nil) {
			t.Fatal("another state was read than written")
		}
		u.grow()
		if !bytes.Equal(u.AppendBinary(nil), b) {
			t.Fatal("the bytes depend on the form in memory")
		}
	})
}

func TestParseUniqueRefuses(t *testing.T) {
	full := make([]byte, 1+uniqueDenseBytes)
	full[0] = uniqueDense
	few := bytes.Clone(full)
	for i := range full[1:] {
		full[i+1] = 0xff // rank 63
	}
	long := append([]byte{uniqueSparse, 0x81, 0x40}, bytes.Repeat([]byte{1}, maxSparseEncoded+1)...)
	for _, c := range []struct {
		name  string
		bytes []byte
	}{
		{"nothing", nil},
		{"unknown form", []byte{2}},
		{"no number", []byte{0}},
		{"more registers than bytes", []byte{0, 2, 1}},
		{"long number", []byte{0, 0x81, 0, 1}},
		{"rank 0", []byte{0, 1, 0x40}},
		{"rank 52", []byte{0, 1, maxRank + 1}},
		{"register 16,384", []byte{0, 1, 0x81, 0x80, 0x40}},
		{"second register beyond the end", []byte{0, 2, 0xc1, 0xff, 0x3f, 1}},
		{"cut short", []byte{0, 1, 0x81}},
		{"trailing byte", []byte{0, 1, 1, 0}},
		{"too many for sparse", long},
		{"dense cut short", full[:len(full)-1]},
		{"dense with trailing byte", append(bytes.Clone(full), 0)},
		{"dense with rank 63", full},
		{"too few for dense", few},
	} {
		t.Run(c.name, func(t *testing.T) {
			if u, err := parseUnique(c.bytes, 1); !errors.Is(err, ErrBytes) || u != nil {
				t.Errorf("parsed %v, error %v, want ErrBytes", u, err)
			}
		})
	}
}

func FuzzParseUnique(f *testing.F) {
	for _, g := range goldenUniques {
		f.Add(g.build().AppendBinary(nil))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := parseUnique(b, 1)
		if err != nil {
			return
		}
		u := s.(*Unique)
		if !bytes.Equal(u.AppendBinary(nil), b) {
			t.Fatalf("%x was read and became %x", b, u.AppendBinary(nil))
		}
		if limit := 64 + 18*len(b); u.Size() > limit {
			t.Fatalf("%d bytes take %d in memory, want at most %d", len(b), u.Size(), limit)
		}
		if e := u.Estimate(); !(e >= 0) {
			t.Fatalf("estimate %v", e)
		}
		rose, err := new(Unique).Join(u, 1, new(Unique), 1)
		if err != nil || rose != (len(b) > 2) {
			t.Fatalf("join rose: %v, error %v", rose, err)
		}
	})
}
