package node

import (
	"testing"

	"meshd/crdt"
)

// TestWindowsOfAMeteredLineGoOnceToOneHome: one publication an interval, to the home that feeds; the other has it from that one,
// and is sent it directly only when the two hubs cannot hear each other.
func TestWindowsOfAMeteredLineGoOnceToOneHome(t *testing.T) {
	w := newWindowWorld(t, 73)
	w.each = metered
	for _, hub := range []string{"east-hub0", "east-hub1"} {
		w.start(hub, "east", RoleHub)
	}
	ship := w.start("east-ship", "east", RoleEdge)
	var publications map[string]int
	w.tap = func(to string, raw []byte) {
		d, err := Decode(raw)
		if err != nil {
			t.Fatal(err)
		}
		if f := d.Frame; f != nil && f.Stream == crdt.StreamWindow && f.Origin.Node == "east-ship" && to != "east-ship" {
			publications[to]++
		}
	}
	sailing := func(seconds int64) {
		publications = map[string]int{}
		for range seconds {
			w.count("east-ship", "clicks", 1, Token{})
			w.run(1000)
		}
	}
	hasAll := func(after string) {
		t.Helper()
		own := ship.core.win.origin(ship.core.own)
		for _, hub := range []string{"east-hub0", "east-hub1"} {
			if got := w.procs[hub].core.win.origin(ship.core.own).cursor; got+1 < own.cursor {
				t.Errorf("%s: %s has %d of %d publications", after, hub, got, own.cursor)
			}
		}
	}
	framesTo := func(hub string) (n int) {
		for _, s := range ship.core.order {
			if s.peer.Node == hub {
				n = int(s.framesOut)
			}
		}
		return n
	}
	sailing(90)
	feed := ship.core.sessions[ship.core.feed].peer.Node
	other := map[string]string{"east-hub0": "east-hub1", "east-hub1": "east-hub0"}[feed]
	from, direct := ship.core.win.origin(ship.core.own).cursor, framesTo(other)
	sailing(600)
	if n := framesTo(other) - direct; n > 24 {
		t.Errorf("the ship sent %d frames to %s, which is not its feed, in 20 intervals: want its cells only", n, other)
	}
	if n := ship.core.win.origin(ship.core.own).cursor - from; n > 22 {
		t.Errorf("%d publications in 20 intervals", n)
	}
	hub := w.procs[other].core
	if relayed := publications[other]; relayed < 19 || relayed > 23 {
		t.Errorf("%s was brought %d publications in 20 intervals, want each once", other, relayed)
	}
	hasAll("with both homes")
	w.setCut(feed, other, true)
	sailing(300)
	if got, own := hub.win.origin(ship.core.own).cursor, ship.core.win.origin(ship.core.own).cursor; got+4 < own {
		t.Errorf("%s, cut off from %s, has %d of %d publications", other, feed, got, own)
	}
	w.setCut(feed, other, false)
	w.kill(feed)
	sailing(120)
	if got, own := hub.win.origin(ship.core.own).cursor, ship.core.win.origin(ship.core.own).cursor; got+1 < own {
		t.Errorf("%s, the only home, has %d of %d publications", other, got, own)
	}
}
