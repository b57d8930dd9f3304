package node

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"meshd/crdt"
	"meshd/internal/eventlog"
	"meshd/internal/mutant"
	"meshd/reconcile"
)

// Raw events. An item that says what was received (Item.Raw) is written twice in one commit: as what it adds to cells, and as
// itself. So a node has the events of exactly what it counted, whatever crashes. Somebody copies them into a log elsewhere, and
// the core deletes what he has; while he cannot, they wait up to CoreConfig.EventBytes, and then are not kept: counting goes on.
//
// The events of a process are numbered, those that are not kept too: a hole shows.

// prefixEvents is the key of batches of events: e/ number (8 bytes). A batch is cut into values that a store likes; the first byte
// of the last one is 1, of the others 0.
const prefixEvents = "e/"

const (
	eventPiece    = 64 << 10
	pieceMore     = 0
	pieceLast     = 1
	eventsNoCells = ^reconcile.SeriesID(0) - 1 // an item that rules dropped: it is kept and adds nothing
)

// EventsTaken tells the core that batches of events up to a number are in a log elsewhere. It is never told less than before.
type EventsTaken struct{ UpTo uint64 }

func (EventsTaken) event() {}

// rawEvents is what the core knows of the events on its disk.
type rawEvents struct {
	most   int64 // bytes that may wait; 0: no events are kept
	number uint64
	enc    eventlog.Encoder
	events []eventlog.Event // of the commit that is made; scratch

	first   uint64  // number of the oldest piece on disk
	sizes   []int32 // of it and those behind it
	waiting int64   // their sum
	taken   uint64  // pieces up to here are elsewhere
	leaving int     // how many of the first go with the persist that runs
}

// rawCommit is what a commit changes in it.
type rawCommit struct {
	number     uint64
	sizes      []int32
	kept, lost uint64
}

func eventsKey(n uint64) []byte { return binary.BigEndian.AppendUint64([]byte(prefixEvents), n) }

// next is the number of the piece that is written next.
func (r *rawEvents) next() uint64 { return r.first + uint64(len(r.sizes)) }

// events appends the writes that keep the events of a commit.
func (b *builder) events(p *pending, ops []Op) []Op {
	r := &b.c.raw
	if r.most == 0 {
		return ops
	}
	p.raw.number = r.number
	all := r.events[:0]
	full := r.waiting >= r.most && !mutant.On("events without a bound")
	for k := range b.added {
		for i, id := range b.added[k].ids {
			it := &b.added[k].batch.Items[i]
			if it.Raw == nil || !b.counted(id) {
				continue
			}
			p.raw.number++
			ev := eventlog.Event{Number: p.raw.number, Time: b.c.eventTime(it), Series: it.Raw, Inc: it.Inc, Token: it.Token.raw()}
			ev.Counted, ev.Dropped = b.countedAs(id, it.Raw), id == eventsNoCells
			if full || ev.Check() != nil {
				p.raw.lost++
				continue
			}
			p.raw.kept++
			all = append(all, ev)
		}
	}
	defer func(made []eventlog.Event) { // in which nothing of the items may stay
		clear(made)
		if r.events = made[:0]; cap(made) > eventlog.MaxEvents {
			r.events = nil
		}
	}(all)
	for len(all) > 0 {
		n := eventlog.Cut(all)
		raw := r.enc.Append(nil, b.c.own, all[:n])
		for all = all[n:]; len(raw) > 0; {
			cut, mark := len(raw), byte(pieceLast)
			if cut > eventPiece {
				cut, mark = eventPiece, pieceMore
			}
			ops = append(ops, Op{Key: eventsKey(r.next() + uint64(len(p.raw.sizes))), Value: append([]byte{mark}, raw[:cut]...)})
			p.raw.sizes = append(p.raw.sizes, int32(1+cut))
			raw = raw[cut:]
		}
	}
	return ops
}

// counted reports whether the item that went to a series was accepted.
func (b *builder) counted(id reconcile.SeriesID) bool {
	if mutant.On("events of repeats kept") {
		return true
	}
	return id == eventsNoCells || id != ^reconcile.SeriesID(0) && b.failed[id] == nil
}

// countedAs returns the series that an item went to, nil if it is as it was received or none.
func (b *builder) countedAs(id reconcile.SeriesID, raw *crdt.Series) *crdt.Series {
	if id == eventsNoCells {
		return nil
	}
	s := b.c.cat.Series(id)
	if s.Name == raw.Name && slices.Equal(s.Labels, raw.Labels) || s.Name == OverflowMetric && mutant.On("overflow not told of events") {
		return nil
	}
	if s.Gen != 0 { // since it was dropped last: of events nobody asks
		plain := *s
		plain.Gen = 0
		return &plain
	}
	return s
}

func (t *Token) raw() eventlog.Token {
	if t.Key != "" {
		return eventlog.Token{Key: t.Key}
	}
	if t.Seq == 0 {
		return eventlog.Token{}
	}
	return eventlog.Token{Source: t.Source, Seq: t.Seq}
}

// keepEvents makes what a commit wrote known.
func (c *Core) keepEvents(in *rawCommit) {
	r := &c.raw
	if r.most == 0 || in.kept+in.lost == 0 {
		return
	}
	r.number = in.number
	for _, size := range in.sizes {
		r.waiting += int64(size)
	}
	r.sizes = append(r.sizes, in.sizes...)
	c.Counts.EventsKept += in.kept
	c.Counts.EventsLost += in.lost
}

func (c *Core) eventsTaken(in EventsTaken) { c.raw.taken = max(c.raw.taken, in.UpTo) }

// trim appends the deletion of pieces that are elsewhere.
func (r *rawEvents) trim(ops []Op) []Op {
	for r.leaving = 0; r.leaving < min(len(r.sizes), maxTrim); r.leaving++ {
		n := r.first + uint64(r.leaving)
		if n > r.taken && !mutant.On("events deleted before they are taken") {
			break
		}
		ops = append(ops, Op{Key: eventsKey(n), Delete: true})
	}
	return ops
}

// trimDone notes that the pieces which trim named last are deleted.
func (r *rawEvents) trimDone() {
	for _, size := range r.sizes[:r.leaving] {
		r.waiting -= int64(size)
	}
	r.first += uint64(r.leaving)
	r.sizes, r.leaving = r.sizes[r.leaving:], 0
}

// startEventTrim deletes what is elsewhere when nothing else is written with which it could go.
func (c *Core) startEventTrim() bool {
	if len(c.raw.sizes) == 0 || c.raw.first > c.raw.taken {
		return false
	}
	c.persistCheckpoint(nil, func() {})
	return true
}

// events reads which pieces wait. What waits of a process that did not keep any more stays until one keeps them again.
func (rec *recovery) events() error {
	r := &rec.c.raw
	r.first = 1
	return rec.r.Scan([]byte(prefixEvents), func(key, value []byte) error {
		n := binary.BigEndian.Uint64(key[len(prefixEvents):])
		if len(r.sizes) == 0 {
			r.first = n
		}
		if n != r.next() {
			return fmt.Errorf("events %d are missing before events %d", r.next(), n)
		}
		r.sizes = append(r.sizes, int32(len(value)))
		r.waiting += int64(len(value))
		return nil
	})
}

// ReadEvents calls f for the batches of events from the piece with a number on until the costs that f returns reach most, and
// returns the number of the piece behind the last one. f may keep the bytes.
func ReadEvents(r Reader, from uint64, most int, f func(raw []byte) (cost int, err error)) (next uint64, err error) {
	next = from
	var raw []byte
	err = r.Scan([]byte(prefixEvents), func(key, value []byte) error {
		n := binary.BigEndian.Uint64(key[len(prefixEvents):])
		if n < from {
			return nil // it is about to be deleted
		}
		if len(value) == 0 || value[0] > pieceLast {
			return fmt.Errorf("piece %d of events is malformed", n)
		}
		raw = append(raw, value[1:]...)
		if value[0] == pieceMore {
			return nil
		}
		cost, err := f(raw)
		if err != nil {
			return err
		}
		most -= cost
		raw, next = nil, n+1
		if most <= 0 {
			return errEnough
		}
		return nil
	})
	if err != nil && !errors.Is(err, errEnough) {
		return from, fmt.Errorf("node: read events: %w", err)
	}
	return next, nil
}

// EventsStatus says how many events wait to be copied elsewhere.
type EventsStatus struct {
	On    bool
	Bytes int64
}

// EventsStatus returns how many events wait.
func (c *Core) EventsStatus() EventsStatus { return EventsStatus{c.raw.most > 0, c.raw.waiting} }
