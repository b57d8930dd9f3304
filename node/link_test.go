package node

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"meshd/crdt"
	"meshd/internal/wire"
)

// metered makes the nodes whose name says so edges on a line that is paid for by the byte.
func metered(name string, cfg *CoreConfig) {
	if strings.Contains(name, "ship") {
		cfg.Flush, cfg.OneFeed = 30_000, true
	}
}

// shipMesh starts a region of three hubs, of which one has no session with the ship, and another region.
func shipMesh(w *world) {
	if w.each == nil {
		w.each = metered
	}
	for i := range 3 {
		w.start(fmt.Sprintf("east-hub%d", i), "east", RoleHub)
	}
	w.start("east-edge", "east", RoleEdge)
	w.start("east-ship", "east", RoleEdge)
	w.setCut("east-ship", "east-hub2", true)
	w.start("west-hub", "west", RoleHub)
	w.start("west-edge", "west", RoleEdge)
}

func TestANodeOnASeldomUsedLineIsExpectedAtItsPace(t *testing.T) {
	w := newWorld(t, 71)
	shipMesh(w)
	w.run(90_000)
	var oldest int64
	for at := w.now + 180_000; w.now < at; w.run(1000) {
		w.count("east-ship", "clicks", 1, Token{})
		w.count("west-edge", "clicks", 1, Token{})
		for _, name := range []string{"east-hub0", "east-hub1", "east-hub2", "west-hub", "east-edge", "east-ship"} {
			c := w.coverageOf(name, "east")
			if c.NodesHeard != 5 || len(c.Missing) > 0 {
				t.Fatalf("%s at %d: %+v, want all 5 nodes heard", name, w.now, c)
			}
			if oldest = max(oldest, c.Age.Milliseconds()); name != "east-ship" && c.Age.Milliseconds() > 31_500 {
				t.Errorf("%s says of east that it is %s old: the ship flushes every 30 s", name, c.Age)
			}
		}
	}
	if oldest < 20_000 {
		t.Errorf("the oldest coverage was %d ms old: it cannot be that fresh", oldest)
	}
	w.kill("east-ship")
	w.run(45_000)
	if c := w.coverageOf("east-hub2", "east"); !slices.Equal(c.Missing, []string{"east-ship"}) {
		t.Errorf("45 s after the ship was last heard: %+v", c)
	}
}

// carriesCells reports whether a message brings cells, told by others before or not.
func carriesCells(d Decoded) bool {
	_, push := d.Msg.(*wire.Push)
	return d.Frame != nil || push || isDelta(d)
}

func isDelta(d Decoded) bool {
	_, ok := d.Msg.(*wire.Delta)
	return ok
}

func TestASessionGoesAtThePaceOfItsSlowerEnd(t *testing.T) {
	w := newWorld(t, 72)
	shipMesh(w)
	w.run(90_000)
	down, up := map[int64]bool{}, map[int64]bool{} // when cells went
	w.tap = func(to string, raw []byte) {
		d, err := Decode(raw)
		if err != nil {
			t.Fatal(err)
		}
		switch {
		case to == "east-ship" && carriesCells(d):
			down[w.now/1000] = true
		case isDelta(d), d.Frame != nil && d.Frame.Origin.Node == "east-ship" && d.Frame.Origin.Class == crdt.ClassNode:
			up[w.now/10_000] = true
		}
	}
	for range 300 {
		w.count("east-ship", "clicks", 1, Token{})
		w.count("west-edge", "clicks", 1, Token{})
		w.run(1000)
	}
	if n := len(down); n < 9 || n > 11 {
		t.Errorf("cells came in %d seconds of 300, want one in 30", n)
	}
	if n := len(up); n < 9 || n > 20 {
		t.Errorf("cells of the ship were under way in %d of 30 times 10 s, want every third, or two if a relay follows later", n)
	}
	w.tap = nil
	w.run(65_000)
	w.mustTotal("clicks", 600)
}

func TestOneHomeFeedsAMeteredEdgeUntilItIsGone(t *testing.T) {
	w := newWorld(t, 73)
	shipMesh(w)
	w.run(90_000)
	feed := func() string {
		before, from := map[uint64]uint64{}, []string{}
		sessions := func(do func(s *session)) {
			for _, s := range w.procs["east-ship"].core.order {
				do(s)
			}
		}
		sessions(func(s *session) { before[s.id] = s.framesIn })
		for range 90 {
			w.count("west-edge", "clicks", 1, Token{})
			w.count("east-edge", "clicks", 1, Token{})
			w.run(1000)
		}
		sessions(func(s *session) {
			if s.framesIn > before[s.id] {
				from = append(from, s.peer.Node)
			}
		})
		if len(from) != 1 {
			t.Fatalf("fed by %v, want one", from)
		}
		return from[0]
	}
	first := feed()
	w.setCut("east-ship", first, true)
	w.run(40_000)
	if second := feed(); second == first {
		t.Errorf("still fed by %s", first)
	}
	w.run(65_000)
	w.mustTotal("clicks", 360)
}

func TestTheWordOfAHubDoesNotWaitForASeldomUsedLine(t *testing.T) {
	w := newWorld(t, 74)
	shipMesh(w)
	w.run(100_000)
	for range 5 {
		w.run(7000)
		p := w.procs["east-ship"]
		w.ids++
		id := w.ids
		w.step(p, Submit{ID: id, Batch: &Batch{AckHub: 10_000, Items: []Item{{
			Series: &crdt.Series{Name: "sales", Kind: crdt.KindCounter}, Inc: crdt.Value{Kind: crdt.KindCounter, P: crdt.FixedFromUint(1)},
		}}}})
		w.run(1000)
		if r, ok := p.replies[id]; !ok || r.Err != nil {
			t.Errorf("a second after it asked for the word of a hub: answered %v, %v", ok, r.Err)
		}
	}
}

// TestAStretchedIntervalLosesNothing asks for a longer interval between a write and the flush that would have sent it. Nothing is
// counted afterwards: a later frame would show that one is missing.
func TestAStretchedIntervalLosesNothing(t *testing.T) {
	w := newWorld(t, 78)
	w.each = metered
	hub := w.start("hub", "east", RoleHub)
	ship := w.start("ship", "east", RoleEdge)
	w.run(90_000)
	w.count("hub", "clicks", 1, Token{}) // goes at once: nothing went for long
	w.run(1000)
	w.count("hub", "clicks", 6, Token{})
	w.run(100)
	if got := w.total("ship", "clicks"); got != "1" {
		t.Fatalf("the ship has %s before it is flushed, want 1", got)
	}
	s := hub.core.order[0]
	longer := s.line.peer
	longer.IntervalMs = 60_000
	w.step(hub, Received{ID: s.id, Msg: Decoded{Msg: &longer}})
	w.run(61_000)
	if got := w.total("ship", "clicks"); got != "7" || ship.core.Counts.Malformed > 0 {
		t.Errorf("one interval later the ship has %s, want 7", got)
	}
}

func TestAHubTakesNoBadPatterns(t *testing.T) {
	w := newWorld(t, 75)
	w.start("east-hub0", "east", RoleHub)
	w.start("east-edge0", "east", RoleEdge)
	w.run(2000)
	hub := w.procs["east-hub0"]
	refused := hub.core.Counts.Refused
	w.step(hub, Received{ID: hub.core.order[0].id, Msg: Decoded{Msg: &wire.Link{Feed: wire.FeedSome, Patterns: []string{"{"}}}})
	if hub.core.Counts.Refused != refused+1 || hub.core.order[0].line.filter != nil {
		t.Errorf("refused %d, filter %v", hub.core.Counts.Refused, hub.core.order[0].line.filter)
	}
}
