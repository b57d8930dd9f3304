package prom

import (
	"cmp"
	"fmt"
	"slices"

	"meshd/crdt"
	"meshd/history"
)

// reading is a snapshot of one run, which is one life of a source outside the mesh.
type reading struct {
	t      int64
	source string
	start  int64      // of the run, ms; 0: unknown
	value  crdt.Value // a counter or a distribution; shared, read-only
}

type run struct {
	source string
	start  int64
}

// readingsOf returns the snapshots of an observed series or a histogram in the order of their times.
func readingsOf(points []history.Point) []reading {
	out := make([]reading, 0, len(points))
	for i := range points {
		p := &points[i]
		switch x := p.Value.X.(type) {
		case *crdt.Observed:
			for s := range x.Samples() {
				out = append(out, reading{t: s.Time, source: s.Source, start: s.Start, value: crdt.Value{Kind: crdt.KindCounter, P: s.Value}})
			}
		case *crdt.Histograms:
			for s := range x.Snapshots() { // they have no time of their own
				out = append(out, reading{t: end(p.Window), source: s.Source, start: s.Start, value: crdt.Value{Kind: crdt.KindDistribution, X: s.Total}})
			}
		}
	}
	slices.SortStableFunc(out, func(a, b reading) int { return cmp.Compare(a.t, b.t) })
	return out
}

// observations makes a sample at the time of every snapshot: the sum over runs of their latest ones. A run whose first snapshot
// comes later than that of others counts with it from the beginning, unless it is known to have begun after from: otherwise
// the sum would jump, which looks like counting.
func observations(points []history.Point, from int64) ([]sample, error) {
	readings := readingsOf(points)
	if len(readings) == 0 {
		return nil, nil
	}
	sum := crdt.Bottom(readings[0].value.Kind)
	latest := make(map[run]*crdt.Value)
	for i := range readings {
		r := &readings[i]
		if k := (run{r.source, r.start}); latest[k] == nil && r.start <= from {
			latest[k] = &r.value
			if err := sum.Combine(&r.value); err != nil {
				return nil, fmt.Errorf("prom: add sources: %w", err)
			}
		}
	}
	out := make([]sample, 0, len(readings))
	for i := range readings {
		r := &readings[i]
		k := run{r.source, r.start}
		if was := latest[k]; was != nil {
			sum.Remove(was)
		}
		latest[k] = &r.value
		if err := sum.Combine(&r.value); err != nil {
			return nil, fmt.Errorf("prom: add sources: %w", err)
		}
		if i+1 < len(readings) && readings[i+1].t == r.t {
			continue
		}
		s := sample{t: r.t, f: sum.P.Float64()}
		if sum.Kind == crdt.KindDistribution {
			var err error
			if s.h, err = nativeOf(&sum, false); err != nil {
				return nil, err
			}
		}
		out = append(out, s)
	}
	return out, nil
}
