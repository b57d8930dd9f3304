package client

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"

	"meshd/internal/report"
)

// What is known of a report after a request failed. An error that is none of these: nothing.
var (
	errNot   = errors.New("not counted")         // by this request
	errNever = errors.New("no node counts this") // not counted, and every node would say so
	errChain = errors.New("not the node's session")
)

// maxAnswer is more than a node ever answers.
const maxAnswer = 1 << 20

// answer is what nodes say, of all requests.
type answer struct {
	Session  string `json:"session"`
	Accepted *int   `json:"accepted"`
	Error    string `json:"error"`
	Counted  string `json:"counted"`
	Rejected []struct {
		Index int    `json:"index"`
		Error string `json:"error"`
	} `json:"rejected"`
	RejectedTotal int `json:"rejected_total"`
}

// openSession begins a session with a node.
func (s *sender) openSession(ctx context.Context, url string) (session [16]byte, err error) {
	a, err := s.post(ctx, url+"/v1/client/open", nil)
	if err != nil {
		return session, err
	}
	id, err := hex.DecodeString(a.Session)
	if err != nil || len(id) != len(session) {
		return session, fmt.Errorf("open a session: %q is none", a.Session)
	}
	return [16]byte(id), nil
}

// count sends a batch as the next report of a session. nil: it is on the node's disk.
func (s *sender) count(ctx context.Context, n *home, b *batch) error {
	body, err := report.Append(nil, &report.Report{Session: n.session, Prev: n.last, Seq: n.last + 1, Items: b.items})
	if err != nil {
		return fmt.Errorf("%w: %w", errNever, err)
	}
	return s.countBody(ctx, n.url, b, body)
}

// countBody sends the bytes of a batch, which say of which session and number they are.
func (s *sender) countBody(ctx context.Context, url string, b *batch, body []byte) error {
	age := max(0, s.now().Sub(b.at).Milliseconds())
	a, err := s.post(ctx, url+"/v1/client/count?age_ms="+strconv.FormatInt(age, 10), body)
	if err != nil {
		return err
	}
	if a.Accepted == nil {
		return errors.New("an answer of success that is not a node's")
	}
	if a.RejectedTotal > 0 {
		s.reject(a.RejectedTotal)
		for _, r := range a.Rejected {
			if r.Index >= 0 && r.Index < len(b.items) {
				s.c.failed(fmt.Errorf("client: %s: %s is not counted: %s", url, b.items[r.Index].Series, r.Error))
			}
		}
	}
	return nil
}

// closeSessions lets nodes forget, as far as they can be reached: otherwise they do so in a day.
func (s *sender) closeSessions(ctx context.Context) {
	for _, n := range s.nodes {
		if n.open && n.doubt == nil {
			s.closeSession(ctx, n.url, n.session)
		}
	}
}

// closeSession lets a node forget one. Nothing depends on it.
func (s *sender) closeSession(ctx context.Context, url string, session [16]byte) {
	_, _ = s.post(ctx, url+"/v1/client/close?session="+hex.EncodeToString(session[:]), nil)
}

// post makes a request. Its error is nil for an answer of success only.
func (s *sender) post(ctx context.Context, url string, body []byte) (*answer, error) {
	ctx, cancel := context.WithTimeout(ctx, s.c.cfg.Timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errNever, err)
	}
	req.Header.Set("Content-Type", "application/octet-stream")
	if s.c.cfg.Token != "" {
		req.Header.Set("Authorization", "Bearer "+s.c.cfg.Token)
	}
	res, err := s.c.cfg.HTTP.Do(req)
	if err != nil {
		if op := new(net.OpError); errors.As(err, &op) && op.Op == "dial" {
			return nil, fmt.Errorf("%w: %w", errNot, err) // nothing was ever sent
		}
		return nil, err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		return nil, err
	}
	a := new(answer)
	if len(text) > 0 {
		err = json.Unmarshal(text, a)
	}
	return a, verdict(res.StatusCode, a, err)
}

// verdict says what an answer means. One that is not a node's, such as a proxy's, says nothing.
func verdict(code int, a *answer, unread error) error {
	switch {
	case unread != nil:
		return fmt.Errorf("answer %d: %w", code, unread)
	case code == http.StatusOK, code == http.StatusCreated, code == http.StatusNoContent:
		return nil
	case a.Counted != "no":
		return fmt.Errorf("answer %d: %s", code, a.Error)
	case code == http.StatusConflict:
		return fmt.Errorf("%w: %s", errChain, a.Error)
	case code == http.StatusBadRequest:
		return fmt.Errorf("%w: %s", errNever, a.Error)
	default:
		return fmt.Errorf("%w: answer %d: %s", errNot, code, a.Error)
	}
}
