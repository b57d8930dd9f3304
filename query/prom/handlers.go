package prom

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/util/annotations"

	"meshd/crdt"
	"meshd/history"
)

// answer is what a handler found. data is JSON.
type answer struct {
	data     []byte
	warnings []string
	infos    []string
	gaps     []string // of coverage: warnings, and headers
	asked    bool     // the mesh was asked, so that gaps mean something
}

// handler answers one request.
type handler func(ctx context.Context, p *params) (answer, error)

// serve lets some methods through, bounds the time and writes the answer.
func (a *API) serve(h handler, methods ...string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !slices.Contains(methods, r.Method) {
			w.Header().Set("Allow", strings.Join(methods, ", "))
			writeFailure(w, http.StatusMethodNotAllowed, failure{kindBadData, errors.New(r.Method + " is not possible here: use " + strings.Join(methods, ", "))})
			return
		}
		p := newParams(w, r)
		timeout := a.cfg.Timeout
		if t := p.duration("timeout"); t > 0 {
			timeout = min(timeout, t)
		}
		ctx, cancel := context.WithTimeout(r.Context(), timeout)
		defer cancel()
		found, err := answer{}, p.err
		if err == nil {
			found, err = a.admitted(ctx, p, h)
		}
		if err != nil {
			f := asFailure(err)
			writeFailure(w, statusOf(f.kind), f)
			return
		}
		writeAnswer(w, found)
	})
}

// admitted runs h when it is its turn.
func (a *API) admitted(ctx context.Context, p *params, h handler) (answer, error) {
	release, err := a.cfg.Admit(ctx)
	if err != nil {
		if a.cfg.Busy(err) {
			err = failure{kindUnavailable, err}
		}
		return answer{}, err
	}
	defer release()
	for p.past, err = a.past(ctx); err == nil; {
		found, failed := h(ctx, p)
		switch {
		case errors.Is(failed, ErrMoved):
			p.past, err = a.past(ctx)
		case !errors.Is(failed, history.ErrAgain):
			return found, failed
		}
	}
	return answer{}, err
}

// query answers an expression at one time.
func (a *API) query(ctx context.Context, p *params) (answer, error) {
	at := p.time("time", a.cfg.Now())
	expr := p.query()
	return a.evaluate(ctx, p, func(q *queryable, opts promql.QueryOpts) (promql.Query, error) {
		return a.engine.NewInstantQuery(ctx, q, opts, expr, at)
	})
}

// queryRange answers an expression at every step of a range.
func (a *API) queryRange(ctx context.Context, p *params) (answer, error) {
	start, stop := p.time("start", time.Time{}), p.time("end", time.Time{})
	if p.err == nil && stop.Before(start) {
		p.fail("end", errors.New("end timestamp must not be before start time"))
	}
	if p.text("step") == "" {
		p.fail("step", errors.New(`cannot parse "" to a valid duration`))
	}
	step := p.duration("step")
	switch {
	case p.err != nil:
	case step <= 0:
		p.fail("step", errors.New("zero or negative query resolution step widths are not accepted. Try a positive integer"))
	case step < time.Millisecond:
		p.fail("step", errors.New("a step has a millisecond at least"))
	case stop.Sub(start)/step > maxPoints:
		p.err = failure{kindBadData, errors.New("exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query resolution (?step=XX)")}
	}
	expr := p.query()
	return a.evaluate(ctx, p, func(q *queryable, opts promql.QueryOpts) (promql.Query, error) {
		return a.engine.NewRangeQuery(ctx, q, opts, expr, start, stop, step)
	})
}

// evaluate runs what prepare makes of an expression.
func (a *API) evaluate(ctx context.Context, p *params, prepare func(*queryable, promql.QueryOpts) (promql.Query, error)) (answer, error) {
	limit, lookback := p.count("limit"), p.duration("lookback_delta")
	exact := p.text("exact")
	if exact != "" && exact != "0" && exact != "1" {
		p.fail("exact", errors.New("want 0 or 1"))
	}
	if p.err != nil {
		return answer{}, p.err
	}
	q, err := a.queryable(ctx, p.past)
	if err != nil {
		return answer{}, err
	}
	q.plain = exact == "0"
	qry, err := prepare(q, promql.NewPrometheusQueryOpts(false, lookback))
	if err != nil {
		return answer{}, badParameter("query", err)
	}
	defer qry.Close()
	q.plan(qry.Statement())
	res := qry.Exec(ctx)
	if res.Err != nil {
		return answer{}, res.Err
	}
	warnings := res.Warnings
	value := res.Value
	switch v := value.(type) {
	case promql.Matrix:
		if limit > 0 && len(v) > limit {
			value, warnings = v[:limit], warnings.Add(errTruncated)
		}
	case promql.Vector:
		if limit > 0 && len(v) > limit {
			value, warnings = v[:limit], warnings.Add(errTruncated)
		}
	}
	out := answer{data: appendResult(nil, value), gaps: q.gaps, asked: true}
	out.annotate(warnings, p.text("query"))
	return out, nil
}

var errTruncated = errors.New("results truncated due to limit")

// annotate takes over the engine's remarks, at most ten of each sort, sorted. It leaves out the guess that a name without a suffix
// like _total is no counter: here kinds are known (view.add).
func (a *answer) annotate(notes annotations.Annotations, query string) {
	const most = 10
	maps.DeleteFunc(notes, func(_ string, err error) bool { return errors.Is(err, annotations.PossibleNonCounterInfo) })
	a.warnings, a.infos = notes.AsStrings(query, most, most)
	slices.Sort(a.warnings)
	slices.Sort(a.infos)
}

func (a *API) formatQuery(_ context.Context, p *params) (answer, error) {
	e := p.expr()
	if p.err != nil {
		return answer{}, p.err
	}
	return answer{data: appendString(nil, e.Pretty(0))}, nil
}

func (a *API) parseQuery(_ context.Context, p *params) (answer, error) {
	e := p.expr()
	if p.err != nil {
		return answer{}, p.err
	}
	return encoded(treeOf(e))
}

// encoded is an answer of anything.
func encoded(v any) (answer, error) {
	b, err := json.Marshal(v)
	return answer{data: b}, err
}

// search answers with sorted strings that find finds for each selector.
func (a *API) search(ctx context.Context, p *params, find func(*queryable, *conditions, span) ([]string, error)) (answer, error) {
	limit, in, selectors := p.count("limit"), p.span(), p.conditions(false)
	if p.err != nil {
		return answer{}, p.err
	}
	q, err := a.queryable(ctx, p.past)
	if err != nil {
		return answer{}, err
	}
	all := set{}
	for _, c := range selectors {
		if err := q.short(ctx, c, []string{"*"}, nil); err != nil {
			return answer{}, err
		}
		some, err := find(q, c, in)
		if err != nil {
			return answer{}, err
		}
		for _, s := range some {
			all[s] = struct{}{}
		}
	}
	list := all.sorted()
	out := answer{gaps: q.gaps, asked: true}
	if limit > 0 && len(list) > limit {
		list, out.warnings = list[:limit], []string{errTruncated.Error()}
	}
	out.data, err = json.Marshal(listOf(list))
	return out, err
}

func (a *API) labelNames(ctx context.Context, p *params) (answer, error) {
	return a.search(ctx, p, func(q *queryable, c *conditions, in span) ([]string, error) { return q.names(ctx, c, in) })
}

func (a *API) labelValues(ctx context.Context, p *params) (answer, error) {
	name := p.r.PathValue("name")
	if strings.HasPrefix(name, "U__") {
		name = model.UnescapeName(name, model.ValueEncodingEscaping)
	}
	if !model.UTF8Validation.IsValidLabelName(name) {
		return answer{}, failure{kindBadData, errors.New("invalid label name: " + string(appendString(nil, name)))}
	}
	return a.search(ctx, p, func(q *queryable, c *conditions, in span) ([]string, error) { return q.values(ctx, name, c, in) })
}

func (a *API) series(ctx context.Context, p *params) (answer, error) {
	limit, in, selectors := p.count("limit"), p.span(), p.conditions(true)
	if p.err != nil {
		return answer{}, p.err
	}
	q, err := a.queryable(ctx, p.past)
	if err != nil {
		return answer{}, err
	}
	var all []labels.Labels
	for _, c := range selectors {
		if err := q.short(ctx, c, []string{"*"}, nil); err != nil {
			return answer{}, err
		}
		some, err := q.list(ctx, c, in, limit)
		if err != nil {
			return answer{}, err
		}
		all = append(all, some...)
	}
	slices.SortFunc(all, labels.Compare)
	all = slices.CompactFunc(all, labels.Equal)
	out := answer{gaps: q.gaps, asked: true, data: []byte{'['}}
	if limit > 0 && len(all) > limit {
		all, out.warnings = all[:limit], []string{errTruncated.Error()}
	}
	for i, l := range all {
		out.data = appendLabels(comma(out.data, i), l)
	}
	out.data = append(out.data, ']')
	return out, nil
}

// metadata tells the type of every metric. Nobody says what a metric is for.
func (a *API) metadata(ctx context.Context, p *params) (answer, error) {
	limit, perMetric, metric := p.count("limit"), p.count("limit_per_metric"), p.text("metric")
	if p.err != nil {
		return answer{}, p.err
	}
	sel := history.Selection{To: maxTime}
	if metric != "" {
		sel.Names = func(name string) bool { return name == metric }
	}
	types := map[string]map[string]bool{}
	if err := p.past.History.Series(ctx, sel, func(s *crdt.Series) error {
		if types[s.Name] == nil {
			if len(types) == maxFound {
				return errTooManyFound
			}
			types[s.Name] = map[string]bool{}
		}
		types[s.Name][typeOf(s.Kind)] = true
		return nil
	}); err != nil {
		return answer{}, err
	}
	type entry struct {
		Type string `json:"type"`
		Help string `json:"help"`
		Unit string `json:"unit"`
	}
	out := map[string][]entry{}
	for _, name := range slices.Sorted(maps.Keys(types)) {
		if limit > 0 && len(out) == limit {
			break
		}
		for _, t := range slices.Sorted(maps.Keys(types[name])) {
			if perMetric == 0 || len(out[name]) < perMetric {
				out[name] = append(out[name], entry{Type: t})
			}
		}
	}
	return encoded(out)
}

// typeOf names a kind as Prometheus does.
func typeOf(k crdt.Kind) string {
	switch k {
	case crdt.KindCounter, crdt.KindObserved:
		return "counter"
	case crdt.KindDistribution, crdt.KindHistogram:
		return "histogram"
	case crdt.KindUpDown, crdt.KindGauge, crdt.KindUnique, crdt.KindSet, crdt.KindRollup:
	}
	return "gauge"
}

// apiVersion is the Prometheus whose API this is: Grafana decides by it what it may ask for.
const apiVersion = "3.10.0"

func (a *API) buildInfo(context.Context, *params) (answer, error) {
	return encoded(object{
		"version": apiVersion, "revision": "", "branch": "meshd " + a.cfg.Version, "buildUser": "", "buildDate": "",
		"goVersion": goVersion(), "features": object{},
	})
}

func goVersion() string { return strings.TrimPrefix(runtime.Version(), "go") }

// writeAnswer writes a success. What is missing of the mesh is a warning, and a header for those who do not read bodies.
func writeAnswer(w http.ResponseWriter, a answer) {
	b := append(append([]byte(`{"status":"success","data":`), a.data...), []byte(nil)...)
	for _, notes := range []struct {
		name string
		list []string
	}{{"warnings", append(slices.Clip(a.gaps), a.warnings...)}, {"infos", a.infos}} {
		if len(notes.list) == 0 {
			continue
		}
		b = append(append(append(b, `,"`...), notes.name...), `":[`...)
		for i, s := range notes.list {
			b = appendString(comma(b, i), s)
		}
		b = append(b, ']')
	}
	if a.asked {
		state := "complete"
		if len(a.gaps) > 0 {
			state = "incomplete"
		}
		w.Header().Set("X-Meshd-Coverage", state)
	}
	write(w, http.StatusOK, append(b, '}', '\n'))
}

func writeFailure(w http.ResponseWriter, code int, f failure) {
	if code == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "1")
	}
	b := appendString([]byte(`{"status":"error","errorType":`), f.kind)
	b = appendString(append(b, `,"error":`...), f.Error())
	write(w, code, append(b, '}', '\n'))
}

func write(w http.ResponseWriter, code int, body []byte) {
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(code)
	_, _ = w.Write(body) // the client is gone: nobody to tell
}
