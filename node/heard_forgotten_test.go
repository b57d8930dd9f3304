package node

import (
	"testing"

	"meshd/crdt"
	"meshd/internal/wire"
)

// told is a hub whose sibling tells it of processes of an edge, each of which had what an earlier one wrote on its disk.
type told struct {
	*world
	p *proc
}

const toldEdge = "east-edge0"

func newTold(t *testing.T) *told {
	w := newWorld(t, 1)
	w.cfg = CoreConfig{Silence: 2000}
	p := w.start("victim", "east", RoleHub)
	w.step(p, PeerUp{ID: 1, Peer: PeerInfo{Region: "east", Node: "east-hub0", Role: RoleHub, Inc: crdt.Incarnation{1}}})
	return &told{w, p}
}

func (x *told) receive(m wire.Message, f *wire.Frame) {
	x.step(x.p, Received{ID: 1, Msg: Decoded{Msg: m, Frame: f}})
}

// names returns the processes numbered from..to, each of which needs what the first incarnation wrote.
func (x *told) names(from, to byte) (out []wire.HeardProcess) {
	for i := from; i <= to; i++ {
		out = append(out, wire.HeardProcess{Number: uint32(i), Node: toldEdge, Inc: crdt.Incarnation{100 + i}, Needs: []wire.HeardNeed{{Inc: crdt.Incarnation{100}, Head: 1}}})
	}
	return out
}

func (x *told) asOf() int64 { return x.p.core.hub.watch.AsOf(toldEdge) }

// write brings what the first incarnation wrote.
func (x *told) write() {
	f := &wire.Frame{Origin: crdt.Origin{Class: crdt.ClassNode, Region: "east", Node: toldEdge, Inc: crdt.Incarnation{100}}, To: 1, Head: 1}
	f.Defs = []wire.Def{{Seq: 1, Series: crdt.Series{Name: "clicks", Kind: crdt.KindCounter}}}
	f.Cells = []wire.Cell{{Seq: 1, Value: crdt.Value{Kind: crdt.KindCounter, P: crdt.FixedFromUint(1)}}}
	raw, err := wire.AppendFrame(nil, f)
	if err != nil {
		x.t.Fatal(err)
	}
	x.receive(&wire.FrameMsg{Raw: raw}, f)
	x.run(100)
}

// TestProcessesToldTogetherKeepWhatTheyNeed names two processes in one message, the first silent for long. Their words come with it
// or one by one: the second is known by name alone while the first one's word is taken, and must not be forgotten then.
func TestProcessesToldTogetherKeepWhatTheyNeed(t *testing.T) {
	words := []wire.HeardClaim{{Number: 1, AgeMs: 5000}, {Number: 2}}
	for _, first := range []int{2, 1} {
		x := newTold(t)
		at := x.now
		x.receive(&wire.Heard{WallMs: x.now, New: x.names(1, 2), Claims: words[:first]}, nil)
		x.receive(&wire.Heard{WallMs: x.now, Claims: words[first:]}, nil)
		if got := x.asOf(); got != 0 {
			t.Errorf("%d words with the names: the edge passes for complete up to %d without what it wrote before", first, got)
		}
		if x.write(); x.asOf() != at {
			t.Errorf("%d words with the names: with what it wrote the edge is complete up to %d, want %d", first, x.asOf(), at)
		}
	}
}

// TestAForgottenProcessIsNotHeardOfAnew forgets a process because many came after it: nobody says again what its node had
// on its disk, so the word of a sibling that it lives says nothing of completeness.
func TestAForgottenProcessIsNotHeardOfAnew(t *testing.T) {
	x := newTold(t)
	x.receive(&wire.Heard{WallMs: x.now, New: x.names(1, 1), Claims: []wire.HeardClaim{{Number: 1, AgeMs: 9000}}}, nil)
	x.receive(&wire.Heard{WallMs: x.now, New: x.names(2, 2), Claims: []wire.HeardClaim{{Number: 2, AgeMs: 2500}}}, nil)
	if x.p.core.hub.watch.Knows(toldEdge, crdt.Incarnation{101}) {
		t.Fatal("the first process is not forgotten")
	}
	x.receive(&wire.Heard{WallMs: x.now, Claims: []wire.HeardClaim{{Number: 1}}}, nil)
	if got := x.asOf(); got != 0 {
		t.Errorf("the edge passes for complete up to %d", got)
	}
}
