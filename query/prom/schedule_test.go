package prom

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/prometheus/promql/parser"
)

// What rules drop is lacked only by an expression that tells series apart by it.
func TestLabelsThatAnExpressionTellsApart(t *testing.T) {
	all := []string{"*"}
	for _, row := range []struct {
		expr           string
		labels, except []string
	}{
		{"m", all, nil},
		{"rate(m[5m])", all, nil},
		{"sum(rate(m[5m]))", nil, nil},
		{"sum by (a) (max by (b) (m))", []string{"b"}, nil},
		{"max(sum without (a, b) (m))", all, []string{"a", "b"}},
		{"sum(topk by (a) (3, m))", all, nil},
		{`sum(label_replace(m, "a", "$1", "b", "(.*)"))`, all, nil},
		{"sum(m / 2)", nil, nil},
		{"sum(m / n)", all, nil},
		{"sum(m) / sum(m)", nil, nil},
		{"sum(max_over_time(m[5m:1m]))", nil, nil},
	} {
		e, err := parser.ParseExpr(row.expr)
		if err != nil {
			t.Fatal(err)
		}
		for m, s := range selectors(e) {
			if m.Value == "m" && (cmp.Diff(row.labels, s.labels) != "" && len(row.labels)+len(s.labels) > 0 || cmp.Diff(row.except, s.except) != "") {
				t.Errorf("%s: %v but %v, want %v but %v", row.expr, s.labels, s.except, row.labels, row.except)
			}
		}
	}
}
