package query

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"meshd/crdt"
	"meshd/history"
)

// PeriodAnswer is what was counted in one period.
type PeriodAnswer struct {
	Start Time `json:"start"`
	End   Time `json:"end"` // not contained
	// Complete is whether every region's windows of the period are here. A period that is not over is not complete.
	Complete bool `json:"complete"`
	// Results are as in TotalAnswer; groups that counted nothing are left out. The only period of a question without step has
	// them there.
	Results []Result `json:"results,omitempty"`
}

// totalsOverTime answers for every period.
func (q *totalQuery) totalsOverTime(ctx context.Context, src history.Source) ([]PeriodAnswer, bool, error) {
	var out []PeriodAnswer
	coarse := false
	left := maxOverTime
	for rest, batch := q.time.periods, len(q.time.periods); len(rest) > 0; {
		batch = min(batch, len(rest))
		answers, rough, err := q.someOverTime(ctx, src, rest[:batch], left)
		if errors.Is(err, errTooWide) && batch > 1 {
			batch = (batch + 1) / 2 // fewer periods at a time need less memory, and read nothing twice
			continue
		}
		if errors.Is(err, errTooWide) {
			err = badRequest{errors.New("the question needs more memory than it may take: narrow metric and match, keep fewer labels with by, or shorten the range")}
		}
		if err != nil {
			return nil, false, err
		}
		for i := range answers {
			left -= len(answers[i].Results)
		}
		out, coarse, rest = append(out, answers...), coarse || rough, rest[batch:]
	}
	return out, coarse, nil
}

// someOverTime answers for some of the periods.
func (q *totalQuery) someOverTime(ctx context.Context, src history.Source, periods []period, left int) ([]PeriodAnswer, bool, error) {
	o := newOverTime(q, newTimeline(periods, q.time.steps))
	if err := o.read(ctx, src); err != nil {
		return nil, false, err
	}
	out := make([]PeriodAnswer, len(periods))
	for i, p := range periods {
		results, err := o.results(ctx, p)
		if err != nil {
			return nil, false, err
		}
		if left -= len(results); left < 0 {
			return nil, false, errManyResults
		}
		out[i] = PeriodAnswer{Start: timeOfMillis(p.from), End: timeOfMillis(p.to), Results: results}
	}
	return out, o.coarse, nil
}

var errManyResults = badRequest{fmt.Errorf("more than %d results in all periods: narrow metric and match, keep fewer labels with by, ask for the top ones, or widen step", maxOverTime)}

// candidate is a group and its value in a period.
type candidate struct {
	group int
	value crdt.Value
	rank  float64
}

// results returns those of one period: all sorted by name, or the largest, largest first.
func (o *overTime) results(ctx context.Context, p period) ([]Result, error) {
	var some []candidate
	enough := math.Inf(-1) // what the top ones so far have at least
	for i, g := range o.order() {
		if i%64 == 0 && ctx.Err() != nil {
			return nil, ctx.Err()
		}
		v, ok, err := o.value(g, p)
		if err != nil {
			return nil, err
		}
		if !ok {
			continue
		}
		c := candidate{group: g, value: v}
		if o.q.top > 0 {
			if c.rank = o.rank(&c); c.rank < enough {
				continue
			}
		}
		some = append(some, c)
		switch {
		case o.q.top > 0 && len(some) >= 2*o.q.top+1024:
			some = o.largest(some)
			enough = some[len(some)-1].rank
		case o.q.top == 0 && len(some) > maxOverTime:
			return nil, errManyResults
		}
	}
	if o.q.top > 0 {
		some = o.largest(some)
	}
	out := make([]Result, len(some))
	for i := range some {
		out[i] = o.result(&some[i])
	}
	return out, nil
}

// order returns the groups in the order of their names, or in any if the answer is in that of values.
func (o *overTime) order() []int {
	if o.sorted != nil {
		return o.sorted
	}
	o.sorted = make([]int, len(o.groups))
	for i := range o.sorted {
		o.sorted[i] = i
	}
	if o.q.top > 0 {
		return o.sorted
	}
	names := make([]group, len(o.groups))
	o.labels = make([]labelsOf, len(o.groups))
	for i := range names {
		names[i] = o.named(i)
		labels := labelMap(names[i].series.Labels)
		o.labels[i] = labelsOf{labels, appendLabelMap(nil, labels)}
	}
	slices.SortFunc(o.sorted, func(a, b int) int { return names[a].compare(&names[b]) })
	return o.sorted
}

// largest keeps the top ones of some, largest first; equal ones in the order of their names.
func (o *overTime) largest(some []candidate) []candidate {
	slices.SortFunc(some, func(a, b candidate) int {
		if order := cmp.Compare(b.rank, a.rank); order != 0 {
			return order
		}
		g, h := o.named(a.group), o.named(b.group)
		return g.compare(&h)
	})
	return some[:min(len(some), o.q.top)]
}

// named returns a group with the labels that by keeps.
func (o *overTime) named(g int) group {
	x := &o.groups[g]
	return group{agg: o.aggOf(x), series: crdt.Series{Name: o.nameOf(x), Kind: x.kind, Labels: o.q.labelsOf(x.series, x.owner.Region, x.owner.Node)}}
}

// aggOf returns the aggregate that stands for a group.
func (o *overTime) aggOf(x *overTimeGroup) string {
	if x.agg {
		return o.q.sel.agg
	}
	return o.q.agg
}

func (o *overTime) nameOf(x *overTimeGroup) string {
	if x.agg {
		return x.series.Name + ":" + o.q.sel.agg
	}
	return x.series.Name
}

// rank returns the number that stands for a value.
func (o *overTime) rank(c *candidate) float64 {
	if c.value.X == nil {
		return crdt.Net{P: c.value.P, N: c.value.N}.Float64()
	}
	of := *o.q
	of.agg, of.quantiles = o.aggOf(&o.groups[c.group]), nil
	a := amountOf(&c.value, &of)
	return a.Value
}

func (o *overTime) result(c *candidate) Result {
	x := &o.groups[c.group]
	of := *o.q
	of.agg = o.aggOf(x)
	a := amountOf(&c.value, &of)
	if a.Summary != nil {
		a.Expected = nil // how many nodes there were says nothing about the samples of a period
	}
	var labels labelsOf
	if o.labels != nil {
		labels = o.labels[c.group]
	} else {
		labels.labels = labelMap(o.named(c.group).series.Labels)
	}
	return Result{Metric: o.nameOf(x), Kind: x.kind.String(), Labels: labels.labels, Amount: a, encoded: labels.encoded}
}
