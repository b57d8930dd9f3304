package query

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"meshd/crdt"
	"meshd/history"
	"meshd/internal/wire"
	"meshd/node"
)

const (
	// differencesBytes is from where on a client sends what it has: as much as a node commits at once.
	differencesBytes = 256 << 10
	// maxDifferencesBody bounds the body of a request: that, and the largest frame behind it.
	maxDifferencesBody = differencesBytes + wire.MaxFrameBytes + 16
	// maxCorrectionBody bounds a record: a thousand names of nodes, and as many regions.
	maxCorrectionBody = 1 << 20
	// second is the width that windows of differences are said to have: the least that nodes keep. They count by where it begins.
	second = 1000
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
	ds, err := parseDifferences(body, r.PathValue("id"))
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

// differencesOrigin stands for whoever differences come from: the node that takes them writes them as its own.
var differencesOrigin = crdt.Origin{Class: crdt.ClassNode, Region: "r", Node: "n"}

// appendDifferences appends differences of a correction as a frame of windows, behind its length.
func appendDifferences(dst []byte, id string, ds []node.Difference) ([]byte, error) {
	f := wire.Frame{Origin: differencesOrigin, Stream: crdt.StreamWindow, To: 1, Head: 1}
	refs := map[string]uint32{}
	var key []byte
	for i := range ds {
		d := &ds[i]
		s := d.Series.Beside(crdt.Side{ID: id, Minus: d.Minus, Node: d.Node})
		key = s.AppendKey(key[:0])
		ref, ok := refs[string(key)]
		if !ok {
			ref = uint32(len(f.Defs))
			refs[string(key)] = ref
			f.Defs = append(f.Defs, wire.Def{Ref: ref, Seq: 1, Series: *s})
		}
		f.Cells = append(f.Cells, wire.Cell{Ref: ref, Seq: 1, Window: crdt.WindowAt(d.Start, second), Value: d.Value})
	}
	raw, err := wire.AppendFrame(nil, &f)
	if err != nil {
		return dst, err
	}
	return append(binary.AppendUvarint(dst, uint64(len(raw))), raw...), nil
}

// parseDifferences reads the body of a request.
func parseDifferences(b []byte, id string) (ds []node.Difference, err error) {
	for len(b) > 0 {
		n, k := binary.Uvarint(b)
		if k <= 0 || n > uint64(len(b)-k) {
			return nil, errors.New("differences are cut short: the body is frames of windows, each behind its length")
		}
		f, err := wire.ParseFrame(b[k : k+int(n)])
		if err != nil {
			return nil, err
		}
		b = b[k+int(n):]
		defs := map[uint32]*node.Difference{}
		for i := range f.Defs {
			base, side, ok := f.Defs[i].Series.Side()
			if !ok || side.ID != id {
				return nil, fmt.Errorf("%s is no difference of correction %s", &f.Defs[i].Series, id)
			}
			defs[f.Defs[i].Ref] = &node.Difference{Node: side.Node, Minus: side.Minus, Series: base}
		}
		for i := range f.Cells {
			c := &f.Cells[i]
			d := defs[c.Ref]
			if d == nil || c.Window == (crdt.Window{}) || c.Value.Kind != d.Series.Kind {
				return nil, errors.New("a difference of no series, no window, or another kind")
			}
			one := *d
			one.Start, one.Value = c.Window.Start, c.Value
			ds = append(ds, one)
		}
	}
	return ds, nil
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
	for len(ds) > 0 {
		n, size := 0, 0
		for ; n < len(ds) && size < differencesBytes; n++ {
			size += 64
			if x := ds[n].Value.X; x != nil {
				size += x.Size()
			}
		}
		body, err := appendDifferences(nil, id, ds[:n])
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
