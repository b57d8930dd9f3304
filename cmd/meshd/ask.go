package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"meshd/cmd/meshd/internal/config"
	"meshd/cmd/meshd/internal/suggest"
	"meshd/query"
)

// shortError is an answer that covers less than --require or --max-age demanded; the answer was printed.
type shortError struct{ error }

// question is what all commands that ask a node have in common.
type question struct {
	flags     *pflag.FlagSet
	about     string // usage line and summary
	at        string
	tokenFile string
	output    string
	outputs   []string // that --output takes besides table and json
	timeout   time.Duration
	endless   bool // the command bounds each of its requests by timeout itself
}

func newQuestion(about string) *question {
	q := &question{flags: pflag.NewFlagSet("meshd", pflag.ContinueOnError), about: about}
	q.flags.SortFlags = false
	q.flags.Usage = func() {}
	return q
}

// anyArguments leaves it to the command how many there may be.
const anyArguments = -1

// ask parses args, asks the node with do and renders the answer. want is how many arguments are expected.
func ask[A any](q *question, args []string, out io.Writer, want int,
	do func(context.Context, *query.Client) (*A, error), render func(io.Writer, *A) error,
) error {
	q.flags.StringVar(&q.at, "at", fmt.Sprintf("127.0.0.1:%d", config.Port), "`host:port` of the node's HTTP API")
	q.flags.StringVar(&q.tokenFile, "token-file", "", "`file` with the bearer token that the node demands")
	outputs := append([]string{"table", "json"}, q.outputs...)
	q.flags.StringVarP(&q.output, "output", "o", outputs[0], "`"+strings.Join(outputs, "|")+"`")
	q.flags.DurationVar(&q.timeout, "timeout", 10*time.Second, "`time` to wait for the answer")
	if err := parse(q.flags, q.about, args, out); err != nil {
		return err
	}
	if want != anyArguments && q.flags.NArg() != want {
		return usagef("got %d arguments, want %d: %s", q.flags.NArg(), want, q.about)
	}
	if !slices.Contains(outputs, q.output) {
		return usagef("--output %q: must be %s", q.output, strings.Join(outputs, " or "))
	}
	token, err := config.ReadToken(q.tokenFile)
	if err != nil {
		return usagef("--token-file: %w", err)
	}
	client, err := query.NewClient(q.at, token)
	if err != nil {
		return usagef("--at: %w", err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if !q.endless {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, q.timeout)
		defer cancel()
	}
	answer, err := do(ctx, client)
	if answer == nil {
		return err
	}
	if q.output == "json" {
		return errors.Join(err, query.RenderJSON(out, answer))
	}
	return errors.Join(err, render(out, answer))
}

// parse reads flags. Asked for help it prints about and the flags, and returns pflag.ErrHelp.
func parse(fs *pflag.FlagSet, about string, args []string, out io.Writer) error {
	err := fs.Parse(args)
	unknown := new(pflag.NotExistError)
	switch {
	case errors.Is(err, pflag.ErrHelp):
		fmt.Fprintf(out, "usage: meshd %s\n\n%s", about, fs.FlagUsagesWrapped(100))
		return err
	case errors.As(err, &unknown):
		var known []string
		fs.VisitAll(func(f *pflag.Flag) { known = append(known, "--"+f.Name) })
		name := unknown.GetSpecifiedName()
		return usagef("unknown flag --%s%s", name, suggest.Hint("--"+name, known))
	case err != nil:
		return usagef("%w", err)
	}
	return nil
}

func askTotal(args []string, out io.Writer) error {
	var r query.TotalRequest
	q := newQuestion("total METRIC [flags]      METRIC may be a pattern such as 'http.*'")
	q.flags.StringArrayVarP(&r.Match, "label", "l", nil, "only series with `k=v`; also k!=v, k=~regexp, k!~regexp; may repeat")
	q.flags.StringSliceVar(&r.By, "by", nil, "split by `labels`, region and node among them; * for all")
	q.flags.StringSliceVar(&r.Quantiles, "quantile", nil, "`quantiles` of distributions, such as 0.5,0.99")
	q.flags.IntVar(&r.Top, "top", 0, "only the `n` largest")
	q.flags.StringVar(&r.Kind, "kind", "", "only this `kind`: counter, updown, gauge, distribution, unique, set")
	q.flags.StringVar(&r.Agg, "agg", "", "`newest|count|sum|min|max|avg` of gauges and distributions")
	q.flags.StringVar(&r.Window, "window", "", "what was counted in the last `time`, such as 5m; with --step, windows of it that overlap")
	q.flags.StringVar(&r.Start, "start", "", "what was counted since `when`, such as -1h, 2026-01-31 or a time in RFC 3339")
	q.flags.StringVar(&r.End, "end", "", "until `when`; default now")
	q.flags.StringVar(&r.Step, "step", "", "one answer for each `time`: 10s, 5m, 1h, 1d, 1w, 1mo")
	q.flags.StringVar(&r.Zone, "tz", "", "`zone` that days, weeks and months are of, such as Europe/Berlin; default UTC")
	q.flags.Float64Var(&r.Require, "require", 0, "fail with exit code 3 if less than this `share` of the nodes is heard")
	q.flags.DurationVar(&r.MaxAge, "max-age", 0, "fail with exit code 3 if the answer is older than `time`")
	return ask(q, args, out, 1, func(ctx context.Context, c *query.Client) (*query.TotalAnswer, error) {
		r.Metric = q.flags.Arg(0)
		answer, err := c.Total(ctx, r)
		var refused *query.StatusError
		if answer != nil && errors.As(err, &refused) && refused.Code == http.StatusServiceUnavailable {
			err = &shortError{err}
		}
		return answer, err
	}, query.RenderTotals)
}

func askExplain(args []string, out io.Writer) error {
	q := newQuestion("explain METRIC [flags]")
	match := q.flags.StringArrayP("label", "l", nil, "only series with `k=v`; also k!=v, k=~regexp, k!~regexp; may repeat")
	kind := q.flags.String("kind", "", "only this `kind`")
	return ask(q, args, out, 1, func(ctx context.Context, c *query.Client) (*query.ExplainAnswer, error) {
		return c.Explain(ctx, q.flags.Arg(0), *match, *kind)
	}, query.RenderExplain)
}

func askMembers(args []string, out io.Writer) error {
	return ask(newQuestion("members [flags]"), args, out, 0, func(ctx context.Context, c *query.Client) (*query.MembersAnswer, error) {
		return c.Members(ctx)
	}, query.RenderMembers)
}

func askStatus(args []string, out io.Writer) error {
	return ask(newQuestion("status [flags]"), args, out, 0, func(ctx context.Context, c *query.Client) (*query.StatusAnswer, error) {
		return c.Status(ctx)
	}, query.RenderStatus)
}
