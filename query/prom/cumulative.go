package prom

import (
	"fmt"

	"github.com/prometheus/prometheus/model/histogram"

	"meshd/crdt"
	"meshd/history"
	"meshd/internal/mutant"
)

// step is what a cumulative curve rises by at one time.
type step struct {
	at    int64
	value *crdt.Value // shared, read-only
}

// stepsOf returns the rises of a curve up to horizon, up to which windows are complete, and repeats the last reach before it up to
// last: a rate of the newest time is that of the last reach that is whole, for as long as the engine looks back. A reach of 0
// repeats nothing.
func stepsOf(points []history.Point, horizon, reach, last int64) []step {
	out := make([]step, 0, len(points))
	for i := range points {
		if at := end(points[i].Window); at <= horizon {
			out = append(out, step{at: at, value: &points[i].Value})
		}
	}
	if reach == 0 || len(out) == 0 {
		return out
	}
	for first, shift := len(out), reach; horizon-reach+shift < last; shift += reach {
		for _, s := range out[:first] {
			if s.at > horizon-reach && s.at+shift <= last {
				out = append(out, step{at: s.at + shift, value: s.value})
			}
		}
	}
	return out
}

// cumulate makes the samples of a curve that stands at base before its first step. base is not changed.
func cumulate(base crdt.Value, steps []step, at []instant) ([]sample, error) {
	out := make([]sample, 0, len(at))
	sum, next := base.Clone(), 0
	var last *histogram.FloatHistogram // nil: sum changed since
	for _, i := range at {
		for next < len(steps) && steps[next].at <= i.upTo {
			if err := sum.Combine(steps[next].value); err != nil {
				return nil, fmt.Errorf("prom: add windows: %w", err)
			}
			next, last = next+1, nil
		}
		if i.begins && !mutant.On("ranges begin without a reset") {
			sum, last = crdt.Bottom(base.Kind), nil
		}
		s := sample{t: i.t}
		if sum.Kind == crdt.KindDistribution {
			if last == nil {
				var err error
				if last, err = nativeOf(&sum, i.begins); err != nil {
					return nil, err
				}
			}
			s.h = last
		} else {
			s.f = crdt.Net{P: sum.P, N: sum.N}.Float64()
		}
		out = append(out, s)
	}
	return out, nil
}

// before returns what a curve stood at before all of points, given what it stands at after them. Windows come by a way of their
// own, so that they may be here before the lifetime that contains them: then it is nothing, and the curve ends above the lifetime,
// at what the windows say, which happened as well.
func before(after crdt.Value, points []history.Point) crdt.Value {
	out := after.Clone()
	for i := range points {
		if v := &points[i].Value; mutant.On("windows beyond the lifetime are owed") {
			if owed := v.P.Sub(out.P); !owed.IsZero() {
				out.N, _ = out.N.Add(owed)
			}
		}
		out.Remove(&points[i].Value)
	}
	return out
}

// nothing reports whether a value counts nothing.
func nothing(v *crdt.Value) bool {
	if d, ok := v.X.(*crdt.Distribution); ok {
		return d.Count() == 0
	}
	return v.P.IsZero() && v.N.IsZero()
}

// nativeOf returns a distribution as the engine has it. reset says that it began again.
func nativeOf(v *crdt.Value, reset bool) (*histogram.FloatHistogram, error) {
	d, _ := v.X.(*crdt.Distribution)
	if d == nil {
		d = new(crdt.Distribution)
	}
	n, err := d.Native()
	if err != nil {
		return nil, fmt.Errorf("prom: %w", err)
	}
	h := &histogram.FloatHistogram{
		Schema: n.Schema, ZeroThreshold: n.ZeroThreshold, ZeroCount: float64(n.ZeroCount), Count: float64(n.Count), Sum: n.Sum,
		PositiveSpans: spansOf(n.PositiveSpans), PositiveBuckets: countsOf(n.PositiveBuckets),
		NegativeSpans: spansOf(n.NegativeSpans), NegativeBuckets: countsOf(n.NegativeBuckets),
	}
	if reset {
		h.CounterResetHint = histogram.CounterReset
	}
	return h, nil
}

func spansOf(in []crdt.NativeSpan) []histogram.Span {
	out := make([]histogram.Span, len(in))
	for i, s := range in {
		out[i] = histogram.Span{Offset: s.Offset, Length: s.Length}
	}
	return out
}

// countsOf makes counts of the differences between them.
func countsOf(deltas []int64) []float64 {
	out, n := make([]float64, len(deltas)), int64(0)
	for i, d := range deltas {
		n += d
		out[i] = float64(n)
	}
	return out
}
