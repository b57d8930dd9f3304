package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	postTimeout = 10 * time.Second       // then the outcome is unknown
	retryEvery  = 100 * time.Millisecond // to a node that is down or takes nothing now
)

// outcome is what a client knows after sending a batch once.
type outcome int

const (
	acked   outcome = iota // told that it is counted
	refused                // told that it is not, or never connected
	unknown                // the connection ended without an answer: counted or not
)

// tally is what came of all sends.
type tally struct {
	Sends      int64 `json:"sends"`   // requests, retries among them
	Acked      int64 `json:"acked"`   // requests answered with 202
	Refused    int64 `json:"refused"` // requests that certainly did not count
	Unknown    int64 `json:"unknown"` // requests that ended without an answer
	Accepted   int64 `json:"events_accepted"`
	Duplicates int64 `json:"events_duplicate"`
	Rejected   int64 `json:"events_rejected"` // must be none: what is sent is valid
}

// sender sends batches. It is safe for concurrent use.
type sender struct {
	client *http.Client

	mu       sync.Mutex
	tally    tally
	ackedSum int64 // values of all acknowledged requests
	maybeSum int64 // values of all requests with an unknown outcome

	begun atomic.Int64 // values of all that may count by now: no answer may be above
}

// newSender keeps at most connections connections to each node.
func newSender(connections int) *sender {
	t := &http.Transport{MaxIdleConnsPerHost: connections, MaxConnsPerHost: connections}
	return &sender{client: &http.Client{Transport: t, Timeout: postTimeout}}
}

func (s *sender) close() { s.client.CloseIdleConnections() }

// sums returns the values that certainly count and those that may.
func (s *sender) sums() (sure, maybe int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ackedSum, s.maybeSum
}

func (s *sender) counts() tally {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tally
}

// send sends b once.
func (s *sender) send(ctx context.Context, b *batch) outcome {
	if !b.begun.Swap(true) || !b.tokens {
		s.begun.Add(b.sum)
	}
	answer, out := s.post(ctx, b)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tally.Sends++
	switch out {
	case acked:
		s.tally.Acked++
		s.ackedSum += b.sum
		s.tally.Accepted += answer.Accepted
		s.tally.Duplicates += answer.Duplicates
		s.tally.Rejected += answer.Rejected
	case refused:
		s.tally.Refused++
	case unknown:
		s.tally.Unknown++
		s.maybeSum += b.sum
	}
	return out
}

type postAnswer struct {
	Accepted   int64 `json:"accepted"`
	Duplicates int64 `json:"duplicates"`
	Rejected   int64 `json:"rejected_total"`
}

func (s *sender) post(ctx context.Context, b *batch) (answer postAnswer, out outcome) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+b.node.HTTP+"/v1/events", bytes.NewReader(b.body))
	if err != nil {
		return answer, refused
	}
	req.Header.Set("Content-Type", "application/x-ndjson")
	// Not even the HTTP client may send a request twice unseen: without GetBody it cannot.
	req.GetBody = nil
	resp, err := s.client.Do(req)
	if errors.Is(err, syscall.ECONNREFUSED) {
		return answer, refused
	}
	if err != nil {
		return answer, unknown
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if resp.StatusCode != http.StatusAccepted {
		return answer, refused // the node's word that nothing of it counted
	}
	if err == nil {
		err = json.Unmarshal(body, &answer)
	}
	if err != nil {
		return answer, unknown
	}
	return answer, acked
}

// sendUntilAcked sends b until it is acknowledged, and returns ctx's error if that ends before.
func (s *sender) sendUntilAcked(ctx context.Context, b *batch) error {
	for {
		if s.send(ctx, b) == acked {
			return nil
		}
		if err := pause(ctx, retryEvery); err != nil {
			return err
		}
	}
}

// wrongCounts notes in v what the nodes' own words contradict.
func (t *tally) wrongCounts(v *verdict, phase string) {
	if t.Rejected > 0 {
		v.add("%s: %d valid events were rejected", phase, t.Rejected)
	}
}

// flow sends batches, each until it is acknowledged, spread over a time and by several workers at once.
type flow struct {
	sender  *sender
	workers int
	over    time.Duration // the last one is begun after this long; 0: as fast as they go
	onAck   func(*batch)  // unless nil, called before whoever else is told of the acknowledgement
	begun   atomic.Int64  // batches handed to workers
}

// run returns when every batch is acknowledged.
func (f *flow) run(ctx context.Context, batches []*batch) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	work := make(chan *batch)
	var workers sync.WaitGroup
	for range f.workers {
		workers.Go(func() {
			for b := range work {
				if err := f.sender.sendUntilAcked(ctx, b); err != nil {
					cancel(err)
					return
				}
				if f.onAck != nil {
					f.onAck(b)
				}
			}
		})
	}
	started := time.Now()
	for i, b := range batches {
		due := started.Add(f.over * time.Duration(i+1) / time.Duration(len(batches)))
		if pause(ctx, time.Until(due)) != nil {
			break
		}
		select {
		case work <- b:
			f.begun.Add(1)
		case <-ctx.Done():
		}
	}
	close(work)
	workers.Wait()
	if err := context.Cause(ctx); err != nil {
		return fmt.Errorf("send: %w", err)
	}
	return nil
}
