package query

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"

	"meshd/crdt"
	"meshd/node"
)

// maxElements bounds the elements of a set that an answer names: 1,000 of at most 256 bytes.
const maxElements = 1000

// tally combines the rows of one group.
//
// Most kinds combine over rows as they combine over origins. The parts of sets, observed and histograms have names (dots;
// sources and starts) that are unique within a series only: joining two series would take one part for the other. So rows of
// one series are joined, and what comes out is united or added over series.
type tally struct {
	value  crdt.Value   // all rows so far, or those of series
	series *crdt.Series // sets, observed, histograms: the one that value is of

	elements   map[string]struct{} // of the sets before series
	observed   crdt.Fixed          // of the series before series
	histograms crdt.Distribution   // the same
}

// named reports whether the parts of a kind have names that are unique within a series only.
func named(k crdt.Kind) bool {
	return k == crdt.KindSet || k == crdt.KindObserved || k == crdt.KindHistogram
}

// add takes a row; rows of one series come one after the other. It takes over the row's value.
func (t *tally) add(row *node.Row, nowMs int64) error {
	v := row.Value
	if g, ok := v.X.(*crdt.Gauge); ok { // of one node; comes aggregated where there are several
		v = crdt.Value{Kind: crdt.KindRollup, X: crdt.RollupOf([]*crdt.Gauge{g})}
	}
	if r, ok := v.X.(*crdt.Rollup); ok {
		r.Last = r.Last.Clamp(nowMs)
	}
	if named(v.Kind) {
		if t.series != nil && !sameSeries(t.series, row.Series) {
			if err := t.closeSeries(); err != nil {
				return err
			}
		}
		t.series = row.Series
	}
	if t.value.Kind == 0 {
		t.value = v
		return nil
	}
	return tooLarge(t.value.Combine(&v))
}

func sameSeries(a, b *crdt.Series) bool {
	return a == b || a.Kind == b.Kind && a.Gen == b.Gen && a.Name == b.Name && slices.Equal(a.Labels, b.Labels)
}

// closeSeries moves what value holds to the totals over series.
func (t *tally) closeSeries() error {
	switch x := t.value.X.(type) {
	case *crdt.Set:
		if t.elements == nil {
			t.elements = map[string]struct{}{}
		}
		for _, e := range x.Elements() {
			t.elements[e] = struct{}{}
		}
	case *crdt.Observed:
		var ok bool
		if t.observed, ok = t.observed.Add(x.Total()); !ok {
			return tooLarge(fmt.Errorf("%w: total of 2^80", crdt.ErrLimit))
		}
	case *crdt.Histograms:
		if err := t.histograms.Combine(x.Total()); err != nil {
			return tooLarge(err)
		}
	}
	t.value = crdt.Value{}
	return nil
}

// tooLarge makes a total beyond what a value holds the caller's to narrow.
func tooLarge(err error) error {
	if errors.Is(err, crdt.ErrLimit) {
		return badRequest{fmt.Errorf("%w: narrow metric and match, or split with by", err)}
	}
	return err
}

// amount renders the total. It ends the tally.
func (t *tally) amount(q *totalQuery) (Amount, error) {
	kind := t.value.Kind
	if !named(kind) {
		return amountOf(&t.value, q), nil
	}
	if err := t.closeSeries(); err != nil {
		return Amount{}, err
	}
	if kind == crdt.KindSet {
		return elementsAmount(slices.Sorted(maps.Keys(t.elements))), nil
	}
	if kind == crdt.KindHistogram {
		return distributionAmount(&t.histograms, q), nil
	}
	return Amount{Value: t.observed.Float64(), ValueExact: t.observed.String()}, nil
}

// amountOf renders one value. q picks among a gauge's aggregates and asks for quantiles; its zero value does not.
func amountOf(v *crdt.Value, q *totalQuery) Amount {
	switch x := v.X.(type) {
	case *crdt.Gauge:
		newest := gaugeTime(x.Time)
		return Amount{Value: x.Value, Summary: &Summary{
			Count: 1, Sum: x.Value, Min: &x.Value, Max: &x.Value, Avg: &x.Value, Newest: &newest,
		}}
	case *crdt.Rollup:
		return rollupAmount(x, q.agg)
	case *crdt.Distribution:
		return distributionAmount(x, q)
	case *crdt.Unique:
		return Amount{Value: math.Round(x.Estimate()), RelativeError: uniqueError}
	case *crdt.Set:
		return elementsAmount(x.Elements())
	case *crdt.Observed:
		total := x.Total()
		return Amount{Value: total.Float64(), ValueExact: total.String()}
	case *crdt.Histograms:
		return distributionAmount(x.Total(), q)
	}
	return plainAmount(v)
}

// uniqueError is the standard error of an estimate from 2^14 registers: 1.04 / sqrt(2^14).
const uniqueError = 1.04 / 128

// plainAmount renders the kinds that live in P and N, and the bottom of the others, which counts nothing.
func plainAmount(v *crdt.Value) Amount {
	net := crdt.Net{P: v.P, N: v.N}
	a := Amount{Value: net.Float64()}
	switch v.Kind {
	case crdt.KindUpDown:
		a.UpDown = &UpDown{
			Added: v.P.Float64(), AddedExact: v.P.String(),
			Removed: v.N.Float64(), RemovedExact: v.N.String(),
		}
		a.ValueExact = net.String()
	case crdt.KindCounter, crdt.KindObserved:
		a.ValueExact = net.String()
	case crdt.KindGauge, crdt.KindRollup:
		return rollupAmount(new(crdt.Rollup), "")
	case crdt.KindDistribution, crdt.KindHistogram:
		return distributionAmount(new(crdt.Distribution), &totalQuery{})
	case crdt.KindSet:
		return elementsAmount(nil)
	case crdt.KindUnique:
		a.RelativeError = uniqueError
	}
	return a
}

// elementsAmount renders the elements of a set, sorted.
func elementsAmount(all []string) Amount {
	first := append([]string{}, all[:min(len(all), maxElements)]...)
	return Amount{Value: float64(len(all)), Elements: &first}
}

func rollupAmount(r *crdt.Rollup, agg string) Amount {
	expected := uint64(r.Expected)
	s := &Summary{Count: uint64(r.Count), Sum: r.Sum, Expected: &expected}
	if r.Count > 0 {
		avg, newest := r.Sum/float64(r.Count), gaugeTime(r.Last)
		s.Min, s.Max, s.Avg, s.Newest = &r.Min, &r.Max, &avg, &newest
	}
	return Amount{Value: s.pick(agg, r.LastValue), Summary: s}
}

func distributionAmount(d *crdt.Distribution, q *totalQuery) Amount {
	sum := d.Sum()
	s := &Summary{Count: d.Count(), Sum: sum.Float64(), SumExact: sum.String()}
	sketch := &Sketch{Scale: d.Scale()}
	if s.Count > 0 {
		least, greatest, avg := d.Min(), d.Max(), s.Sum/float64(s.Count)
		s.Min, s.Max, s.Avg = &least, &greatest, &avg
		sketch.readQuantiles(d, q.quantiles)
	}
	return Amount{Value: s.pick(q.agg, float64(s.Count)), Summary: s, Sketch: sketch, RelativeError: scaleError(sketch.Scale)}
}

// readQuantiles sets the quantiles of d, which is not empty, and the coarsest scale that one of them was read at.
func (k *Sketch) readQuantiles(d *crdt.Distribution, wanted []quantile) {
	if len(wanted) == 0 {
		return
	}
	k.Quantiles, k.Scale = map[string]float64{}, crdt.MaxScale
	for _, w := range wanted {
		value, scale := d.Quantile(w.q)
		k.Quantiles[w.text] = value
		k.Scale = min(k.Scale, scale)
	}
}

// pick returns the aggregate agg; otherwise stands for newest, for none, and for one that nothing was counted for.
func (s *Summary) pick(agg string, otherwise float64) float64 {
	switch {
	case agg == aggCount:
		return float64(s.Count)
	case agg == aggSum:
		return s.Sum
	case agg == aggMin && s.Min != nil:
		return *s.Min
	case agg == aggMax && s.Max != nil:
		return *s.Max
	case agg == aggAvg && s.Avg != nil:
		return *s.Avg
	}
	return otherwise
}

// scaleError is the relative error of a quantile from buckets of a scale: (g-1)/(g+1), g = 2^(2^-scale).
func scaleError(scale int) float64 {
	g := math.Exp2(math.Ldexp(1, -scale))
	return (g - 1) / (g + 1)
}

func gaugeTime(h crdt.HLC) Time { return timeOfMillis(h.Millis()) }
