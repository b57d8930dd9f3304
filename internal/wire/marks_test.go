package wire

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"meshd/crdt"
)

func drawMark(t *rapid.T) Mark {
	m := Mark{Origin: drawOrigin(t)}
	for s := range m.Progress {
		p := &m.Progress[s]
		p.Cursor, p.Owed = rapid.Uint64().Draw(t, "cursor"), rapid.Uint64().Draw(t, "owed")
		p.Covered = rapid.Uint64Range(0, p.Cursor).Draw(t, "covered")
	}
	return m
}

func TestMarksRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := &Marks{Full: rapid.Bool().Draw(t, "full"), More: rapid.Bool().Draw(t, "more")}
		for range rapid.IntRange(0, 20).Draw(t, "marks") {
			m.Marks = append(m.Marks, drawMark(t))
		}
		checkMessage(t, m)
	})
}

// manyMarks lists n origins of nodes with long names.
func manyMarks(n int) *Marks {
	m := &Marks{Full: true}
	for i := range n {
		node := fmt.Sprintf("%063d", i)
		m.Marks = append(m.Marks, Mark{Origin: crdt.Origin{Class: crdt.ClassNode, Region: node, Node: node, Inc: randomID(i)}})
	}
	return m
}

func TestMarksLimits(t *testing.T) {
	checkLongest(t, manyMarks(MaxMarks))
	_, err := AppendMessage(nil, manyMarks(MaxMarks+1))
	wantError(t, err, ErrLimit)
}

func TestMarksRefused(t *testing.T) {
	tests := []struct {
		name string
		edit func(m *Mark)
	}{
		{"class", func(m *Mark) { m.Origin.Class = 0 }},
		{"name", func(m *Mark) { m.Origin.Node = "ä" }},
		{"covered beyond cursor", func(m *Mark) { m.Progress[1].Covered = 1 }},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			m := manyMarks(1)
			test.edit(&m.Marks[0])
			_, err := AppendMessage(nil, m)
			wantError(t, err, ErrInvalid)
			body, _ := m.append([]byte{typeMarks})
			_, err = ParseMessage(body)
			wantError(t, err, ErrInvalid)
		})
	}
}
