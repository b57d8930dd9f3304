package node

import (
	"fmt"
	"slices"
	"testing"

	"meshd/crdt"
	"meshd/internal/wire"
)

// A send queue that takes a tenth of what a peer lacks must delay it and nothing else: a session that ended for want
// of room would begin again at the same place, for ever.
func TestAQueueSmallerThanACatchUpIsNoLivelock(t *testing.T) {
	w := newWorld(t, 4)
	w.cfg.FrameBytes = 500
	for i := range 2 {
		w.start(fmt.Sprintf("hub%d", i), "east", RoleHub)
		w.start(fmt.Sprintf("edge%d", i), "east", RoleEdge)
	}
	w.run(300)
	w.setCut("hub0", "hub1", true)
	w.setCut("hub0", "edge0", true)
	want := uint64(0)
	for i := range 300 {
		w.count("edge0", fmt.Sprintf("some.long.name.of.a.metric.%d", i), uint64(i+1), Token{})
		w.count("hub1", "one", 1, Token{})
		w.run(4) // each under a seq of its own: what has one seq is one frame
		want++
	}
	w.run(500)
	w.limit = 2000
	w.kill("edge0") // what it wrote has to be relayed
	w.setCut("hub0", "hub1", false)
	w.run(20_000)
	w.mustTotal("one", want)
	for _, o := range w.procs["hub0"].core.hub.region.Origins() {
		if p := w.procs["hub0"].core.hub.region.Held(o).Progress[crdt.StreamLifetime]; o.Node == "edge0" && p.Covered != 300 {
			t.Errorf("of what edge0 wrote, hub0 was relayed %+v, want all 300", p)
		}
	}
	if w.ended > 0 {
		t.Errorf("%d sessions ended because their queue was full", w.ended)
	}
	if waits := w.procs["hub0"].core.Counts.RoomWaits + w.procs["hub1"].core.Counts.RoomWaits; waits == 0 {
		t.Error("the queue was never full: this tests nothing")
	}
}

// lone is a hub with many series whose messages to its peers are recorded and not delivered.
type lone struct {
	t    *testing.T
	core *Core
	at   int64
	to   []uint64 // peers, in the order in which frames were sent to them
}

func newLone(t *testing.T, cfg CoreConfig, series int) *lone {
	t.Helper()
	w := newWorld(t, 8)
	w.cfg = cfg
	p := w.start("hub", "east", RoleHub)
	for i := range series {
		w.count("hub", fmt.Sprintf("metric.%d", i), 1, Token{})
		w.run(4) // each under a seq of its own: what has one seq is one frame
	}
	w.run(200)
	return &lone{t: t, core: p.core, at: w.now}
}

func (l *lone) step(in Event) {
	var out Output
	l.core.Step(Time{Mono: l.at, Wall: l.at}, in, &out)
	for _, s := range out.Sends {
		if d, err := Decode(s.Msg); err != nil {
			l.t.Fatal(err)
		} else if _, ok := d.Msg.(*wire.Push); ok {
			l.to = append(l.to, s.Peer)
		}
	}
}

// join opens the session of an edge that holds nothing.
func (l *lone) join(id uint64, rtt int64) {
	inc := crdt.Incarnation{byte(id)}
	l.step(PeerUp{ID: id, Peer: PeerInfo{Region: "east", Node: fmt.Sprintf("edge%d", id), Role: RoleEdge, Inc: inc, RTT: rtt}})
	for _, m := range []wire.Message{&wire.Hello{Inc: inc, WallMs: l.at}, &wire.Marks{Full: true}} {
		l.step(Received{ID: id, Msg: Decoded{Msg: m}})
	}
}

// Each step serves one catch-up here: those near come first, and a far one that has waited is not overtaken for ever.
func TestCatchUpsAreServedInTurnTheNearestFirst(t *testing.T) {
	const far, newcomers = 10, 300
	l := newLone(t, CoreConfig{CatchUp: 1, FrameBytes: 500}, 200) // several turns each
	l.join(1, 0)
	l.join(2, far)
	l.join(3, 1)
	l.join(4, 5)
	for i := range uint64(newcomers) { // edges next door keep coming, more than can be served
		l.at++
		l.join(100+i, 0)
	}
	for range 10_000 {
		l.step(Tick{})
	}
	turn := map[uint64]int{} // the first of each
	for n, id := range l.to {
		if _, ok := turn[id]; !ok {
			turn[id] = n
		}
	}
	if len(turn) != newcomers+4 {
		t.Fatalf("%d of %d were served", len(turn), newcomers+4)
	}
	if turn[3] > turn[4] || turn[4] > turn[2] {
		t.Errorf("turns of those 1, 5 and %d ms away: %d, %d, %d", far, turn[3], turn[4], turn[2])
	}
	if early, late := uint64(100+far*farther/2), uint64(100+far*farther+1); turn[2] < turn[early] || turn[2] > turn[late] {
		t.Errorf("the far one had turn %d, one that came soon after it %d, one that came later than it may wait %d", turn[2], turn[early], turn[late])
	}
	if l.core.Counts.CatchUpWaits == 0 {
		t.Error("nobody waited")
	}
}

// A peer that takes nothing does not keep its turn.
func TestAPeerWithoutRoomHoldsUpNobody(t *testing.T) {
	l := newLone(t, CoreConfig{CatchUp: 1, FrameBytes: 100_000}, 50)
	var out Output
	out.Room = func(peer uint64, _ bool) Room {
		if peer == 1 {
			return Room{}
		}
		return unbounded
	}
	l.core.out = &out
	served := func() (ids []uint64) {
		l.at++
		l.core.Step(Time{Mono: l.at, Wall: l.at}, Tick{}, &out)
		for _, s := range out.Sends {
			ids = append(ids, s.Peer)
		}
		return ids
	}
	for id := range uint64(2) {
		inc := crdt.Incarnation{byte(id + 1)}
		peer := PeerInfo{Region: "east", Node: fmt.Sprintf("edge%d", id), Role: RoleEdge, Inc: inc}
		for _, in := range []Event{
			PeerUp{ID: id + 1, Peer: peer}, Received{ID: id + 1, Msg: Decoded{Msg: &wire.Hello{Inc: inc, WallMs: l.at}}},
		} {
			l.core.Step(Time{Mono: l.at, Wall: l.at}, in, &out)
		}
		l.core.sessions[id+1].ready = true
		l.core.out = &out
		l.core.lags(l.core.sessions[id+1])
	}
	if got := served(); !slices.Contains(got, 2) || slices.Contains(got, 1) {
		t.Errorf("served %v, want 2 and not 1", got)
	}
}
