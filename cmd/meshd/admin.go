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
