package node

import (
	"testing"

	"meshd/crdt"
	"meshd/internal/wire"
)

// relayBench is one hub between an edge, on session 1, and a sibling, on session 2. The tests play both.
type relayBench struct {
	*world
	hub  *proc
	edge crdt.Origin
	out  Output
}

func newRelayBench(t *testing.T, cfg CoreConfig) *relayBench {
	b := &relayBench{world: newWorld(t, 3)}
	b.cfg = cfg
	b.hub = b.start("east-hub0", "east", RoleHub)
	b.edge = crdt.Origin{Class: crdt.ClassNode, Region: "east", Node: "east-edge0", Inc: crdt.Incarnation{2}}
	b.greet(1, PeerInfo{Region: "east", Node: b.edge.Node, Role: RoleEdge, Inc: b.edge.Inc})
	return b
}

// do gives the hub an event, and its disk, and returns the messages for the sibling.
func (b *relayBench) do(e Event) (out []Decoded) {
	b.t.Helper()
	for {
		b.hub.core.Step(b.at(), e, &b.out)
		for _, s := range b.out.Sends {
			d, err := Decode(s.Msg)
			if err != nil {
				b.t.Fatal(err)
			}
			if s.Peer == 2 {
				out = append(out, d)
			}
		}
		if b.out.Persist == nil {
			return out
		}
		e = Persisted{Token: b.out.Persist.Token}
	}
}

func (b *relayBench) greet(id uint64, p PeerInfo) {
	b.do(PeerUp{ID: id, Peer: p})
	b.do(Received{ID: id, Msg: Decoded{Msg: &wire.Hello{Inc: p.Inc, WallMs: b.now}}})
}

// sibling brings up a hub that says how far it holds the edge's cells, and lets time pass until relays are due.
func (b *relayBench) sibling(p crdt.Progress) []*wire.Frame {
	b.greet(2, PeerInfo{Region: "east", Node: "east-hub1", Role: RoleHub, Inc: crdt.Incarnation{1}})
	b.marks(true, b.hub.core.Entry().Origin, crdt.Progress{Cursor: 99, Owed: 99, Covered: 99}) // of that it wants nothing
	b.marks(false, b.edge, p)
	return append(b.wait(), b.wait()...)
}

func (b *relayBench) marks(full bool, o crdt.Origin, p crdt.Progress) {
	mark := wire.Mark{Origin: o, Progress: [crdt.NumStreams]crdt.Progress{p}}
	b.do(Received{ID: 2, Msg: Decoded{Msg: &wire.Marks{Full: full, Marks: []wire.Mark{mark}}}})
}

// wait lets a comparison interval pass and returns the edge's frames for the sibling.
func (b *relayBench) wait() (out []*wire.Frame) {
	b.now += 1001
	for _, d := range b.do(Tick{}) {
		if d.Frame != nil && d.Frame.Origin == b.edge {
			out = append(out, d.Frame)
		}
	}
	return out
}

// wrote brings a frame (from, to] with a series of its own.
func (b *relayBench) wrote(session, from, to, head uint64) []Decoded {
	f := &wire.Frame{
		Origin: b.edge, From: from, To: to, Head: head,
		Defs:  []wire.Def{{Ref: uint32(to), Seq: to, Series: crdt.Series{Name: "clicks." + string(rune('a'+to)), Kind: crdt.KindCounter}}},
		Cells: []wire.Cell{{Ref: uint32(to), Seq: to, Value: crdt.Value{Kind: crdt.KindCounter, P: crdt.FixedFromUint(to)}}},
	}
	raw, err := wire.AppendFrame(nil, f)
	if err != nil {
		b.t.Fatal(err)
	}
	return b.do(Received{ID: session, Msg: Decoded{Msg: &wire.FrameMsg{Raw: raw}, Frame: f}})
}

// TestAHubResumesAtWhatItCovers: a sibling that came to its cursor by a frame which left cells out lacks those, whose
// writer may be gone.
func TestAHubResumesAtWhatItCovers(t *testing.T) {
	b := newRelayBench(t, CoreConfig{})
	b.wrote(1, 0, 1, 1)
	fs := b.sibling(crdt.Progress{Cursor: 1, Owed: 2})
	if len(fs) != 1 || fs[0].From != 0 || len(fs[0].Cells) != 1 {
		t.Errorf("relayed %+v, want the cell of (0, 1]", fs)
	}
}

// TestWhatCameOverAGapIsRelayed: cells beyond the own cursor reach nobody else if their writer dies.
func TestWhatCameOverAGapIsRelayed(t *testing.T) {
	b := newRelayBench(t, CoreConfig{})
	b.wrote(1, 0, 1, 1)
	b.wrote(1, 2, 3, 3)
	fs := b.sibling(crdt.Progress{Cursor: 1, Owed: 1, Covered: 1})
	if len(fs) != 1 || fs[0].From != 1 || fs[0].To != 1 || len(fs[0].Cells) != 1 || fs[0].Cells[0].Seq != 3 {
		t.Errorf("relayed %+v, want the cell of seq 3 and no move of the cursor", fs)
	}
}

// TestARelayGoesOnWhereItWasInterrupted: what may be unacknowledged at once is less than what the peer lacks.
func TestARelayGoesOnWhereItWasInterrupted(t *testing.T) {
	b := newRelayBench(t, CoreConfig{FrameBytes: 1, Inflight: 1})
	for to := range uint64(3) {
		b.wrote(1, to, to+1, to+1)
	}
	fs := b.sibling(crdt.Progress{})
	for to := uint64(1); to <= 3; to++ {
		if len(fs) != 1 || fs[0].From != to-1 || fs[0].To != to {
			t.Fatalf("relayed %+v, want (%d, %d]", fs, to-1, to)
		}
		b.marks(false, b.edge, crdt.Progress{Cursor: to, Owed: 3})
		fs = b.wait()
	}
}

// TestAnInterruptedRelayBeginsAgain when something older came in that it would leave out.
func TestAnInterruptedRelayBeginsAgain(t *testing.T) {
	b := newRelayBench(t, CoreConfig{FrameBytes: 1, Inflight: 1})
	b.wrote(1, 0, 2, 5)
	b.wrote(1, 2, 3, 5)
	if fs := b.sibling(crdt.Progress{}); len(fs) != 1 || fs[0].To != 2 {
		t.Fatalf("relayed %+v, want (0, 2]", fs)
	}
	b.wrote(1, 0, 1, 5) // left out of (0, 2], for all that is known
	b.marks(false, b.edge, crdt.Progress{Cursor: 2, Owed: 5})
	if fs := b.wait(); len(fs) != 1 || fs[0].From != 0 {
		t.Errorf("relayed %+v, want to begin again at 0", fs)
	}
}

// TestAFrameThatMovesNothingIsAnswered: its sender waits for an acknowledgement before it sends more.
func TestAFrameThatMovesNothingIsAnswered(t *testing.T) {
	b := newRelayBench(t, CoreConfig{})
	b.wrote(1, 0, 1, 1)
	b.sibling(crdt.Progress{Cursor: 1, Owed: 1, Covered: 1})
	told := func(ds []Decoded) (n int) {
		for _, d := range ds {
			if ms, ok := d.Msg.(*wire.Marks); ok {
				for i := range ms.Marks {
					if ms.Marks[i].Origin == b.edge {
						n++
					}
				}
			}
		}
		return n
	}
	ds := b.wrote(2, 0, 1, 1)
	b.now += 500
	if n := told(append(ds, b.do(Tick{})...)); n != 1 {
		t.Errorf("a frame that was held already is answered %d times, want 1", n)
	}
}

// TestNothingIsStatedBeforeAllIsSent: a sibling takes a statement of coverage for the end of what was sent to it.
func TestNothingIsStatedBeforeAllIsSent(t *testing.T) {
	b := newRelayBench(t, CoreConfig{FrameBytes: 1, Inflight: 1})
	for to := range uint64(3) {
		b.wrote(1, to, to+1, to+1)
	}
	b.greet(2, PeerInfo{Region: "east", Node: "east-hub1", Role: RoleHub, Inc: crdt.Incarnation{1}})
	b.marks(true, b.edge, crdt.Progress{Cursor: 3, Owed: 3, Covered: 3})
	for range 5 {
		b.now += 1001
		for _, d := range b.do(Tick{}) {
			switch d.Msg.(type) {
			case *wire.Coverage, *wire.Heartbeat:
				t.Fatalf("states %+v while totals wait for an acknowledgement", d.Msg)
			}
		}
	}
}
