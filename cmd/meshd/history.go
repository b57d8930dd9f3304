package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"meshd/cmd/meshd/internal/tty"
	"meshd/query"
)

// askQuery is `meshd query`.
func askQuery(args []string, out io.Writer) error {
	var r query.ExprRequest
	q := newQuestion(`query PROMQL [flags]      names with dots are quoted: 'sum by (region) (rate({"http.requests"}[5m]))'`)
	q.outputs = []string{"csv", "chart"}
	q.flags.StringVar(&r.At, "time", "", "`when` to evaluate: -1h, 2026-01-31, a time in RFC 3339; default now")
	q.flags.StringVar(&r.Start, "start", "", "evaluate at every step since `when`")
	q.flags.StringVar(&r.End, "end", "", "until `when`; default now")
	q.flags.DurationVar(&r.Step, "step", 0, "`time` between two evaluations; default a 120th of the range")
	return ask(q, args, out, 1, func(ctx context.Context, c *query.Client) (*query.ExprAnswer, error) {
		if r.Start == "" && (r.End != "" || r.Step != 0) {
			return nil, usagef("--end and --step belong to a range: give --start, too")
		}
		if r.Start != "" && r.At != "" {
			return nil, usagef("--time is for one evaluation, --start for a range: give one of them")
		}
		r.Query = q.flags.Arg(0)
		return c.Query(ctx, r)
	}, func(w io.Writer, a *query.ExprAnswer) error {
		switch q.output {
		case "csv":
			return query.RenderQueryCSV(w, a)
		case "chart":
			return query.RenderQueryChart(w, a)
		}
		return query.RenderQuery(w, a)
	})
}

// askSeries is `meshd series`.
func askSeries(args []string, out io.Writer) error {
	var r query.SeriesRequest
	q := newQuestion(`series [MATCHER] [flags]      MATCHER is a pattern such as 'http.*', or a selector such as '{region="eu"}'`)
	q.flags.StringVar(&r.Start, "start", "", "that counted something since `when`; default an hour ago")
	q.flags.StringVar(&r.End, "end", "", "until `when`; default now")
	q.flags.IntVar(&r.Limit, "limit", 1000, "at most `n`; 0 for all")
	return ask(q, args, out, anyArguments, func(ctx context.Context, c *query.Client) (*query.SeriesAnswer, error) {
		if q.flags.NArg() > 1 {
			return nil, usagef("got %d arguments, want 1 at most: %s", q.flags.NArg(), q.about)
		}
		r.Matcher = q.flags.Arg(0)
		return c.Series(ctx, r)
	}, query.RenderSeries)
}

// askTop is `meshd top`: the same question again and again.
func askTop(args []string, out io.Writer) error {
	r := query.TotalRequest{}
	q := newQuestion("top [METRIC] [flags]      METRIC is a pattern; default all")
	q.flags.StringArrayVarP(&r.Match, "label", "l", nil, "only series with `k=v`; also k!=v, k=~regexp, k!~regexp; may repeat")
	q.flags.StringSliceVar(&r.By, "by", nil, "split by `labels`, region and node among them; * for all")
	q.flags.IntVarP(&r.Top, "lines", "n", 20, "how `many` to show")
	q.flags.StringVar(&r.Window, "window", "1m", "what was counted in the last `time`")
	q.flags.StringVar(&r.Kind, "kind", "counter", "of this `kind`")
	q.endless = true
	every := q.flags.Duration("every", 2*time.Second, "`time` between two pictures")
	count := q.flags.Int("count", 0, "stop after `n` pictures; 0 goes on until interrupted")
	shown := 0
	show := func(ctx context.Context, c *query.Client) (*query.TotalAnswer, error) {
		if q.flags.NArg() > 1 || *every < 100*time.Millisecond {
			return nil, usagef("want one METRIC at most, and --every 100ms at least")
		}
		if r.Metric = q.flags.Arg(0); r.Metric == "" {
			r.Metric = "*"
		}
		for ; ; shown++ {
			if shown > 0 {
				select {
				case <-time.After(*every):
				case <-ctx.Done():
					return nil, nil
				}
			}
			one, cancel := context.WithTimeout(ctx, q.timeout)
			answer, err := c.Total(one, r)
			cancel()
			if err != nil || *count > 0 && shown+1 >= *count {
				return answer, err
			}
			if err := picture(out, q.output, answer); err != nil {
				return nil, err
			}
		}
	}
	return ask(q, args, out, anyArguments, show, func(w io.Writer, a *query.TotalAnswer) error { return picture(w, q.output, a) })
}

// picture replaces what is on a terminal; elsewhere pictures come one after the other.
func picture(w io.Writer, output string, a *query.TotalAnswer) error {
	if output == "json" {
		return query.RenderJSON(w, a)
	}
	if tty.Is(w) {
		fmt.Fprint(w, "\x1b[H\x1b[2J")
	}
	fmt.Fprintf(w, "%s\n\n", time.Now().UTC().Format(time.RFC3339))
	return query.RenderTotals(w, a)
}
