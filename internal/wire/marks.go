package wire

import "meshd/crdt"

// Marks says what the sender holds, and so asks for what is beyond. It serves as the acknowledgement too: only what
// is committed is named.
type Marks struct {
	Full  bool // this message begins a complete listing
	More  bool // the listing goes on in the next message
	Marks []Mark
}

// Mark is how much of the streams of one origin the sender holds.
type Mark struct {
	Origin   crdt.Origin
	Progress [crdt.NumStreams]crdt.Progress
}

const (
	marksFields    = 3
	originFields   = 4
	markFields     = originFields + 3*crdt.NumStreams
	originBytesMin = 1 + 2 + 2 + 18
	markBytesMin   = 1 + originBytesMin + 3*crdt.NumStreams
)

func (m *Marks) append(dst []byte) ([]byte, error) {
	w := newWriter(dst)
	w.array(marksFields)
	w.bool(m.Full)
	w.bool(m.More)
	w.limit("marks", len(m.Marks), MaxMarks)
	w.array(len(m.Marks))
	for i := range m.Marks {
		w.array(markFields)
		w.mark(&m.Marks[i])
	}
	return w.done()
}

func parseMarks(b []byte) (*Marks, error) {
	var m Marks
	r := newReader(b)
	extra := r.array(marksFields)
	m.Full, m.More = r.bool(), r.bool()
	if n := r.list("marks", MaxMarks, markBytesMin); n > 0 {
		m.Marks = make([]Mark, n)
	}
	for i := range m.Marks {
		extra := r.array(markFields)
		m.Marks[i] = r.mark()
		r.skip(extra)
	}
	r.skip(extra)
	return &m, r.end()
}

// mark writes the fields of m into the array that is open.
func (w *writer) mark(m *Mark) {
	w.origin(m.Origin)
	for _, p := range m.Progress {
		if p.Covered > p.Cursor {
			w.fail(ErrInvalid, "covered %d beyond cursor %d", p.Covered, p.Cursor)
		}
		w.uint(p.Cursor)
		w.uint(p.Owed)
		w.uint(p.Covered)
	}
}

func (r *reader) mark() (m Mark) {
	m.Origin = r.origin()
	for s := range m.Progress {
		p := &m.Progress[s]
		p.Cursor, p.Owed, p.Covered = r.uint(), r.uint(), r.uint()
		if p.Covered > p.Cursor {
			r.fail(ErrInvalid, "covered %d beyond cursor %d", p.Covered, p.Cursor)
		}
	}
	return m
}

// origin writes the fields of o into the array that is open.
func (w *writer) origin(o crdt.Origin) {
	if !o.Class.Valid() {
		w.fail(ErrInvalid, "%v", o.Class)
	}
	w.uint(uint64(o.Class))
	w.name(o.Region)
	w.name(o.Node)
	w.bytes(o.Inc[:])
}

func (r *reader) origin() (o crdt.Origin) {
	o.Class = crdt.Class(r.small("class", uint64(crdt.ClassView)))
	if r.err == nil && !o.Class.Valid() {
		r.fail(ErrInvalid, "%v", o.Class)
	}
	o.Region, o.Node, o.Inc = r.name(), r.name(), r.id()
	return o
}
