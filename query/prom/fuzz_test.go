package prom

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
)

// FuzzExpressions asks for anything: whatever is asked, an answer or a refusal comes, and soon.
func FuzzExpressions(f *testing.F) {
	for _, expr := range []string{
		`rate({"http.requests"}[5m])`, `sum by (node) (increase(stock[1m] offset -5m))`, `max_over_time(rate(temperature[1m] @ 7)[5m:1s])`,
		`histogram_quantile(0.9, latency)`, `last_over_time(visitors[10m])`, `irate({__name__=~".+"}[5m])`, `quantile_over_time(0.5, stock[1h])`,
		`avg_over_time(temperature[5m])`, `label_replace(x, "a", "b", "c", "(")`, `absent(x{region!="eu",node=~"a|b"})`, `sizes`, `rate(sizes[5m])`,
	} {
		f.Add(expr, seconds(now), "60")
		f.Add(expr, "-9007199254740", "0.001")
	}
	api := newAPI(f, everyKind(f), now, func(c *Config) { c.MaxSamples = 20_000 })
	f.Fuzz(func(t *testing.T, expr, start, step string) {
		for path, form := range map[string]url.Values{
			"query":       {"query": {expr}, "time": {start}, "lookback_delta": {step}},
			"query_range": {"query": {expr}, "start": {start}, "end": {seconds(now + 60_000)}, "step": {step}},
			"series":      {"match[]": {expr}, "start": {start}},
			"parse_query": {"query": {expr}},
		} {
			w := httptest.NewRecorder()
			api.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/api/v1/"+path+"?"+form.Encode(), nil))
			if w.Code != 200 && w.Code != 400 && w.Code != 422 && w.Code != 503 {
				t.Errorf("%s: status %d: %s", path, w.Code, w.Body)
			}
		}
	})
}
