package eventlog

import (
	"encoding/binary"

	"meshd/crdt"
	"meshd/internal/column"
)

// Encoder writes batches. It holds scratch memory only: the zero Encoder is ready, and is not safe for concurrent use.
type Encoder struct {
	col    column.Encoder
	ints   []int64
	more   []int64
	floats []float64
	key    []byte
	shapes []*shape
	known  map[string]*shape
	words  words
}

// shape is what events have in common that differ in labels' values only.
type shape struct {
	number int64
	series *crdt.Series // the first one
	labels []words
	events []int // places in the batch
}

// words are distinct strings in the order in which they came first, and which one each event has.
type words struct {
	index map[string]int64
	all   []byte
	ends  []int
	ids   []int64
}

func (w *words) add(s string) {
	id, ok := w.index[s]
	if !ok {
		if w.index == nil {
			w.index = make(map[string]int64)
		}
		id = int64(len(w.ends))
		w.index[s] = id
		w.all = append(w.all, s...)
		w.ends = append(w.ends, len(w.all))
	}
	w.ids = append(w.ids, id)
}

func (w *words) reset() {
	clear(w.index)
	w.all, w.ends, w.ids = w.all[:0], w.ends[:0], w.ids[:0]
}

// Append appends a batch of 1 to MaxEvents events of one process, for each of which Check returns nil, in the order of their
// numbers.
func (e *Encoder) Append(dst []byte, o crdt.Origin, events []Event) []byte {
	dst = appendString(appendString(append(dst, formVersion), o.Region), o.Node)
	dst = append(dst, o.Inc[:]...)
	dst = binary.AppendUvarint(dst, uint64(len(events)))
	dst = e.each(dst, events, func(ev *Event) int64 { return int64(ev.Number) })
	dst = e.each(dst, events, func(ev *Event) int64 { return ev.Time })
	dst = e.appendShapes(dst, events)
	for _, s := range e.shapes {
		for i := range s.labels {
			dst = e.appendWords(dst, &s.labels[i])
		}
		dst = e.appendValues(dst, s, events)
	}
	dst = e.appendTokens(dst, events)
	dst = e.appendCounted(dst, events)
	e.shapes = e.shapes[:0] // so that no series of this batch stays in memory
	clear(e.known)
	return dst
}

func appendString(dst []byte, s string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

// each appends a column of one number of each event.
func (e *Encoder) each(dst []byte, events []Event, number func(*Event) int64) []byte {
	e.ints = e.ints[:0]
	for i := range events {
		e.ints = append(e.ints, number(&events[i]))
	}
	return e.col.Ints(dst, e.ints)
}

// appendShapes sorts events by shape, collects the words of their labels and appends which shapes there are.
func (e *Encoder) appendShapes(dst []byte, events []Event) []byte {
	if e.known == nil {
		e.known = make(map[string]*shape)
	}
	e.ints = e.ints[:0]
	var all []byte
	for i := range events {
		series := events[i].Series
		e.key = appendShape(e.key[:0], series)
		s := e.known[string(e.key)]
		if s == nil {
			s = &shape{number: int64(len(e.shapes)), series: series, labels: make([]words, len(series.Labels))}
			e.known[string(e.key)] = s
			e.shapes = append(e.shapes, s)
			all = append(all, e.key...)
		}
		s.events = append(s.events, i)
		for j := range series.Labels {
			s.labels[j].add(series.Labels[j].Value)
		}
		e.ints = append(e.ints, s.number)
	}
	dst = binary.AppendUvarint(dst, uint64(len(e.shapes)))
	e.more = append(e.more[:0], e.ints...) // Blobs needs the other scratch
	dst = e.col.Blobs(dst, all, []int{len(all)})
	return e.col.Ints(dst, e.more)
}

func appendShape(dst []byte, s *crdt.Series) []byte {
	dst = appendString(append(dst, byte(s.Kind)), s.Name)
	dst = binary.AppendUvarint(dst, uint64(len(s.Labels)))
	for i := range s.Labels {
		dst = appendString(dst, s.Labels[i].Name)
	}
	return dst
}

func (e *Encoder) appendWords(dst []byte, w *words) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(w.ends)))
	return e.col.Ints(e.col.Blobs(dst, w.all, w.ends), w.ids)
}

func (e *Encoder) appendTokens(dst []byte, events []Event) []byte {
	dst = e.each(dst, events, func(ev *Event) int64 { return ev.Token.class() })
	e.words.reset()
	e.more = e.more[:0]
	last := map[string]uint64{}
	var keys, uuids []byte
	var ends, uuidEnds []int
	for i := range events {
		switch t := &events[i].Token; t.class() {
		case tokenSource:
			e.words.add(t.Source)
			e.more = append(e.more, int64(t.Seq-last[t.Source]))
			last[t.Source] = t.Seq
		case tokenKey:
			keys = append(keys, t.Key...)
			ends = append(ends, len(keys))
		case tokenUUID:
			id, _ := parseUUID(t.Key)
			uuids = append(uuids, id[:]...)
			uuidEnds = append(uuidEnds, len(uuids))
		}
	}
	if len(e.more) > 0 {
		dst = e.col.Ints(e.appendWords(dst, &e.words), e.more)
	}
	return e.col.Blobs(e.col.Blobs(dst, keys, ends), uuids, uuidEnds)
}
