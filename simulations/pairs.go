package simulations

// aftermath is how long after its end a fault still counts as met by another, in microseconds: sessions die and are
// dialed again, what was missed is caught up with.
const aftermath = 3_000_000

// FaultPair is two different kinds of faults, in the order of allFaults.
type FaultPair [2]FaultKind

// allPairs are the pairs that a set of runs has to meet.
var allPairs = func() (out []FaultPair) {
	for i, a := range allFaults {
		for _, b := range allFaults[i+1:] {
			out = append(out, FaultPair{a, b})
		}
	}
	return out
}()

// struck records that a fault of a kind began, which lasts until end, and whom it met: the kinds that are active, or
// were less than the aftermath ago.
func (w *World) struck(k FaultKind, end int64) {
	w.seen.Faults[k]++
	for other, until := range w.active { // counts: in any order
		if other != k && until+aftermath >= w.now {
			w.seen.Pairs[pairOf(k, other)]++
		}
	}
	w.active[k] = max(w.active[k], end)
}

func pairOf(a, b FaultKind) FaultPair {
	for _, k := range allFaults {
		if k == a {
			return FaultPair{a, b}
		}
		if k == b {
			break
		}
	}
	return FaultPair{b, a}
}
