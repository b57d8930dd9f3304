package prom

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
)

// Bounds on a request.
const (
	maxFormBytes  = 1 << 20  // more conditions than anybody has written
	maxQueryBytes = 64 << 10 // the parser's work and depth are those of the text
	maxPoints     = 11_000   // of a series in a range query, as in Prometheus
	maxMillis     = 1 << 53  // of times, either side of 1970: what JSON numbers hold
)

// failure is an error with the type that Prometheus' clients branch on.
type failure struct {
	kind string
	error
}

func (f failure) Unwrap() error { return f.error }

// The types of errors, as Prometheus names them.
const (
	kindBadData     = "bad_data"
	kindExecution   = "execution"
	kindTimeout     = "timeout"
	kindCanceled    = "canceled"
	kindUnavailable = "unavailable"
	kindInternal    = "internal"
)

// statusOf maps a type to a status code, as Prometheus does.
func statusOf(kind string) int {
	switch kind {
	case kindBadData:
		return http.StatusBadRequest
	case kindExecution:
		return http.StatusUnprocessableEntity
	case kindTimeout, kindUnavailable:
		return http.StatusServiceUnavailable
	case kindCanceled:
		const closedByClient = 499 // nginx's, as Prometheus answers
		return closedByClient
	}
	return http.StatusInternalServerError
}

// asFailure gives an error its type.
func asFailure(err error) failure {
	var f failure
	var storage promql.ErrStorage
	var canceled promql.ErrQueryCanceled
	var timeout promql.ErrQueryTimeout
	switch {
	case errors.As(err, &f):
		return f
	case errors.As(err, &timeout), errors.Is(err, context.DeadlineExceeded):
		return failure{kindTimeout, err}
	case errors.As(err, &canceled), errors.Is(err, context.Canceled):
		return failure{kindCanceled, err}
	case errors.As(err, &storage):
		return failure{kindInternal, err}
	}
	return failure{kindExecution, err}
}

func badParameter(name string, err error) error {
	return failure{kindBadData, fmt.Errorf("invalid parameter %q: %w", name, err)}
}

// params reads the form of a request, of its URL and its body. The first error sticks.
type params struct {
	r    *http.Request
	err  error
	past Past // once the request is admitted
}

func newParams(w http.ResponseWriter, r *http.Request) *params {
	r.Body = http.MaxBytesReader(w, r.Body, maxFormBytes)
	p := &params{r: r}
	if err := r.ParseForm(); err != nil {
		p.err = failure{kindBadData, fmt.Errorf("error parsing form values: %w", err)}
	}
	return p
}

func (p *params) text(name string) string { return p.r.Form.Get(name) }

func (p *params) fail(name string, err error) {
	if p.err == nil {
		p.err = badParameter(name, err)
	}
}

// query returns the expression.
func (p *params) query() string {
	s := p.text("query")
	if len(s) > maxQueryBytes {
		p.fail("query", fmt.Errorf("%d bytes, at most %d", len(s), maxQueryBytes))
		return ""
	}
	return s
}

// expr returns the expression, parsed.
func (p *params) expr() parser.Expr {
	s := p.query()
	if p.err != nil {
		return nil
	}
	e, err := parser.ParseExpr(s)
	if err != nil {
		p.fail("query", err)
	}
	return e
}

// time returns a time given as seconds or in RFC 3339, otherwise if it is not given.
func (p *params) time(name string, otherwise time.Time) time.Time {
	s := p.text(name)
	if s == "" && !otherwise.IsZero() {
		return otherwise
	}
	t, err := parseTime(s)
	if err != nil {
		p.fail(name, err)
	}
	return t
}

// span returns start and end, all of time if they are not given.
func (p *params) span() span {
	ms := func(name string, otherwise int64) int64 {
		if s := p.text(name); s == "" || s == clientMinTime || s == clientMaxTime {
			return otherwise
		}
		return p.time(name, time.Time{}).UnixMilli()
	}
	s := span{from: ms("start", 0), to: ms("end", maxMillis)}
	if p.err == nil && s.to < s.from {
		p.fail("end", errors.New("end timestamp must not be before start time"))
	}
	return s
}

// Prometheus' own client libraries write "no bound" like this.
const (
	clientMinTime = "-292273086-05-16T16:47:06Z"
	clientMaxTime = "292277025-08-18T07:12:54.999999999Z"
)

func parseTime(s string) (time.Time, error) {
	if f, err := strconv.ParseFloat(s, 64); err == nil {
		if !(math.Abs(f) <= maxMillis/1000) {
			return time.Time{}, fmt.Errorf("cannot parse %q to a valid timestamp", s)
		}
		return time.UnixMilli(int64(math.Round(f * 1000))).UTC(), nil
	}
	if t, err := time.Parse(time.RFC3339Nano, s); err == nil {
		return t, nil
	}
	return time.Time{}, fmt.Errorf("cannot parse %q to a valid timestamp", s)
}

// duration returns a length of time given as seconds or like 5m, 0 if it is not given.
func (p *params) duration(name string) time.Duration {
	s := p.text(name)
	if s == "" {
		return 0
	}
	d, err := parseDuration(s)
	if err != nil {
		p.fail(name, err)
	}
	return d
}

func parseDuration(s string) (time.Duration, error) {
	if f, err := strconv.ParseFloat(s, 64); err == nil {
		if ns := f * float64(time.Second); math.Abs(ns) <= math.MaxInt64/2 {
			return time.Duration(ns), nil
		}
		return 0, fmt.Errorf("cannot parse %q to a valid duration. It overflows int64", s)
	}
	if d, err := model.ParseDuration(s); err == nil {
		return time.Duration(d), nil
	}
	return 0, fmt.Errorf("cannot parse %q to a valid duration", s)
}

// count returns a number that is not negative, 0 if it is not given.
func (p *params) count(name string) int {
	s := p.text(name)
	if s == "" {
		return 0
	}
	n, err := strconv.Atoi(s)
	if err != nil {
		p.fail(name, err)
	} else if n < 0 {
		p.fail(name, errors.New("limit must be non-negative"))
	}
	return n
}

// conditions returns the selectors of match[], one entry that matches all if there are none and none are needed.
func (p *params) conditions(needed bool) []*conditions {
	var out []*conditions
	for _, text := range p.r.Form["match[]"] {
		if len(text) > maxQueryBytes {
			p.fail("match[]", fmt.Errorf("%d bytes, at most %d", len(text), maxQueryBytes))
			return nil
		}
		ms, err := parser.ParseMetricSelector(text)
		if err != nil {
			p.fail("match[]", err)
			return nil
		}
		if !selective(ms) {
			p.fail("match[]", errors.New("match[] must contain at least one non-empty matcher"))
			return nil
		}
		out = append(out, conditionsOf(ms))
	}
	if len(out) == 0 && needed && p.err == nil {
		p.err = failure{kindBadData, errors.New("no match[] parameter provided")}
	}
	if len(out) == 0 {
		out = append(out, new(conditions))
	}
	return out
}

func selective(ms []*labels.Matcher) bool {
	for _, m := range ms {
		if !m.Matches("") {
			return true
		}
	}
	return false
}
