package crdt

import "testing"

// BenchmarkCounterJoin raises one counter cell and the running sum it belongs to: the work per cell of a frame.
func BenchmarkCounterJoin(b *testing.B) {
	const cells = 1 << 14 // 2 MB of cells and as much of sums: more than the fastest cache
	held, sums := make([]Value, cells), make([]Value, cells)
	for i := range held {
		held[i], sums[i] = Bottom(KindCounter), Bottom(KindCounter)
	}
	d, one := Value{Kind: KindCounter}, FixedFromUint(1)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		at := i % cells
		d.P, _ = held[at].P.Add(one)
		if rose, err := held[at].Join(&d, uint64(i), &sums[at], uint64(i)); !rose || err != nil {
			b.Fatal(rose, err)
		}
	}
}

func BenchmarkCounterGrow(b *testing.B) {
	acc, one := Bottom(KindCounter), Value{Kind: KindCounter, P: FixedFromUint(1)}
	b.ReportAllocs()
	for b.Loop() {
		if err := acc.Grow(&one); err != nil {
			b.Fatal(err)
		}
	}
}

func compactForms() (buf []byte, n int) {
	for i := range uint64(4096) {
		f := FixedFromUint(i * 0x9e3779b97f4a7c15 % 1_000_000_000)
		if i%16 == 0 {
			f, _ = f.Add(Fixed{Lo: 1 << 47})
		}
		buf = f.AppendCompact(buf)
		n++
	}
	return buf, n
}

// BenchmarkParseCompact reads amounts below 10^9, one in 16 with a fraction.
func BenchmarkParseCompact(b *testing.B) {
	buf, n := compactForms()
	rest := buf
	for b.Loop() {
		_, size, err := ParseCompact(rest)
		if err != nil {
			b.Fatal(err)
		}
		if rest = rest[size:]; len(rest) == 0 {
			rest = buf
		}
	}
	b.ReportMetric(float64(len(buf))/float64(n), "B/amount")
}

func BenchmarkFixedFromFloat(b *testing.B) {
	for b.Loop() {
		if _, err := FixedFromFloat(12345.678); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkParseFixed(b *testing.B) {
	for b.Loop() {
		if _, err := ParseFixed("12345.678"); err != nil {
			b.Fatal(err)
		}
	}
}
