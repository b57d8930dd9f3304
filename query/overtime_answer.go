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

	encoded *encodedResults // instead of Results, once they are in JSON
}

// totalsOverTime answers for every period. Those that c has are not read.
func (q *totalQuery) totalsOverTime(ctx context.Context, src history.Source, c *cache) ([]PeriodAnswer, bool, error) {
	if !q.time.steps {
		c = nil // its only period ends now, and is never asked for again
	}
	out := make([]PeriodAnswer, len(q.time.periods))
	left := maxOverTime
	var rest []int // of the periods, that are to be read
	for i, p := range q.time.periods {
		out[i] = PeriodAnswer{Start: timeOfMillis(p.from), End: timeOfMillis(p.to)}
		if found, ok := c.get(q.cacheKey(p)); ok {
			out[i].encoded = &found
			left -= found.count
		} else {
			rest = append(rest, i)
		}
	}
	if left < 0 {
		return nil, false, errManyResults
	}
	coarse, err := q.readOverTime(ctx, src, c, out, rest, left)
	return out, coarse, err
}

// readOverTime reads the results of some of out, as many at a time as memory takes.
func (q *totalQuery) readOverTime(ctx context.Context, src history.Source, c *cache, out []PeriodAnswer, rest []int, left int) (coarse bool, err error) {
	for batch := len(rest); len(rest) > 0; {
		batch = min(batch, len(rest))
		periods := make([]period, batch)
		for i := range periods {
			periods[i] = q.time.periods[rest[i]]
		}
		mark := c.mark() // before anything is read
		o, answers, err := q.someOverTime(ctx, src, periods, left)
		if errors.Is(err, errTooWide) && batch > 1 {
			batch = (batch + 1) / 2 // fewer periods at a time need less memory, and read nothing twice
			continue
		}
		if errors.Is(err, errTooWide) {
			err = badRequest{errors.New("the question needs more memory than it may take: narrow metric and match, keep fewer labels with by, or shorten the range")}
		}
		if err != nil {
			return false, err
		}
		coarse = coarse || o.coarse
		for i, results := range answers {
			left -= len(results)
			q.answer(c, &out[rest[i]], periods[i], results, !o.coarse && !o.snapshots, mark)
		}
		rest = rest[batch:]
	}
	return coarse, nil
}

// answer sets the results of a period, and keeps them if they depend on nothing but its windows.
func (q *totalQuery) answer(c *cache, out *PeriodAnswer, p period, results []Result, alone bool, mark uint64) {
	if c == nil || !alone {
		out.Results = results
		return
	}
	encoded := encodedResults{json: appendResults(nil, results), count: len(results)}
	out.encoded = &encoded
	c.put(&kept{key: q.cacheKey(p), metric: q.metric(), period: p, mark: mark, results: encoded})
}

// someOverTime returns the results of some of the periods.
func (q *totalQuery) someOverTime(ctx context.Context, src history.Source, periods []period, left int) (*overTime, [][]Result, error) {
	t := newTimeline(periods, q.time.steps)
	t.widest, t.part = q.time.width(), true
	o := newOverTime(q, t)
	if err := o.read(ctx, src); err != nil {
		return nil, nil, err
	}
	out := make([][]Result, len(periods))
	for i, p := range periods {
		results, err := o.results(ctx, p)
		if err != nil {
			return nil, nil, err
		}
		if left -= len(results); left < 0 {
			return nil, nil, errManyResults
		}
		out[i] = results
	}
	return o, out, nil
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
	o.sorted = make([]int, o.count)
	for i := range o.sorted {
		o.sorted[i] = i
	}
	if o.q.top > 0 {
		return o.sorted
	}
	names := make([]group, o.count)
	o.labels = make([]labelsOf, o.count)
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
	x := o.at(g)
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
	of.agg, of.quantiles = o.aggOf(o.at(c.group)), nil
	a := amountOf(&c.value, &of)
	return a.Value
}

func (o *overTime) result(c *candidate) Result {
	x := o.at(c.group)
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
