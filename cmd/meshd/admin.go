package main

import (
	"context"
	"fmt"
	"io"

	"meshd/query"
)

// askRemove makes the mesh stop expecting a node.
func askRemove(args []string, out io.Writer) error {
	q := newQuestion("remove NODE --region REGION [flags]      stop expecting a node, by way of any hub; what it counted stays")
	region := q.flags.String("region", "default", "`name` of the node's region")
	return ask(q, args, out, 1, func(ctx context.Context, c *query.Client) (*query.RemoveAnswer, error) {
		return c.Remove(ctx, *region, q.flags.Arg(0))
	}, func(out io.Writer, a *query.RemoveAnswer) error {
		_, err := fmt.Fprintf(out, "%s of %s is not expected any more; what it counted stays, and it is heard again should it come back\n", a.Removed.Node, a.Removed.Region)
		return err
	})
}

// askDrop drops series: they begin at zero again.
func askDrop(args []string, out io.Writer) error {
	q := newQuestion("drop METRIC [flags]      drop what was counted until now, everywhere, by way of any hub; * and ? in METRIC match")
	match := q.flags.StringArrayP("label", "l", nil, "only series with `k=v`, in which * and ? match; may repeat")
	return ask(q, args, out, 1, func(ctx context.Context, c *query.Client) (*query.DropAnswer, error) {
		return c.Drop(ctx, q.flags.Arg(0), *match)
	}, func(out io.Writer, a *query.DropAnswer) error {
		_, err := fmt.Fprintf(out, "%s is dropped and begins at zero; what nodes count on it before they hear of that is lost\n", a.Dropped.Metric)
		return err
	})
}
