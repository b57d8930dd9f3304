package eventlog

import (
	"encoding/binary"
	"fmt"

	"meshd/crdt"
	"meshd/internal/column"
)

// What events were counted as, where that is not what was received, is told by what rules did: which labels it has, and of
// those that the event has with the same value not what that is. So what costs is what rules added.

// Classes of what an event was counted as.
const (
	countedAsReceived = 0
	countedNot        = 1
	countedOtherwise  = 2
)

func (e *Event) countedClass() int64 {
	switch {
	case e.Dropped:
		return countedNot
	case e.Counted != nil:
		return countedOtherwise
	}
	return countedAsReceived
}

// change is what events have in common that rules changed in the same way.
type change struct {
	number int64
	name   string
	labels []changedLabel
	events []int // places in the batch
}

type changedLabel struct {
	name  string
	kept  bool // the event has it, with the same value
	words words
}

// appendCounted appends what events were counted as: a class each, and of those that were counted otherwise how they were changed.
func (e *Encoder) appendCounted(dst []byte, events []Event) []byte {
	dst = e.each(dst, events, (*Event).countedClass)
	known := map[string]*change{}
	var changes []*change
	var all []byte
	e.more = e.more[:0]
	for i := range events {
		if events[i].Counted == nil {
			continue
		}
		e.key = appendChange(e.key[:0], &events[i])
		c := known[string(e.key)]
		if c == nil {
			c = newChange(int64(len(changes)), &events[i])
			known[string(e.key)] = c
			changes = append(changes, c)
			all = append(all, e.key...)
		}
		c.events = append(c.events, i)
		for j := range c.labels {
			if l := &c.labels[j]; !l.kept {
				l.words.add(events[i].Counted.Labels[j].Value)
			}
		}
		e.more = append(e.more, c.number)
	}
	if len(changes) == 0 {
		return dst
	}
	dst = binary.AppendUvarint(dst, uint64(len(changes)))
	dst = e.col.Ints(e.col.Blobs(dst, all, []int{len(all)}), e.more)
	for _, c := range changes {
		for j := range c.labels {
			if l := &c.labels[j]; !l.kept {
				dst = e.appendWords(dst, &l.words)
			}
		}
	}
	return dst
}

func newChange(number int64, ev *Event) *change {
	c := &change{number: number, name: ev.Counted.Name, labels: make([]changedLabel, len(ev.Counted.Labels))}
	for i, l := range ev.Counted.Labels {
		c.labels[i].name, c.labels[i].kept = l.Name, keeps(ev, l)
	}
	return c
}

// keeps reports whether a label of what an event was counted as is one of its own. An empty one is told: it may be absent.
func keeps(ev *Event, l crdt.Label) bool { return l.Value != "" && ev.Series.Get(l.Name) == l.Value }

func appendChange(dst []byte, ev *Event) []byte {
	dst = appendString(dst, ev.Counted.Name)
	dst = binary.AppendUvarint(dst, uint64(len(ev.Counted.Labels)))
	for _, l := range ev.Counted.Labels {
		dst = appendString(dst, l.Name)
		kept := byte(0)
		if keeps(ev, l) {
			kept = 1
		}
		dst = append(dst, kept)
	}
	return dst
}

// readCounted reads what events were counted as.
func (d *Decoder) readCounted(r *column.Reader, events []Event) {
	var otherwise []int
	for i, class := range d.col.Ints(nil, r, len(events)) {
		switch class {
		case countedAsReceived:
		case countedNot:
			events[i].Dropped = true
		case countedOtherwise:
			otherwise = append(otherwise, i)
		default:
			d.refuse(r, "what an event was counted as")
			return
		}
	}
	if r.Err != nil || len(otherwise) == 0 {
		return
	}
	for _, c := range d.readChanges(r, otherwise) {
		if len(c.events) == 0 {
			d.refuse(r, "change that no event has")
			return
		}
		d.readChange(r, c, events)
	}
}

// readChanges reads how events were changed, and which ones in each way.
func (d *Decoder) readChanges(r *column.Reader, otherwise []int) []*change {
	count := r.Uvarint()
	blob, ends := d.col.Blobs(r, 1)
	if r.Err != nil || count == 0 || count > uint64(len(otherwise)) || len(ends) != 1 {
		d.refuse(r, "changes")
		return nil
	}
	in := &column.Reader{B: blob}
	out := make([]*change, count)
	for i := range out {
		c := &change{name: readString(in)}
		labels := in.Uvarint()
		if in.Err != nil || labels > crdt.MaxLabels {
			d.refuse(r, "change")
			return nil
		}
		for range labels {
			l := changedLabel{name: readString(in)}
			kept := in.Byte()
			if l.kept = kept == 1; kept > 1 {
				d.refuse(r, "change")
				return nil
			}
			c.labels = append(c.labels, l)
		}
		out[i] = c
	}
	if in.Err != nil || len(in.B) > 0 {
		d.refuse(r, "changes")
		return nil
	}
	for i, number := range d.col.Ints(nil, r, len(otherwise)) {
		if number < 0 || number >= int64(len(out)) {
			d.refuse(r, "change of an event")
			return nil
		}
		out[number].events = append(out[number].events, otherwise[i])
	}
	return out
}

// readChange reads the labels that events have by one change. Those that are equal share their series.
func (d *Decoder) readChange(r *column.Reader, c *change, events []Event) {
	texts, ids := make([][]string, len(c.labels)), make([][]int64, len(c.labels))
	for j := range c.labels {
		if !c.labels[j].kept {
			texts[j], ids[j] = d.readWords(r, len(c.events))
		}
	}
	if r.Err != nil {
		return
	}
	known := map[string]*crdt.Series{}
	for k, place := range c.events {
		ev := &events[place]
		s := &crdt.Series{Name: c.name, Kind: ev.Series.Kind, Labels: make([]crdt.Label, len(c.labels))}
		for j := range c.labels {
			l := crdt.Label{Name: c.labels[j].name}
			if c.labels[j].kept {
				l.Value = ev.Series.Get(l.Name)
			} else {
				l.Value = texts[j][ids[j][k]]
			}
			if s.Labels[j] = l; keeps(ev, l) != c.labels[j].kept {
				d.refuse(r, "label that is kept")
				return
			}
		}
		key := fmt.Sprintf("%d%v", s.Kind, s.Labels)
		one := known[key]
		if one == nil {
			if s.Check() != nil {
				d.refuse(r, "series that is counted")
				return
			}
			one = s
			known[key] = one
		}
		if ev.Counted = one; one.Equal(ev.Series) {
			d.refuse(r, "counted as received")
			return
		}
	}
}
