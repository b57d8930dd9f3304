package wire

import (
	"testing"

	"pgregory.net/rapid"

	"meshd/crdt"
)

func drawWindowMarks(t *rapid.T) *WindowMarks {
	m := &WindowMarks{Full: rapid.Bool().Draw(t, "full"), More: rapid.Bool().Draw(t, "more")}
	for range rapid.IntRange(0, 50).Draw(t, "marks") {
		m.Marks = append(m.Marks, WindowMark{Origin: drawOrigin(t), Cursor: rapid.Uint64().Draw(t, "cursor")})
	}
	return m
}

func TestWindowMarksRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) { checkMessage(t, drawWindowMarks(t)) })
}

func TestWindowMarksRefused(t *testing.T) {
	_, err := AppendMessage(nil, &WindowMarks{Marks: make([]WindowMark, MaxMarks+1)})
	wantError(t, err, ErrLimit)
	_, err = AppendMessage(nil, &WindowMarks{Marks: []WindowMark{{Origin: crdt.Origin{Class: 9, Region: "eu", Node: "n"}}}})
	wantError(t, err, ErrInvalid)
}

func TestOwnerOfWhatAProcessLeftBehind(t *testing.T) {
	f := smallFrame()
	if f.Owner() != f.Origin {
		t.Errorf("owner of a process' own cells is %s", f.Owner())
	}
	f.Of = crdt.Incarnation{7}
	if o := f.Owner(); o.Inc != f.Of || o.Node != f.Origin.Node {
		t.Errorf("owner of what %s left is %s", f.Of.Short(), o)
	}
	for name, change := range map[string]func(*Frame){
		"in the lifetime stream": func(*Frame) {},
		"of a region":            func(f *Frame) { f.Stream, f.Origin.Class = crdt.StreamWindow, crdt.ClassRegion },
		"of itself":              func(f *Frame) { f.Stream, f.Of = crdt.StreamWindow, f.Origin.Inc },
	} {
		bad := smallFrame()
		bad.Of = crdt.Incarnation{7}
		change(bad)
		_, err := AppendFrame(nil, bad)
		t.Run(name, func(t *testing.T) { wantError(t, err, ErrInvalid) })
	}
}
