package query

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"

	"meshd/node"
)

// maxConfigBody bounds a document that is sent to be the mesh's configuration: what the mesh takes, and room for an error
// that says so.
const maxConfigBody = 128 << 10

// Settings is the mesh's configuration as a node has it; *node.Node implements it.
type Settings interface {
	// Config returns the configuration that is on disk here.
	Config(ctx context.Context) (node.ConfigRecord, error)
	// SetConfig replaces it, with ifVersion only if that is its version. Refusals wrap node.ErrConfig.
	SetConfig(ctx context.Context, doc []byte, ifVersion *uint64) (node.ConfigRecord, error)
}

var _ Settings = (*node.Node)(nil)

// ConfigAnswer is the body of GET and PUT /v1/config.
type ConfigAnswer struct {
	Version uint64          `json:"version"` // 0: the mesh was never configured
	Author  string          `json:"author"`  // region/node
	Made    Time            `json:"made"`
	Config  json.RawMessage `json:"config"`
}

// settings answers with the mesh's configuration, and replaces it by the body of a PUT.
func (s *Server) settings(w http.ResponseWriter, r *http.Request) error {
	p := parseParams(r.URL.RawQuery, "if_version")
	var rec node.ConfigRecord
	var err error
	if r.Method == http.MethodPut {
		var want *uint64
		if text := p.text("if_version"); text != "" {
			v, err := strconv.ParseUint(text, 10, 64)
			if err != nil {
				p.fail("if_version=%s: want the version that GET /v1/config shows", clip(text))
			}
			want = &v
		}
		var doc []byte
		if doc, err = io.ReadAll(http.MaxBytesReader(w, r.Body, maxConfigBody)); err != nil {
			p.fail("the configuration cannot be read: %w", err)
		}
		if p.err == nil && !json.Valid(doc) {
			p.fail("the configuration is not JSON")
		}
		if p.err != nil {
			return badRequest{p.err}
		}
		rec, err = s.cfg.Settings.SetConfig(r.Context(), doc, want)
	} else {
		if p.err != nil {
			return badRequest{p.err}
		}
		rec, err = s.cfg.Settings.Config(r.Context())
	}
	switch {
	case errors.Is(err, node.ErrConfig):
		return badRequest{err}
	case err != nil:
		return err
	}
	writeJSON(w, http.StatusOK, &ConfigAnswer{Version: rec.Version, Author: rec.Author, Made: Time{rec.Made}, Config: rec.Doc})
	return nil
}

// Config asks for the mesh's configuration as the node has it.
func (c *Client) Config(ctx context.Context) (*ConfigAnswer, error) {
	return answer[ConfigAnswer](ctx, c, "/v1/config", nil)
}

// SetConfig makes a JSON document the mesh's configuration; ifVersion nil: whatever it was.
func (c *Client) SetConfig(ctx context.Context, doc []byte, ifVersion *uint64) (*ConfigAnswer, error) {
	path := "/v1/config"
	if ifVersion != nil {
		path += fmt.Sprintf("?if_version=%d", *ifVersion)
	}
	a := new(ConfigAnswer)
	if err := c.send(ctx, http.MethodPut, path, doc, a); err != nil {
		return nil, err
	}
	return a, nil
}
