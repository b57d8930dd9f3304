package node

import (
	"slices"
	"strings"
	"testing"

	"meshd/crdt"
	"meshd/internal/wire"
)

// poisoned is a world of a hub pair and two edges, one of which sends hub0 a frame that cannot be right.
func poisoned(t *testing.T, spoil func(*wire.Frame)) *world {
	t.Helper()
	w := newWorld(t, 11)
	for _, n := range []string{"hub0", "hub1"} {
		w.start(n, "east", RoleHub)
	}
	for _, n := range []string{"bad", "good"} {
		w.start(n, "east", RoleEdge)
	}
	w.run(300)
	w.count("bad", "clicks", 1, Token{})
	w.count("good", "clicks", 10, Token{})
	w.run(1000)
	w.mustTotal("clicks", 11)
	bad := w.procs["bad"].core.live
	f := &wire.Frame{
		Origin: bad.Origin, From: bad.Progress[0].Cursor, To: bad.Progress[0].Cursor + 1, Head: bad.Progress[0].Cursor + 1,
		Defs: []wire.Def{{Ref: 7, Seq: bad.Progress[0].Cursor + 1, Series: crdt.Series{Name: "poison", Kind: crdt.KindDistribution}}},
	}
	raw, err := wire.AppendFrame(nil, f)
	if err != nil {
		t.Fatal(err)
	}
	spoil(f)
	l := w.links[pairKey("bad", "hub0")]
	id := l.ia
	if l.b == "hub0" {
		id = l.ib
	}
	w.step(w.procs["hub0"], Received{ID: id, Msg: Decoded{Msg: &wire.FrameMsg{Raw: raw}, Frame: f}})
	w.run(500)
	return w
}

// othersGoOn counts at both edges and checks that all but what the bad one sends hub0 arrives.
func othersGoOn(t *testing.T, w *world) {
	t.Helper()
	w.count("good", "clicks", 100, Token{})
	w.count("bad", "clicks", 1000, Token{})
	w.run(2000)
	for _, n := range []string{"hub1", "good", "bad"} { // the second hub takes everything
		if got := w.total(n, "clicks"); got != "1111" {
			t.Errorf("%s answers %s, want 1111", n, got)
		}
	}
	hub := w.procs["hub0"].core
	q := hub.Quarantine()
	if len(q) != 1 || q[0].Origin.Node != "bad" || q[0].Frames < 2 || q[0].Reason == "" {
		t.Fatalf("hub0 refuses %+v, want frames of the bad edge alone", q)
	}
	w.run(15_000)
	if e := hub.extent(); !slices.Contains(e.Missing, "bad") || slices.Contains(e.Missing, "good") {
		t.Errorf("hub0 states that %v are missing, want the one it refuses", e.Missing)
	}
}

func TestAFrameThatContradictsItselfStopsItsOriginForAWhile(t *testing.T) {
	w := poisoned(t, func(f *wire.Frame) { f.Defs[0].Ref = 0 }) // another series under a number that is taken
	othersGoOn(t, w)
	w.run(probation)
	if q := w.procs["hub0"].core.Quarantine(); len(q) > 0 {
		t.Errorf("still refused after probation: %+v", q)
	}
	w.mustTotal("clicks", 1111)
}

func TestAPanicInAJoinStopsItsOriginUntilARestart(t *testing.T) {
	w := poisoned(t, func(f *wire.Frame) { // no parser makes such a value
		f.Defs[0].Ref = 1
		f.Cells = append(f.Cells, wire.Cell{Ref: 1, Seq: f.To, Value: crdt.Value{Kind: crdt.KindDistribution, X: (*crdt.Distribution)(nil)}})
	})
	hub := w.procs["hub0"].core
	if hub.Counts.Panics != 1 || !strings.Contains(hub.Quarantine()[0].Reason, "panicked") {
		t.Fatalf("%d panics, refused %+v", hub.Counts.Panics, hub.Quarantine())
	}
	othersGoOn(t, w)
	w.run(probation)
	if len(hub.Quarantine()) != 1 {
		t.Error("the origin is joined again by the process whose memory it may have spoilt")
	}
	w.kill("hub0")
	w.start("hub0", "east", RoleHub)
	w.run(3000)
	w.mustTotal("clicks", 1111)
}
