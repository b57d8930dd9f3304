package node

import (
	"context"

	"meshd/crdt"
)

// RemoveNode makes the mesh stop expecting a node and returns when that is on disk here; from here it spreads to all
// hubs. Refusals wrap ErrRemove. If ctx ends first the outcome is unknown.
func (n *Node) RemoveNode(ctx context.Context, region, name string) error {
	return n.request(ctx, func(id uint64) Event { return RemoveNode{ID: id, Region: region, Node: name} }).Err
}

// DropSeries drops what was counted until now on the series that match, see DropSeries the event, and returns when that
// is on disk here; from here it spreads to all nodes. Refusals wrap ErrDrop. If ctx ends first the outcome is unknown.
func (n *Node) DropSeries(ctx context.Context, metric string, labels []crdt.Label) error {
	return n.request(ctx, func(id uint64) Event { return DropSeries{ID: id, Metric: metric, Labels: labels} }).Err
}
