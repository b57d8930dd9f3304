package wire

import (
	"testing"

	"pgregory.net/rapid"
)

func drawRemovals(t *rapid.T) *Removals {
	m := new(Removals)
	for range rapid.IntRange(0, 6).Draw(t, "nodes") {
		m.Nodes = append(m.Nodes, Removal{Region: drawName(t, "region"), Node: drawName(t, "node"), Turn: rapid.Uint64Min(1).Draw(t, "turn")})
	}
	return m
}

func TestRemovalsRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) { checkMessage(t, drawRemovals(t)) })
}

func TestRemovalsRefused(t *testing.T) {
	for _, bad := range []Removal{{Region: "r", Node: "n"}, {Region: "r", Turn: 1}, {Node: "n", Turn: 1}} {
		_, err := AppendMessage(nil, &Removals{Nodes: []Removal{bad}})
		wantError(t, err, ErrInvalid)
	}
	_, err := AppendMessage(nil, &Removals{Nodes: make([]Removal, MaxRemovals+1)})
	wantError(t, err, ErrLimit)
	_, err = ParseMessage([]byte{typeNodeRemoval, 0x91, 0x91, 0x93, 0xa1, 'r', 0xa1, 'n', 0})
	wantError(t, err, ErrInvalid)
}
