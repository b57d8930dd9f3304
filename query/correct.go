package query

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"meshd/history"
	"meshd/node"
)

const (
	// differencesBytes is from where on a client sends what it has: as much as a node commits at once.
	differencesBytes = 256 << 10
	// maxDifferencesBody bounds the body of a request: that, and the largest difference behind it.
	maxDifferencesBody = 5 << 20
	// maxCorrectionBody bounds a record: a thousand names of nodes, and as many regions.
	maxCorrectionBody = 1 << 20
	// settleEvery is how often a client asks whether differences are where they belong.
	settleEvery = 300 * time.Millisecond
)

// Corrector corrects what was counted. *node.Node does.
type Corrector interface {
	// Corrections returns all that are known.
	Corrections(ctx context.Context) (node.CorrectionList, error)
	// WriteDifferences returns when they are on disk: see node.WriteDifferences. Refusals wrap node.ErrCorrection.
	WriteDifferences(ctx context.Context, id string, ds []node.Difference) error
	// SettleDifferences tells where they are, once they are where they belong: see node.SettleDifferences.
	SettleDifferences(ctx context.Context, id string) (r node.CorrectedRegion, settled bool, err error)
	// MakeCorrection lets them count: see node.MakeCorrection. Refusals wrap node.ErrCorrection.
	MakeCorrection(ctx context.Context, r node.Correction) error
}

// CorrectionsAnswer answers GET /v1/corrections.
type CorrectionsAnswer struct {
	Region      string            `json:"region"` // of the node that is asked
	Node        string            `json:"node"`
	Role        string            `json:"role"`
	WindowMs    int64             `json:"window_ms"` // width of its finest windows; 0: it keeps none
	Corrections []node.Correction `json:"corrections"`
}

// SettleAnswer answers POST /v1/corrections/{id}/settle.
type SettleAnswer struct {
	Settled   bool                 `json:"settled"`
	Uncovered int                  `json:"uncovered"` // windows in which less is here than is taken off: their writers have not told them yet
	Region    node.CorrectedRegion `json:"region"`
}

func (s *Server) corrections(w http.ResponseWriter, r *http.Request) error {
	l, err := s.cfg.Corrector.Corrections(r.Context())
	if err != nil {
		return err
	}
	st, err := s.cfg.Source.Status(r.Context())
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, &CorrectionsAnswer{st.Region, st.Node, st.Role, l.WindowMs, append([]node.Correction{}, l.All...)})
	return nil
}

func (s *Server) writeDifferences(w http.ResponseWriter, r *http.Request) error {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxDifferencesBody))
	if err != nil {
		return badRequest{fmt.Errorf("the differences cannot be read: %w", err)}
	}
	ds, err := node.ParseDifferences(body, r.PathValue("id"))
	if err != nil {
		return badRequest{err}
	}
	if err := s.cfg.Corrector.WriteDifferences(context.WithoutCancel(r.Context()), r.PathValue("id"), ds); err != nil {
		return refusedCorrection(err)
	}
	writeJSON(w, http.StatusOK, struct{}{})
	return nil
}

func refusedCorrection(err error) error {
	if errors.Is(err, node.ErrCorrection) {
		return badRequest{err}
	}
	return err
}

func (s *Server) settleDifferences(w http.ResponseWriter, r *http.Request) error {
	p := parseParams(r.URL.RawQuery, "from", "to")
	from, err := strconv.ParseInt(p.text("from"), 10, 64)
	to, e := strconv.ParseInt(p.text("to"), 10, 64)
	if err := errors.Join(p.err, err, e); err != nil {
		return badRequest{fmt.Errorf("from and to are needed, in milliseconds: %w", err)}
	}
	var a SettleAnswer
	if a.Region, a.Settled, err = s.cfg.Corrector.SettleDifferences(r.Context(), r.PathValue("id")); err != nil {
		return refusedCorrection(err)
	}
	if a.Settled && s.cfg.History != nil {
		ctx, cancel := context.WithTimeout(r.Context(), s.cfg.Timeout)
		defer cancel()
		if a.Uncovered, err = history.Uncovered(ctx, s.cfg.History, r.PathValue("id"), from, to); err != nil {
			return err
		}
		a.Settled = a.Uncovered == 0
	}
	writeJSON(w, http.StatusOK, &a)
	return nil
}

func (s *Server) makeCorrection(w http.ResponseWriter, r *http.Request) error {
	var c node.Correction
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxCorrectionBody))
	if err == nil {
		err = json.Unmarshal(body, &c)
	}
	if err != nil {
		return badRequest{fmt.Errorf("the record of a correction cannot be read: %w", err)}
	}
	c.ID = r.PathValue("id")
	if err := s.cfg.Corrector.MakeCorrection(r.Context(), c); err != nil {
		return refusedCorrection(err)
	}
	writeJSON(w, http.StatusOK, struct{}{})
	return nil
}

// Corrections asks which corrections there are.
func (c *Client) Corrections(ctx context.Context) (*CorrectionsAnswer, error) {
	var a CorrectionsAnswer
	if err := c.send(ctx, http.MethodGet, "/v1/corrections", nil, &a); err != nil {
		return nil, err
	}
	return &a, nil
}

// WriteDifferences gives a hub differences of a correction in its region and returns when they are on its disk. After an error nobody knows
// how many are: the next try takes another id.
func (c *Client) WriteDifferences(ctx context.Context, id string, ds []node.Difference) error {
	var key []byte
	for len(ds) > 0 {
		n, size := 0, 0
		for ; n < len(ds) && size < differencesBytes; n++ {
			key = ds[n].Series.AppendKey(key[:0])
			size += 64 + len(key)
			if x := ds[n].Value.X; x != nil {
				size += x.Size()
			}
		}
		body, err := node.AppendDifferences(id, ds[:n])
		if err != nil {
			return fmt.Errorf("query: %w", err)
		}
		var none struct{}
		if err := c.send(ctx, http.MethodPost, "/v1/corrections/"+url.PathEscape(id)+"/differences", body, &none); err != nil {
			return err
		}
		ds = ds[n:]
	}
	return nil
}

// SettleDifferences waits until the differences of a correction, of events in [from, to) ms, are where they belong in the hub's region, and so is what
// they correct, and returns where that is. Waiting is called now and then with what is lacking.
func (c *Client) SettleDifferences(ctx context.Context, id string, from, to int64, waiting func(SettleAnswer)) (node.CorrectedRegion, error) {
	for {
		var a SettleAnswer
		v := url.Values{"from": {strconv.FormatInt(from, 10)}, "to": {strconv.FormatInt(to, 10)}}
		if err := c.send(ctx, http.MethodPost, "/v1/corrections/"+url.PathEscape(id)+"/settle?"+v.Encode(), nil, &a); err != nil {
			return a.Region, err
		}
		if a.Settled {
			return a.Region, nil
		}
		waiting(a)
		select {
		case <-ctx.Done():
			return a.Region, ctx.Err()
		case <-time.After(settleEvery):
		}
	}
}

// MakeCorrection lets a correction count, by way of the hub that is asked.
func (c *Client) MakeCorrection(ctx context.Context, r node.Correction) error {
	doc, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("query: %w", err)
	}
	var none struct{}
	return c.send(ctx, http.MethodPut, "/v1/corrections/"+url.PathEscape(r.ID), doc, &none)
}
