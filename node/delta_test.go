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
			kinds["delta to "+to]++
			if m.Back > 1 {
				kinds["from further back"]++
			}
		case *wire.Push:
			if m.Back != 0 {
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
	if kinds["push"] < 8 || kinds["delta to east-hub0"] == 0 || kinds["delta to east-ship"] < 8 || kinds["from further back"] == 0 {
		t.Errorf("told by what was before: %v, want some of a node, of a view, and pushes", kinds)
	}
	for name, p := range w.procs {
		if p.core.Counts.Malformed > 0 {
			t.Errorf("%s could not read %d messages", name, p.core.Counts.Malformed)
		}
	}
}

// amountsOf returns a frame of a counter.
func amountsOf(o crdt.Origin, seq, amount uint64) *wire.Frame {
	return &wire.Frame{
		Origin: o, From: seq - 1, To: seq, Head: seq,
		Cells: []wire.Cell{{Seq: seq, Value: crdt.Value{Kind: crdt.KindCounter, P: crdt.FixedFromUint(amount)}}},
	}
}

// TestAFrameToldByAnotherOneThanWasMeantEndsItsSession: nothing of what cannot be put together is believed.
func TestAFrameToldByAnotherOneThanWasMeantEndsItsSession(t *testing.T) {
	for name, back := range map[string]uint32{"none": 0, "one that never came": 9, "that of another origin": 1, "an older one": 2} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, 62)
			shipMesh(w)
			w.run(90_000)
			ship := w.procs["east-ship"]
			s := ship.core.order[0]
			o := crdt.Origin{Class: crdt.ClassView, Region: "west", Node: s.peer.Node, Inc: s.peer.Inc}
			other := o
			other.Region = "north"
			s.line.in.keep(amountsOf(o, 1<<20, 10), nil)
			s.line.in.keep(amountsOf(other, 1<<20, 20), nil)
			base := &wire.Base{Frame: amountsOf(o, 1<<20, 11)} // which differs from what came
			f := amountsOf(o, 1<<20+1, 30)
			gains, ok := base.AppendGains(nil, f)
			if !ok {
				t.Fatal("it cannot be told")
			}
			malformed, in := ship.core.Counts.Malformed, ship.core.Counts.FramesIn
			w.step(ship, Received{ID: s.id, Msg: Decoded{Msg: &wire.Delta{Back: back, Gains: gains, Sum: f.Sum(nil)}}})
			if ship.core.Counts.Malformed != malformed+1 || ship.core.sessions[s.id] != nil || ship.core.Counts.FramesIn != in {
				t.Error("its session goes on")
			}
		})
	}
}

func TestWhatIsKeptOfASessionIsBounded(t *testing.T) {
	var l line
	l.in.keep(amountsOf(crdt.Origin{Class: crdt.ClassView, Node: "hub"}, 1, 1), nil)
	if l.in.came != 0 {
		t.Error("frames are counted that nobody tells others by")
	}
	l.keepBases()
	for i := range uint64(3 * wire.MaxBack) {
		for _, region := range []string{"again", fmt.Sprintf("r%d", i)} {
			l.in.keep(amountsOf(crdt.Origin{Class: crdt.ClassView, Region: region, Node: "hub"}, i+1, i), nil)
		}
	}
	if len(l.in.at) > wire.MaxBack || len(l.in.last) != len(l.in.at) {
		t.Errorf("%d frames are kept, of %d origins; want %d at most", len(l.in.at), len(l.in.last), wire.MaxBack)
	}
	if b := l.in.back(2); b == nil || b.Frame.Origin.Region != "again" {
		t.Errorf("the last but one is %v", b)
	}
	if l.in.back(4) != nil {
		t.Error("of one origin two frames are kept")
	}
	if b := l.in.back(wire.MaxBack); b != nil && b.Frame.Origin.Region == "again" {
		t.Errorf("the last one in reach is %v", b.Frame.Origin)
	}
}

func TestFramesOfWindowsAreNobodysBase(t *testing.T) {
	var l line
	l.keepBases()
	life, window := &wire.Frame{To: 7}, &wire.Frame{To: 3, Stream: crdt.StreamWindow}
	l.in.keep(life, nil)
	l.in.keep(window, nil)
	if b := l.in.back(1); b == nil || b.Frame != life {
		t.Error("a frame of windows took the place of what the next frame is told by")
	}
}

// TestNothingIsToldByWhatWentBeside: frames on the connection for bulk have no order among those of the session.
func TestNothingIsToldByWhatWentBeside(t *testing.T) {
	s, st := &session{}, &outStream{}
	s.line.peer.Deltas = true
	f := amountsOf(crdt.Origin{Class: crdt.ClassView, Node: "hub"}, 1, 1)
	s.sentBase(st, f, nil, false)
	if s.back(st) != 1 {
		t.Error("the next one is not told by it")
	}
	s.sentBase(&outStream{}, f, nil, true)
	if s.back(st) != 0 {
		t.Error("the next one is told by one that another may have overtaken")
	}
}
