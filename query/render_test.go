package query

import (
	"bytes"
	"io"
	"math"
	"testing"
	"time"

	"meshd/node"
)

func TestRender(t *testing.T) {
	c := serve(t, everyKind())
	cut := everyKind()
	cut.coverage[0] = node.Coverage{
		Region: "eu", NodesExpected: 2, NodesHeard: 2, CompleteUntil: at, Age: 3 * time.Hour, Lost: 17,
		ClocksOff: 1, Clocks: []node.ClockOffset{{Node: "eu-2", Offset: -90 * time.Second}},
	}
	cut.coverage[1] = node.Coverage{Region: "us", NodesExpected: 40, NodesHeard: 15, OldestMissing: at, Missing: []string{"us-03", "us-04"}}
	cutOff := serve(t, cut)
	for _, x := range []struct {
		file   string
		render func(io.Writer) error
	}{
		{"render_totals.txt", func(w io.Writer) error {
			a, err := c.Total(t.Context(), TotalRequest{Metric: "*", By: []string{"region", "method"}, Quantiles: []string{"0.5", "0.99"}})
			if err != nil {
				return err
			}
			return RenderTotals(w, a)
		}},
		{"render_incomplete.txt", func(w io.Writer) error {
			a, err := cutOff.Total(t.Context(), TotalRequest{Metric: "stock"})
			if err != nil {
				return err
			}
			return RenderTotals(w, a)
		}},
		{"render_nothing.txt", func(w io.Writer) error {
			a, err := c.Total(t.Context(), TotalRequest{Metric: "nothing"})
			if err != nil {
				return err
			}
			return RenderTotals(w, a)
		}},
		{"render_members.txt", func(w io.Writer) error {
			a, err := c.Members(t.Context())
			if err != nil {
				return err
			}
			return RenderMembers(w, a)
		}},
		{"render_status.txt", func(w io.Writer) error {
			a, err := c.Status(t.Context())
			if err != nil {
				return err
			}
			return RenderStatus(w, a)
		}},
		{"render_explain.txt", func(w io.Writer) error {
			a, err := c.Explain(t.Context(), "*", nil, "")
			if err != nil {
				return err
			}
			return RenderExplain(w, a)
		}},
	} {
		t.Run(x.file, func(t *testing.T) {
			var b bytes.Buffer
			if err := x.render(&b); err != nil {
				t.Fatal(err)
			}
			golden(t, x.file, b.Bytes())
		})
	}
}

func TestTextsForPeople(t *testing.T) {
	for _, c := range []struct{ got, want string }{
		{ageText(300 * time.Millisecond), "0.3 s"},
		{ageText(12 * time.Minute), "12 min"},
		{ageText(3*time.Hour + 30*time.Minute), "3.5 h"},
		{ageText(100 * time.Hour), "4 days"},
		{numberText(3), "3"},
		{numberText(-0.25), "-0.25"},
		{numberText(1e300), "1e+300"},
		{numberText(math.Inf(1)), "+Inf"},
		{printable("größe a"), "größe a"},
		{printable("a\tb\x1b[2J"), `"a\tb\x1b[2J"`},
		{elementsText([]string{"a", "b"}, 5), "a,b and 3 more"},
	} {
		if c.got != c.want {
			t.Errorf("got %q, want %q", c.got, c.want)
		}
	}
}
