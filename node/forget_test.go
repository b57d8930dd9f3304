package node

import (
	"fmt"
	"maps"
	"strings"
	"testing"

	"meshd/crdt"
	"meshd/internal/wire"
	"meshd/reconcile"
)

// forgetful is a world in which what is over is cold after a second and may be forgotten three later.
func forgetful(t *testing.T) *world {
	w := newWorld(t, 21)
	w.cfg = CoreConfig{ColdAfter: 1000, ForgetAfter: 3000}
	return w
}

// restartEdge lets an edge count in one process more.
func restartEdge(w *world, n uint64) {
	if w.procs["east-edge0"] != nil {
		w.kill("east-edge0")
	}
	w.start("east-edge0", "east", RoleEdge)
	w.count("east-edge0", "clicks", n, Token{})
	w.run(20_000)
}

// forgot returns how many incarnations of the edge a hub forgot.
func forgot(p *proc) int {
	if n := p.core.hub.forget.nodes["east-edge0"]; n != nil {
		return len(n.ids)
	}
	return 0
}

func mustForget(w *world, want int, hubs ...string) {
	w.t.Helper()
	for _, name := range hubs {
		if got := forgot(w.procs[name]); got != want {
			w.t.Errorf("at %d: %s forgot %d incarnations, want %d", w.now, name, got, want)
		}
	}
}

// TestHubsForgetWhatIsOver: of processes that are over, hubs keep their sum and their names. A restart reads it, a hub that
// lost its disk gets it, one that came back from a backup gets it for its cells, with no answer but the right one.
func TestHubsForgetWhatIsOver(t *testing.T) {
	w := forgetful(t)
	hubs := []string{"east-hub0", "east-hub1"}
	for _, h := range hubs {
		w.start(h, "east", RoleHub)
	}
	sum := uint64(0)
	var fresh, first map[string][]byte
	var over []crdt.Incarnation
	for i := range 4 {
		sum += 10 + uint64(i)
		restartEdge(w, 10+uint64(i))
		over = append(over, w.procs["east-edge0"].core.cfg.Inc)
		w.mustTotal("clicks", sum)
		mustForget(w, i, hubs...)
		switch i {
		case 0:
			fresh = maps.Clone(w.procs["east-hub1"].disk)
		case 1:
			first = maps.Clone(w.procs["east-hub1"].disk)
		}
	}
	for key := range w.procs["east-hub0"].disk {
		for _, inc := range over[:3] {
			if strings.Contains(key, string(inc[:])) {
				t.Errorf("key %q of what is forgotten is left", key)
			}
		}
	}
	for name, disk := range map[string]map[string][]byte{"restarted": nil, "wiped": {}, "from before": fresh, "from between": first} {
		w.kill("east-hub1")
		if disk != nil {
			w.procs["east-hub1"].disk = maps.Clone(disk)
		}
		w.start("east-hub1", "east", RoleHub)
		w.run(30_000)
		w.mustTotal("clicks", sum)
		mustForget(w, 3, hubs...)
		if p := w.procs["east-hub1"].core; ownTotal(p, "clicks") != fmt.Sprint(sum) {
			t.Errorf("%s: the hub's own sum is %s, want %d", name, ownTotal(p, "clicks"), sum)
		}
		w.kill("east-hub1")
		w.start("east-hub1", "east", RoleHub)
		if p := w.procs["east-hub1"].core; ownTotal(p, "clicks") != fmt.Sprint(sum) {
			t.Errorf("%s, and restarted: the hub's own sum is %s, want %d", name, ownTotal(p, "clicks"), sum)
		}
		w.run(5000)
	}
}

// ownTotal is a hub's sum of its region, whatever other hubs say.
func ownTotal(c *Core, metric string) string {
	id, _ := c.cat.Find(&crdt.Series{Name: metric, Kind: crdt.KindCounter})
	v, _ := cellOf(c.hub.region.Total, id)
	return v.P.String()
}

// TestNothingIsForgottenYoung: hubs forget what changed last thirty days ago, by default, whatever is confirmed.
func TestNothingIsForgottenYoung(t *testing.T) {
	w := forgetful(t)
	w.cfg.ForgetAfter = 0
	for _, h := range []string{"east-hub0", "east-hub1"} {
		w.start(h, "east", RoleHub)
		w.count(h, "clicks", 1, Token{})
	}
	for range 2 {
		restartEdge(w, 5)
		for _, h := range []string{"east-hub0", "east-hub1"} {
			w.kill(h)
			w.start(h, "east", RoleHub)
		}
	}
	w.run(20_000)
	w.mustTotal("clicks", 12)
	for _, h := range []string{"east-hub0", "east-hub1"} {
		if f := &w.procs[h].core.hub.forget; len(f.nodes) > 0 {
			t.Errorf("%s froze something of %d nodes", h, len(f.nodes))
		}
	}
	for _, p := range w.procs { // what waited for a month is old
		p.wake = w.now
	}
	w.now += 31 * 24 * 3600 * 1000
	w.run(20_000)
	mustForget(w, 1, "east-hub0", "east-hub1")
	w.mustTotal("clicks", 12)
}

// solo is one hub, told what edges and a sibling would tell it.
type solo struct {
	*world
	hub *proc
}

func newSolo(t *testing.T) *solo {
	s := &solo{world: forgetful(t)}
	s.cfg.ForgetAlone = true
	s.hub = s.start("east-hub0", "east", RoleHub)
	return s
}

func (s *solo) edge(id uint64, inc byte, own ...wire.Head) {
	s.step(s.hub, PeerUp{ID: id, Peer: PeerInfo{Region: "east", Node: "east-edge0", Role: RoleEdge, Inc: crdt.Incarnation{inc}}})
	s.hear(id, &wire.Hello{Inc: crdt.Incarnation{inc}, Own: own})
}

func (s *solo) hear(id uint64, m wire.Message) {
	s.t.Helper()
	raw, err := wire.AppendMessage(nil, m)
	if err != nil {
		s.t.Fatal(err)
	}
	d, err := Decode(raw)
	if err != nil {
		s.t.Fatal(err)
	}
	s.step(s.hub, Received{ID: id, Msg: d})
}

// frame lets a session bring the seq of an incarnation of the edge.
func (s *solo) frame(id uint64, inc byte, seq, clicks uint64) {
	s.t.Helper()
	s.bring(id, crdt.Origin{Class: crdt.ClassNode, Region: "east", Node: "east-edge0", Inc: crdt.Incarnation{inc}}, seq, clicks)
}

func (s *solo) bring(id uint64, o crdt.Origin, seq, clicks uint64) {
	s.t.Helper()
	f := &wire.Frame{
		Origin: o, From: seq - 1, To: seq, Head: seq,
		Defs:  []wire.Def{{Seq: 1, Series: crdt.Series{Name: "clicks", Kind: crdt.KindCounter}}},
		Cells: []wire.Cell{{Seq: seq, Value: crdt.Value{Kind: crdt.KindCounter, P: crdt.FixedFromUint(clicks)}}},
	}
	raw, err := wire.AppendFrame(nil, f)
	if err != nil {
		s.t.Fatal(err)
	}
	s.hear(id, &wire.FrameMsg{Raw: raw})
	s.run(50)
}

func headAt(inc byte, seq uint64) wire.Head {
	return wire.Head{Inc: crdt.Incarnation{inc}, Head: [crdt.NumStreams]uint64{seq}}
}

// TestOnlyWhatALaterProcessConfirmsIsForgotten: not what its node has more of, not on the word of a process that came before,
// and not what nobody speaks of.
func TestOnlyWhatALaterProcessConfirmsIsForgotten(t *testing.T) {
	full := []wire.Head{headAt(3, 0)}
	for i := range wire.MaxHeads - 1 {
		full = append(full, wire.Head{Inc: crdt.Incarnation{200, byte(i >> 8), byte(i)}})
	}
	for _, tt := range []struct {
		name   string
		begin  func(s *solo) // before the process counts
		after  func(s *solo) // after it ended
		forget int
	}{
		{"nobody came", func(*solo) {}, func(*solo) {}, 0},
		{"it is all here", func(*solo) {}, func(s *solo) { s.edge(3, 3, headAt(2, 1), headAt(3, 0)) }, 1},
		{"the node has more", func(*solo) {}, func(s *solo) { s.edge(3, 3, headAt(2, 2), headAt(3, 0)) }, 0},
		{"the node lost its disk", func(*solo) {}, func(s *solo) { s.run(2000); s.edge(3, 3, headAt(3, 0)) }, 1},
		{"the node may have more than it names", func(*solo) {}, func(s *solo) { s.run(2000); s.edge(3, 3, full...) }, 0},
		{"the process before it is still heard", func(s *solo) { s.edge(1, 1, headAt(1, 0)); s.run(2000) }, func(*solo) {}, 0},
		{"it still runs", func(*solo) {}, func(s *solo) { s.edge(3, 3, headAt(2, 1), headAt(3, 0)); s.edge(4, 2, headAt(2, 1)) }, 0},
		{"the node is removed", func(*solo) {}, func(s *solo) {
			s.step(s.hub, RemoveNode{ID: 9, Region: "east", Node: "east-edge0"})
		}, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newSolo(t)
			tt.begin(s)
			s.edge(2, 2, headAt(2, 0))
			s.frame(2, 2, 1, 40)
			s.step(s.hub, PeerDown{ID: 2})
			tt.after(s)
			s.run(20_000)
			mustForget(s.world, tt.forget, "east-hub0")
			s.mustTotal("clicks", 40)
		})
	}
}

// sibling brings up a session with another hub of the region, which holds what the hub holds.
func (s *solo) sibling(id uint64) {
	s.step(s.hub, PeerUp{ID: id, Peer: PeerInfo{Region: "east", Node: "east-hub1", Role: RoleHub, Inc: crdt.Incarnation{99, byte(id)}}})
	s.hear(id, &wire.Hello{Inc: crdt.Incarnation{99, byte(id)}})
	s.hear(id, &wire.Marks{Full: true, Marks: []wire.Mark{{
		Origin:   crdt.Origin{Class: crdt.ClassNode, Region: "east", Node: "east-edge0", Inc: crdt.Incarnation{2}},
		Progress: [crdt.NumStreams]crdt.Progress{{Cursor: 1, Owed: 1, Covered: 1}},
	}}})
	s.bring(id, crdt.Origin{Class: crdt.ClassRegion, Region: "east", Node: "east-hub1", Inc: crdt.Incarnation{99, byte(id)}}, 1, 1)
}

// statement is what the hub states of the edge.
func (s *solo) statement() wire.FrozenNode {
	return s.hub.core.hub.forget.nodes["east-edge0"].statement("east-edge0")
}

// TestAHubForgetsWhatAllHubsStateAlike: with the same cells, in sessions that live, those that other hubs know of included.
func TestAHubForgetsWhatAllHubsStateAlike(t *testing.T) {
	frozen := func(t *testing.T) *solo {
		s := newSolo(t)
		s.sibling(7)
		s.edge(2, 2, headAt(2, 0))
		s.frame(2, 2, 1, 40)
		s.step(s.hub, PeerDown{ID: 2})
		s.edge(3, 3, headAt(2, 1), headAt(3, 0))
		s.run(20_000)
		mustForget(s.world, 0, "east-hub0")
		if st := s.statement(); len(st.Frozen) != 1 || st.Print == 0 {
			t.Fatalf("the hub states %+v", st)
		}
		return s
	}
	state := func(s *solo, id uint64, change func(*wire.FrozenNode), hubs ...string) {
		st := s.statement()
		change(&st)
		s.hear(id, &wire.Freeze{Hubs: hubs, Nodes: []wire.FrozenNode{st}})
	}
	same := func(*wire.FrozenNode) {}
	for _, tt := range []struct {
		name   string
		do     func(s *solo)
		forget int
	}{
		{"the same", func(s *solo) { state(s, 7, same) }, 1},
		{"other cells", func(s *solo) { state(s, 7, func(st *wire.FrozenNode) { st.Print++ }) }, 0},
		{"cells that move", func(s *solo) { state(s, 7, func(st *wire.FrozenNode) { st.Print = 0 }) }, 0},
		{"more frozen", func(s *solo) {
			state(s, 7, func(st *wire.FrozenNode) { st.Frozen = append([]crdt.Incarnation{{1}}, st.Frozen...) })
		}, 0},
		{"another record", func(s *solo) { state(s, 7, func(st *wire.FrozenNode) { st.Forgotten, st.Sum = 1, 5 }) }, 0},
		{"a third hub that it knows of", func(s *solo) { state(s, 7, same, "east-hub2") }, 0},
		{"then its session ends", func(s *solo) { state(s, 7, same); s.step(s.hub, PeerDown{ID: 7}) }, 0},
		{"then it runs as another process", func(s *solo) { state(s, 7, same); s.sibling(8); s.step(s.hub, PeerDown{ID: 7}) }, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := frozen(t)
			tt.do(s)
			s.run(5000)
			mustForget(s.world, tt.forget, "east-hub0")
			s.mustTotal("clicks", 40)
		})
	}
}

// TestWhatIsFrozenOrForgottenTakesNothingFromEdges: what comes late is refused and counted, and a process that still writes is
// told to begin anew.
func TestWhatIsFrozenOrForgottenTakesNothingFromEdges(t *testing.T) {
	s := newSolo(t)
	s.sibling(7)
	s.edge(2, 2, headAt(2, 0))
	s.frame(2, 2, 1, 40)
	s.step(s.hub, PeerDown{ID: 2})
	s.edge(3, 3, headAt(2, 1), headAt(3, 0))
	s.run(20_000)
	s.frame(3, 2, 2, 50)
	if n := s.hub.core.Counts.FrozenFrames; n != 1 {
		t.Errorf("%d frames of what is frozen were refused, want 1", n)
	}
	s.mustTotal("clicks", 40)
	st := s.statement()
	s.hear(7, &wire.Freeze{Nodes: []wire.FrozenNode{st}})
	s.run(5000)
	mustForget(s.world, 1, "east-hub0")
	s.frame(7, 2, 1, 40)
	if n := s.hub.core.Counts.ForgottenFrames; n != 1 {
		t.Errorf("%d frames of what is forgotten were refused, want 1", n)
	}
	s.mustTotal("clicks", 40)
	o := crdt.Origin{Class: crdt.ClassNode, Region: "east", Node: "east-edge0", Inc: crdt.Incarnation{2}}
	if !s.hub.core.gaveUp(o, &reconcile.Named{Inc: o.Inc, Live: true}) {
		t.Error("a process that runs as what is forgotten is not told")
	}
	at := s.hub.core.hub.watch.AsOf("east-edge0")
	s.edge(9, 2, headAt(2, 5))
	s.hear(9, &wire.Heartbeat{Head: [crdt.NumStreams]uint64{5}, WallMs: s.now})
	s.run(50)
	if got := s.hub.core.hub.watch.AsOf("east-edge0"); got != at {
		t.Errorf("what such a process says makes its node complete up to %d, %d before", got, at)
	}
}

// TestHubsWithDifferentCellsForgetNothing: the print is of the cells, not of how far they came.
func TestHubsWithDifferentCellsForgetNothing(t *testing.T) {
	prints := map[uint64]bool{}
	for _, clicks := range []uint64{40, 41} {
		s := newSolo(t)
		s.sibling(7)
		s.edge(2, 2, headAt(2, 0))
		s.frame(2, 2, 1, clicks)
		s.step(s.hub, PeerDown{ID: 2})
		s.edge(3, 3, headAt(2, 1), headAt(3, 0))
		s.run(20_000)
		prints[s.statement().Print] = true
	}
	if len(prints) != 2 || prints[0] {
		t.Errorf("two different cells have the prints %v", prints)
	}
}

// TestForgettingIsConfigured: the mesh's configuration says when, in days or otherwise, and whether at all.
func TestForgettingIsConfigured(t *testing.T) {
	const day = 24 * 3600 * 1000
	w := forgetful(t)
	hub := w.start("east-hub0", "east", RoleHub)
	for _, tt := range []struct {
		doc   string
		after int64
		alone bool
	}{
		{`{"forget":{"after":"7d"}}`, 7 * day, false},
		{`{"forget":{"after":"36h","alone":true}}`, day * 3 / 2, true},
		{`{"forget":{"after":"off"}}`, -1, false},
		{`{}`, 3000, false},
	} {
		w.set("east-hub0", tt.doc)
		w.run(100)
		if c := &hub.core.cfg; c.ForgetAfter != tt.after || c.ForgetAlone != tt.alone {
			t.Errorf("%s: after %d ms, alone %t; want %d and %t", tt.doc, c.ForgetAfter, c.ForgetAlone, tt.after, tt.alone)
		}
	}
}

// TestADropIsOfWhatIsForgotten, too: its sum does not come back with a restart, with a record that a sibling takes, or with the
// next incarnations that are added to the record.
func TestADropIsOfWhatIsForgotten(t *testing.T) {
	w := forgetful(t)
	hubs := []string{"east-hub0", "east-hub1"}
	for _, h := range hubs {
		w.start(h, "east", RoleHub)
	}
	restartEdge(w, 10)
	restartEdge(w, 20)
	mustForget(w, 1, hubs...)
	w.step(w.procs["east-hub0"], DropSeries{ID: 1, Metric: "clicks"})
	w.run(2000)
	w.count("east-edge0", "clicks", 3, Token{})
	w.run(2000)
	w.mustTotal("clicks", 3)
	for _, h := range hubs {
		w.kill(h)
		w.start(h, "east", RoleHub)
	}
	w.run(5000)
	w.mustTotal("clicks", 3)
	restartEdge(w, 4)
	mustForget(w, 2, hubs...)
	w.mustTotal("clicks", 7)
	w.kill("east-hub1")
	w.procs["east-hub1"].disk = map[string][]byte{}
	w.start("east-hub1", "east", RoleHub)
	w.run(20_000)
	mustForget(w, 2, hubs...)
	w.mustTotal("clicks", 7)
}
