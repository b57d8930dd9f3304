package crdt_test

import (
	"testing"

	"pgregory.net/rapid"

	"meshd/crdt"
)

func TestWindowsTileTime(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ms := rapid.Int64Range(-1<<45, 1<<45).Draw(t, "ms")
		fine := rapid.SampledFrom([]int64{1000, 2000, 5000, 10_000, 15_000, 60_000}).Draw(t, "fine")
		if !crdt.FineWidth(fine) {
			t.Fatalf("fine windows of %d ms are refused", fine)
		}
		last := crdt.Window{Start: ms, Width: 1}
		for _, width := range []int64{fine, crdt.MinuteMillis, crdt.HourMillis} {
			w := crdt.WindowAt(ms, width)
			if w.Width != width || w.Start > last.Start || w.End() < last.End() || w.Start%width != 0 {
				t.Fatalf("%d ms is in %+v, which does not hold %+v", ms, w, last)
			}
			last = w
		}
	})
}

func TestFineWidths(t *testing.T) {
	for ms, want := range map[int64]bool{0: false, 500: false, 1000: true, 1500: false, 7000: false, 10_000: true, 60_000: true, 120_000: false, -1000: false} {
		if crdt.FineWidth(ms) != want {
			t.Errorf("FineWidth(%d) is %v", ms, !want)
		}
	}
}

// Of two copies of a gauge's window the one with more samples stays, whole, whatever the clocks said.
func TestGaugeWindowsJoinByTheirCount(t *testing.T) {
	all := crdt.Bottom(crdt.KindRollup)
	var copies []crdt.Value
	for i, v := range []float64{3, -1, 7} {
		g := crdt.Gauge{Time: crdt.HLCFrom(int64(100-i), 0), Value: v}
		s := g.Sample()
		if err := all.AddWindow(&s); err != nil {
			t.Fatal(err)
		}
		copies = append(copies, all.Clone())
	}
	joined := crdt.Bottom(crdt.KindRollup)
	for _, i := range []int{2, 0, 1, 2} {
		if _, err := joined.Join(&copies[i], 0, nil, 0); err != nil {
			t.Fatal(err)
		}
	}
	got := joined.X.(*crdt.Rollup)
	if got.Count != 3 || got.Sum != 9 || got.Min != -1 || got.Max != 7 || got.LastValue != 3 || got.Expected != 0 {
		t.Errorf("joined to %+v", got)
	}
}
