package cluster

import (
	"context"
	"fmt"
	"time"

	"meshd/query"
)

const (
	formTimeout = time.Minute            // a mesh of ten forms in a few seconds on an idle machine
	formEvery   = 200 * time.Millisecond // while it forms
	askTimeout  = 2 * time.Second        // for one answer
)

// WaitFormed asks every node until each hears all of them. It returns nil when ctx ends before.
func (c *Cluster) WaitFormed(ctx context.Context) error {
	deadline := time.Now().Add(formTimeout)
	ticker := time.NewTicker(formEvery)
	defer ticker.Stop()
	nodes := c.Nodes()
	for at := 0; at < len(nodes); {
		n := nodes[at]
		heard := heard(ctx, n)
		if heard >= len(nodes) {
			at++
			continue
		}
		if state := c.Ended(n.Name); state != "" {
			return fmt.Errorf("%s ended while the mesh formed (%s): its log is %s", n.Name, state, c.Log(n.Name))
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("the mesh did not form within %s: %s hears %d of %d nodes; its log is %s",
				formTimeout, n.Name, heard, len(nodes), c.Log(n.Name))
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
	return nil
}

// heard is how many nodes n hears, itself included, by its own coverage.
func heard(ctx context.Context, n Node) int {
	client, err := query.NewClient(n.HTTP, "")
	if err != nil {
		return 0
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	a, err := client.Total(ctx, query.TotalRequest{Metric: "none"})
	if err != nil {
		return 0
	}
	heard := 0
	for _, r := range a.Coverage.Regions {
		heard += r.NodesHeard
	}
	return heard
}
