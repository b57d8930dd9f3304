package archive

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"meshd/internal/eventlog"
	"meshd/internal/mutant"
	"meshd/node"
	"meshd/replay"
)

const (
	// eventsEvery is how often waiting events are looked at. They are for corrections, not for news, and wait on a disk.
	eventsEvery = 10 * time.Second
	// eventsBytes is what is read at once, unpacked: some 60,000 clicks, which take 30 MB of memory with what they point to.
	eventsBytes = 16 << 20
	// patience is after how many looks a few events are copied, too: a batch of a hundred takes four times as many bytes an event
	// as one of some thousands, which is enough.
	patience = 30
	enough   = 4096
	// lastPass bounds how long the end of a process takes.
	lastPass = 5 * time.Second
	// trimEvery is how often the log is told to let go of what is older than it keeps.
	trimEvery = time.Hour
)

// EventsNode is whose events are copied.
type EventsNode interface{ EventsTaken(upTo uint64) }

// EventsConfig is what an EventWriter is made of.
type EventsConfig struct {
	Open func(context.Context) (replay.Log, error) // called until it succeeds; the writer closes what it returns
	Name string                                    // of the log, for people
	Disk node.Reader
	Node EventsNode

	Poll       time.Duration // 0 = 10 s
	Logger     *slog.Logger
	Registerer prometheus.Registerer // nil = not registered
}

// EventWriter copies the raw events on a node's disk into a log, for as long as it runs, and lets the node delete them. A crash
// between the two copies them again: each has its process and number.
type EventWriter struct {
	cfg  EventsConfig
	met  eventsMetrics
	log  replay.Log
	next uint64 // piece on disk that is read next
	held int    // looks in which there was not enough
	trim time.Time

	dec eventlog.Decoder
	enc eventlog.Encoder
}

type eventsMetrics struct{ events, bytes, failures prometheus.Counter }

// NewEventWriter returns a writer; Run makes it work.
func NewEventWriter(cfg EventsConfig) (*EventWriter, error) {
	if cfg.Poll == 0 {
		cfg.Poll = eventsEvery
	}
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: "meshd_events_" + name, Help: help})
	}
	w := &EventWriter{cfg: cfg, met: eventsMetrics{
		events:   counter("archived_total", "Raw events that their log took."),
		bytes:    counter("archived_bytes_total", "Bytes of the batches that they were in."),
		failures: counter("archive_failures_total", "Attempts to copy raw events that failed; what was not copied stays on disk."),
	}}
	if cfg.Registerer != nil {
		for _, c := range []prometheus.Collector{w.met.events, w.met.bytes, w.met.failures} {
			if err := cfg.Registerer.Register(c); err != nil {
				return nil, fmt.Errorf("archive: %w", err)
			}
		}
	}
	return w, nil
}

// Run copies until ctx ends, and then what waits, if the log takes it soon: the next process would otherwise.
func (w *EventWriter) Run(ctx context.Context) error {
	(&repeated{
		every: w.cfg.Poll, log: w.cfg.Logger.With("log", w.cfg.Name), failures: w.met.failures, pass: w.pass,
		fails: "the log takes no raw events: they wait on disk", works: "the log takes raw events again",
	}).run(ctx)
	w.held = patience
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastPass)
	defer cancel()
	if err := w.pass(last); err != nil {
		w.cfg.Logger.Warn("raw events wait on disk for the next start", "log", w.cfg.Name, "err", err)
	}
	if w.log != nil {
		_ = w.log.Close() // what it took is synced
	}
	return nil
}

// pass copies all that waits.
func (w *EventWriter) pass(ctx context.Context) (err error) {
	if w.log == nil {
		if w.log, err = w.cfg.Open(ctx); err != nil {
			return err
		}
	}
	for {
		var batches []*eventlog.Batch
		next, err := node.ReadEvents(w.cfg.Disk, w.next, eventsBytes, func(raw []byte) (size int, err error) {
			b, err := w.dec.Parse(raw)
			if err != nil {
				return 0, err
			}
			for i := range b.Events {
				size += b.Events[i].Size()
			}
			batches = collect(batches, b)
			return size, nil
		})
		if err != nil {
			return err
		}
		if w.wait(batches) {
			return w.forget(ctx)
		}
		if mutant.On("events let go of before append") {
			w.cfg.Node.EventsTaken(next - 1)
		}
		if err := w.append(ctx, batches); err != nil {
			return err
		}
		w.next = next
		w.cfg.Node.EventsTaken(next - 1)
	}
}

// wait reports whether there is too little to be copied yet.
func (w *EventWriter) wait(batches []*eventlog.Batch) bool {
	if len(batches) == 0 {
		return true
	}
	n := 0
	for _, b := range batches {
		n += len(b.Events)
	}
	if w.held++; n < enough && w.held < patience {
		return true
	}
	w.held = 0
	return false
}

// collect adds a batch to those before it: what is of one process goes together.
func collect(all []*eventlog.Batch, b *eventlog.Batch) []*eventlog.Batch {
	if n := len(all); n > 0 && all[n-1].Origin == b.Origin {
		all[n-1].Events = append(all[n-1].Events, b.Events...)
		return all
	}
	return append(all, b)
}

func (w *EventWriter) append(ctx context.Context, batches []*eventlog.Batch) error {
	var records []replay.Record
	size, count := 0, 0
	for _, b := range batches {
		for all := b.Events; len(all) > 0; {
			n := eventlog.Cut(all)
			raw := w.enc.Append(nil, b.Origin, all[:n])
			records = append(records, replay.Record{Kind: replay.KindEvents, Key: b.Origin.Inc[:], Value: raw})
			all, size, count = all[n:], size+len(raw), count+n
		}
	}
	if _, err := w.log.Append(ctx, records); err != nil {
		if errors.Is(err, replay.ErrBroken) { // opened again it knows what is on disk
			_ = w.log.Close()
			w.log = nil
		}
		return err
	}
	w.met.events.Add(float64(count))
	w.met.bytes.Add(float64(size))
	return nil
}

// forget lets the log delete what is older than it keeps: nobody else needs it.
func (w *EventWriter) forget(ctx context.Context) error {
	if time.Now().Before(w.trim) {
		return nil
	}
	_, end, err := w.log.Bounds(ctx)
	if err != nil {
		return err
	}
	w.trim = time.Now().Add(trimEvery)
	return w.log.Trim(ctx, end)
}
