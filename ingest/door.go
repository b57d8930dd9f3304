package ingest

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"runtime"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/klauspost/compress/zstd"

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

// Door is what all protocols with requests and answers share: the node behind it, and one bound on the bytes of bodies
// that are being read, decompressed or waiting for the node.
type Door struct {
	submit  Submitter
	metrics *Metrics
	now     func() time.Time

	sources *Sources // nil: no limit

	held  atomic.Int64  // bytes of bodies, compressed and not, at most maxBodiesBytes
	slots chan struct{} // decompressions that run: each may hold a full body that is not charged yet
	zstd  *zstd.Decoder
}

// NewDoor returns a door to s.
func NewDoor(s Submitter, m *Metrics) (*Door, error) {
	// More decompressions than cores at once would only hold more memory.
	slots := runtime.GOMAXPROCS(0)
	z, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(slots), zstd.WithDecoderMaxMemory(maxBodyBytes),
		zstd.WithDecoderMaxWindow(maxBodyBytes))
	if err != nil {
		return nil, err
	}
	return &Door{submit: s, metrics: m, now: time.Now, slots: make(chan struct{}, slots), zstd: z}, nil
}

// Limit makes the door answer 429 to addresses that send more than s allows. Call it before the door is used.
func (d *Door) Limit(s *Sources) { d.sources = s }

// httpError is the answer to a request of which nothing counted.
type httpError struct {
	code   int
	reason reason
	text   string
}

func (e *httpError) Error() string { return e.text }

// failure returns the answer for err, counted, with the headers that belong to it set.
func failure(w http.ResponseWriter, m *meter, err error) *httpError {
	var he *httpError
	var fast *tooFastError
	switch {
	case errors.As(err, &fast):
		he = &httpError{http.StatusTooManyRequests, reasonSource, fast.Error()}
		w.Header().Set("Retry-After", strconv.Itoa(fast.seconds()))
	case !errors.As(err, &he):
		he = submitError(err)
	}
	if he.reason != reasonNone {
		m.rejected[he.reason].Inc()
	}
	switch he.code {
	case http.StatusServiceUnavailable:
		w.Header().Set("Retry-After", strconv.Itoa(int(retryAfter/time.Second)))
	case http.StatusMethodNotAllowed:
		w.Header().Set("Allow", http.MethodPost)
	case http.StatusUnsupportedMediaType:
		w.Header().Set("Accept-Encoding", acceptedEncodings)
	}
	return he
}

// submitError returns the answer for an error of Submit.
func submitError(err error) *httpError {
	code := http.StatusServiceUnavailable
	if errors.Is(err, node.ErrFull) {
		code = http.StatusInsufficientStorage
	}
	return &httpError{code, reasonOf(err), err.Error()}
}

var errNotPost = &httpError{http.StatusMethodNotAllowed, reasonSyntax, "want POST"}

func writeJSON(w http.ResponseWriter, code int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	// The client may be gone: it learns of the outcome by its retry, and nobody else needs to.
	_ = json.NewEncoder(w).Encode(v)
}

// send hands a request's items to the node and counts what became of them. Rejections are the node's, by item.
func (d *Door) send(ctx context.Context, m *meter, items []node.Item) (node.Result, error) {
	return d.sendBatch(ctx, m, &node.Batch{Items: items})
}

// sendBatch is send for a batch that may want the word of a hub. The result's error is nil, or node.ErrUnconfirmed.
func (d *Door) sendBatch(ctx context.Context, m *meter, b *node.Batch) (node.Result, error) {
	var res node.Result
	if len(b.Items) > 0 {
		res = d.submit.Submit(ctx, b)
	}
	if res.Err != nil && !errors.Is(res.Err, node.ErrUnconfirmed) {
		m.deferred.Inc()
		return res, res.Err
	}
	m.commits.Inc()
	m.samples.Add(float64(len(b.Items)))
	m.stored.Add(float64(res.Accepted))
	return res, nil
}
