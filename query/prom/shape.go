package prom

import (
	"fmt"
	"slices"

	"github.com/prometheus/prometheus/util/annotations"

	"meshd/crdt"
	"meshd/history"
)

// addCumulative makes the series of a curve of an additive kind.
func (v *view) addCumulative(c *history.Curve) error {
	if !v.conditions.owner(c.Owner) {
		return nil
	}
	base, instants := crdt.Bottom(c.Series.Kind), v.instants
	first := end(c.Points[0].Window)
	if v.style.anchored() {
		key := keyOf(c.Series, c.Owner)
		v.handled[key] = true
		if row := v.anchors[key]; row != nil {
			after := row.Value.Clone()
			if tail, ok := v.tails[key]; ok {
				after.Remove(&tail)
			}
			base = before(after, c.Points)
		}
	}
	horizon := v.horizon(c.Owner.Region)
	width := c.Points[len(c.Points)-1].Window.Width
	var steps []step
	switch v.style {
	case atEdges, atBounds, atLastTwo:
		if v.style == atLastTwo {
			instants = lastTwo(v.evals, width)
		}
		steps = stepsOf(c.Points, horizon, v.hints.Range, min(v.evals.last, horizon+v.lookback))
		instants = until(instants, horizon+v.lookback)
	case onGrid:
		instants = grid(v.evals.first-v.reach, min(v.evals.last, v.now), width)
	case asIs:
		instants = endsOf(c.Points)
	case atMoments:
	}
	if v.style.anchored() {
		steps = stepsOf(c.Points, maxTime, 0, 0)
		instants = until(instants, v.now+v.lookback)
		if nothing(&base) {
			instants = since(instants, first)
		}
	}
	samples, err := cumulate(base, steps, instants)
	if err != nil {
		return err
	}
	return v.add(c.Series, c.Owner, samples)
}

// endsOf returns the ends of the windows that exist.
func endsOf(points []history.Point) []instant {
	out := make([]instant, len(points))
	for i := range points {
		out[i] = instant{t: end(points[i].Window), upTo: end(points[i].Window)}
	}
	return out
}

// until leaves out what is after t.
func until(in []instant, t int64) []instant {
	n, _ := slices.BinarySearchFunc(in, t+1, func(i instant, t int64) int { return compare(i.t, t) })
	return in[:n]
}

// since leaves out what is before t.
func since(in []instant, t int64) []instant {
	n, _ := slices.BinarySearchFunc(in, t, func(i instant, t int64) int { return compare(i.t, t) })
	return in[n:]
}

func compare(a, b int64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// addOther makes the series of a curve that is not additive.
func (v *view) addOther(c *history.Curve) error {
	if !v.conditions.owner(c.Owner) {
		return nil
	}
	var samples []sample
	var err error
	fn, edge := v.hints.Func, int64(1)
	if v.hints.Range == 0 || v.plain {
		fn = ""
	}
	if v.plain {
		edge = 0
	}
	switch c.Series.Kind {
	case crdt.KindGauge:
		if fn == "avg_over_time" && v.apart() {
			samples = means(c.Points, v.evals, v.hints.Range)
		} else {
			samples = gauges(c.Points, fn, edge)
		}
	case crdt.KindUnique:
		if fn == "last_over_time" {
			samples, err = unions(c.Points, v.evals, v.hints.Range)
		} else {
			samples = uniques(c.Points)
		}
	case crdt.KindObserved, crdt.KindHistogram:
		samples, err = observations(c.Points, v.hints.Start-1)
	case crdt.KindSet:
		v.noSamples(c.Series)
		return nil
	default:
		return nil
	}
	if err != nil {
		return err
	}
	return v.add(c.Series, c.Owner, samples)
}

// idle adds the cumulative series that nothing was counted on in the range: their totals stand.
func (v *view) idle() error {
	if v.style != atMoments && v.style != onGrid {
		return nil
	}
	for i := range v.lifetimes {
		r := &v.lifetimes[i]
		o := history.Owner{Region: r.Region, Node: r.Node}
		key := keyOf(r.Series, o)
		if v.handled[key] || !v.conditions.owner(o) || v.byNode() && r.Node == "" {
			continue
		}
		base := r.Value
		if tail, ok := v.tails[key]; ok {
			base.Remove(&tail)
		}
		if nothing(&base) {
			continue // begun later
		}
		instants := v.instants
		if v.style == onGrid {
			instants = grid(v.evals.first-v.reach, min(v.evals.last, v.now), finest)
		}
		samples, err := cumulate(base, nil, until(instants, v.now+v.lookback))
		if err != nil {
			return err
		}
		if err := v.add(r.Series, o, samples); err != nil {
			return err
		}
	}
	return nil
}

// add takes the samples of a series.
func (v *view) add(s *crdt.Series, o history.Owner, samples []sample) error {
	if len(samples) == 0 {
		return nil
	}
	if !v.plain && v.hints.Range > 0 && typeOf(s.Kind) == "gauge" && slices.Contains([]string{"rate", "increase", "irate"}, v.hints.Func) {
		v.notes.Add(fmt.Errorf("%w: %q is %s: %s is for what only rises", annotations.PromQLInfo, s.Name, article(s.Kind), v.hints.Func))
	}
	if v.samples += len(samples); v.samples > v.cfg.MaxSamples {
		return fmt.Errorf("more than %d samples: select fewer series, a shorter range or a wider step", v.cfg.MaxSamples)
	}
	v.out = append(v.out, &found{key: s, owner: o, series: &series{samples: samples}})
	return nil
}

func article(k crdt.Kind) string {
	if k == crdt.KindUpDown {
		return "an " + k.String()
	}
	return "a " + k.String()
}

// distinct gives the series their labels. One name and labels under several kinds are told apart by a label more.
func distinct(in []*found) []*series {
	var l labeller
	out := make([]*series, len(in))
	seen := make(map[uint64][]int, len(in))
	for i, f := range in {
		f.series.labels = l.of(f.key, f.owner, false)
		hash := f.series.labels.Hash()
		for _, j := range seen[hash] {
			if other := in[j]; other.owner == f.owner && other.key.Name == f.key.Name && slices.Equal(other.key.Labels, f.key.Labels) {
				other.series.labels = l.of(other.key, other.owner, true)
				f.series.labels = l.of(f.key, f.owner, true)
			}
		}
		seen[hash] = append(seen[hash], i)
		out[i] = f.series
	}
	return out
}
