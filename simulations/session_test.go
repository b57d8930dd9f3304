package simulations

import (
	"math"
	"testing"

	"meshd/crdt"
	"meshd/internal/wire"
	"meshd/node"
)

// TestASendOnASessionThatIsOverIsNoticed lets a core send on sessions that it was never given, and that it closed.
func TestASendOnASessionThatIsOverIsNoticed(t *testing.T) {
	p := DrawSmall(1)
	p.Faults = nil
	for name, closes := range map[string]bool{"unknown": false, "closed": true} {
		w := newWorld(p)
		for ev := w.next(); ev != nil && w.now < 1_000_000; ev = w.next() {
			w.now = max(w.now, ev.at)
			w.dispatch(ev)
			w.passed(ev)
		}
		m := w.hubs[0]
		id := uint64(1 << 40)
		if closes {
			id = sorted(m.proc.ends)[0]
			w.closed(m, node.CloseSession{Peer: id})
		}
		if w.send(m, &node.Send{Peer: id}, &sent{}); len(w.report.Violations) != 1 || w.report.Violations[0].Rule != "I9" {
			t.Errorf("%s: violations %v, want I9", name, w.report.Violations)
		}
	}
}

// TestAProcessThatHasToEndIsNoticed lets a hub call an edge's incarnation forgotten that runs.
func TestAProcessThatHasToEndIsNoticed(t *testing.T) {
	p := DrawSmall(1)
	p.Faults = nil
	w := newWorld(p)
	for ev := w.next(); ev != nil && w.now < 1_000_000; ev = w.next() {
		w.now = max(w.now, ev.at)
		w.dispatch(ev)
		w.passed(ev)
	}
	hub := w.hubs[0]
	for _, id := range sorted(hub.proc.ends) {
		e := hub.proc.ends[id].other()
		if e.m.spec.Role != node.RoleEdge {
			continue
		}
		own := crdt.Origin{Class: crdt.ClassNode, Region: e.m.spec.Region, Node: e.m.spec.Name, Inc: e.m.proc.by.inc}
		all := crdt.Progress{Cursor: math.MaxUint64, Owed: math.MaxUint64, Covered: math.MaxUint64}
		raw, err := wire.AppendMessage(nil, &wire.Marks{Marks: []wire.Mark{{Origin: own, Progress: [crdt.NumStreams]crdt.Progress{all}}}})
		if err != nil {
			t.Fatal(err)
		}
		dec, err := node.Decode(raw)
		if err != nil {
			t.Fatal(err)
		}
		w.step(e.m, node.Received{ID: e.id, Msg: dec})
		if len(w.report.Violations) != 1 || w.report.Violations[0].Rule != "I6" {
			t.Errorf("violations %v, want I6", w.report.Violations)
		}
		return
	}
	t.Fatal("the hub has no edge")
}
