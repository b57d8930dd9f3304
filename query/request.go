package query

import (
	"slices"
	"strings"
	"time"

	"meshd/crdt"
	"meshd/internal/glob"
)

// Labels that are not the client's: they say where something was counted. Ingest renames a client's own to exported_*.
const (
	labelRegion = "region"
	labelNode   = "node"
)

// Bounds on one request.
const (
	maxBy        = crdt.MaxLabels + 2 // every label of a series, region and node
	maxQuantiles = 32
	maxTop       = 10_000
)

// The aggregates that agg picks from, for gauges and distributions.
const (
	aggNewest = "newest"
	aggCount  = "count"
	aggSum    = "sum"
	aggMin    = "min"
	aggMax    = "max"
	aggAvg    = "avg"
)

var aggregates = [...]string{aggNewest, aggCount, aggSum, aggMin, aggMax, aggAvg}

// totalQuery is a parsed request to /v1/total.
type totalQuery struct {
	sel       selection
	by        []string // sorted, without repeats, without "*"
	byAll     bool     // keep every label of the series, and region
	quantiles []quantile
	agg       string // one of aggregates; "" is the kind's default
	top       int    // 0: all, sorted by name
	enough    demand
	time      *timeline // nil: lifetimes
	large     *largeTurn
	rolled    uint64 // by which rollup rules it is answered, if it is kept
	corrected uint64 // and with which corrections
	text      string // the request but for time and what it wants of the coverage; equal for equal questions
}

// quantile keeps what the caller wrote, which becomes the key of the answer.
type quantile struct {
	text string
	q    float64
}

// demand is what a caller wants of the coverage: if it falls short, the answer's status says so.
type demand struct {
	share  float64       // of nodes heard, 0 to 1; 0: anything will do
	maxAge time.Duration // 0: anything will do
}

// parseTotal reads the query string of /v1/total. The error tells the caller what to write instead.
func parseTotal(raw string, now time.Time) (*totalQuery, error) {
	p := parseParams(raw, "metric", "match", "by", "quantile", "kind", "top", "agg", "require", "max_age",
		"start", "end", "window", "step", "tz")
	q := &totalQuery{
		sel:    p.selection(),
		agg:    p.text("agg"),
		top:    p.count("top", maxTop),
		enough: p.demand(),
		time:   p.timeline(now),
	}
	for _, s := range p.list("quantile", maxQuantiles) {
		q.quantiles = append(q.quantiles, quantile{text: s, q: p.number("quantile", s, 0, 1)})
	}
	q.by = p.list("by", maxBy)
	slices.Sort(q.by)
	q.by = slices.Compact(q.by)
	if i := slices.Index(q.by, "*"); i >= 0 {
		q.byAll, q.by = true, slices.Delete(q.by, i, i+1)
	}
	if q.agg != "" && q.sel.agg != "" {
		p.fail("agg=%s: the metric's name asks for %s already", clip(q.agg), q.sel.agg)
	}
	if q.agg != "" && !slices.Contains(aggregates[:], q.agg) {
		p.fail("agg=%s: want one of %s", clip(q.agg), strings.Join(aggregates[:], ", "))
	}
	if p.err != nil {
		return nil, p.err
	}
	by := q.by
	if q.byAll {
		by = append(slices.Clip(by), "*")
	}
	q.text = p.normal(by)
	return q, nil
}

// demand reads require and max_age.
func (p *params) demand() demand {
	return demand{share: p.number("require", p.text("require"), 0, 1), maxAge: p.duration("max_age")}
}

// selection reads metric, match and kind.
func (p *params) selection() selection {
	var s selection
	var err error
	metric := p.text("metric")
	if metric == "" {
		p.fail("metric is missing: name one, or use a pattern: metric=http.* or metric=*")
	} else if s.name, err = glob.Compile(metric); err != nil {
		p.fail("metric: %w", err)
	} else if glob.Literal(metric) {
		s.names = []string{metric}
	}
	if base, agg, ok := cutAggregate(metric); ok && p.err == nil {
		if s.gauge, err = glob.Compile(base); err != nil {
			p.fail("metric: %w", err)
		}
		s.agg = agg
		if glob.Literal(base) {
			s.names = append(s.names, base)
		}
	}
	s.pattern = patternOf(metric, s.gauge != nil)
	if len(p.values["match"]) > maxMatchers {
		p.fail("match is given %d times: at most %d", len(p.values["match"]), maxMatchers)
		return s
	}
	for _, text := range p.values["match"] {
		m, err := parseMatcher(text)
		if err != nil {
			p.fail("match: %w", err)
			return s // the next one may be as costly to refuse
		}
		s.add(m)
	}
	if k := p.text("kind"); k != "" {
		if s.kind, err = crdt.ParseKind(k); err != nil || s.kind == crdt.KindRollup {
			p.fail("kind=%s: want counter, updown, gauge, distribution, unique, set, observed or histogram", clip(k))
		}
	}
	return s
}

// patternOf returns a metric's pattern as an expression, that of the gauge behind an aggregate beside it; "" if it has none.
func patternOf(metric string, aggregate bool) string {
	expr, err := glob.Expression(metric)
	if err != nil || !aggregate {
		return expr
	}
	base, _, _ := cutAggregate(metric)
	of, err := glob.Expression(base)
	if err != nil {
		return ""
	}
	return "(?:" + expr + ")|(?:" + of + ")"
}

// cutAggregate splits load:sum, as recording rules name it, into a gauge and its aggregate.
func cutAggregate(metric string) (gauge, agg string, ok bool) {
	i := strings.LastIndexByte(metric, ':')
	if i <= 0 || !slices.Contains(aggregates[:], metric[i+1:]) {
		return "", "", false
	}
	return metric[:i], metric[i+1:], true
}

// dependsOn returns the labels that the answer depends on, "*" for all.
func (q *totalQuery) dependsOn() (names []string) {
	for i := range q.sel.labels {
		names = append(names, q.sel.labels[i].label)
	}
	if q.byAll {
		names = append(names, "*")
	}
	return append(names, q.by...)
}

// splitsByNode reports whether rows are needed node by node.
func (q *totalQuery) splitsByNode() bool {
	return len(q.sel.node) > 0 || slices.Contains(q.by, labelNode)
}
