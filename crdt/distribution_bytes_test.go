package crdt

import (
	"bytes"
	"encoding/hex"
	"errors"
	"math"
	"testing"
)

// goldenDistributions are on the disks of version 1: they are only ever added to.
var goldenDistributions = []struct {
	name  string
	bytes string
	build func(t failer) *Distribution
}{
	{"empty", "00", func(failer) *Distribution { return new(Distribution) }},
	{"one", "2a" + "01" + "bfe003" + "00010101", func(t failer) *Distribution { return observed(t, 1) }},
	{"zeros", "09" + "02" + "00", func(t failer) *Distribution { return observed(t, 0, 0) }},
	{"both signs", "7e" + "0a" + "f80380" + "c019" + "c048" + "0001a80301" + "0001e60101", func(t failer) *Distribution {
		return observed(t, 10, -3.5)
	}},
	{"gaps and counts", "3a" + "f80740" + "bfe003" + "c004" + "0003" + "0101" + "3f02" + "0a01", func(t failer) *Distribution {
		return observed(t, 1, 2, 2, 2.25)
	}},
	{"two scales", "20" + "8001" + "0005" + "02" + "02" + "c801" + "02" + "00" + "01", func(failer) *Distribution {
		return &Distribution{positive: buckets{
			{key: keyOf(6, 0), count: 5}, {key: keyOf(4, 100), count: 2}, {key: keyOf(4, 101), count: 1},
		}, count: 8}
	}},
}

func observed(t failer, values ...float64) *Distribution {
	t.Helper()
	d := new(Distribution)
	for _, v := range values {
		mustObserve(t, d, v, 1)
	}
	return d
}

func TestGoldenDistributions(t *testing.T) {
	for _, g := range goldenDistributions {
		t.Run(g.name, func(t *testing.T) {
			d := g.build(t)
			if got := hex.EncodeToString(d.AppendBinary(nil)); got != g.bytes {
				t.Fatalf("bytes %s, want %s", got, g.bytes)
			}
			b, _ := hex.DecodeString(g.bytes)
			got, err := parseDistribution(b, 3)
			if err != nil {
				t.Fatal(err)
			}
			if got.(*Distribution).Count() != d.Count() || !bytes.Equal(got.AppendBinary(nil), b) {
				t.Errorf("read %d samples, %x", got.(*Distribution).Count(), got.AppendBinary(nil))
			}
		})
	}
}

func TestParseDistributionRefuses(t *testing.T) {
	for _, c := range []struct{ name, bytes string }{
		{"nothing", ""},
		{"unknown flag", "80"},
		{"zero zeros", "0100"},
		{"long zeros", "018100"},
		{"zero sum", "0200"},
		{"bad sum", "02ff"},
		{"zero negative sum", "0400"},
		{"greatest alone", "1001"},
		{"greatest twice", "18" + "bfe003" + "bfe003"},
		{"greatest below least", "18" + "c08004" + "bfe003"},
		{"minus zero", "08" + "8001"},
		{"NaN", "08" + "fff003"},
		{"infinite", "08" + "ffe003"},
		{"no buckets", "20" + "0000"},
		{"no group", "20"},
		{"more buckets than bytes", "20" + "00ff01" + "0001"},
		{"empty bucket", "20" + "00010000"},
		{"cut short", "20" + "00020001"},
		{"scale too fine or too coarse", "20" + "0b010001"},
		{"index out of range", "20" + "0001" + "80800801"},
		{"index beyond 32 bits", "20" + "0001" + "8080808080808001" + "01"},
		{"gap out of range", "20" + "0002" + "0001" + "ffffff7f" + "01"},
		{"gap beyond the range", "20" + "0002" + "0001" + "feff07" + "01"},
		{"group missing", "20" + "80010001"},
		{"scale twice", "20" + "80010001" + "00010001"},
		{"2^64 samples", "20" + "0002" + "00ffffffffffffffffff01" + "0001"},
		{"trailing byte", "20" + "00010001" + "00"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b, err := hex.DecodeString(c.bytes)
			if err != nil {
				t.Fatal(err)
			}
			if d, err := parseDistribution(b, 1); !errors.Is(err, ErrBytes) || d != nil {
				t.Errorf("parsed %v, error %v, want ErrBytes", d, err)
			}
		})
	}
}

func TestParsedScalarsAreStampedOnlyIfThere(t *testing.T) {
	d, err := parseDistribution([]byte{flagPositive, 0, 1, 0, 1}, 5)
	if err != nil {
		t.Fatal(err)
	}
	d.Stamps(0, func(stamp uint64, size int) {
		if stamp != 5 || size >= scalarBytes {
			t.Errorf("part of %d bytes with stamp %d", size, stamp)
		}
	})
	if d.(*Distribution).stamp != 0 {
		t.Error("absent scalars are stamped")
	}
}

func TestDistributionBytesAreSmall(t *testing.T) {
	d := new(Distribution)
	for i := range 100 {
		mustObserve(t, d, math.Exp2(float64(i)/64+0.001), 100)
	}
	if n := len(d.AppendBinary(nil)); n > 240 {
		t.Errorf("100 adjacent buckets take %d bytes, want at most 240", n)
	}
}

func FuzzParseDistribution(f *testing.F) {
	for _, g := range goldenDistributions {
		f.Add(g.build(f).AppendBinary(nil))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := parseDistribution(b, 1)
		if err != nil {
			return
		}
		d := s.(*Distribution)
		if !bytes.Equal(d.AppendBinary(nil), b) {
			t.Fatalf("%x was read and became %x", b, d.AppendBinary(nil))
		}
		if limit := 512 + 24*len(b); d.Size() > limit {
			t.Fatalf("%d bytes take %d in memory, want at most %d", len(b), d.Size(), limit)
		}
		for _, q := range []float64{0, 0.5, 1} {
			if v, _ := d.Quantile(q); math.IsNaN(v) != (d.Count() == 0) {
				t.Fatalf("quantile %v of %d samples is %v", q, d.Count(), v)
			}
		}
		d.Exponential()
		if _, err := d.Native(); err != nil && !errors.Is(err, ErrRange) {
			t.Fatal(err)
		}
		rose, err := new(Distribution).Join(d, 1, new(Distribution), 1)
		if err != nil || rose != (len(b) > 1) {
			t.Fatalf("join rose: %v, error %v", rose, err)
		}
	})
}
