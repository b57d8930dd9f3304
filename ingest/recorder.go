package ingest

import (
	"context"
	"fmt"
	"sync"

	"meshd/internal/glob"
	"meshd/node"
)

// Recorder is a Submitter that asks the node to keep events of some metrics as they were received, on their way to another one. It
// stands before the rules for labels, so that what is kept can be counted anew by other rules.
type Recorder struct {
	to    Submitter
	tests []func(string) bool

	mu    sync.RWMutex
	known map[string]bool // by metric; emptied when it is full
}

// recorderNames bounds the metrics of which is remembered whether they are kept: 2 MB.
const recorderNames = 10_000

// NewRecorder returns a recorder before to of the metrics whose names match one of the patterns.
func NewRecorder(patterns []string, to Submitter) (*Recorder, error) {
	r := &Recorder{to: to, known: make(map[string]bool)}
	for _, p := range patterns {
		test, err := glob.Compile(p)
		if err != nil {
			return nil, fmt.Errorf("ingest: events to keep: %w", err)
		}
		r.tests = append(r.tests, test)
	}
	return r, nil
}

// Submit implements Submitter.
func (r *Recorder) Submit(ctx context.Context, b *node.Batch) node.Result {
	for i := range b.Items {
		if it := &b.Items[i]; r.keeps(it.Series.Name) {
			it.Raw = it.Series
		}
	}
	return r.to.Submit(ctx, b)
}

func (r *Recorder) keeps(metric string) bool {
	r.mu.RLock()
	keep, ok := r.known[metric]
	r.mu.RUnlock()
	if ok {
		return keep
	}
	for _, test := range r.tests {
		keep = keep || test(metric)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.known) >= recorderNames {
		clear(r.known)
	}
	r.known[metric] = keep
	return keep
}
