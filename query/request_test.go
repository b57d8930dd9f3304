package query

import (
	"math"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseTotal(t *testing.T) {
	q, err := parseTotal("metric=http.*&match=method=GET&match=region%3D~eu.*&match=node!=n1&by=region,code&by=code&quantile=0.5,.99&kind=distribution&top=5&agg=avg&require=0.99&max_age=1m30s", at)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(q.by, []string{"code", "region"}) || q.byAll {
		t.Errorf("by is %v, all %v", q.by, q.byAll)
	}
	if len(q.sel.labels) != 1 || len(q.sel.region) != 1 || len(q.sel.node) != 1 || !q.splitsByNode() {
		t.Errorf("conditions are sorted wrong: %+v", q.sel)
	}
	if want := []quantile{{"0.5", 0.5}, {".99", 0.99}}; !slices.Equal(q.quantiles, want) {
		t.Errorf("quantiles %v, want %v", q.quantiles, want)
	}
	if q.top != 5 || q.agg != "avg" || q.enough.share != 0.99 || q.enough.maxAge.Seconds() != 90 {
		t.Errorf("read as %+v", q)
	}
	q, err = parseTotal("metric=x&by=*,node,a", at)
	if err != nil || !q.byAll || !slices.Equal(q.by, []string{"a", "node"}) {
		t.Errorf("by=*,node,a is %v, all %v, error %v", q.by, q.byAll, err)
	}
}

// totalErrors maps bad requests to what the caller is told.
var totalErrors = []struct{ raw, want string }{
	{"", "metric is missing: name one, or use a pattern: metric=http.* or metric=*"},
	{"metrc=x", `unknown parameter "metrc": did you mean "metric"?`},
	{"metric=x&quantiles=0.5", `unknown parameter "quantiles": did you mean "quantile"?`},
	{"metric=x&zzzzzz=1", `unknown parameter "zzzzzz": there are metric, match, by, quantile, kind, top, agg, require, max_age, start, end, window, step, tz`},
	{"metric=x&metric=y", "metric is given 2 times: give it once"},
	{"metric=x%7By", `metric: name pattern "x{y" does not close a '{': write \{ for the character`},
	{"metric=x&match=foo", `match: "foo" is not a condition: write label=value, label!=value, label=~expression or label!~expression`},
	{"metric=x&match=a%3D~(", "match: condition \"a=~(\": error parsing regexp: missing closing ): `(`"},
	{"metric=x&end=now", "start is missing: say since when, such as start=-1h or start=2026-01-31, or a window"},
	{"metric=x&window=5", "window=5: want a length of time like 10s, 5m, 1h, 1d, 1w or 1mo, of whole seconds"},
	{"metric=x&start=-1h&step=100ms", "step=100ms: want a length of time like 10s, 5m, 1h, 1d, 1w or 1mo, of whole seconds"},
	{"metric=x&start=-1h&step=0d", "step=0d: want a length of time like 10s, 5m, 1h, 1d, 1w or 1mo, of whole seconds"},
	{"metric=x&start=yesterday", "start=yesterday: want a time like -1h, 2026-01-31, 2026-01-31T12:00:00Z or seconds since 1970"},
	{"metric=x&start=1e300", "start=1e300: want a time like -1h, 2026-01-31, 2026-01-31T12:00:00Z or seconds since 1970"},
	{"metric=x&start=2&end=1", "start must be before end, by at most 100 years"},
	{"metric=x&start=0&end=4e9", "start must be before end, by at most 100 years"},
	{"metric=x&start=-1d&tz=Mars", "tz=Mars is not known: write a name such as Europe/Berlin, or UTC"},
	{"metric=x&start=-1d&step=10s", "more than 1000 periods: widen step, or shorten the range"},
	{"metric=x&start=-9980s&step=10s&window=9980s", "window has so many steps in it that 997002 are to be added up for each group, at most 200000: widen step"},
	{"metric=x&quantile=1.5", "quantile=1.5: want a number from 0 to 1"},
	{"metric=x&quantile=NaN", "quantile=NaN: want a number from 0 to 1"},
	{"metric=x&quantile=p99", "quantile=p99: want a number from 0 to 1"},
	{"metric=x&kind=rollup", "kind=rollup: want counter, updown, gauge, distribution, unique, set, observed or histogram"},
	{"metric=x&kind=count", "kind=count: want counter, updown, gauge, distribution, unique, set, observed or histogram"},
	{"metric=x&top=0", "top=0: want a whole number from 1 to 10000"},
	{"metric=x&top=many", "top=many: want a whole number from 1 to 10000"},
	{"metric=x&agg=last", "agg=last: want one of newest, count, sum, min, max, avg"},
	{"metric=x&require=99", "require=99: want a number from 0 to 1"},
	{"metric=x&max_age=10", "max_age=10: want a length of time like 10s or 500ms"},
	{"metric=x&max_age=-1s", "max_age=-1s: want a length of time like 10s or 500ms"},
	{"metric=x;y", "the query string cannot be read: invalid semicolon separator in query"},
	{"metric=x&by=" + strings.Repeat("a,", 40), "by has more than 34 values"},
	{"metric=x" + strings.Repeat("&match=a=b", 33), "match is given 33 times: at most 32"},
}

func TestParseTotalErrors(t *testing.T) {
	for _, c := range totalErrors {
		_, err := parseTotal(c.raw, at)
		if err == nil {
			t.Errorf("%q is accepted", c.raw)
			continue
		}
		if d := cmp.Diff(c.want, err.Error()); d != "" {
			t.Errorf("%q (-want +got):\n%s", c.raw, d)
		}
	}
}

func TestEditDistance(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"", "abc", 3}, {"abc", "", 3}, {"kitten", "sitting", 3}, {"by", "yb", 2}, {"metric", "metric", 0}} {
		if got := editDistance(c.a, c.b); got != c.want {
			t.Errorf("editDistance(%q, %q) = %d, want %d", c.a, c.b, got, c.want)
		}
	}
}

// FuzzParseTotal: no query string panics, what is accepted is inside the bounds, and what is refused is explained in a
// line of bounded length.
func FuzzParseTotal(f *testing.F) {
	for _, c := range totalErrors {
		f.Add(c.raw)
	}
	f.Add("metric=http.*&match=method=GET&match=region=~eu.*&by=region,code&quantile=0.5&top=5&agg=avg&require=0.99&max_age=10s")
	f.Add("metric=%7Ba,%5C%7Bb%7D*&by=*")
	f.Fuzz(func(t *testing.T, raw string) {
		q, err := parseTotal(raw, at)
		if err != nil {
			if n := len(err.Error()); n == 0 || n > 16*maxPatternBytes {
				t.Fatalf("the error has %d bytes", n)
			}
			return
		}
		if len(q.by) > maxBy || len(q.quantiles) > maxQuantiles || q.top < 0 || q.top > maxTop {
			t.Fatalf("beyond the bounds: %+v", q)
		}
		for _, x := range q.quantiles {
			if math.IsNaN(x.q) || x.q < 0 || x.q > 1 {
				t.Fatalf("quantile %v", x)
			}
		}
		values, err := url.ParseQuery(raw)
		if err != nil || values.Get("metric") == "" {
			t.Fatalf("%q was accepted: %v", raw, err)
		}
		q.sel.name("http.requests")
		for _, m := range slices.Concat(q.sel.labels, q.sel.region, q.sel.node) {
			m.matches("GET")
		}
	})
}
