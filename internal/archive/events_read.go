package archive

import (
	"context"
	"fmt"

	"meshd/crdt"
	"meshd/internal/eventlog"
	"meshd/internal/mutant"
	"meshd/replay"
)

// EventsRead is what a log of raw events has.
type EventsRead struct {
	Events   int64 // each once
	Repeated int64 // that were there again
	Missing  int64 // numbers between the first and the last of each process that no event has: they found no room, or their part of the log is gone
}

// ReadEvents reads one log with an EventsReader.
func ReadEvents(ctx context.Context, log replay.Log, from replay.Position, f func(o crdt.Origin, ev *eventlog.Event) error) (EventsRead, error) {
	var r EventsReader
	err := r.Read(ctx, log, from, f)
	return r.Done(), err
}

// EventsReader reads logs of raw events, each event once: a writer that crashed appends some again, and logs may have some in common. The zero
// EventsReader is ready.
type EventsReader struct {
	st   EventsRead
	dec  eventlog.Decoder
	seen map[crdt.Incarnation]*numbers
}

// Done returns what was read.
func (r *EventsReader) Done() EventsRead {
	st := r.st
	for _, n := range r.seen {
		st.Missing += n.missing()
	}
	return st
}

// Read calls f for every event that a log has from a position on and that was not read before.
// Events of one process come in the order in which they counted, as far as the log keeps it.
func (r *EventsReader) Read(ctx context.Context, log replay.Log, from replay.Position, f func(o crdt.Origin, ev *eventlog.Event) error) error {
	if r.seen == nil {
		r.seen = map[crdt.Incarnation]*numbers{}
	}
	_, err := log.Read(ctx, from, func(e *replay.Entry) error {
		if e.Kind != replay.KindEvents {
			return fmt.Errorf("record %d of partition %d is of another kind: this is no log of raw events", e.Offset, e.Partition)
		}
		b, err := r.dec.Parse(e.Value)
		if err != nil {
			return fmt.Errorf("record %d of partition %d: %w", e.Offset, e.Partition, err)
		}
		known := r.seen[b.Origin.Inc]
		if known == nil {
			known = &numbers{}
			r.seen[b.Origin.Inc] = known
		}
		for i := range b.Events {
			if !known.add(b.Events[i].Number) && !mutant.On("events read twice") {
				r.st.Repeated++
				continue
			}
			r.st.Events++
			if err := f(b.Origin, &b.Events[i]); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		err = fmt.Errorf("archive: read events: %w", err)
	}
	return err
}

// numbers is a set of numbers that come in order, but for gaps and repeats: as long as its gaps are many.
type numbers struct{ runs []run }

type run struct{ first, last uint64 }

// add reports whether a number is new.
func (n *numbers) add(v uint64) bool {
	i := len(n.runs)
	for i > 0 && n.runs[i-1].first > v { // repeats are of what came last
		i--
	}
	if i > 0 && v <= n.runs[i-1].last {
		return false
	}
	joinsLeft := i > 0 && n.runs[i-1].last+1 == v
	joinsRight := i < len(n.runs) && v+1 == n.runs[i].first
	switch {
	case joinsLeft && joinsRight:
		n.runs[i-1].last = n.runs[i].last
		n.runs = append(n.runs[:i], n.runs[i+1:]...)
	case joinsLeft:
		n.runs[i-1].last = v
	case joinsRight:
		n.runs[i].first = v
	default:
		n.runs = append(n.runs, run{})
		copy(n.runs[i+1:], n.runs[i:])
		n.runs[i] = run{v, v}
	}
	return true
}

func (n *numbers) missing() (sum int64) {
	for i := 1; i < len(n.runs); i++ {
		sum += int64(n.runs[i].first - n.runs[i-1].last - 1)
	}
	return sum
}
