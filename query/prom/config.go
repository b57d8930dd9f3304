package prom

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/prometheus/prometheus/promql"

	"meshd/history"
	"meshd/node"
)

// Region says how far the history of a region is known here.
type Region struct {
	Name string
	// Until is up to when all windows are here, ms since the Unix epoch. Rates of later times are those of the last whole range
	// before it, for as long as the engine looks back.
	Until int64
	Gap   string // what is missing of it, for people; "" if nothing
	// Since is before when windows may be missing, ms: the hub takes them over from another. 0 if none are.
	Since int64
}

// Lacking is what is said of an answer about times before since, ms, before which windows may be missing.
func Lacking(since int64) string {
	return "incomplete: windows of before " + time.UnixMilli(since).UTC().Format(time.RFC3339) +
		" may be missing: the hub takes them over from another one, ask again later or elsewhere"
}

// ErrMoved says that rollup rules changed while a request was read: lifetimes are of other series than curves. The past is to be opened
// anew, and all read from it.
var ErrMoved = errors.New("prom: rollup rules changed meanwhile: read again")

// Past is what one request reads. When what was read until then does not fit what comes, History fails with history.ErrAgain, and all
// is read again from it, Regions first.
type Past struct {
	History history.Source
	Regions func(context.Context) ([]Region, error)
	// Totals returns lifetimes, of series that pass tests; nil: Config.Totals. It too may fail with history.ErrAgain, or with ErrMoved.
	Totals func(ctx context.Context, sel node.Select, tests []history.Test) (*node.Totals, error)
	// Shortfalls returns what a selection lacks by rollup rules. nil: nothing.
	Shortfalls func(ctx context.Context, sel node.Select) ([]node.Shortfall, error)
}

// Config is what an API needs. Zero fields take the documented default.
type Config struct {
	// History is what is asked; required.
	History history.Source
	// Open returns what one request reads instead of History and Regions, at a node that asks others. nil: those.
	Open func(context.Context) (Past, error)
	// Totals returns lifetimes, which say how high cumulative curves stand. nil: they begin at 0 with the first window read.
	Totals func(context.Context, node.Select) (*node.Totals, error)
	// Regions tells what is known of each region. nil: nothing is missing, and windows are complete up to now.
	Regions func(context.Context) ([]Region, error)
	// Nodes lists (region, node) for searches of label values. nil: none.
	Nodes func(context.Context) ([]history.Owner, error)
	// Admit lets a query run, or returns why not; the caller calls release when it has ended. nil: all at once.
	Admit func(context.Context) (release func(), err error)
	// Busy reports whether an error of Admit means that the client may try again.
	Busy func(error) bool
	// Now is the reader's clock; nil: time.Now.
	Now func() time.Time
	// Version is what buildinfo says, beside the version of Prometheus whose API this is.
	Version string
	// MaxSamples bounds the samples that a query may make and that the engine may hold at once; default 5,000,000, which are 120
	// MB: 1,000 series over 12 h in steps of 10 s.
	MaxSamples int
	// Timeout bounds a query, and what its parameter timeout may ask for; default 30 s: a dashboard gives up after that.
	Timeout time.Duration
	// Lookback is how long a gauge's sample counts; default 5 min, as in Prometheus.
	Lookback time.Duration
}

func (c *Config) validate() error {
	switch {
	case c.History == nil:
		return errors.New("prom: Config.History is missing")
	case c.MaxSamples < 0 || c.Timeout < 0 || c.Lookback < 0:
		return fmt.Errorf("prom: MaxSamples %d, Timeout %s and Lookback %s must not be negative", c.MaxSamples, c.Timeout, c.Lookback)
	}
	if c.MaxSamples == 0 {
		c.MaxSamples = 5_000_000
	}
	if c.Timeout == 0 {
		c.Timeout = 30 * time.Second
	}
	if c.Lookback == 0 {
		c.Lookback = 5 * time.Minute
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Admit == nil {
		c.Admit = func(context.Context) (func(), error) { return func() {}, nil }
	}
	if c.Busy == nil {
		c.Busy = func(error) bool { return false }
	}
	return nil
}

// API answers the routes of Prometheus' HTTP API under /api/v1. It is safe for concurrent use.
type API struct {
	cfg    Config
	engine *promql.Engine
}

// New returns an API.
func New(cfg Config) (*API, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	return &API{cfg: cfg, engine: promql.NewEngine(promql.EngineOpts{
		MaxSamples: cfg.MaxSamples, Timeout: cfg.Timeout, LookbackDelta: cfg.Lookback,
		NoStepSubqueryIntervalFn: func(int64) int64 { return time.Minute.Milliseconds() },
		EnableAtModifier:         true, EnableNegativeOffset: true,
	})}, nil
}

// Mount hands handle every route, with a pattern of http.ServeMux.
func (a *API) Mount(handle func(pattern string, h http.Handler)) {
	for path, h := range map[string]handler{
		"query": a.query, "query_range": a.queryRange, "series": a.series, "labels": a.labelNames,
		"format_query": a.formatQuery, "parse_query": a.parseQuery,
	} {
		handle("/api/v1/"+path, a.serve(h, http.MethodGet, http.MethodHead, http.MethodPost))
	}
	for path, h := range map[string]handler{
		"label/{name}/values": a.labelValues, "metadata": a.metadata, "status/buildinfo": a.buildInfo,
	} {
		handle("/api/v1/"+path, a.serve(h, http.MethodGet, http.MethodHead))
	}
}

// past returns what one request reads.
func (a *API) past(ctx context.Context) (Past, error) {
	if a.cfg.Open != nil {
		return a.cfg.Open(ctx)
	}
	return Past{History: a.cfg.History, Regions: a.cfg.Regions}, nil
}

// queryable returns the storage of one request.
func (a *API) queryable(ctx context.Context, p Past) (*queryable, error) {
	cfg := a.cfg
	cfg.History, cfg.Regions = p.History, p.Regions
	q := &queryable{
		cfg: &cfg, totals: p.Totals, shortfalls: p.Shortfalls, now: a.cfg.Now().UnixMilli(), lookback: a.cfg.Lookback.Milliseconds(),
		regions: map[string]Region{},
	}
	if cfg.Regions == nil {
		return q, nil
	}
	regions, err := cfg.Regions(ctx)
	if err != nil {
		return nil, err
	}
	for _, r := range regions {
		q.regions[r.Name] = r
		if r.Gap != "" {
			q.gaps = append(q.gaps, r.Gap)
		}
	}
	return q, nil
}
