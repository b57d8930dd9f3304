package prom

import (
	"fmt"
	"math"

	"meshd/crdt"
	"meshd/history"
)

// gauges makes a sample of every window of a gauge: what the function fn is about, at the time of the newest sample. A sample on
// the very start of a window is moved behind it by edge, 1 ms: ranges of PromQL contain their ends and windows do not, and wide
// windows are to tell the same as narrow ones.
func gauges(points []history.Point, fn string, edge int64) []sample {
	out := make([]sample, 0, len(points))
	for i := range points {
		p := &points[i]
		r, ok := p.Value.X.(*crdt.Rollup)
		if !ok || r.Count == 0 {
			continue
		}
		v := r.LastValue
		switch fn {
		case "avg_over_time":
			v = r.Sum / float64(r.Count)
		case "min_over_time":
			v = r.Min
		case "max_over_time":
			v = r.Max
		}
		t := min(max(r.Last.Millis(), p.Window.Start+edge), end(p.Window)-1) // windows and stamps are of one clock: this is for hostile ones
		out = append(out, sample{t: t, f: v})
	}
	return out
}

// means makes one sample of every range, the mean over all samples of a gauge in it. It is for ranges that do not overlap: a
// mean of means would give a window with one sample the weight of one with many.
func means(points []history.Point, e evals, reach int64) []sample {
	var out []sample
	next := 0
	e.all(func(t int64) {
		sum, count := 0.0, 0.0
		for ; next < len(points) && end(points[next].Window) <= t; next++ {
			if r, ok := points[next].Value.X.(*crdt.Rollup); ok && end(points[next].Window) > t-reach {
				sum, count = sum+r.Sum, count+float64(r.Count)
			}
		}
		if count > 0 {
			out = append(out, sample{t: t, f: sum / count})
		}
	})
	return out
}

// uniques makes a sample of every window: how many distinct values it saw.
func uniques(points []history.Point) []sample {
	out := make([]sample, 0, len(points))
	for i := range points {
		if u, ok := points[i].Value.X.(*crdt.Unique); ok {
			out = append(out, sample{t: end(points[i].Window), f: math.Round(u.Estimate())})
		}
	}
	return out
}

// unions makes a sample of every range that saw something: how many distinct values it saw.
func unions(points []history.Point, e evals, reach int64) ([]sample, error) {
	var out []sample
	var failed error
	first := 0
	e.all(func(t int64) {
		for first < len(points) && end(points[first].Window) <= t-reach {
			first++
		}
		union := new(crdt.Unique)
		some := false
		for i := first; i < len(points) && end(points[i].Window) <= t && failed == nil; i++ {
			if u, ok := points[i].Value.X.(*crdt.Unique); ok {
				failed, some = union.Combine(u), true
			}
		}
		if some {
			out = append(out, sample{t: t, f: math.Round(union.Estimate())})
		}
	})
	if failed != nil {
		return nil, fmt.Errorf("prom: unite windows: %w", failed)
	}
	return out, nil
}
