package crdt

import (
	"errors"
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func TestPartsMakeTheSameDistribution(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := new(Distribution)
		for _, v := range rapid.SliceOfN(rapid.Float64Range(-1e6, 1e6), 0, 50).Draw(t, "values") {
			if err := d.Observe(v, 1+uint64(math.Abs(v))%3); err != nil {
				t.Fatal(err)
			}
		}
		back, err := DistributionOf(d.Parts(DistributionParts{}))
		if err != nil {
			t.Fatal(err)
		}
		if got, want := back.AppendBinary(nil), d.AppendBinary(nil); !slices.Equal(got, want) || back.Count() != d.Count() {
			t.Fatalf("got %x, want %x", got, want)
		}
	})
}

func TestPartsOfNoDistributionAreRefused(t *testing.T) {
	d := new(Distribution)
	for _, v := range []float64{-3, -1, 1, 3} {
		if err := d.Observe(v, 1); err != nil {
			t.Fatal(err)
		}
	}
	for _, row := range []struct {
		name  string
		spoil func(p *DistributionParts)
	}{
		{"counts missing", func(p *DistributionParts) { p.Counts = p.Counts[:3] }},
		{"more positive than all", func(p *DistributionParts) { p.Positive = 5 }},
		{"less than none positive", func(p *DistributionParts) { p.Positive = -1 }},
		{"not sorted", func(p *DistributionParts) { p.Keys[0], p.Keys[1] = p.Keys[1], p.Keys[0] }},
		{"negative not sorted", func(p *DistributionParts) { p.Keys[3] = p.Keys[2] }},
		{"empty bucket", func(p *DistributionParts) { p.Counts[0] = 0 }},
		{"no such bucket", func(p *DistributionParts) { p.Keys[3] = math.MaxUint32 }},
		{"too many samples", func(p *DistributionParts) { p.Counts[0], p.Counts[1] = math.MaxUint64, 1 }},
		{"least above greatest", func(p *DistributionParts) { p.Least, p.Greatest = 3, -3 }},
		{"not finite", func(p *DistributionParts) { p.Greatest = math.Inf(1) }},
		{"range that is not there", func(p *DistributionParts) { p.Ranged = false }},
	} {
		t.Run(row.name, func(t *testing.T) {
			p := d.Parts(DistributionParts{})
			row.spoil(&p)
			if _, err := DistributionOf(p); !errors.Is(err, ErrBytes) {
				t.Errorf("got %v, want ErrBytes", err)
			}
		})
	}
}
