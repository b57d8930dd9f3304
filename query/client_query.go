package query

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"meshd/internal/glob"
)

// ExprRequest is an expression in PromQL. Times are as /v1/total reads them: -1h, 2026-01-31, RFC 3339, seconds.
type ExprRequest struct {
	Query string
	At    string        // one time; "" is now
	Start string        // with End and Step: a range; "" if there is none
	End   string        // "" is now
	Step  time.Duration // 0: a 120th of the range, in whole steps of 10 s
}

// ExprAnswer is the answer to a ExprRequest, in the JSON of Prometheus' API.
type ExprAnswer struct {
	Status string `json:"status"`
	Data   struct {
		Type   string          `json:"resultType"` // vector, matrix, scalar or string
		Result json.RawMessage `json:"result"`
	} `json:"data"`
	Warnings []string `json:"warnings,omitempty"`
	Infos    []string `json:"infos,omitempty"`
}

// Query evaluates an expression.
func (c *Client) Query(ctx context.Context, r ExprRequest) (*ExprAnswer, error) {
	path, v, err := r.values(time.Now())
	if err != nil {
		return nil, err
	}
	return answer[ExprAnswer](ctx, c, path, v)
}

// values returns the route and its parameters.
func (r *ExprRequest) values(now time.Time) (string, url.Values, error) {
	instant := func(name, s string) (time.Time, error) {
		if s == "" {
			return now, nil
		}
		t, ok := parseInstant(s, time.Local, now)
		if !ok {
			return t, fmt.Errorf("query: %s %q: want a time like -1h, 2026-01-31, 2026-01-31T12:00:00Z or seconds since 1970", name, s)
		}
		return t, nil
	}
	v := url.Values{"query": {r.Query}}
	if r.Start == "" {
		at, err := instant("time", r.At)
		v.Set("time", unixSeconds(at))
		return "/api/v1/query", v, err
	}
	start, err := instant("start", r.Start)
	if err != nil {
		return "", nil, err
	}
	end, err := instant("end", r.End)
	if err != nil {
		return "", nil, err
	}
	step := r.Step
	if step == 0 {
		const points, whole = 120, 10 * time.Second
		step = max((end.Sub(start) / points).Truncate(whole), whole)
	}
	start, end = start.Truncate(step), end.Truncate(step) // so that asking again gives the same points
	v.Set("start", unixSeconds(start))
	v.Set("end", unixSeconds(end))
	v.Set("step", strconv.FormatFloat(step.Seconds(), 'f', -1, 64))
	return "/api/v1/query_range", v, nil
}

func unixSeconds(t time.Time) string {
	return strconv.FormatFloat(float64(t.UnixMilli())/1000, 'f', -1, 64)
}

// SeriesAnswer lists series, in the JSON of Prometheus' API.
type SeriesAnswer struct {
	Status   string              `json:"status"`
	Data     []map[string]string `json:"data"`
	Warnings []string            `json:"warnings,omitempty"`
}

// SeriesRequest asks which series there are.
type SeriesRequest struct {
	Matcher string // a selector of PromQL, or a pattern of names; "" for all
	Start   string // "" is an hour ago
	End     string // "" is now
	Limit   int    // 0: all
}

// Series lists series that counted something in a range of time.
func (c *Client) Series(ctx context.Context, r SeriesRequest) (*SeriesAnswer, error) {
	v, err := r.values(time.Now())
	if err != nil {
		return nil, err
	}
	return answer[SeriesAnswer](ctx, c, "/api/v1/series", v)
}

func (r *SeriesRequest) values(now time.Time) (url.Values, error) {
	q := ExprRequest{Start: r.Start, End: r.End, Step: time.Second}
	if q.Start == "" {
		q.Start = "-1h"
	}
	_, v, err := q.values(now)
	if err != nil {
		return nil, err
	}
	v.Del("query")
	v.Del("step")
	selector := r.Matcher
	if selector == "" {
		selector = "*"
	}
	if !strings.Contains(selector, "=") { // a pattern: selectors have a condition
		expr, err := glob.Expression(selector)
		if err != nil {
			return nil, fmt.Errorf("query: %w", err)
		}
		selector = "{__name__!=\"\",__name__=~" + strconv.Quote(expr) + "}"
	}
	v.Set("match[]", selector)
	if r.Limit > 0 {
		v.Set("limit", strconv.Itoa(r.Limit))
	}
	return v, nil
}

// ExprSeries is one series of an answer.
type ExprSeries struct {
	Labels map[string]string
	Points []ExprPoint // ascending by time
}

// ExprPoint is a value at a time.
type ExprPoint struct {
	Time  time.Time
	Value float64 // of a histogram, its count
	Text  string  // the value as the node wrote it
}

// Series decodes the result, sorted by labels.
func (a *ExprAnswer) Series() ([]ExprSeries, error) {
	type point [2]json.RawMessage
	type series struct {
		Metric     map[string]string
		Value      *point
		Histogram  *point
		Values     []point
		Histograms []point
	}
	var list []series
	var err error
	switch a.Data.Type {
	case "scalar", "string":
		var p point
		err = json.Unmarshal(a.Data.Result, &p)
		list = []series{{Value: &p}}
	default:
		err = json.Unmarshal(a.Data.Result, &list)
	}
	if err != nil {
		return nil, fmt.Errorf("query: read the result: %w", err)
	}
	out := make([]ExprSeries, 0, len(list))
	for _, s := range list {
		points := slices.Concat(s.Values, s.Histograms)
		for _, p := range []*point{s.Value, s.Histogram} {
			if p != nil {
				points = append(points, *p)
			}
		}
		decoded := ExprSeries{Labels: s.Metric}
		for _, p := range points {
			d, err := decodePoint(p[0], p[1])
			if err != nil {
				return nil, err
			}
			decoded.Points = append(decoded.Points, d)
		}
		slices.SortFunc(decoded.Points, func(a, b ExprPoint) int { return a.Time.Compare(b.Time) })
		out = append(out, decoded)
	}
	slices.SortStableFunc(out, func(a, b ExprSeries) int { return strings.Compare(metricText(a.Labels), metricText(b.Labels)) })
	return out, nil
}

// decodePoint reads a time and a number in quotes, or a histogram, which is shown by its count and sum.
func decodePoint(at, value json.RawMessage) (ExprPoint, error) {
	var seconds float64
	if err := json.Unmarshal(at, &seconds); err != nil {
		return ExprPoint{}, fmt.Errorf("query: read the result: %w", err)
	}
	p := ExprPoint{Time: time.UnixMilli(int64(seconds * 1000)).UTC()}
	var h struct{ Count, Sum string }
	if err := json.Unmarshal(value, &p.Text); err != nil {
		if err := json.Unmarshal(value, &h); err != nil {
			return p, fmt.Errorf("query: read the result: %w", err)
		}
		p.Text = "count=" + h.Count + " sum=" + h.Sum
		p.Value, _ = strconv.ParseFloat(h.Count, 64)
		return p, nil
	}
	p.Value, _ = strconv.ParseFloat(p.Text, 64) // a string is text only
	return p, nil
}
