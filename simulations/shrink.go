package simulations

// Shrink looks for a smaller plan that breaks the same rule: it leaves out faults as long as the rule still breaks,
// first many at a time, then one by one, at most tries runs. p is not changed.
func Shrink(p *Plan, rule string, tries int) *Plan {
	best := *p
	for size := max(1, len(best.Faults)/2); size > 0; size /= 2 {
		for at := 0; at < len(best.Faults) && tries > 0; {
			smaller := best
			smaller.Faults = append(append([]Fault(nil), best.Faults[:at]...), best.Faults[min(at+size, len(best.Faults)):]...)
			tries--
			if rep := Run(&smaller); len(rep.Violations) > 0 && rep.Violations[0].Rule == rule {
				best = smaller
				continue
			}
			at += size
		}
	}
	return &best
}
