package query

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"meshd/crdt"
	"meshd/node"
)

// Operator takes the orders of operators. *node.Node does.
type Operator interface {
	// RemoveNode stops expecting a node: see node.RemoveNode. Refusals wrap node.ErrRemove.
	RemoveNode(ctx context.Context, region, name string) error
	// DropSeries drops what was counted until now: see node.DropSeries. Refusals wrap node.ErrDrop.
	DropSeries(ctx context.Context, metric string, labels []crdt.Label) error
}

// RemoveAnswer answers POST /v1/remove.
type RemoveAnswer struct {
	Removed RemovedNode `json:"removed"`
}

// RemovedNode is a node that is not expected any more.
type RemovedNode struct {
	Region string `json:"region"`
	Node   string `json:"node"`
}

func (s *Server) remove(w http.ResponseWriter, r *http.Request) error {
	p := parseParams(r.URL.RawQuery, "region", "node")
	out := RemovedNode{Region: p.text("region"), Node: p.text("node")}
	if p.err != nil {
		return badRequest{p.err}
	}
	if out.Region == "" || out.Node == "" {
		return badRequest{errors.New("region and node are needed: which node is not expected any more?")}
	}
	switch err := s.cfg.Operator.RemoveNode(r.Context(), out.Region, out.Node); {
	case errors.Is(err, node.ErrRemove):
		return badRequest{err}
	case err != nil:
		return err
	}
	writeJSON(w, http.StatusOK, &RemoveAnswer{out})
	return nil
}

// Remove makes the mesh stop expecting a node, by way of the hub that is asked.
func (c *Client) Remove(ctx context.Context, region, name string) (*RemoveAnswer, error) {
	var a RemoveAnswer
	v := url.Values{"region": {region}, "node": {name}}
	if err := c.send(ctx, http.MethodPost, "/v1/remove?"+v.Encode(), nil, &a); err != nil {
		return nil, err
	}
	return &a, nil
}

// DropAnswer answers POST /v1/drop.
type DropAnswer struct {
	Dropped DroppedSeries `json:"dropped"`
}

// DroppedSeries says which series begin at zero again.
type DroppedSeries struct {
	Metric string            `json:"metric"`
	Match  map[string]string `json:"match"`
}

func (s *Server) drop(w http.ResponseWriter, r *http.Request) error {
	p := parseParams(r.URL.RawQuery, "metric", "match")
	out := DroppedSeries{Metric: p.text("metric"), Match: map[string]string{}}
	var labels []crdt.Label
	for _, m := range p.list("match", crdt.MaxLabels) {
		name, value, ok := strings.Cut(m, "=")
		if !ok || name == "" {
			return badRequest{fmt.Errorf("%q is not a condition of a drop: write label=value, in which * is any run of characters and ? is one", m)}
		}
		labels = append(labels, crdt.Label{Name: name, Value: value})
		out.Match[name] = value
	}
	if p.err != nil {
		return badRequest{p.err}
	}
	if out.Metric == "" {
		return badRequest{errors.New("metric is needed: which series are dropped?")}
	}
	switch err := s.cfg.Operator.DropSeries(r.Context(), out.Metric, crdt.SortLabels(labels)); {
	case errors.Is(err, node.ErrDrop):
		return badRequest{err}
	case err != nil:
		return err
	}
	writeJSON(w, http.StatusOK, &DropAnswer{out})
	return nil
}

// Drop drops what was counted until now on the series that match, by way of the hub that is asked.
func (c *Client) Drop(ctx context.Context, metric string, match []string) (*DropAnswer, error) {
	var a DropAnswer
	v := url.Values{"metric": {metric}, "match": match}
	if err := c.send(ctx, http.MethodPost, "/v1/drop?"+v.Encode(), nil, &a); err != nil {
		return nil, err
	}
	return &a, nil
}
