package node

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"meshd/crdt"
	"meshd/internal/wire"
)

// set makes a document the mesh's configuration at a node and returns the ID of the answer.
func (w *world) set(name, doc string, ifVersion ...uint64) uint64 {
	w.ids++
	in := SetConfig{ID: w.ids, Doc: []byte(doc)}
	if len(ifVersion) > 0 {
		in.IfVersion = &ifVersion[0]
	}
	w.step(w.procs[name], in)
	return w.ids
}

// series is a document that sets how many series a node takes.
func series(n int) string { return fmt.Sprintf(`{"series":%d}`, n) }

func (w *world) mustHaveConfig(version uint64, doc string) {
	w.t.Helper()
	for _, p := range w.sorted() {
		if p.core == nil {
			continue
		}
		if c := p.core.Config(); c.Version != version || string(c.Doc) != doc {
			w.t.Errorf("%s has version %d: %s, want %d: %s", p.name, c.Version, c.Doc, version, doc)
		}
	}
}

func TestAConfigurationReachesEveryNode(t *testing.T) {
	for _, at := range []string{"east-edge0", "west-hub1"} {
		t.Run(at, func(t *testing.T) {
			w := newWorld(t, 41)
			mesh(w)
			w.setCut("west-edge2", "west-hub0", true)
			w.run(3000)
			id := w.set(at, series(11))
			w.run(8000)
			if r, ok := w.procs[at].replies[id]; !ok || r.Err != nil {
				t.Errorf("answered %v: %v", ok, r.Err)
			}
			w.mustHaveConfig(1, series(11))
			w.kill("west-edge1")
			w.set("west-hub0", series(12))
			w.run(5000)
			w.start("west-edge1", "west", RoleEdge)
			if c := w.procs["west-edge1"].core.Config(); c.Version != 1 {
				t.Errorf("after its start an edge has version %d, want that of its disk", c.Version)
			}
			w.run(5000)
			w.mustHaveConfig(2, series(12))
			if n := w.procs[at].core.Counts.Refused; n != 0 {
				t.Errorf("%d refusals", n)
			}
			var st Status
			w.procs["west-hub0"].core.status(&st, func(uint64) (rtt, offset time.Duration, addr string) { return 0, 0, "" })
			if st.Config.Version != 2 || st.Config.Author != "west/west-hub0" || slices.ContainsFunc(st.Peers, func(p PeerStatus) bool { return p.Config != 2 }) {
				t.Errorf("%+v", st)
			}
		})
	}
}

// TestTwoConfigurationsAtATime: two operators on both sides of a cut. The later one counts everywhere, whole.
func TestTwoConfigurationsAtATime(t *testing.T) {
	w := newWorld(t, 42)
	mesh(w)
	w.run(3000)
	for _, a := range w.sorted() {
		for _, b := range w.sorted() {
			if a.region != b.region {
				w.setCut(a.name, b.name, true)
			}
		}
	}
	w.set("west-edge0", series(1001))
	w.run(500)
	w.set("east-edge0", series(1002))
	w.run(5000)
	for _, k := range w.sorted() {
		want := map[string]string{"west": series(1001), "east": series(1002)}[k.region]
		if c := k.core.Config(); string(c.Doc) != want || c.Version != 1 {
			t.Errorf("%s has %s", k.name, c.Doc)
		}
	}
	clear(w.cut)
	w.run(8000)
	w.mustHaveConfig(1, series(1002))
}

func TestConfigurationsThatAreRefused(t *testing.T) {
	w := newWorld(t, 43)
	p := w.start("east-hub0", "east", RoleHub)
	refused := func(id uint64, want string) {
		t.Helper()
		w.run(50)
		if r, ok := p.replies[id]; !ok || !errors.Is(r.Err, ErrConfig) || !strings.Contains(r.Err.Error(), want) {
			t.Errorf("answered %v: %v, want %q", ok, r.Err, want)
		}
	}
	refused(w.set("east-hub0", `{"seris":5}`), "seris")
	refused(w.set("east-hub0", `{"series":-1}`), "series -1")
	refused(w.set("east-hub0", `{"silence":"1s"}`), `silence "1s"`)
	refused(w.set("east-hub0", `{"silence":"long"}`), `silence "long"`)
	refused(w.set("east-hub0", `{"forget":{"after":"5m"}}`), `forget after "5m"`)
	refused(w.set("east-hub0", `{"forget":{"after":"9999d"}}`), `forget after "9999d"`)
	refused(w.set("east-hub0", `{"forget":{"before":"30d"}}`), `before`)
	refused(w.set("east-hub0", `{"series":5} {}`), "follows")
	refused(w.set("east-hub0", `[]`), "array")
	refused(w.set("east-hub0", `{}`+strings.Repeat(" ", wire.MaxConfigBytes)), "65538 bytes")
	refused(w.set("east-hub0", `{}`, 1), "version 0 here")
	first, second := w.set("east-hub0", series(21)), w.set("east-hub0", series(22))
	w.run(50)
	w.run(50)
	if p.replies[first].Err != nil || p.replies[second].Err != nil || string(p.core.Config().Doc) != series(22) {
		t.Errorf("one after the other: %v, %v; %s counts", p.replies[first].Err, p.replies[second].Err, p.core.Config().Doc)
	}
	refused(w.set("east-hub0", `{}`, 1), "version 2 here")
}

// TestWhoseConfigurationIsTaken: a hub passes on what others made, an edge its own. What cannot be read is kept.
func TestWhoseConfigurationIsTaken(t *testing.T) {
	w := newWorld(t, 44)
	p := w.start("east-hub0", "east", RoleHub)
	hub := PeerInfo{Region: "west", Node: "west-hub1", Role: RoleHub, Inc: crdt.Incarnation{1}}
	edge := PeerInfo{Region: "east", Node: "east-edge1", Role: RoleEdge, Inc: crdt.Incarnation{2}}
	for i, peer := range []PeerInfo{hub, edge} {
		w.step(p, PeerUp{ID: uint64(i + 1), Peer: peer})
		w.step(p, Received{ID: uint64(i + 1), Msg: Decoded{Msg: &wire.Hello{Inc: peer.Inc, WallMs: w.now}}})
	}
	bring := func(session, version uint64, region, node, doc string) {
		m := &wire.MeshConfig{Full: true, Body: []byte(doc)}
		m.ID = wire.ConfigID{Version: version, Region: region, Node: node, Sum: wire.SumConfig(m.Body)}
		w.step(p, Received{ID: session, Msg: Decoded{Msg: m}})
		w.run(50)
	}
	want := func(version, refused uint64, unread bool) {
		t.Helper()
		if c := p.core.Config(); c.Version != version || p.core.Counts.Refused != refused || c.Unread != unread {
			t.Errorf("version %d, unread %v, %d refused; want %d, %v, %d", c.Version, c.Unread, p.core.Counts.Refused, version, unread, refused)
		}
	}
	bring(1, 5, "west", "west-edge3", series(21))
	want(5, 0, false)
	bring(2, 6, "west", "west-edge3", series(22)) // an edge with another's
	want(5, 1, false)
	bring(2, 4, "east", "east-edge1", series(23)) // an older one
	want(5, 1, false)
	bring(2, 6, "east", "east-edge1", series(24))
	want(6, 1, false)
	bring(1, 7, "west", "west-hub1", `{"series":"many"}`)
	want(7, 1, true)
	if p.core.cfg.Limits.Series != 24 {
		t.Error("what was set before is gone")
	}
	bring(1, 8, "west", "west-hub1", `{"series":9,"of a later version":{"x":1}}`)
	want(8, 1, false)
	w.kill("east-hub0")
	w.start("east-hub0", "east", RoleHub)
	want(8, 0, false)
}

func TestAConfigurationIsDurableBeforeItIsTold(t *testing.T) {
	w := newWorld(t, 45)
	mesh(w)
	w.run(3000)
	told := false
	w.tap = func(_ string, raw []byte) {
		d, err := Decode(raw)
		m, ok := d.Msg.(*wire.MeshConfig)
		told = told || ok && err == nil && m.ID.Version > 0
	}
	w.set("east-hub0", series(21))
	p := w.procs["east-hub0"]
	p.persistAt = w.now + 5000 // a slow disk
	w.run(4000)
	if told || p.core.Config().Version != 0 {
		t.Error("told before it was on disk")
	}
	w.run(4000)
	w.mustHaveConfig(1, series(21))
}

// TestAConfigurationIsAppliedWithoutARestart: an edge that is gone for 15 s is missing, unless that is no silence.
func TestAConfigurationIsAppliedWithoutARestart(t *testing.T) {
	w := newWorld(t, 46)
	mesh(w)
	w.run(3000)
	w.set("west-edge1", `{"silence":"1m","series":2}`)
	w.run(5000)
	w.kill("east-edge0")
	for _, step := range []struct {
		run   int64
		heard int
	}{{15_000, 5}, {60_000, 4}} {
		w.run(step.run)
		for _, name := range []string{"east-hub0", "east-hub1", "east-edge1", "west-hub0", "west-edge1"} {
			if c := w.coverageOf(name, "east"); c.NodesHeard != step.heard || c.NodesExpected != 5 {
				t.Errorf("at %d %s says %+v, want %d heard", w.now, name, c, step.heard)
			}
		}
	}
	for i := range 4 {
		w.count("west-edge1", fmt.Sprint("metric", i), 1, Token{})
		w.run(200)
	}
	if n := w.procs["west-edge1"].core.Counts.Overflowed; n != 2 {
		t.Errorf("%d items overflowed, want 2 of 4", n)
	}
	w.kill("west-hub0")
	w.start("west-hub0", "west", RoleHub) // from its disk, before anybody tells it
	if got := w.procs["west-hub0"].core.cfg.Silence; got != 60_000 {
		t.Errorf("after a restart a silence is %d ms", got)
	}
	w.set("east-hub0", `{}`)
	w.run(6000)
	if c := w.procs["west-edge1"].core; c.cfg.Silence != 10_000 || c.cfg.Limits.Series != 100_000 {
		t.Errorf("what is not set is not as at the start: %d ms, %d series", c.cfg.Silence, c.cfg.Limits.Series)
	}
	w.mustTotal("meshd.overflow", 2)
}
