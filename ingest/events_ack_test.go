package ingest

import (
	"errors"
	"net/http/httptest"
	"strings"
	"testing"

	"meshd/node"
)

func TestAckByAHub(t *testing.T) {
	for _, tc := range []struct {
		name, query string
		result      error
		waits       int64 // milliseconds
		code        int
		says        string
	}{
		{"none", "", nil, 0, 202, `"accepted":1`},
		{"hub", "?ack=hub", nil, 10_000, 202, `"accepted":1`},
		{"hub within", "?ack=hub&ack_timeout=250ms", nil, 250, 202, `"accepted":1`},
		{"late", "?ack=hub", node.ErrUnconfirmed, 10_000, 504, `"accepted":1`},
		{"late, says so", "?ack=hub", node.ErrUnconfirmed, 10_000, 504, "no hub has confirmed it"},
		{"busy", "?ack=hub", node.ErrBusy, 10_000, 503, "retry"},
		{"another", "?ack=all", nil, -1, 400, "want ack=hub"},
		{"a time alone", "?ack_timeout=1s", nil, -1, 400, "want ack=hub"},
		{"too long", "?ack=hub&ack_timeout=61s", nil, -1, 400, "from 1ms to 1m0s"},
		{"no time", "?ack=hub&ack_timeout=soon", nil, -1, 400, "from 1ms to 1m0s"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			e, n, _ := newTestEvents(t)
			waits := int64(-1)
			n.answer = func(b *node.Batch) node.Result {
				waits = b.AckHub
				if errors.Is(tc.result, node.ErrBusy) {
					return node.Result{Err: tc.result}
				}
				return node.Result{Accepted: len(b.Items), Err: tc.result}
			}
			w := httptest.NewRecorder()
			e.ServeHTTP(w, httptest.NewRequest("POST", "/v1/events"+tc.query, strings.NewReader(`[{"event":"a"}]`)))
			if w.Code != tc.code || !strings.Contains(w.Body.String(), tc.says) {
				t.Errorf("status %d: %s, want %d and %q", w.Code, w.Body, tc.code, tc.says)
			}
			if waits != tc.waits {
				t.Errorf("the batch waits %d ms for a hub, want %d", waits, tc.waits)
			}
		})
	}
}
