package query

import (
	"context"
	"errors"
	"net/http"
	"net/url"

	"meshd/node"
)

// Operator takes the orders of operators. *node.Node does.
type Operator interface {
	// RemoveNode stops expecting a node: see node.RemoveNode. Refusals wrap node.ErrRemove.
	RemoveNode(ctx context.Context, region, name string) error
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
