package bench

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"meshd/cmd/meshd/internal/cluster"
)

// TestSenderKnowsWhatItKnows answers requests in every way a node can, and a dead one.
func TestSenderKnowsWhatItKnows(t *testing.T) {
	for _, tc := range []struct {
		name   string
		answer http.HandlerFunc // nil: nobody listens
		want   outcome
		tally  tally
	}{
		{"acknowledged", func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusAccepted)
			fmt.Fprint(w, `{"accepted":2,"duplicates":1,"rejected":[],"rejected_total":0}`)
		}, acked, tally{Sends: 1, Acked: 1, Accepted: 2, Duplicates: 1}},
		{"busy", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) }, refused, tally{Sends: 1, Refused: 1}},
		{"died before it answered", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, unknown, tally{Sends: 1, Unknown: 1}},
		{"died while it answered", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			w.WriteHeader(http.StatusAccepted)
			fmt.Fprint(w, `{"acc`)
			panic(http.ErrAbortHandler)
		}, unknown, tally{Sends: 1, Unknown: 1}},
		{"dead", nil, refused, tally{Sends: 1, Refused: 1}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			server := httptest.NewServer(tc.answer)
			defer server.Close()
			if tc.answer == nil {
				server.Close()
			}
			s := newSender(1)
			defer s.close()
			b := &batch{node: cluster.Node{HTTP: strings.TrimPrefix(server.URL, "http://")}, events: 3, sum: 7, body: []byte("{}")}
			if got := s.send(t.Context(), b); got != tc.want {
				t.Errorf("outcome %d, want %d", got, tc.want)
			}
			if got := s.counts(); got != tc.tally {
				t.Errorf("tally %+v, want %+v", got, tc.tally)
			}
			sure, maybe := s.sums()
			if wantSure, wantMaybe := 7*tc.tally.Acked, 7*tc.tally.Unknown; sure != wantSure || maybe != wantMaybe {
				t.Errorf("%d certain and %d perhaps, want %d and %d", sure, maybe, wantSure, wantMaybe)
			}
		})
	}
}

// TestBegunIsWhatMayCount sends batches twice: with tokens the second time changes nothing.
func TestBegunIsWhatMayCount(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) }))
	defer server.Close()
	s := newSender(1)
	defer s.close()
	at := cluster.Node{HTTP: strings.TrimPrefix(server.URL, "http://")}
	for _, b := range []*batch{{node: at, sum: 1, tokens: true}, {node: at, sum: 10}} {
		s.send(t.Context(), b)
		s.send(t.Context(), b)
	}
	if got := s.begun.Load(); got != 21 {
		t.Errorf("%d may count, want 1 once and 10 twice", got)
	}
}
