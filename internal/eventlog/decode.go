package eventlog

import (
	"encoding/binary"
	"fmt"

	"meshd/crdt"
	"meshd/internal/column"
)

// Decoder reads batches. It holds scratch memory only: the zero Decoder is ready, and is not safe for concurrent use.
type Decoder struct {
	col    column.Decoder
	ints   []int64
	floats []float64
	why    string // what was malformed first
}

// Parse reads a batch. Its errors wrap ErrBytes. What it returns does not alias b.
func (d *Decoder) Parse(b []byte) (*Batch, error) {
	d.why = ""
	r := &column.Reader{B: b}
	out := d.parse(r)
	if r.Err == nil && len(r.B) > 0 {
		d.refuse(r, "end")
	}
	if r.Err != nil {
		if d.why == "" {
			d.why = "column"
		}
		return nil, fmt.Errorf("eventlog: %w: %s", ErrBytes, d.why)
	}
	return out, nil
}

// refuse makes the reader end.
func (d *Decoder) refuse(r *column.Reader, why string) {
	if r.Err == nil {
		d.why = why
	}
	r.B, r.Err = nil, ErrBytes
}

func (d *Decoder) parse(r *column.Reader) *Batch {
	if r.Byte() != formVersion {
		d.refuse(r, "version")
	}
	out := &Batch{Origin: crdt.Origin{Class: crdt.ClassNode, Region: readString(r), Node: readString(r)}}
	copy(out.Origin.Inc[:], r.Bytes(uint64(len(out.Origin.Inc))))
	n := r.Uvarint()
	if r.Err != nil || n == 0 || n > MaxEvents || crdt.CheckName(out.Origin.Region) != nil || crdt.CheckName(out.Origin.Node) != nil {
		d.refuse(r, "head")
		return nil
	}
	out.Events = make([]Event, n)
	d.ints = d.col.Ints(d.ints[:0], r, int(n))
	last := int64(0)
	for i, number := range d.ints {
		if number <= last {
			d.refuse(r, "numbers")
			return nil
		}
		out.Events[i].Number, last = uint64(number), number
	}
	d.ints = d.col.Ints(d.ints[:0], r, int(n))
	for i, at := range d.ints {
		out.Events[i].Time = at
	}
	for _, s := range d.readShapes(r, int(n)) {
		d.readShape(r, s, out.Events)
	}
	d.readTokens(r, out.Events)
	d.readCounted(r, out.Events)
	return out
}

func readString(r *column.Reader) string { return string(r.Bytes(r.Uvarint())) }

// readShapes reads which shapes there are and which events have each.
func (d *Decoder) readShapes(r *column.Reader, n int) []*shape {
	count := r.Uvarint()
	blob, ends := d.col.Blobs(r, 1)
	if r.Err != nil || count == 0 || count > uint64(n) || len(ends) != 1 {
		d.refuse(r, "shapes")
		return nil
	}
	in := &column.Reader{B: blob}
	out := make([]*shape, count)
	for i := range out {
		s := &crdt.Series{Kind: crdt.Kind(in.Byte()), Name: readString(in)}
		labels := in.Uvarint()
		if in.Err != nil || labels > crdt.MaxLabels {
			d.refuse(r, "shape")
			return nil
		}
		for range labels {
			s.Labels = append(s.Labels, crdt.Label{Name: readString(in)})
		}
		if in.Err != nil || s.Check() != nil {
			d.refuse(r, "shape")
			return nil
		}
		out[i] = &shape{series: s}
	}
	if len(in.B) > 0 {
		d.refuse(r, "shapes")
	}
	d.ints = d.col.Ints(d.ints[:0], r, n)
	for i, number := range d.ints {
		if number < 0 || number >= int64(len(out)) {
			d.refuse(r, "shape of an event")
			return nil
		}
		out[number].events = append(out[number].events, i)
	}
	return out
}

// readShape reads labels and values of the events of one shape. Events that are equal in all labels share their series.
func (d *Decoder) readShape(r *column.Reader, s *shape, events []Event) {
	if len(s.events) == 0 {
		d.refuse(r, "shape that no event has")
	}
	texts := make([][]string, len(s.series.Labels))
	ids := make([][]int64, len(texts))
	for i := range texts {
		texts[i], ids[i] = d.readWords(r, len(s.events))
	}
	if r.Err != nil {
		return
	}
	values := d.readValues(r, s.series.Kind, len(s.events))
	known := map[string]*crdt.Series{}
	var key []byte
	for k, place := range s.events {
		key = key[:0]
		for i := range ids {
			key = binary.AppendUvarint(key, uint64(ids[i][k]))
		}
		one := known[string(key)]
		if one == nil {
			one = &crdt.Series{Name: s.series.Name, Kind: s.series.Kind, Labels: make([]crdt.Label, len(texts))}
			for i := range texts {
				one.Labels[i] = crdt.Label{Name: s.series.Labels[i].Name, Value: texts[i][ids[i][k]]}
			}
			if one.Check() != nil {
				d.refuse(r, "label")
				return
			}
			known[string(key)] = one
		}
		events[place].Series, events[place].Inc = one, values[k]
	}
}

// readWords reads words and which one each of n events has.
func (d *Decoder) readWords(r *column.Reader, n int) (texts []string, ids []int64) {
	count := r.Uvarint()
	if r.Err != nil || count == 0 || count > uint64(n) {
		d.refuse(r, "words")
		return nil, nil
	}
	all, ends := d.col.Blobs(r, int(count))
	if r.Err != nil {
		return nil, nil
	}
	texts = make([]string, len(ends))
	last := 0
	for i, end := range ends {
		texts[i], last = string(all[last:end]), end
	}
	ids = d.col.Ints(nil, r, n)
	for _, id := range ids {
		if id < 0 || id >= int64(len(texts)) {
			d.refuse(r, "word")
			return nil, nil
		}
	}
	return texts, ids
}

func (d *Decoder) readTokens(r *column.Reader, events []Event) {
	classes := d.col.Ints(nil, r, len(events))
	var with [4]int
	for _, class := range classes {
		if class < tokenNone || class > tokenUUID {
			d.refuse(r, "token")
			return
		}
		with[class]++
	}
	var texts []string
	var ids []int64
	if n := with[tokenSource]; n > 0 {
		texts, ids = d.readWords(r, n)
		d.ints = d.col.Ints(d.ints[:0], r, n)
	}
	keys := d.readKeys(r, with[tokenKey], func(b []byte) string { return string(b) })
	uuids := d.readKeys(r, with[tokenUUID], func(b []byte) string {
		if len(b) != 16 {
			return "" // refused below
		}
		return uuidText(b)
	})
	if r.Err != nil {
		return
	}
	last := make([]uint64, len(texts))
	source, key, uuid := 0, 0, 0
	for i, class := range classes {
		t := &events[i].Token
		switch class {
		case tokenSource:
			id := ids[source]
			last[id] += uint64(d.ints[source])
			t.Source, t.Seq = texts[id], last[id]
			source++
		case tokenKey:
			t.Key = keys[key]
			key++
		case tokenUUID:
			t.Key = uuids[uuid]
			uuid++
		}
		if t.class() != class || t.Seq > 1<<62 {
			d.refuse(r, "token")
			return
		}
	}
}

// readKeys reads a column of n keys.
func (d *Decoder) readKeys(r *column.Reader, n int, text func([]byte) string) []string {
	all, ends := d.col.Blobs(r, n)
	if r.Err != nil {
		return nil
	}
	keys := make([]string, 0, len(ends))
	last := 0
	for _, end := range ends {
		keys = append(keys, text(all[last:end]))
		last = end
	}
	return keys
}
