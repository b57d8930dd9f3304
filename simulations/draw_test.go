package simulations

import "testing"

// TestDraw: a plan has as many machines, faults and as much time as it is said to have, and consecutive seeds have all
// pairs of faults.
func TestDraw(t *testing.T) {
	n := (len(allPairs) + pairsPerPlan - 1) / pairsPerPlan
	pairs := map[FaultPair]bool{}
	for seed := range uint64(n) {
		p := Draw(seed)
		if len(p.Nodes) < MinNodes || len(p.Nodes) > MaxNodes {
			t.Errorf("seed %d has %d machines", seed, len(p.Nodes))
		}
		if p.Safety < MinSafety {
			t.Errorf("seed %d writes for %d ms", seed, p.Safety)
		}
		if len(p.Faults) < MinFaults {
			t.Errorf("seed %d has %d faults", seed, len(p.Faults))
		}
		for i, f := range p.Faults {
			if f.At < 0 || f.At >= p.Safety {
				t.Errorf("seed %d: fault outside the safety phase: %s", seed, f)
			}
			for _, g := range p.Faults[i+1:] {
				if f.Kind != g.Kind && g.At <= f.At+f.For+aftermath/1000 {
					pairs[pairOf(f.Kind, g.Kind)] = true
				}
			}
		}
	}
	if len(pairs) != len(allPairs) {
		t.Errorf("%d seeds draw %d of %d pairs of faults", n, len(pairs), len(allPairs))
	}
}
