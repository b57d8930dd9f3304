package node

import (
	"bytes"
	"slices"
	"testing"

	"meshd/crdt"
	"meshd/internal/wire"
)

// TestAThousandHubRestartsLeaveBoundedState: each restart of a hub leaves an entry and an incarnation that is over.
func TestAThousandHubRestartsLeaveBoundedState(t *testing.T) {
	w := newWorld(t, 11)
	w.cfg = CoreConfig{AntiEntropy: 100, LogBytes: 2000, ColdAfter: 1000}
	for _, name := range []string{"east-hub0", "east-hub1", "west-hub0"} {
		w.start(name, name[:4], RoleHub)
	}
	w.start("east-edge0", "east", RoleEdge)
	restarts := 1000
	if testing.Short() {
		restarts = 100
	}
	for i := range restarts {
		w.count("east-edge0", "clicks", 1, Token{})
		w.count("east-hub1", "clicks", 1, Token{})
		w.run(150)
		w.kill("east-hub0")
		w.start("east-hub0", "east", RoleHub)
		if i == restarts/2 { // a reader that starts in the middle has dropped nothing that it needs
			w.kill("west-hub0")
			w.start("west-hub0", "west", RoleHub)
		}
	}
	w.run(5000)
	w.mustTotal("clicks", 2*uint64(restarts))
	for _, name := range []string{"east-hub0", "east-hub1", "west-hub0"} {
		c := w.procs[name].core
		if n := len(c.hub.entries.Origins()); n > 2 {
			t.Errorf("%s holds the cells of %d entries, want those of the two other hubs", name, n)
		}
		cells := 0
		for k := range w.procs[name].disk {
			if k[:2] == prefixCells && k[2] == byte(crdt.ClassRegion) {
				cells++
			}
		}
		if cells > 4 {
			t.Errorf("%s has %d values of cells of entries on disk", name, cells)
		}
		for _, s := range c.order {
			if n := len(s.told) + len(s.marks) + len(s.streams) + len(s.sources); n > 20 {
				t.Errorf("%s remembers %d things of its session with %s", name, n, s.peer.Node)
			}
		}
		if n := c.hub.floor.Contained(); n > 2 {
			t.Errorf("%s compares %d entries with its totals", name, n)
		}
	}
}

// TestAReaderSaysThatADeadEntryKnewMore: a hub of another region comes back without its disk. What it said before is
// still the answer; the region is not complete until somebody says as much again.
func TestAReaderSaysThatADeadEntryKnewMore(t *testing.T) {
	w := newWorld(t, 12)
	w.start("east-hub0", "east", RoleHub)
	w.start("west-hub0", "west", RoleHub)
	w.start("east-edge0", "east", RoleEdge)
	w.count("east-hub0", "clicks", 40, Token{})
	w.count("east-edge0", "clicks", 2, Token{})
	w.run(3000)
	west := w.procs["west-hub0"].core
	known := func() bool {
		for _, c := range west.Coverage() {
			if c.Region == "east" {
				return !c.CompleteUntil.IsZero()
			}
		}
		return false
	}
	if !known() {
		t.Fatal("the region is not complete to begin with")
	}
	w.kill("east-hub0")
	w.procs["east-hub0"].disk = map[string][]byte{}
	w.start("east-hub0", "east", RoleHub)
	for range 20 {
		w.run(100)
		if known() {
			t.Fatalf("the region is called complete, and its living hub answers %s", w.total("east-hub0", "clicks"))
		}
	}
	w.run(3000)
	if got := w.total("west-hub0", "clicks"); got != "42" {
		t.Errorf("west answers %s, want 42 as before", got)
	}
	if n := len(west.hub.entries.Origins()); n != 2 {
		t.Errorf("west holds %d entries, want the dead one and the living one", n)
	}
	w.count("east-hub0", "clicks", 40, Token{}) // the sum passes the old maximum
	w.run(3000)
	if !known() {
		t.Error("the region is not complete although its living hub contains the dead entry")
	}
	if n := len(west.hub.entries.Origins()); n != 1 {
		t.Errorf("west holds %d entries, want the living one", n)
	}
	w.kill("west-hub0")
	w.start("west-hub0", "west", RoleHub)
	w.run(2000)
	w.mustTotal("clicks", 42) // what only the lost disk held hides as much of what came after
}

// TestAnEntryThatPassedForDeadComesAgain: a hub restarted, and a reader heard of its new totals by a relay while its own session
// with the old process still stood. What it drops then, because the old ones contain it, it asks for once it meets the new process.
func TestAnEntryThatPassedForDeadComesAgain(t *testing.T) {
	for _, meets := range []string{"while they are dropped", "after they were dropped"} {
		t.Run(meets, func(t *testing.T) { passedForDead(t, meets) })
	}
}

func passedForDead(t *testing.T, meets string) {
	w := newWorld(t, 13)
	w.cfg = CoreConfig{AntiEntropy: 100}
	reader := w.start("west-hub0", "west", RoleHub)
	was := PeerInfo{Region: "east", Node: "east-hub0", Role: RoleHub, Inc: crdt.Incarnation{1}}
	is := PeerInfo{Region: "east", Node: "east-hub0", Role: RoleHub, Inc: crdt.Incarnation{2}}
	entry := func(p PeerInfo) crdt.Origin {
		return crdt.Origin{Class: crdt.ClassRegion, Region: p.Region, Node: p.Node, Inc: p.Inc}
	}
	frame := func(session uint64, p PeerInfo) {
		f := &wire.Frame{
			Origin: entry(p), To: 1, Head: 1,
			Defs:  []wire.Def{{Seq: 1, Series: crdt.Series{Name: "clicks", Kind: crdt.KindCounter}}},
			Cells: []wire.Cell{{Seq: 1, Value: crdt.Value{Kind: crdt.KindCounter, P: crdt.FixedFromUint(40)}}},
		}
		raw, err := wire.AppendFrame(nil, f)
		if err != nil {
			t.Fatal(err)
		}
		w.step(reader, Received{ID: session, Msg: Decoded{Msg: &wire.FrameMsg{Raw: raw}, Frame: f}})
		w.run(10)
	}
	w.step(reader, PeerUp{ID: 1001, Peer: was})
	w.step(reader, PeerUp{ID: 1002, Peer: PeerInfo{Region: "east", Node: "east-hub1", Role: RoleHub, Inc: crdt.Incarnation{3}}})
	frame(1001, was)
	frame(1002, is)
	if meets == "while they are dropped" {
		dropping := func() bool {
			return reader.persist != nil && slices.ContainsFunc(reader.persist.Ops, func(op Op) bool {
				return bytes.Equal(op.Key, originKey(prefixProgress, entry(is)))
			})
		}
		for range 1000 {
			if !dropping() {
				w.run(1)
			}
		}
		if !dropping() {
			t.Fatal("the new totals are not dropped: this tests nothing")
		}
		w.step(reader, PeerUp{ID: 1003, Peer: is})
		w.run(500)
		if reader.core.hub.entries.Held(entry(is)) == nil {
			t.Error("the totals of a process that runs are dropped")
		}
		return
	}
	w.run(500)
	if !reader.core.isDropped(entry(is)) {
		t.Fatal("the new totals are not dropped: this tests nothing")
	}
	w.step(reader, PeerUp{ID: 1003, Peer: is})
	if p, ok := reader.core.held(entry(is)); ok {
		t.Errorf("the reader claims %+v of totals whose cells it dropped", p)
	}
	frame(1003, is)
	w.run(500)
	if reader.core.hub.entries.Held(entry(is)) == nil {
		t.Error("the new totals are not held")
	}
}

// TestAPeerThatHoldsLessIsSentItAtOnce: a hub dropped an entry that its own totals contain when the rest of it, which they do not
// contain, was under way to it. It says that it holds nothing any more, and gets all of it without waiting for a retry.
func TestAPeerThatHoldsLessIsSentItAtOnce(t *testing.T) {
	w := newWorld(t, 14)
	w.cfg = CoreConfig{AntiEntropy: 100}
	hub := w.start("west-hub0", "west", RoleHub)
	entry := crdt.Origin{Class: crdt.ClassRegion, Region: "east", Node: "east-hub0", Inc: crdt.Incarnation{1}}
	var out Output
	received := func(id uint64, m wire.Message) {
		t.Helper()
		raw, err := wire.AppendMessage(nil, m)
		if err != nil {
			t.Fatal(err)
		}
		d, err := Decode(raw)
		if err != nil {
			t.Fatal(err)
		}
		hub.core.Step(w.at(), Received{ID: id, Msg: d}, &out)
	}
	// relayed lets comparisons pass and returns where the frames of the entry begin that are sent to the peer.
	relayed := func() (froms []uint64) {
		t.Helper()
		for range 4 {
			w.now += 100
			hub.core.Step(w.at(), Tick{}, &out)
			for _, s := range out.Sends {
				if d, err := Decode(s.Msg); err == nil && s.Peer == 2 && d.Frame != nil && d.Frame.Origin == entry {
					froms = append(froms, d.Frame.From)
				}
			}
		}
		return froms
	}
	marks := func(cursor uint64) *wire.Marks {
		p := crdt.Progress{Cursor: cursor, Owed: cursor, Covered: cursor}
		return &wire.Marks{Full: cursor > 0, Marks: []wire.Mark{{Origin: entry, Progress: [crdt.NumStreams]crdt.Progress{p}}}}
	}
	hub.core.Step(w.at(), PeerUp{ID: 1, Peer: PeerInfo{Region: "east", Node: "east-hub0", Role: RoleHub, Inc: entry.Inc}}, &out)
	for seq := uint64(1); seq <= 2; seq++ {
		f := &wire.Frame{Origin: entry, From: seq - 1, To: seq, Head: seq, Cells: []wire.Cell{{
			Seq: seq, Value: crdt.Value{Kind: crdt.KindCounter, P: crdt.FixedFromUint(seq)},
		}}}
		if seq == 1 {
			f.Defs = []wire.Def{{Seq: 1, Series: crdt.Series{Name: "clicks", Kind: crdt.KindCounter}}}
		}
		raw, err := wire.AppendFrame(nil, f)
		if err != nil {
			t.Fatal(err)
		}
		received(1, &wire.FrameMsg{Raw: raw})
		hub.core.Step(w.at(), Persisted{Token: out.Persist.Token}, &out)
	}
	hub.core.Step(w.at(), PeerUp{ID: 2, Peer: PeerInfo{Region: "east", Node: "east-hub1", Role: RoleHub, Inc: crdt.Incarnation{2}}}, &out)
	received(2, &wire.Hello{Inc: crdt.Incarnation{2}})
	received(2, marks(1))
	if got := relayed(); !slices.Equal(got, []uint64{1}) {
		t.Fatalf("relayed from %d, want from 1", got)
	}
	received(2, marks(0))
	if got := relayed(); !slices.Equal(got, []uint64{0}) {
		t.Errorf("relayed from %d, want all of it again", got)
	}
}
