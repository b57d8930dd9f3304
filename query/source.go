package query

import (
	"context"

	"meshd/node"
)

// Source is what answers are read from; *node.Node implements it. Its methods are safe for concurrent use, honour the
// context, and hand out values that the caller may keep and change.
type Source interface {
	// Totals returns the lifetime values of the series that sel matches. More rows than sel.Limit: node.ErrTooMany.
	Totals(ctx context.Context, sel node.Select) (*node.Totals, error)
	// Explain returns the cells behind these values. More series than sel.Limit: node.ErrTooMany.
	Explain(ctx context.Context, sel node.Select) (*node.Explanation, error)
	// Status returns what the node says about itself. It asks the core loop, so an answer means that the loop runs.
	Status(ctx context.Context) (*node.Status, error)
}

var _ Source = (*node.Node)(nil)
