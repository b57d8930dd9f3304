package node

import (
	"fmt"
	"testing"

	"meshd/crdt"
	"meshd/internal/wire"
)

func TestWhatIsToldByTheFrameBeforeIsWhatWasMeant(t *testing.T) {
	w := newWorld(t, 61)
	shipMesh(w)
	w.run(90_000)
	kinds := map[string]int{}
	w.tap = func(to string, raw []byte) {
		d, err := Decode(raw)
		if err != nil {
			t.Fatal(err)
		}
		switch m := d.Msg.(type) {
		case *wire.Delta:
			kinds[fmt.Sprintf("delta of class %d", d.Frame.Origin.Class)]++
		case *wire.Push:
			if m.Told != 0 {
				kinds["push"]++
			}
		}
	}
	n := uint64(0)
	for i := range 300 {
		for _, name := range []string{"east-ship", "west-edge", "east-edge"} {
			for k := range 20 {
				w.count(name, fmt.Sprintf("clicks.%d", k), 1_000_003, Token{})
			}
		}
		n++
		if i == 150 { // a new session begins with whole frames
			for k, l := range w.links {
				if k[0] == "east-ship" || k[1] == "east-ship" {
					w.drop(k, l)
				}
			}
		}
		w.run(1000)
	}
	w.run(65_000)
	for k := range 20 {
		w.mustTotal(fmt.Sprintf("clicks.%d", k), 3*n*1_000_003)
	}
	if kinds["push"] == 0 || kinds["delta of class 1"] == 0 || kinds["delta of class 3"] == 0 {
		t.Errorf("told by what was before: %v, want some of a node, of a view, and pushes", kinds)
	}
}

func TestAFrameToldByNoneEndsItsSession(t *testing.T) {
	w := newWorld(t, 62)
	shipMesh(w)
	w.run(90_000)
	ship := w.procs["east-ship"]
	s := ship.core.order[0]
	o := crdt.Origin{Class: crdt.ClassView, Region: "west", Node: s.peer.Node, Inc: s.peer.Inc}
	f := &wire.Frame{Origin: o, From: 1 << 20, To: 1<<20 + 1, Head: 1<<20 + 1, Cells: []wire.Cell{{Seq: 1, Value: crdt.Value{Kind: crdt.KindCounter}}}}
	malformed := ship.core.Counts.Malformed
	w.step(ship, Received{ID: s.id, Msg: Decoded{Msg: &wire.Delta{Sum: 1}, Frame: f}})
	if ship.core.Counts.Malformed != malformed+1 || ship.core.sessions[s.id] != nil {
		t.Error("its session goes on")
	}
}

func TestFramesOfWindowsAreNobodysBase(t *testing.T) {
	s := &session{}
	s.line.bases = map[crdt.Origin]*wire.Frame{}
	life, window := &wire.Frame{To: 7}, &wire.Frame{To: 3, Stream: crdt.StreamWindow}
	s.keepBase(life)
	s.keepBase(window)
	if s.line.bases[life.Origin] != life {
		t.Error("a frame of windows took the place of what the next frame is told by")
	}
}
