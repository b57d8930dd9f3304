package simulations

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestStepsThatRunAheadChangeNothing compares runs on one goroutine with the same runs on several.
func TestStepsThatRunAheadChangeNothing(t *testing.T) {
	each(20, 10, func(seed uint64) {
		p := Draw(seed)
		p.Workers = 1
		want := Run(p)
		p = Draw(seed)
		p.Workers = 4
		got := Run(p)
		got.Plan = want.Plan // but for the workers
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("seed %d runs differently when steps run ahead:\n%s", seed, diff)
		}
	})
}
