package ingest

import (
	"context"
	"net/http"
	"time"

	"meshd/crdt"
	"meshd/node"
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
// Bodies may be compressed (Content-Encoding gzip, zstd or snappy).
//
// The answer is 202 once everything accepted is on disk, also if all events were rejected. 413: beyond 8 MiB or
// 100,000 events. 503 with Retry-After: the node cannot take the request now. 507: its disk is full. In these cases
// nothing counted. With ?ack=hub the answer waits for a hub, see parseAck: 504 says that the events count here and that
// no hub confirmed them in time. If the client goes away before the answer, the events may have counted: tokens make the retry
// harmless.
type Events struct {
	door  *Door
	meter *meter
}

// NewEvents returns the handler behind d.
func NewEvents(d *Door) *Events { return &Events{door: d, meter: d.metrics.meter("events")} }

type eventsAnswer struct {
	Accepted      int             `json:"accepted"`
	Duplicates    int             `json:"duplicates"`
	Rejected      []rejectedEvent `json:"rejected"` // the first 100
	RejectedTotal int             `json:"rejected_total"`
	Error         string          `json:"error,omitempty"` // of ?ack=hub: no hub confirmed in time
}

type rejectedEvent struct {
	Index int    `json:"index"` // of the event, or of the line, in the request, from 0
	Error string `json:"error"`
}

// ServeHTTP implements http.Handler.
func (e *Events) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	e.meter.packets.Inc()
	answer, err := e.serve(w, r)
	switch {
	case err == nil && answer.Error == "":
		writeJSON(w, http.StatusAccepted, answer)
		return
	case err == nil:
		writeJSON(w, http.StatusGatewayTimeout, answer)
		return
	}
	he := failure(w, e.meter, err)
	writeJSON(w, he.code, map[string]string{"error": he.text})
}

func (e *Events) serve(w http.ResponseWriter, r *http.Request) (*eventsAnswer, error) {
	switch {
	case r.Method != http.MethodPost:
		return nil, errNotPost
	}
	ackHub, err := parseAck(r.URL.Query())
	if err != nil {
		return nil, err
	}
	b, err := e.door.readBody(w, r, e.meter)
	if err != nil {
		return nil, err
	}
	defer b.release()
	q := request{now: e.door.now(), series: make(map[string]*crdt.Series), listing: maxRejections}
	defer func() { e.meter.lines.Add(float64(q.seen)) }()
	if err := q.read(b.bytes, r.Header.Get("Content-Type")); err != nil {
		return nil, err
	}
	return e.commit(r.Context(), &q, ackHub)
}

// commit hands the request's items to the node and translates what became of them.
func (e *Events) commit(ctx context.Context, q *request, ackHub time.Duration) (*eventsAnswer, error) {
	res, err := e.door.sendBatch(ctx, e.meter, &node.Batch{Items: q.items, AckHub: ackHub.Milliseconds()})
	if err != nil {
		return nil, err
	}
	q.listing = len(q.rejections) + maxRejections // the node's first ones may come before those of the body
	for _, r := range res.Rejected {
		q.reject(q.index[r.Index], r.Err)
	}
	e.meter.clamped.Add(float64(q.clamped))
	for r, n := range q.rejected {
		if n > 0 {
			e.meter.rejected[r].Add(float64(n))
		}
	}
	answer := &eventsAnswer{
		Accepted: res.Accepted, Duplicates: res.Duplicates, Rejected: q.listed(), RejectedTotal: q.rejectedTotal,
	}
	if res.Err != nil {
		answer.Error = res.Err.Error()
	}
	return answer, nil
}
