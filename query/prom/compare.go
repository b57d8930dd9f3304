package prom

import (
	"context"
	"time"

	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/storage"
)

// Range evaluates an expression at every step of a range, as query_range does. over takes the place of the history, so that
// the two can be compared; nil is the history.
func (a *API) Range(ctx context.Context, over storage.Queryable, expr string, start, end time.Time, step time.Duration) (parser.Value, error) {
	q, err := a.opened(ctx)
	if err != nil {
		return nil, err
	}
	if over == nil {
		over = q
	}
	qry, err := a.engine.NewRangeQuery(ctx, over, promql.NewPrometheusQueryOpts(false, 0), expr, start, end, step)
	if err != nil {
		return nil, err
	}
	q.plan(qry.Statement())
	res := qry.Exec(ctx) // not closed: the engine would use the result's memory again
	return res.Value, res.Err
}

// Plain returns the history as a storage for other engines: samples of windows as they are, as with exact=0.
func (a *API) Plain() storage.Queryable {
	return storage.QueryableFunc(func(_, _ int64) (storage.Querier, error) {
		q, err := a.opened(context.Background())
		if err != nil {
			return nil, err
		}
		q.plain = true
		return q, nil
	})
}

// opened returns the storage of one request that is none of the API.
func (a *API) opened(ctx context.Context) (*queryable, error) {
	p, err := a.past(ctx)
	if err != nil {
		return nil, err
	}
	return a.queryable(ctx, p)
}
