package ingest

import (
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"meshd/crdt"
	"meshd/internal/mutant"
)

const (
	// maxExampleBytes are shown of what was refused: enough to know it by.
	maxExampleBytes = 160
	// examplesEvery is how long one example of a reason has to do.
	examplesEvery = time.Minute
)

// examples show in the log what a door without answers refuses: the first line of each reason, once a minute, so that no
// sender can fill the log. A nil *examples shows nothing.
//
// Those who refuse only note a line; the log is written by who hands in batches, since it may be slow.
type examples struct {
	protocol string
	log      *slog.Logger
	noted    [numReasons]atomic.Bool // and not to be noted again yet

	mu    sync.Mutex
	found []example // not shown yet: at most one of each reason
	shown [numReasons]time.Time
}

type example struct {
	reason reason
	line   string // ends in dots if it is longer
}

// wants reports whether an example of a reason would be kept.
func (e *examples) wants(r reason) bool {
	return e != nil && (!e.noted[r].Load() || mutant.On("every refused line logged"))
}

// note keeps a line that was refused if it is to be shown. It copies what it keeps.
func (e *examples) note(r reason, line []byte) {
	if !e.wants(r) || e.noted[r].Swap(true) && !mutant.On("every refused line logged") {
		return
	}
	text := string(line[:min(len(line), maxExampleBytes)])
	if len(line) > maxExampleBytes {
		text += "..."
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.found = append(e.found, example{r, text})
}

// noteText is note for a string, which it copies only then.
func (e *examples) noteText(r reason, line string) {
	if e.wants(r) {
		e.note(r, []byte(line))
	}
}

// noteSeries is note for what the node refused of a series.
func (e *examples) noteSeries(r reason, s *crdt.Series) {
	if e.wants(r) {
		e.note(r, []byte(s.String()))
	}
}

// show writes what was noted to the log. The log's handler quotes what is not plain text.
func (e *examples) show(now time.Time) {
	if e == nil {
		return
	}
	e.mu.Lock()
	found := e.found
	e.found = nil
	for _, x := range found {
		e.shown[x.reason] = now
	}
	for r := range e.noted {
		if at := e.shown[r]; !at.IsZero() && now.Sub(at) >= examplesEvery {
			e.shown[r] = time.Time{}
			e.noted[r].Store(false)
		}
	}
	e.mu.Unlock()
	for _, x := range found {
		e.log.Warn("input was refused, for example this: others of the reason are only counted for a minute",
			"protocol", e.protocol, "reason", x.reason, "line", x.line)
	}
}
