package query

import "math"

// floatSum adds float64 so that no order of the terms shows in the result: curves come from several goroutines, and one question
// is not to be answered with other digits each time. It is a pair of float64 whose sum is meant (T. J. Dekker, "A
// floating-point technique for extending the available precision", 1971): twice the precision, rounded once, by value.
// A sum beyond the largest float64 stays there, as in crdt.Rollup.
type floatSum struct{ high, low float64 }

func (s *floatSum) add(x float64) {
	high := s.high + x
	if math.IsInf(high, 0) {
		*s = floatSum{high: math.Copysign(math.MaxFloat64, high)}
		return
	}
	part := high - s.high
	low := (s.high - (high - part)) + (x - part) + s.low // what high lost to rounding
	s.high = high + low
	s.low = low - (s.high - high)
}

func (s *floatSum) merge(o floatSum) {
	s.add(o.high)
	s.add(o.low)
}

func (s *floatSum) value() float64 { return s.high }
