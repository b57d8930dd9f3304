package ingest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"meshd/crdt"
	"meshd/node"
)

// Limits of one request and of all together.
const (
	maxBodyBytes   = 8 << 20
	maxItems       = 100_000         // 10 to 40 MB, by their kinds
	maxRejections  = 100             // listed in an answer
	maxBodiesBytes = 64 << 20        // 8 full bodies: with their items less than 400 MB
	retryAfter     = 1 * time.Second // a group of writes is on disk well within
)

// Events is the handler of POST /v1/events: a JSON array of events, or a stream of them.
//
// An event is {"event", "value", "ts", "type", "labels", "source", "seq", "idempotency_key"}. type is count (the
// default), updown, gauge, length (a distribution) or unique. value is a number or a decimal in a string, by default
// 1; numbers are read as they are written, without a detour through floating point. A unique's value is any string;
// a number counts as its characters. ts is in milliseconds; gauges are stamped with it, by default with the time of
// arrival, which also replaces a ts more than 10 minutes ahead; what the other types count goes into lifetime totals,
// whatever its ts. Labels named node and region become exported_node
// and exported_region. Keys that are not listed here are refused.
//
// A body that begins with '[' is an array, one of type application/json a sequence of objects; if any of it is not
// JSON the request is refused (400) and nothing counts, since a body cut short must not count in part. All other
// bodies are NDJSON: a bad line is rejected, the others count. An event that is well-formed JSON but not a valid event
// is rejected by itself, never the request.
//
// The answer is 202 once everything accepted is on disk, also if all events were rejected. 413: beyond 8 MiB or
// 100,000 events. 503 with Retry-After: the node cannot take the request now. 507: its disk is full. In these cases
// nothing counted. If the client goes away before the answer, the events may have counted: tokens make the retry
// harmless.
type Events struct {
	submit Submitter
	meter  *meter
	now    func() time.Time

	bodies atomic.Int64 // bytes of bodies being read or waiting for the node, at most maxBodiesBytes
}

// NewEvents returns a handler that submits to s.
func NewEvents(s Submitter, m *Metrics) *Events {
	return &Events{submit: s, meter: m.meter("events"), now: time.Now}
}

type eventsAnswer struct {
	Accepted      int             `json:"accepted"`
	Duplicates    int             `json:"duplicates"`
	Rejected      []rejectedEvent `json:"rejected"` // the first 100
	RejectedTotal int             `json:"rejected_total"`
}

type rejectedEvent struct {
	Index int    `json:"index"` // of the event, or of the line, in the request, from 0
	Error string `json:"error"`
}

// httpError is the answer to a request of which nothing counted.
type httpError struct {
	code   int
	reason reason
	text   string
}

func (e *httpError) Error() string { return e.text }

// ServeHTTP implements http.Handler.
func (e *Events) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	e.meter.packets.Inc()
	answer, err := e.serve(w, r)
	if err == nil {
		writeJSON(w, http.StatusAccepted, answer)
		return
	}
	var he *httpError
	if !errors.As(err, &he) {
		he = submitError(err)
	}
	e.meter.rejected[he.reason].Inc()
	switch he.code {
	case http.StatusServiceUnavailable:
		w.Header().Set("Retry-After", strconv.Itoa(int(retryAfter/time.Second)))
	case http.StatusMethodNotAllowed:
		w.Header().Set("Allow", http.MethodPost)
	}
	writeJSON(w, he.code, map[string]string{"error": he.text})
}

func (e *Events) serve(w http.ResponseWriter, r *http.Request) (*eventsAnswer, error) {
	switch {
	case r.Method != http.MethodPost:
		return nil, &httpError{http.StatusMethodNotAllowed, reasonSyntax, "want POST"}
	case r.URL.Query().Has("ack"):
		return nil, &httpError{http.StatusBadRequest, reasonOther, fmt.Sprintf(
			"ack=%.32s is not supported by this version: an answer without it means that this node has the events on disk",
			r.URL.Query().Get("ack"))}
	case r.Header.Get("Content-Encoding") != "" && r.Header.Get("Content-Encoding") != "identity":
		return nil, &httpError{http.StatusUnsupportedMediaType, reasonSyntax, "compressed bodies are not supported: send it plain"}
	case r.ContentLength > maxBodyBytes:
		return nil, errBodyTooLong()
	}
	size := r.ContentLength
	if size < 0 {
		size = maxBodyBytes
	}
	defer e.bodies.Add(-size)
	if e.bodies.Add(size) > maxBodiesBytes {
		return nil, node.ErrBusy
	}
	q := request{now: e.now(), meter: e.meter, series: make(map[string]*crdt.Series), listing: maxRejections}
	defer func() { e.meter.lines.Add(float64(q.seen)) }()
	if err := q.read(http.MaxBytesReader(w, r.Body, maxBodyBytes), r.Header.Get("Content-Type")); err != nil {
		return nil, err
	}
	return e.commit(r.Context(), &q)
}

// commit hands the request's items to the node and translates what became of them.
func (e *Events) commit(ctx context.Context, q *request) (*eventsAnswer, error) {
	var res node.Result
	if len(q.items) > 0 {
		res = e.submit.Submit(ctx, &node.Batch{Items: q.items})
	}
	if res.Err != nil {
		e.meter.deferred.Inc()
		return nil, res.Err
	}
	q.listing = len(q.rejections) + maxRejections // the node's first ones may come before those of the body
	for _, r := range res.Rejected {
		q.reject(q.index[r.Index], r.Err)
	}
	e.meter.commits.Inc()
	e.meter.samples.Add(float64(len(q.items)))
	e.meter.stored.Add(float64(res.Accepted))
	e.meter.clamped.Add(float64(q.clamped))
	for r, n := range q.rejected {
		if n > 0 {
			e.meter.rejected[r].Add(float64(n))
		}
	}
	return &eventsAnswer{
		Accepted: res.Accepted, Duplicates: res.Duplicates, Rejected: q.listed(), RejectedTotal: q.rejectedTotal,
	}, nil
}

// submitError returns the answer for an error of Submit.
func submitError(err error) *httpError {
	code := http.StatusServiceUnavailable
	if errors.Is(err, node.ErrFull) {
		code = http.StatusInsufficientStorage
	}
	return &httpError{code, reasonOf(err), err.Error()}
}

func errBodyTooLong() error {
	return &httpError{
		http.StatusRequestEntityTooLarge, reasonTooLong,
		fmt.Sprintf("the body is longer than %d bytes (8 MiB): send fewer events a request", maxBodyBytes),
	}
}

func writeJSON(w http.ResponseWriter, code int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	// The client may be gone: it learns of the outcome by its retry, and nobody else needs to.
	_ = json.NewEncoder(w).Encode(v)
}
