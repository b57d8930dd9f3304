package query

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"
)

const (
	// stateStep is how long the other end may take for what is written at once, some KiB to some MiB.
	stateStep = 30 * time.Second
	// stateTimeout bounds how long a state is told: so long the disk keeps what was deleted meanwhile.
	stateTimeout = 15 * time.Minute
	// maxRefusalBytes bounds what a client reads of a refusal.
	maxRefusalBytes = 64 << 10
)

// state tells all that the node holds to one caller at a time: each reads the whole disk, at the pace of the line.
func (s *Server) state(w http.ResponseWriter, r *http.Request) {
	select {
	case s.states <- struct{}{}:
		defer func() { <-s.states }()
	default:
		s.refused.WithLabelValues("busy").Inc()
		writeError(w, http.StatusServiceUnavailable, errors.New("the node is telling its state to somebody else: retry later"))
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), stateTimeout)
	defer cancel()
	go func() {
		select {
		case <-s.ended:
			cancel()
		case <-ctx.Done():
		}
	}()
	w.Header().Set("Content-Type", "application/octet-stream")
	if err := s.cfg.State(ctx, &stepped{w: w, conn: http.NewResponseController(w)}); err != nil {
		s.cut.Inc() // it ends without its last part, by which the other end knows
	}
}

// stepped gives the other end time anew with each write.
type stepped struct {
	w    io.Writer
	conn *http.ResponseController
}

func (s *stepped) Write(b []byte) (int, error) {
	if err := s.conn.SetWriteDeadline(time.Now().Add(stateStep)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return 0, err
	}
	return s.w.Write(b)
}

// State asks for all that the node holds, as audit.Tell writes it. The caller closes it.
func (c *Client) State(ctx context.Context) (io.ReadCloser, error) {
	resp, err := c.request(ctx, http.MethodGet, "/v1/state", nil)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode == http.StatusOK {
		return resp.Body, nil
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxRefusalBytes))
	if err != nil {
		return nil, c.explainFailure(ctx, err)
	}
	return nil, refusalOf(resp.StatusCode, body)
}
