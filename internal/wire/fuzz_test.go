package wire

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"meshd/crdt"
)

// examples draws n values and returns the bytes of each.
func examples[T any](n int, draw func(*rapid.T) *T, appendTo func([]byte, *T) ([]byte, error)) [][]byte {
	var out [][]byte
	for seed := range n {
		b, err := appendTo(nil, rapid.Custom(draw).Example(seed))
		if err != nil {
			panic(err)
		}
		out = append(out, b)
	}
	return out
}

func appendAny[M Message](dst []byte, m M) ([]byte, error) { return AppendMessage(dst, m) }

func FuzzParseFrame(f *testing.F) {
	for _, b := range examples(20, drawFrame, AppendFrame) {
		f.Add(b)
	}
	f.Add(forge(smallFrame()))
	f.Add(forge(counterFrame(1)))
	f.Add(forge(&Frame{Origin: crdt.Origin{Class: crdt.ClassNode, Region: "r", Node: "n"}}))
	f.Fuzz(func(t *testing.T, b []byte) {
		checkFrameBytes(t, b)
		if len(b) >= 2+checksumBytes { // past the checksum, where the parsers are
			checkFrameBytes(t, resum(b))
		}
	})
}

func FuzzParseMessage(f *testing.F) {
	for _, list := range [][][]byte{
		examples(5, drawHello, appendAny[*Hello]),
		examples(5, drawPush, appendAny[*Push]),
		examples(5, drawCoverage, appendAny[*Coverage]),
		examples(5, drawHeard, appendAny[*Heard]),
		examples(5, drawColdMarks, appendAny[*ColdMarks]),
		examples(5, drawMeshConfig, appendAny[*MeshConfig]),
		examples(5, drawRemovals, appendAny[*Removals]),
		examples(5, drawLink, appendAny[*Link]),
		examples(5, drawDelta, appendAny[*Delta]),
		examples(5, drawWindowMarks, appendAny[*WindowMarks]),
		examples(5, drawDrops, appendAny[*Drops]),
		examples(5, drawFreeze, appendAny[*Freeze]),
		examples(5, drawForgotten, appendAny[*Forgotten]),
		examples(5, drawCorrections, appendAny[*Corrections]),
	} {
		for _, b := range list {
			f.Add(b)
		}
	}
	for _, m := range []Message{manyMarks(20), &Heartbeat{WallMs: 1}, &FrameMsg{Raw: forge(smallFrame())}, &Hello{Own: make([]Head, 100)}} {
		b, err := AppendMessage(nil, m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		checkBytes(t, b, ParseMessage, AppendMessage)
	})
}

func FuzzParsePreface(f *testing.F) {
	for _, list := range [][][]byte{
		examples(5, drawPreface, AppendPreface),
		examples(5, drawHubs, AppendHubs),
		examples(5, drawRevoked, AppendRevoked),
		{{tagRefusal, 0x92, 7, 0xa2, 'n', 'o'}},
	} {
		for _, b := range list {
			f.Add(b)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		checkBytes(t, b, ParsePreface, AppendPreface)
		checkBytes(t, b, ParseRefusal, AppendRefusal)
		checkBytes(t, b, ParseHubs, AppendHubs)
		checkBytes(t, b, ParseRevoked, AppendRevoked)
	})
}

func FuzzStoredProgress(f *testing.F) {
	for _, b := range examples(5, drawStored, AppendStoredProgress) {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		checkBytes(t, b, ParseStoredProgress, AppendStoredProgress)
	})
}

// checkBytes demands of any bytes that they are refused or give a value that survives its own bytes, which are
// canonical.
func checkBytes[T any](t *testing.T, b []byte, parse func([]byte) (T, error), appendTo func([]byte, T) ([]byte, error)) {
	t.Helper()
	v, err := parse(b)
	if err != nil {
		return
	}
	out, err := appendTo(nil, v)
	if err != nil {
		t.Fatalf("a parsed value is refused: %v", err)
	}
	again, err := parse(out)
	if err != nil {
		t.Fatalf("a parsed value, appended, is refused: %v", err)
	}
	if diff := cmp.Diff(v, again, same); diff != "" {
		t.Fatalf("a parsed value changed (-first +second):\n%s", diff)
	}
	if bytes, err := appendTo(nil, again); err != nil || !slices.Equal(bytes, out) {
		t.Fatalf("bytes are not canonical (%v):\n%x\n%x", err, out, bytes)
	}
}
