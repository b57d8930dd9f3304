package prom

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/storage"

	"meshd/history"
	"meshd/node"
)

// widths are those that history may be kept in besides the finest. Asking for one that is not kept brings the next finer one.
var widths = []int64{60_000, 3_600_000}

// finest is the usual width of the finest windows, for the few questions that depend on it where there is no window to see.
const finest = 10_000

// queryable is the storage of one query.
type queryable struct {
	cfg        *Config
	totals     func(context.Context, node.Select, []history.Test) (*node.Totals, error) // nil: cfg.Totals
	shortfalls func(context.Context, node.Select) ([]node.Shortfall, error)             // nil: there are none
	regions    map[string]Region
	gaps       []string // what is missing of the mesh, for people
	selectors  map[*matcher]selector
	lookback   int64 // ms
	plain      bool  // samples of windows as they are: no edges, no anchors between them
	now        int64
	samples    int // made so far
}

// short notes what an answer about some series lacks by rollup rules. It depends on their labels as the conditions do, and on others.
func (q *queryable) short(ctx context.Context, c *conditions, labels, except []string) error {
	if q.shortfalls == nil {
		return nil
	}
	sel := node.Select{Match: c.series, Names: c.named(), Labels: append(slices.Clip(labels), c.labelNames()...), Except: except}
	found, err := q.shortfalls(ctx, sel)
	for _, f := range found {
		if gap := "incomplete: " + f.String(); matchesAll(c.region, f.Region) && !slices.Contains(q.gaps, gap) {
			q.gaps = append(q.gaps, gap)
		}
	}
	return err
}

// plan learns from the expression of the query, which must be the one that runs.
func (q *queryable) plan(s parser.Statement) {
	if e, ok := s.(*parser.EvalStmt); ok {
		q.selectors = selectors(e.Expr)
		if e.LookbackDelta > 0 {
			q.lookback = e.LookbackDelta.Milliseconds()
		}
	}
}

// Querier implements storage.Queryable. The range is that of all selectors: each one's own comes with its hints.
func (q *queryable) Querier(_, _ int64) (storage.Querier, error) { return q, nil }

// Close implements storage.Querier.
func (q *queryable) Close() error { return nil }

// Select implements storage.Querier.
func (q *queryable) Select(ctx context.Context, _ bool, h *storage.SelectHints, ms ...*matcher) storage.SeriesSet {
	v, err := q.read(ctx, h, ms)
	if err != nil {
		return &seriesSet{err: err}
	}
	out := newSeriesSet(distinct(v.out))
	out.warnings = v.notes
	return out
}

// read makes the series of one selector.
func (q *queryable) read(ctx context.Context, h *storage.SelectHints, ms []*matcher) (*view, error) {
	if h == nil || len(ms) == 0 {
		return nil, errors.New("prom: a selection without a range or conditions")
	}
	v := &view{
		queryable: q, hints: h, conditions: conditionsOf(ms), facts: q.selectors[ms[0]], reach: h.Range, handled: map[string]bool{},
	}
	for _, r := range q.regions {
		if h.Start < r.Since {
			v.notes.Add(errors.New(Lacking(r.Since))) // one, however many regions say so
		}
	}
	if err := q.short(ctx, v.conditions, v.facts.labels, v.facts.except); err != nil {
		return nil, err
	}
	v.evals = evalsOf(h, v.facts, q.lookback)
	if n := v.evals.count(); n > int64(q.cfg.MaxSamples) {
		return nil, fmt.Errorf("%d evaluations of one selector, at most %d: widen the step", n, q.cfg.MaxSamples)
	}
	if v.reach == 0 {
		v.reach = q.lookback
	}
	if err := v.prepare(ctx); err != nil {
		return nil, err
	}
	if err := v.curves(ctx); err != nil {
		return nil, err
	}
	if err := v.idle(); err != nil {
		return nil, err
	}
	return v, v.hint(ctx)
}
