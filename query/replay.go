package query

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"

	"meshd/internal/mutant"
	"meshd/node"
)

const (
	// replayBodyBytes is from where on a client sends what it has: as much as a node commits at once.
	replayBodyBytes = 1 << 20
	// maxReplayBody bounds the body of a request: that, and the largest message behind it.
	maxReplayBody = replayBodyBytes + 9<<20
)

// Replayer joins what an archive holds. *node.Node does.
type Replayer interface {
	// Replay returns when the messages are on disk: see node.Replay. What cannot be joined here wraps node.ErrReplay.
	Replay(ctx context.Context, msgs []node.Decoded) node.Result
}

// ReplayAnswer answers POST /v1/replay. Its body is messages as hubs send them to each other, each behind its length (uvarint).
type ReplayAnswer struct {
	Frames int `json:"frames"` // joined, and on disk
	Ahead  int `json:"ahead"`  // of them beyond a gap: something of them may be left out until what is before them comes
}

// replay joins one part of a log. One request at a time does: the next one is told to come again, so that what waits for the disk is one
// part, however many send and whether or not they wait for the answer.
func (s *Server) replay(w http.ResponseWriter, r *http.Request) error {
	select {
	case s.replays <- struct{}{}:
		defer func() { <-s.replays }()
	default:
		if !mutant.On("replays side by side") {
			return fmt.Errorf("%w: another part of a log is being joined", node.ErrBusy)
		}
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxReplayBody))
	if err != nil {
		return badRequest{fmt.Errorf("the part of a log cannot be read: %w", err)}
	}
	msgs, err := parseReplay(body)
	if err != nil {
		return badRequest{err}
	}
	res := s.cfg.Replayer.Replay(context.WithoutCancel(r.Context()), msgs) // it goes on whoever waits
	if res.Err != nil {
		return res.Err
	}
	writeJSON(w, http.StatusOK, &ReplayAnswer{Frames: res.Accepted, Ahead: res.Ahead})
	return nil
}

// parseReplay reads the body of a request.
func parseReplay(b []byte) (msgs []node.Decoded, err error) {
	for len(b) > 0 {
		n, k := binary.Uvarint(b)
		if k <= 0 || n > uint64(len(b)-k) {
			return nil, errors.New("message is cut short: the body is messages, each behind its length")
		}
		d, err := node.Decode(b[k : k+int(n)])
		if err != nil {
			return nil, fmt.Errorf("message %d: %w", len(msgs), err)
		}
		msgs, b = append(msgs, d), b[k+int(n):]
	}
	return msgs, nil
}

// Replay gives messages of an archive to the hub and returns when all of them are on its disk. The error wraps node.ErrBusy if the hub
// has enough to do and the call is to be made again; part of the messages may be joined then, which does not matter.
func (c *Client) Replay(ctx context.Context, msgs []node.Decoded) (sum node.Result) {
	var body, raw []byte
	send := func() error {
		var a ReplayAnswer
		err := c.send(ctx, http.MethodPost, "/v1/replay", body, &a)
		sum.Accepted, sum.Ahead, body = sum.Accepted+a.Frames, sum.Ahead+a.Ahead, body[:0]
		var status *StatusError
		if errors.As(err, &status) && status.Code == http.StatusServiceUnavailable {
			err = fmt.Errorf("%w: %w", node.ErrBusy, err)
		}
		return err
	}
	for i := range msgs {
		if raw, sum.Err = msgs[i].Append(raw[:0]); sum.Err != nil {
			return sum
		}
		body = append(binary.AppendUvarint(body, uint64(len(raw))), raw...)
		if len(body) >= replayBodyBytes {
			if sum.Err = send(); sum.Err != nil {
				return sum
			}
		}
	}
	if len(body) > 0 {
		sum.Err = send()
	}
	return sum
}
