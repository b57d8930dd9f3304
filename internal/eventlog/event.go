package eventlog

import (
	"errors"
	"fmt"

	"meshd/crdt"
)

// MaxEvents and MaxBytes, the sum of Size, bound a batch: words of labels that a whole batch shares cost next to nothing then, and
// reading one takes some 20 MB.
const (
	MaxEvents = 1 << 16
	MaxBytes  = 4 << 20
)

// Event is what a node counted once, as it was before rules changed its labels.
type Event struct {
	Number uint64       // of the process that counted it, from 1
	Time   int64        // when it happened, milliseconds since the Unix epoch
	Series *crdt.Series // shared, not to be changed
	Inc    crdt.Value   // the increment
	Token  Token        // what the client told repetitions apart by

	// Counted is what it was counted as, of the kind of Series and of no generation: rules for labels changed it, or the node had no room for one
	// more series. It is shared, and not to be changed. Nil: as Series, or, with Dropped, not at all: a rule dropped it.
	Counted *crdt.Series
	Dropped bool
}

// Token is zero if the client sent none.
type Token struct {
	Source string
	Seq    uint64 // from 1, with Source
	Key    string // an idempotency key, instead of both
}

// Batch is what one record of a log holds.
type Batch struct {
	Origin crdt.Origin // of class node
	Events []Event     // in the order of their numbers
}

// ErrBytes is wrapped by every refusal of bytes that are no batch.
var ErrBytes = errors.New("malformed batch of events")

// formVersion is the first byte of a batch.
const formVersion = 2

// Classes of tokens.
const (
	tokenNone   = 0
	tokenSource = 1
	tokenKey    = 2
	tokenUUID   = 3 // a key that is one, in lower case: 16 bytes instead of 36 characters
)

func (t *Token) class() int64 {
	switch {
	case t.Key != "":
		if _, ok := parseUUID(t.Key); ok {
			return tokenUUID
		}
		return tokenKey
	case t.Seq != 0:
		return tokenSource
	}
	return tokenNone
}

// Check reports why an event cannot be part of a batch.
func (e *Event) Check() error {
	if e.Number == 0 || e.Number > 1<<62 || e.Series == nil || e.Series.Gen != 0 || e.Inc.Kind != e.Series.Kind || e.Token.Seq > 1<<62 {
		return fmt.Errorf("eventlog: event %d is of no series, of another kind than its series, or out of range", e.Number)
	}
	if c := e.Counted; c != nil {
		if e.Dropped || c.Kind != e.Series.Kind || c.Gen != 0 || c.Equal(e.Series) {
			return fmt.Errorf("eventlog: event %d is counted as what it cannot be", e.Number)
		}
		if err := c.Check(); err != nil {
			return err
		}
	}
	return e.Series.Check()
}

// CountedAs returns what an event was counted as, nil if it was not.
func (e *Event) CountedAs() *crdt.Series {
	switch {
	case e.Dropped:
		return nil
	case e.Counted != nil:
		return e.Counted
	}
	return e.Series
}

// Size is what an event takes before it is packed, in bytes.
func (e *Event) Size() int {
	n := 64 + len(e.Series.Name) + len(e.Token.Source) + len(e.Token.Key)
	for i := range e.Series.Labels {
		n += len(e.Series.Labels[i].Name) + len(e.Series.Labels[i].Value)
	}
	if e.Counted != nil {
		n += len(e.Counted.Name)
		for i := range e.Counted.Labels {
			n += len(e.Counted.Labels[i].Name) + len(e.Counted.Labels[i].Value)
		}
	}
	if e.Inc.X != nil {
		n += e.Inc.X.Size()
	}
	return n
}

// Cut returns how many of the first events make a batch: at least one.
func Cut(events []Event) int {
	size := 0
	for i := range events {
		if size += events[i].Size(); i == MaxEvents || i > 0 && size > MaxBytes {
			return i
		}
	}
	return len(events)
}
