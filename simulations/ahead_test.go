package simulations

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// TestStepsThatRunAheadChangeNothing compares runs on one goroutine with the same runs on several.
func TestStepsThatRunAheadChangeNothing(t *testing.T) {
	compareWorkers(t, Draw)
}

// TestRegionsThatRunAheadChangeNothing does so where regions are far enough from each other that each runs ahead by itself.
func TestRegionsThatRunAheadChangeNothing(t *testing.T) {
	compareWorkers(t, func(seed uint64) *Plan {
		p := Draw(seed)
		p.Net.Queue, p.Net.Far = 0, 200
		for i := range 6 {
			row := make([]time.Duration, 6)
			for j := range row {
				row[j] = time.Duration(20+5*(i+j)) * time.Millisecond
			}
			p.Net.Table = append(p.Net.Table, row)
		}
		return p
	})
}

func compareWorkers(t *testing.T, draw func(uint64) *Plan) {
	t.Helper()
	each(20, 5, func(seed uint64) {
		p := draw(seed)
		p.Workers = 1
		want := Run(p)
		p = draw(seed)
		p.Workers = 4
		got := Run(p)
		plan := cmpopts.IgnoreFields(Report{}, "Plan") // the same, but for the workers
		if diff := cmp.Diff(want, got, plan); diff != "" {
			t.Errorf("seed %d runs differently when steps run ahead:\n%s", seed, diff)
		}
		for _, v := range want.Violations {
			t.Errorf("seed %d: %s", seed, v)
		}
	})
}
