package short

// Shrink looks for a shorter schedule that breaks the same rule: it leaves out actions as long as the rule still breaks,
// first many at a time, then one by one, and again until nothing more can go, with at most tries runs.
func Shrink(s *Schedule, rule string, tries int) *Schedule {
	best := *s
	breaks := func(actions []Action) bool {
		tries--
		v := Run(&Schedule{Seed: s.Seed, Plan: s.Plan, Actions: actions}, false).Violation
		return v != nil && v.Rule == rule
	}
	if v := Run(s, false).Violation; v != nil && v.At < len(s.Actions) { // what comes after is not needed
		best.Actions = s.Actions[:v.At+1]
	}
	for size, gone := max(1, len(best.Actions)/2), true; tries > 0 && (gone || size > 1); size = max(1, size/2) {
		gone = false
		for at := 0; at < len(best.Actions) && tries > 0; {
			less := append(append([]Action(nil), best.Actions[:at]...), best.Actions[min(at+size, len(best.Actions)):]...)
			if breaks(less) {
				best.Actions, gone = less, true
				continue
			}
			at += size
		}
	}
	return &best
}
