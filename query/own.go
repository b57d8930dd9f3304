package query

import (
	"context"

	"meshd/crdt"
	"meshd/history"
)

// ownOnly is the history of an edge, which holds its own windows: they stand for its region as far as it knows. Every answer
// says so, see onlyOwn.
type ownOnly struct {
	history.Source
	owner history.Owner
}

// onlyOwn is what answers of an edge say of their windows.
const onlyOwn = "this edge has windows of its own only: ask a hub for those of the mesh"

// Curves implements history.Source.
func (o ownOnly) Curves(ctx context.Context, sel history.Selection, yield func(*history.Curve) error) error {
	byNode := sel.ByNode
	sel.ByNode = true
	return o.Source.Curves(ctx, sel, func(c *history.Curve) error {
		if c.Owner != o.owner {
			return nil
		}
		if byNode {
			return yield(c)
		}
		return yield(&history.Curve{Owner: history.Owner{Region: o.owner.Region}, Series: c.Series, Points: c.Points})
	})
}

// Series implements history.Source.
func (o ownOnly) Series(ctx context.Context, sel history.Selection, yield func(*crdt.Series) error) error {
	sel.ByNode = true
	return o.Source.Series(ctx, sel, yield)
}
