package wire

import "meshd/crdt"

// WindowMarks says how far the sender holds the window streams of origins: of each, all publications up to Cursor. It
// acknowledges and asks for more in one, as Marks does.
type WindowMarks struct {
	Full  bool // the first part of a listing of all that the sender holds
	More  bool // the listing goes on
	Marks []WindowMark
}

// WindowMark is how far one window stream is held.
type WindowMark struct {
	Origin crdt.Origin
	Cursor uint64
}

const (
	windowMarksFields  = 3
	windowMarkFields   = 5
	windowMarkBytesMin = 1 + 1 + 2 + 2 + 18 + 1
)

func (m *WindowMarks) append(dst []byte) ([]byte, error) {
	w := newWriter(dst)
	w.limit("marks", len(m.Marks), MaxMarks)
	w.array(windowMarksFields)
	w.bool(m.Full)
	w.bool(m.More)
	w.array(len(m.Marks))
	for i := range m.Marks {
		w.windowMark(&m.Marks[i])
	}
	return w.done()
}

func (w *writer) windowMark(m *WindowMark) {
	w.array(windowMarkFields)
	w.origin(m.Origin)
	w.uint(m.Cursor)
}

func parseWindowMarks(b []byte) (*WindowMarks, error) {
	var m WindowMarks
	r := newReader(b)
	extra := r.array(windowMarksFields)
	m.Full, m.More = r.bool(), r.bool()
	if n := r.list("marks", MaxMarks, windowMarkBytesMin); n > 0 {
		m.Marks = make([]WindowMark, n)
	}
	for i := range m.Marks {
		m.Marks[i] = r.windowMark()
	}
	r.skip(extra)
	return &m, r.end()
}

func (r *reader) windowMark() WindowMark {
	extra := r.array(windowMarkFields)
	m := WindowMark{Origin: r.origin(), Cursor: r.uint()}
	r.skip(extra)
	return m
}
