package node

import (
	"fmt"
	"testing"

	"meshd/crdt"
	"meshd/internal/wire"
	"meshd/reconcile"
)

// coverageOf returns what a node says of a region.
func (w *world) coverageOf(name, region string) Coverage {
	w.t.Helper()
	for _, c := range w.procs[name].core.Coverage() {
		if c.Region == region {
			return c
		}
	}
	w.t.Fatalf("%s knows nothing of %s", name, region)
	return Coverage{}
}

// wholeSince fails the test unless a node says that all of a region is heard and complete up to a time after since.
func (w *world) wholeSince(name, region string, nodes int, since int64) {
	w.t.Helper()
	c := w.coverageOf(name, region)
	if c.NodesExpected != nodes || c.NodesHeard != nodes || len(c.Missing) > 0 || c.CompleteUntil.UnixMilli() < since {
		w.t.Errorf("%s says of %s at %d: %+v, want %d nodes, complete since %d", name, region, w.now, c, nodes, since)
	}
}

func threeHubs(w *world) {
	for i := range 3 {
		w.start(fmt.Sprintf("east-hub%d", i), "east", RoleHub)
	}
	for i := range 4 {
		edge := fmt.Sprintf("east-edge%d", i)
		w.start(edge, "east", RoleEdge)
		w.setCut(edge, fmt.Sprintf("east-hub%d", i%3), true) // two home hubs of three
	}
	w.start("west-hub0", "west", RoleHub)
	w.start("west-edge0", "west", RoleEdge)
}

func TestEveryHubAnswersForEdgesOfOthers(t *testing.T) {
	w := newWorld(t, 31)
	threeHubs(w)
	w.run(5000)
	for i := range 4 {
		w.count(fmt.Sprintf("east-edge%d", i), "clicks", 1, Token{})
	}
	at := w.now
	w.run(6000)
	w.mustTotal("clicks", 4)
	for _, name := range []string{"east-hub0", "east-hub1", "east-hub2", "east-edge0", "east-edge3", "west-hub0", "west-edge0"} {
		w.wholeSince(name, "east", 7, at+1)
	}

	w.kill("east-edge1") // nobody hears it: all say so, and name it
	w.run(20_000)
	for _, name := range []string{"east-hub0", "east-hub1", "east-hub2", "west-hub0", "west-edge0"} {
		if c := w.coverageOf(name, "east"); c.NodesHeard != 6 || fmt.Sprint(c.Missing) != "[east-edge1]" {
			t.Errorf("%s says %+v", name, c)
		}
	}
	w.start("east-edge1", "east", RoleEdge)
	at = w.now
	w.run(6000)
	for _, name := range []string{"east-hub0", "east-hub1", "east-hub2", "west-hub0", "west-edge0"} {
		w.wholeSince(name, "east", 7, at)
	}
}

func TestAHubHearsASiblingThroughAnother(t *testing.T) {
	w := newWorld(t, 32)
	threeHubs(w)
	w.setCut("east-hub0", "east-hub2", true)
	w.run(5000)
	w.count("east-hub0", "clicks", 1, Token{})
	at := w.now
	w.run(6000)
	w.wholeSince("east-hub2", "east", 7, at+1)
	w.mustTotal("clicks", 1)
}

// TestASiblingsWordWaitsForItsCells: what a sibling heard counts once the cells are here, and nobody but a sibling is
// believed.
func TestASiblingsWordWaitsForItsCells(t *testing.T) {
	w := newWorld(t, 33)
	p := w.start("east-hub0", "east", RoleHub)
	sibling := PeerInfo{Region: "east", Node: "east-hub1", Role: RoleHub, Inc: crdt.Incarnation{1}}
	stranger := PeerInfo{Region: "west", Node: "west-hub1", Role: RoleHub, Inc: crdt.Incarnation{2}}
	edge := crdt.Origin{Class: crdt.ClassNode, Region: "east", Node: "east-edge0", Inc: crdt.Incarnation{3}}
	for i, peer := range []PeerInfo{sibling, stranger} {
		w.step(p, PeerUp{ID: uint64(i + 1), Peer: peer})
		w.step(p, Received{ID: uint64(i + 1), Msg: Decoded{Msg: &wire.Hello{Inc: peer.Inc, WallMs: w.now}}})
	}
	say := func(session uint64, node string, inc crdt.Incarnation, head uint64) {
		w.step(p, Received{ID: session, Msg: Decoded{Msg: &wire.Heard{
			WallMs: w.now, New: []wire.HeardProcess{{Number: 9, Node: node, Inc: inc}}, Claims: []wire.HeardClaim{{Number: 9, Head: head, AgeMs: 70}},
		}}})
	}
	say(2, "east-edge7", crdt.Incarnation{7}, 1)
	if n, c := p.core.Counts.Refused, w.coverageOf("east-hub0", "east"); n != 1 || c.NodesExpected != 2 {
		t.Errorf("a hub of another region is believed: %d refused, %+v", n, c)
	}
	say(1, edge.Node, edge.Inc, 1)
	if c := w.coverageOf("east-hub0", "east"); c.NodesExpected != 3 || fmt.Sprint(c.Missing) != "[east-edge0 east-hub1]" {
		t.Errorf("before the cells: %+v", c)
	}
	f := &wire.Frame{
		Origin: edge, To: 1, Head: 1, Defs: []wire.Def{{Seq: 1, Series: crdt.Series{Name: "clicks", Kind: crdt.KindCounter}}},
		Cells: []wire.Cell{{Seq: 1, Value: crdt.Value{Kind: crdt.KindCounter, P: crdt.FixedFromUint(1)}}},
	}
	raw, err := wire.AppendFrame(nil, f)
	if err != nil {
		t.Fatal(err)
	}
	w.step(p, Received{ID: 1, Msg: Decoded{Msg: &wire.FrameMsg{Raw: raw}, Frame: f}})
	said := w.now - 70
	w.run(100)
	if got := p.core.hub.watch.AsOf(edge.Node); got != said {
		t.Errorf("with the cells complete until %d, want %d", got, said)
	}
	w.step(p, Received{ID: 1, Msg: Decoded{Msg: &wire.Heard{WallMs: w.now, Claims: []wire.HeardClaim{{Number: 10, Head: 1}}}}})
	if p.core.Counts.Refused != 2 {
		t.Error("a number that was never given is believed or not counted")
	}
}

func TestOnlyNewsGoToSiblings(t *testing.T) {
	w := newWorld(t, 34)
	threeHubs(w)
	w.run(5000)
	var claims, names, messages int
	w.tap = func(to string, raw []byte) {
		d, err := Decode(raw)
		if m, ok := d.Msg.(*wire.Heard); ok && err == nil && to == "east-hub2" {
			claims, names, messages = claims+len(m.Claims), names+len(m.New), messages+1
		}
	}
	w.run(10_000)
	// Hubs 0 and 1 each hear their edges (0 to 3, less one or two) and each other once a second.
	if names != 0 || messages < 18 || messages > 22 || claims > 4*messages {
		t.Errorf("%d messages with %d claims and %d names in 10 s", messages, claims, names)
	}
	w.tap = nil
	for range 3 { // processes that are over are forgotten by both
		w.kill("east-edge2")
		w.run(1000)
		w.start("east-edge2", "east", RoleEdge)
		w.run(30_000)
	}
	for _, name := range []string{"east-hub0", "east-hub1", "east-hub2"} {
		for _, s := range w.procs[name].core.order {
			if s.peer.Role == RoleHub && s.peer.Region == "east" && (len(s.heard.names) > 7 || len(s.heard.told) > 7) {
				t.Errorf("%s and %s remember %d and %d numbers of 7 nodes", name, s.peer.Node, len(s.heard.told), len(s.heard.names))
			}
		}
	}
}

func TestClocksOutOfBoundsAreListed(t *testing.T) {
	w := newWorld(t, 35)
	w.skew = map[string]int64{"east-edge0": 4000, "east-hub1": -9000, "west-edge0": 300}
	threeHubs(w)
	w.run(8000)
	want := map[string]string{ // of a clock by the clock of who states it
		"east-hub0": "[{east-edge0 4s} {east-hub1 -9s}]",
		"east-hub2": "[{east-edge0 4s} {east-hub1 -9s}]",
		"west-hub0": "[{east-edge0 4s} {east-hub1 -9s}]",
	}
	for name, list := range want {
		c := w.coverageOf(name, "east")
		got := "["
		for i, o := range c.Clocks {
			if i > 0 {
				got += " "
			}
			got += fmt.Sprintf("{%s %s}", o.Node, o.Offset.Round(1e8))
		}
		if got += "]"; got != list || c.ClocksOff != 2 {
			t.Errorf("%s lists %s, want %s", name, got, list)
		}
	}
	if c := w.coverageOf("east-edge3", "west"); c.ClocksOff != 0 {
		t.Errorf("300 ms are out of bounds: %+v", c)
	}
	if !reconcile.ClockOff(501) || reconcile.ClockOff(500) || !reconcile.ClockOff(-1501) || reconcile.ClockOff(-1500) {
		t.Error("the bounds have moved")
	}
}

func TestARegionThatIsSilentForLongIsListed(t *testing.T) {
	w := newWorld(t, 36)
	mesh(w)
	w.run(3000)
	w.count("west-edge0", "clicks", 5, Token{})
	w.run(3000)
	for _, p := range w.sorted() {
		if p.region == "west" {
			w.kill(p.name)
		}
	}
	at := w.now
	w.run(3_600_000)
	for _, name := range []string{"east-hub0", "east-edge0"} {
		c := w.coverageOf(name, "west")
		if c.NodesExpected != 5 || c.NodesHeard != 0 || c.Age.Milliseconds() < 3_600_000 || c.OldestMissing.UnixMilli() < at-5000 || c.OldestMissing.UnixMilli() > at {
			t.Errorf("%s says %+v", name, c)
		}
	}
	w.kill("east-hub0")
	w.start("east-hub0", "east", RoleHub)
	if c := w.coverageOf("east-hub0", "west"); c.NodesExpected != 2 || c.NodesHeard != 0 || !c.CompleteUntil.IsZero() {
		t.Errorf("after a restart: %+v", c)
	}
	w.mustTotal("clicks", 5)
}
