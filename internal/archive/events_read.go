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

// ReadEvents calls f for every event that a log has from a position on, each once: a writer that crashed appends some again.
// Events of one process come in the order in which they counted, as far as the log keeps it.
func ReadEvents(ctx context.Context, log replay.Log, from replay.Position, f func(o crdt.Origin, ev *eventlog.Event) error) (EventsRead, error) {
	var st EventsRead
	var dec eventlog.Decoder
	seen := map[crdt.Incarnation]*numbers{}
	_, err := log.Read(ctx, from, func(e *replay.Entry) error {
		if e.Kind != replay.KindEvents {
			return fmt.Errorf("record %d of partition %d is of another kind: this is no log of raw events", e.Offset, e.Partition)
		}
		b, err := dec.Parse(e.Value)
		if err != nil {
			return fmt.Errorf("record %d of partition %d: %w", e.Offset, e.Partition, err)
		}
		known := seen[b.Origin.Inc]
		if known == nil {
			known = &numbers{}
			seen[b.Origin.Inc] = known
		}
		for i := range b.Events {
			if !known.add(b.Events[i].Number) && !mutant.On("events read twice") {
				st.Repeated++
				continue
			}
			st.Events++
			if err := f(b.Origin, &b.Events[i]); err != nil {
				return err
			}
		}
		return nil
	})
	for _, n := range seen {
		st.Missing += n.missing()
	}
	if err != nil {
		err = fmt.Errorf("archive: read events: %w", err)
	}
	return st, err
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
