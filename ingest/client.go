package ingest

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"meshd/crdt"
	"meshd/internal/mutant"
	"meshd/internal/report"
	"meshd/node"
)

// maxReportAge is how old a report may say that it is: longer ago than any window reaches.
const maxReportAge = 30 * 24 * time.Hour

// Clients is the handler of what package client sends, below /v1/client/:
//
//	POST open              begins a session: 201 with {"session"}, 32 hexadecimal digits
//	POST count?age_ms=     one report (internal/report), counted so many milliseconds ago: 200 once it is on disk
//	POST close?session=    forgets a session of which every report is answered: 204
//
// A report counts whole and once however often it comes, see node.Chain. Answers that are errors say in "counted" what is
// known: "no", this request changed nothing, or "unknown". 409 is a report that does not follow what this node has of its
// session: then nobody here can say whether it was counted before.
type Clients struct {
	door  *Door
	meter *meter
	mux   *http.ServeMux
}

// NewClients returns the handler behind d.
func NewClients(d *Door) *Clients {
	c := &Clients{door: d, meter: d.metrics.meter("client"), mux: http.NewServeMux()}
	c.mux.HandleFunc("/v1/client/open", c.answer(c.open))
	c.mux.HandleFunc("/v1/client/count", c.answer(c.count))
	c.mux.HandleFunc("/v1/client/close", c.answer(c.close))
	return c
}

// ServeHTTP implements http.Handler.
func (c *Clients) ServeHTTP(w http.ResponseWriter, r *http.Request) { c.mux.ServeHTTP(w, r) }

type clientOpened struct {
	Session string `json:"session"`
}

// clientCounted names the rejected ones by their places in the report.
type clientCounted struct {
	Accepted      int             `json:"accepted"`
	Duplicates    int             `json:"duplicates"`
	Rejected      []rejectedEvent `json:"rejected"` // the first 100
	RejectedTotal int             `json:"rejected_total"`
}

type clientFailure struct {
	Error   string `json:"error"`
	Counted string `json:"counted"`
}

// answer writes what f returns: an answer with its code, or an error.
func (c *Clients) answer(f func(w http.ResponseWriter, r *http.Request) (int, any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		c.meter.packets.Inc()
		code, body, err := 0, any(nil), error(errNotPost)
		if r.Method == http.MethodPost {
			code, body, err = f(w, r)
		}
		switch {
		case err != nil:
			he := failure(w, c.meter, err)
			writeJSON(w, he.code, clientFailure{he.text, countedBy(err)})
		case body == nil:
			w.WriteHeader(code)
		default:
			writeJSON(w, code, body)
		}
	}
}

// countedBy says what is known of a request that failed.
func countedBy(err error) string {
	for _, e := range []error{node.ErrBusy, node.ErrFull, node.ErrTokens, node.ErrChain} {
		if errors.Is(err, e) {
			return "no"
		}
	}
	if _, ok := errors.AsType[*tooFastError](err); ok {
		return "no"
	}
	if _, ok := errors.AsType[*httpError](err); ok {
		return "no"
	}
	return "unknown" // the node is closing, or nobody waits for its answer any more
}

func (c *Clients) submit(ctx context.Context, b *node.Batch) (node.Result, error) {
	res := c.door.submit.Submit(ctx, b)
	if errors.Is(res.Err, node.ErrChain) {
		return res, &httpError{http.StatusConflict, reasonToken, res.Err.Error()}
	}
	if res.Err != nil {
		c.meter.deferred.Inc()
	}
	return res, res.Err
}

// turnBytes is what opening or closing a session costs its sender: they have no body, but each is a commit, of a block on disk.
const turnBytes = 4 << 10

// turn opens or closes a session, for a sender that keeps to its limit.
func (c *Clients) turn(r *http.Request, chain *node.Chain) error {
	from := addrOfRequest(r.RemoteAddr)
	if err := c.door.sources.check(from, c.door.now()); err != nil {
		return err
	}
	if !mutant.On("sessions turned free of charge") {
		c.door.sources.charge(from, turnBytes, c.door.now())
	}
	_, err := c.submit(r.Context(), &node.Batch{Chain: chain})
	return err
}

func (c *Clients) open(_ http.ResponseWriter, r *http.Request) (int, any, error) {
	chain := &node.Chain{Op: node.ChainOpen}
	rand.Read(chain.ID[:])
	if err := c.turn(r, chain); err != nil {
		return 0, nil, err
	}
	return http.StatusCreated, clientOpened{hex.EncodeToString(chain.ID[:])}, nil
}

func (c *Clients) close(_ http.ResponseWriter, r *http.Request) (int, any, error) {
	chain := &node.Chain{Op: node.ChainClose}
	text := r.URL.Query().Get("session")
	if n, err := hex.Decode(chain.ID[:], []byte(text[:min(len(text), 2*len(chain.ID))])); err != nil || 2*n != len(text) || n != len(chain.ID) {
		return 0, nil, &httpError{http.StatusBadRequest, reasonSyntax, fmt.Sprintf("session=%.40q: want 32 hexadecimal digits", text)}
	}
	if err := c.turn(r, chain); err != nil {
		return 0, nil, err
	}
	return http.StatusNoContent, nil, nil
}

func (c *Clients) count(w http.ResponseWriter, r *http.Request) (int, any, error) {
	age, err := parseAge(r.URL.Query())
	if err != nil {
		return 0, nil, err
	}
	b, err := c.door.readBody(w, r, c.meter)
	if err != nil {
		return 0, nil, err
	}
	defer b.release()
	rep, err := report.Parse(b.bytes)
	if err != nil {
		return 0, nil, &httpError{http.StatusBadRequest, reasonSyntax, err.Error()}
	}
	c.meter.lines.Add(float64(len(rep.Items)))
	batch, from, answer := c.batch(rep, c.door.now().Add(-age).UnixMilli())
	res, err := c.submit(r.Context(), batch)
	if err != nil {
		return 0, nil, err
	}
	c.meter.commits.Inc()
	c.meter.samples.Add(float64(len(batch.Items)))
	c.meter.stored.Add(float64(res.Accepted))
	answer.Accepted, answer.Duplicates = res.Accepted, res.Duplicates
	for _, rej := range res.Rejected {
		answer.reject(c.meter, from[rej.Index], rej.Err)
	}
	return http.StatusOK, answer, nil
}

// batch makes one of the report, with the place in the report of each of its items. What is not counted is in the answer.
func (c *Clients) batch(rep *report.Report, at int64) (b *node.Batch, from []int, answer *clientCounted) {
	b = &node.Batch{Chain: &node.Chain{ID: rep.Session, Prev: rep.Prev, Seq: rep.Seq}}
	answer = &clientCounted{Rejected: []rejectedEvent{}}
	for i, it := range rep.Items {
		s, err := newSeries(it.Series.Name, it.Series.Kind, it.Series.Labels)
		if err != nil {
			answer.reject(c.meter, i, err)
			continue
		}
		if g, ok := it.Inc.X.(*crdt.Gauge); ok { // set when the client says, by this node's clock
			it.Inc.X = &crdt.Gauge{Time: crdt.HLCFrom(at, 0), Value: g.Value, Dated: true}
		}
		b.Items, from = append(b.Items, node.Item{Series: s, Inc: it.Inc, At: at}), append(from, i)
	}
	return b, from, answer
}

func (a *clientCounted) reject(m *meter, index int, err error) {
	a.RejectedTotal++
	m.rejected[reasonOf(err)].Inc()
	if len(a.Rejected) < maxRejections {
		a.Rejected = append(a.Rejected, rejectedEvent{Index: index, Error: err.Error()})
	}
}

// parseAge reads age_ms, by default 0.
func parseAge(q url.Values) (time.Duration, error) {
	text := q.Get("age_ms")
	if text == "" {
		return 0, nil
	}
	ms, err := strconv.ParseUint(text, 10, 63)
	if err != nil {
		return 0, &httpError{http.StatusBadRequest, reasonSyntax, fmt.Sprintf("age_ms=%.32q: want milliseconds", text)}
	}
	return time.Duration(min(ms, uint64(maxReportAge.Milliseconds()))) * time.Millisecond, nil
}
