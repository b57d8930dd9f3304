package query

import (
	"fmt"
	"maps"
	"math"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// params reads the parameters of one request. The first error sticks, so that a caller reads all and asks once.
type params struct {
	values url.Values
	err    error
}

// parseParams reads a raw query string and refuses every parameter that is not among known: a misspelt filter that is
// ignored gives a wrong number that looks right.
func parseParams(raw string, known ...string) *params {
	values, err := url.ParseQuery(raw)
	p := &params{values: values}
	if err != nil {
		p.fail("the query string cannot be read: %w", err)
		return p
	}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		if slices.Contains(known, name) {
			continue
		}
		if near := nearest(name, known); near != "" {
			p.fail("unknown parameter %q: did you mean %q?", clip(name), near)
		} else {
			p.fail("unknown parameter %q: there are %s", clip(name), strings.Join(known, ", "))
		}
	}
	return p
}

func (p *params) fail(format string, args ...any) {
	if p.err == nil {
		p.err = fmt.Errorf(format, args...)
	}
}

// text returns the value of a parameter that is given at most once.
func (p *params) text(name string) string {
	vs := p.values[name]
	if len(vs) > 1 {
		p.fail("%s is given %d times: give it once", name, len(vs))
	}
	if len(vs) == 0 {
		return ""
	}
	return vs[0]
}

// list returns the values of a parameter that may repeat and may hold several values between commas. Empty ones are
// left out; more than limit are refused.
func (p *params) list(name string, limit int) []string {
	var out []string
	for _, v := range p.values[name] {
		for s := range strings.SplitSeq(v, ",") {
			if s = strings.TrimSpace(s); s == "" {
				continue
			}
			if len(out) == limit {
				p.fail("%s has more than %d values", name, limit)
				return out
			}
			out = append(out, s)
		}
	}
	return out
}

// number returns a finite number in [low, high], or 0 if the parameter is not given.
func (p *params) number(name, s string, low, high float64) float64 {
	if s == "" {
		return 0
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil || math.IsNaN(f) || f < low || f > high {
		p.fail("%s=%s: want a number from %g to %g", name, clip(s), low, high)
		return 0
	}
	return f
}

// count returns a whole number in [1, high], or 0 if the parameter is not given.
func (p *params) count(name string, high int) int {
	s := p.text(name)
	if s == "" {
		return 0
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 || n > high {
		p.fail("%s=%s: want a whole number from 1 to %d", name, clip(s), high)
		return 0
	}
	return n
}

// duration returns a positive length of time, or 0 if the parameter is not given.
func (p *params) duration(name string) time.Duration {
	s := p.text(name)
	if s == "" {
		return 0
	}
	d, err := time.ParseDuration(s)
	if err != nil || d <= 0 {
		p.fail("%s=%s: want a length of time like 10s or 500ms", name, clip(s))
		return 0
	}
	return d
}

// clip shortens what came from outside before it is repeated in a message.
func clip(s string) string {
	const limit = 100
	if len(s) > limit {
		return strings.ToValidUTF8(s[:limit], "") + "..."
	}
	return s
}

// nearest returns the known name that is closest to name by edit distance, or "" if none is close: more than half of its
// characters would change.
func nearest(name string, known []string) string {
	const longest = 32 // no known name is longer; keeps the cost of a hostile one small
	if len(name) > longest {
		return ""
	}
	best, bestAt := "", len(name)
	for _, k := range known {
		if d := editDistance(name, k); d < bestAt && d <= max(1, len(k)/2) {
			best, bestAt = k, d
		}
	}
	return best
}

// editDistance is Levenshtein's, in bytes, with one row of memory.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(diagonal+cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
