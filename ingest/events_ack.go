package ingest

import (
	"fmt"
	"net/http"
	"net/url"
	"time"
)

// How long a request waits for the word of a hub: an acknowledgement takes a round trip and a write, so what is not back
// in ten seconds waits for a line to be mended. The longest stays below the time the server gives an answer.
const (
	ackWait    = 10 * time.Second
	ackWaitMax = 60 * time.Second
)

// parseAck reads ?ack=hub and ?ack_timeout=DURATION. It returns 0 for a request that only wants this node's disk.
func parseAck(q url.Values) (time.Duration, error) {
	if !q.Has("ack") && !q.Has("ack_timeout") {
		return 0, nil
	}
	if ack := q.Get("ack"); ack != "hub" {
		return 0, &httpError{http.StatusBadRequest, reasonOther, fmt.Sprintf(
			"ack=%.32s: want ack=hub, or none: then an answer means that this node has the events on disk", ack)}
	}
	if !q.Has("ack_timeout") {
		return ackWait, nil
	}
	d, err := time.ParseDuration(q.Get("ack_timeout"))
	if err != nil || d < time.Millisecond || d > ackWaitMax {
		return 0, &httpError{http.StatusBadRequest, reasonOther, fmt.Sprintf(
			"ack_timeout=%.32s: want a time from 1ms to %s", q.Get("ack_timeout"), ackWaitMax)}
	}
	return d, nil
}
