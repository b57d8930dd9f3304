package query

import (
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// drawn is a range answer with a sine, a constant, a gap and a histogram.
func drawn(t *testing.T) *ExprAnswer {
	t.Helper()
	var sine strings.Builder
	for i := range 100 {
		if i < 40 || i > 55 {
			fmt.Fprintf(&sine, `,[%d,"%g"]`, 1_700_000_000+60*i, math.Round(100*math.Sin(float64(i)/8)))
		}
	}
	a := &ExprAnswer{Status: "success", Warnings: []string{"incomplete: region us"}}
	a.Data.Type = "matrix"
	a.Data.Result = fmt.Appendf(nil, `[{"metric":{"__name__":"up","b":"x"},"values":[[1700000000,"1"],[1700000060.5,"1"]]},
		{"metric":{"__name__":"my.sine","a.b":"c,\"d\""},"values":[%s]},
		{"metric":{"__name__":"h"},"histograms":[[1700000000,{"count":"3","sum":"4.5","buckets":[]}]]},
		{"metric":{},"values":[[1700000000,"NaN"]]}]`, sine.String()[1:])
	return a
}

func TestRenderQuery(t *testing.T) {
	for name, render := range map[string]func(io.Writer, *ExprAnswer) error{
		"query_chart.txt": RenderQueryChart, "query_table.txt": RenderQuery, "query.csv": RenderQueryCSV,
	} {
		a := drawn(t)
		if name != "query_chart.txt" {
			a.Data.Result = []byte(strings.Replace(string(a.Data.Result), `,"0"]`, `,"0.5"]`, 1))
		}
		var b strings.Builder
		if err := render(&b, a); err != nil {
			t.Fatal(err)
		}
		golden(t, name, []byte(b.String()))
		b.Reset()
		a.Data.Result = []byte(`[]`)
		if err := render(&b, a); err != nil || name != "query.csv" && !strings.HasPrefix(b.String(), "nothing matches") {
			t.Errorf("%s of nothing: %v %q", name, err, b.String())
		}
		a.Data.Result = []byte(`{}`)
		if err := render(&b, a); err == nil {
			t.Errorf("%s: a result that is none is rendered", name)
		}
	}
}

func TestClientAsksInPromQL(t *testing.T) {
	src, hist := recent(t)
	s, _ := newServer(t, src, func(c *Config) { c.History = hist })
	h := httptest.NewServer(s)
	t.Cleanup(h.Close)
	c, err := NewClient(h.URL, "")
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		name string
		r    ExprRequest
		want string // labels and last value
	}{
		{"instant", ExprRequest{Query: `sum by (region) (rate({"http.requests"}[5m]))`}, `{region="us"} 1`},
		{"earlier", ExprRequest{Query: `sum(increase({"http.requests"}[1m]))`, At: "-5m"}, `{} 60`},
		{"range", ExprRequest{Query: `{"http.requests",region="us",method="GET"}`, Start: "-5m", Step: 10 * time.Second}, `{"http.requests",method="GET",region="us"} 1000`},
		{"default step", ExprRequest{Query: `vector(2)`, Start: "-1h", End: "-1m"}, `{} 2`},
		{"scalar", ExprRequest{Query: `1+1`}, `{} 2`},
		{"string", ExprRequest{Query: `"x"`}, `{} x`},
	} {
		a, err := c.Query(t.Context(), row.r)
		if err != nil {
			t.Fatalf("%s: %v", row.name, err)
		}
		list, err := a.Series()
		if err != nil || len(list) == 0 {
			t.Fatalf("%s: %v, %d series", row.name, err, len(list))
		}
		points := list[len(list)-1].Points
		if got := metricText(list[len(list)-1].Labels) + " " + points[len(points)-1].Text; got != row.want {
			t.Errorf("%s: got %s, want %s", row.name, got, row.want)
		}
	}
	if _, err := c.Query(t.Context(), ExprRequest{Query: "sum("}); err == nil || !strings.Contains(err.Error(), "parse error") {
		t.Errorf("got %v, want the node's words", err)
	}
	found, err := c.Series(t.Context(), SeriesRequest{Matcher: "http.*"})
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	if err := RenderSeries(&b, found); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff("{\"http.requests\",method=\"GET\",region=\"us\"}\n", b.String()); d != "" {
		t.Error(d)
	}
	a, err := c.Total(t.Context(), TotalRequest{Metric: "http.requests", Start: "-5m", Step: "1m", Window: "2m", Zone: "Asia/Kolkata", By: []string{"region"}})
	if err != nil || len(a.Periods) < 5 {
		t.Fatalf("%v, %d periods", err, len(a.Periods))
	}
	b.Reset()
	if err := RenderTotals(&b, a); err != nil || !strings.Contains(b.String(), "FROM") || !strings.Contains(b.String(), "(incomplete)") {
		t.Errorf("%v: %s", err, b.String())
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/api/v1/query?query="+strings.Repeat("(", 40_000), nil))
	if w.Code != http.StatusBadRequest {
		t.Errorf("deep nesting: status %d", w.Code)
	}
}
