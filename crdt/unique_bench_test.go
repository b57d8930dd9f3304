package crdt

import (
	"math/rand/v2"
	"testing"
)

// uniqueOf returns a state of n values.
func uniqueOf(n int, seed uint64) *Unique {
	u, r := new(Unique), rand.New(rand.NewPCG(seed, 0))
	for range n {
		u.InsertHash(r.Uint64())
	}
	return u
}

func BenchmarkInsertHash(b *testing.B) {
	u, r := new(Unique), rand.New(rand.NewPCG(1, 1))
	b.ReportAllocs()
	for b.Loop() {
		u.InsertHash(r.Uint64())
	}
}

func BenchmarkUniqueJoin(b *testing.B) {
	for _, c := range []struct {
		name      string
		own, with int
	}{
		{"sparse 500 into sparse 500", 500, 500},
		{"sparse 500 into dense", 100_000, 500},
		{"dense into dense", 100_000, 100_000},
	} {
		b.Run(c.name, func(b *testing.B) {
			own, with := uniqueOf(c.own, 1), uniqueOf(c.with, 2)
			u := own.Clone().(*Unique)
			for b.Loop() {
				u.sparse = append(u.sparse[:0], own.sparse...)
				if u.dense != nil {
					*u.dense = *own.dense
				}
				if rose, err := u.Join(with, 1, nil, 0); !rose || err != nil {
					b.Fatal(rose, err)
				}
			}
		})
	}
	b.Run("equal dense", func(b *testing.B) {
		u, same := uniqueOf(100_000, 1), uniqueOf(100_000, 1)
		for b.Loop() {
			if rose, err := u.Join(same, 1, nil, 0); rose || err != nil {
				b.Fatal(rose, err)
			}
		}
	})
}

func BenchmarkUniqueParse(b *testing.B) {
	for name, n := range map[string]int{"sparse 500": 500, "dense": 100_000} {
		raw := uniqueOf(n, 1).AppendBinary(nil)
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(raw)))
			for b.Loop() {
				if _, err := parseUnique(raw, 1); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkEstimate(b *testing.B) {
	u := uniqueOf(100_000, 1)
	for b.Loop() {
		if u.Estimate() == 0 {
			b.Fatal("nothing")
		}
	}
}
