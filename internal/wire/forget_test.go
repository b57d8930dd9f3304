package wire

import (
	"bytes"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"meshd/crdt"
)

func drawIncs(t *rapid.T, label string) (incs []crdt.Incarnation) {
	for range rapid.IntRange(0, 5).Draw(t, label) {
		incs = append(incs, drawID(t))
	}
	slices.SortFunc(incs, func(a, b crdt.Incarnation) int { return bytes.Compare(a[:], b[:]) })
	return slices.Compact(incs)
}

func drawFreeze(t *rapid.T) *Freeze {
	m := new(Freeze)
	for range rapid.IntRange(0, 3).Draw(t, "hubs") {
		m.Hubs = append(m.Hubs, drawName(t, "hub"))
	}
	for range rapid.IntRange(0, 4).Draw(t, "nodes") {
		m.Nodes = append(m.Nodes, FrozenNode{
			Node: drawName(t, "node"), Forgotten: rapid.Uint64().Draw(t, "forgotten"), Sum: rapid.Uint64().Draw(t, "sum"),
			Frozen: drawIncs(t, "frozen"), Print: rapid.Uint64().Draw(t, "print"),
		})
	}
	return m
}

func drawForgotten(t *rapid.T) *Forgotten {
	m := &Forgotten{Node: drawName(t, "node"), Parts: rapid.Uint32Range(1, MaxForgottenParts).Draw(t, "parts"), Incs: drawIncs(t, "forgotten")}
	m.Part = rapid.Uint32Range(0, m.Parts-1).Draw(t, "part")
	if rapid.Bool().Draw(t, "cells") {
		m.Frame = forge(drawFrame(t))
	}
	return m
}

func TestFreezeRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) { checkMessage(t, drawFreeze(t)) })
}

func TestForgottenRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) { checkMessage(t, drawForgotten(t)) })
}

func TestForgettingRefused(t *testing.T) {
	many := make([]crdt.Incarnation, MaxForgotten+1)
	for i := range many {
		many[i] = crdt.Incarnation{byte(i >> 16), byte(i >> 8), byte(i)}
	}
	for _, tt := range []struct {
		name string
		m    Message
		want error
	}{
		{"incarnations out of order", &Forgotten{Node: "n", Parts: 1, Incs: []crdt.Incarnation{{2}, {1}}}, ErrInvalid},
		{"an incarnation twice", &Freeze{Nodes: []FrozenNode{{Node: "n", Frozen: []crdt.Incarnation{{1}, {1}}}}}, ErrInvalid},
		{"no parts", &Forgotten{Node: "n"}, ErrInvalid},
		{"a part beyond the last", &Forgotten{Node: "n", Part: 1, Parts: 1}, ErrInvalid},
		{"no node", &Forgotten{Parts: 1}, ErrInvalid},
		{"too many frozen", &Freeze{Nodes: []FrozenNode{{Node: "n", Frozen: many[:MaxFrozen+1]}}}, ErrLimit},
		{"too many forgotten", &Forgotten{Node: "n", Parts: 1, Incs: many}, ErrLimit},
		{"too many nodes", &Freeze{Nodes: make([]FrozenNode, MaxFreezeNodes+1)}, ErrLimit},
		{"too large a frame", &Forgotten{Node: "n", Parts: 1, Frame: make([]byte, MaxFrameBytes+1)}, ErrLimit},
	} {
		_, err := AppendMessage(nil, tt.m)
		t.Run(tt.name, func(t *testing.T) { wantError(t, err, tt.want) })
	}
}
