package main

import (
	"context"
	"fmt"

	"meshd/crdt"
	"meshd/node"
	"meshd/query"
)

// running is a hub that runs, behind its HTTP API.
type running struct{ *query.Client }

// openRunning asks a hub who it is, and of which mesh.
func openRunning(ctx context.Context, at, token string) (into *replayInto, mesh string, err error) {
	client, err := query.NewClient(at, token)
	if err != nil {
		return nil, "", usagef("replay: --to: %w", err)
	}
	st, err := client.Status(ctx)
	if err != nil {
		return nil, "", err
	}
	if st.Role != string(node.RoleHub) {
		return nil, "", usagef("replay: --to %s is the edge %s: its hubs hold what it counted, name one of them", at, st.Node)
	}
	hub := running{client}
	return &replayInto{Target: hub, totals: hub.totals, close: func() error { return nil }, running: true}, st.Mesh, nil
}

// Settle implements archive.Target. What a part of a log brought is on the disk of the hub when it answers, and a hub that runs sums up
// windows by itself, after a crash, too.
func (running) Settle(context.Context) error { return nil }

// totals returns what is told of metrics.
func (r running) totals(ctx context.Context) (map[metricIn]metricSum, error) {
	a, err := r.Total(ctx, query.TotalRequest{Metric: "*", By: []string{"region"}})
	if err != nil {
		return nil, fmt.Errorf("totals of the hub: %w", err)
	}
	out := map[metricIn]metricSum{}
	for i := range a.Results {
		res := &a.Results[i]
		up, down := res.ValueExact, ""
		if res.UpDown != nil {
			up, down = res.AddedExact, res.RemovedExact
		}
		k := metricIn{res.Metric, res.Labels["region"]}
		s := out[k]
		s.amount, _ = s.amount.Add(fixedOf(up)) // what does not fit is shown too small, and only here
		s.down, _ = s.down.Add(fixedOf(down))
		out[k] = s
	}
	return out, nil
}

// fixedOf reads an exact amount; kinds that have none are told as 0, as of a hub that is stopped.
func fixedOf(s string) crdt.Fixed {
	v, _ := crdt.ParseFixed(s)
	return v
}
