package node

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"testing"

	"meshd/crdt"
	"meshd/internal/wire"
)

// past is a history that forgets nothing: what was published, by owner; of a region, whoever says it.
type past map[crdt.Origin]map[pastKey]*crdt.Value

type pastKey struct {
	name   string
	window crdt.Window
}

func keyOf(k WindowKey) pastKey { return pastKey{k.Series.Name, k.Window} }

// recall does what a core wants of its history and of the frames on its disk.
func (w *world) recall(p *proc, out *Output) {
	if p.past == nil {
		p.past = past{}
	}
	for _, pub := range out.Published {
		o := pub.Owner
		if o.Class == crdt.ClassRegion {
			o.Node, o.Inc = "", crdt.Incarnation{}
		}
		if p.past[o] == nil {
			p.past[o] = map[pastKey]*crdt.Value{}
		}
		for _, c := range pub.Cells {
			v := crdt.Bottom(c.Value.Kind)
			if old := p.past[o][keyOf(c.WindowKey)]; old != nil {
				v = *old
			}
			if _, err := v.Join(&c.Value, 0, nil, 0); err != nil {
				w.t.Fatal(err)
			}
			p.past[o][keyOf(c.WindowKey)] = &v
		}
	}
	reads, frames, old := slices.Clone(out.WindowReads), slices.Clone(out.FrameReads), slices.Clone(out.OldFrames)
	for _, want := range reads {
		in := WindowsRead{ID: want.ID}
		for _, k := range want.Keys {
			in.Values = append(in.Values, p.past.sum(want.From, keyOf(k)))
		}
		w.step(p, in)
	}
	for _, want := range frames {
		w.step(p, ReadFrames(p, want))
	}
	for _, want := range old {
		in := ReadOldFrames(p, want)
		in.Folded = 1 << 60
		w.step(p, in)
	}
}

// sum returns what an origin has in a window, or, of the zero origin, all nodes together.
func (p past) sum(from crdt.Origin, k pastKey) (sum crdt.Value) {
	for _, o := range slices.SortedFunc(maps.Keys(p), crdt.Origin.Compare) {
		if v := p[o][k]; v != nil && (o == from || from == (crdt.Origin{}) && o.Class == crdt.ClassNode) {
			sum.Kind = cmp.Or(sum.Kind, v.Kind)
			if err := sum.AddWindow(v); err != nil {
				panic(err)
			}
		}
	}
	return sum
}

// region returns what a node's history says of a counter of a region in one window.
func (p past) region(region, name string, win crdt.Window) string {
	v := p.sum(crdt.Origin{Class: crdt.ClassRegion, Region: region}, pastKey{name, win})
	return v.P.String()
}

func newWindowWorld(t *testing.T, seed uint64) *world {
	w := newWorld(t, seed)
	w.cfg.Window = crdt.FineMillis
	return w
}

// TestACutEdgeThatCountedAloneForAnHour: all hubs of all regions have what it counted where it belongs, minute by minute and
// in the hour, once it is back, though both its hubs started anew meanwhile and it did so itself.
func TestACutEdgeThatCountedAloneForAnHour(t *testing.T) {
	w := newWindowWorld(t, 1)
	hubs := []string{"east-1", "east-2", "west-1"}
	for _, h := range hubs {
		w.start(h, h[:4], RoleHub)
	}
	w.start("edge", "east", RoleEdge)
	w.run(5000)
	w.setCut("edge", "east-1", true)
	w.setCut("edge", "east-2", true)
	want := map[crdt.Window]uint64{}
	for i := range uint64(70) {
		at := w.now
		w.count("edge", "clicks", 1<<i%1009, Token{})
		for _, width := range []int64{crdt.FineMillis, crdt.MinuteMillis, crdt.HourMillis} {
			want[crdt.WindowAt(at, width)] += 1 << i % 1009
		}
		if i == 20 || i == 45 {
			w.run(100)
			for _, name := range append(hubs, "edge") {
				p := w.procs[name]
				w.kill(name)
				w.start(name, p.region, p.role)
			}
		}
		w.run(60_000)
	}
	w.setCut("edge", "east-1", false)
	w.setCut("edge", "east-2", false)
	w.run(20_000)
	closed := 0
	for win, n := range want {
		if win.End()+5000 > w.now {
			continue
		}
		closed++
		for _, h := range hubs {
			if got := w.procs[h].past.region("east", "clicks", win); got != crdt.FixedFromUint(n).String() {
				t.Errorf("%s has %s in the %d s from %d on, want %d", h, got, win.Width/1000, win.Start, n)
			}
		}
	}
	if closed < 130 {
		t.Errorf("%d windows were compared", closed)
	}
}

// TestFramesOfWindowsGoWhenNobodyNeedsThem: after a day the frames that the history has go, and with them what is known of
// processes that are over. A hub that lacks them is told so, and has all that came later.
func TestFramesOfWindowsGoWhenNobodyNeedsThem(t *testing.T) {
	w := newWindowWorld(t, 2)
	w.cfg.AntiEntropy, w.cfg.Beat = 60_000, 60_000
	hub := w.start("hub-1", "east", RoleHub)
	edge := w.start("edge", "east", RoleEdge)
	w.run(2000)
	w.count("edge", "clicks", 5, Token{})
	w.run(4 * crdt.HourMillis)
	w.kill("edge") // and its process is over
	w.start("edge", "east", RoleEdge)
	w.run(30 * crdt.HourMillis)
	for _, p := range []*proc{hub, edge} {
		for k := range p.disk {
			if strings.HasPrefix(k, prefixWindowFrame) || strings.HasPrefix(k, prefixWindowIndex) {
				t.Errorf("%s still has %q", p.name, k)
			}
		}
	}
	if n := len(hub.core.win.order); n != 2 { // the hub's totals, and its own
		t.Errorf("the hub knows %d streams", n)
	}
	w.count("edge", "clicks", 6, Token{})
	w.run(30 * crdt.HourMillis)
	w.kill("hub-1") // and what it had in memory is gone
	w.start("hub-1", "east", RoleHub)
	w.setCut("edge", "hub-2", true)
	w.start("hub-2", "east", RoleHub)
	at := w.now
	w.count("edge", "clicks", 7, Token{})
	w.run(2 * crdt.HourMillis)
	for _, name := range []string{"hub-1", "hub-2"} {
		if got := w.procs[name].past.region("east", "clicks", crdt.WindowAt(at, crdt.HourMillis)); got != "7" {
			t.Errorf("%s has %s in the new hour", name, got)
		}
	}
	if n := w.procs["hub-2"].core.Counts.WindowGaps; n == 0 {
		t.Error("the new hub was not told what it lacks")
	}
}

// TestPublicationsThatAFullDiskRefusedComeAgain, also when something else is on its way to the hub at each comparison of the
// edge, and not when they still wait themselves.
func TestPublicationsThatAFullDiskRefusedComeAgain(t *testing.T) {
	for _, waits := range []bool{false, true} {
		w := newWindowWorld(t, 5)
		w.full = map[string]bool{}
		w.start("hub", "east", RoleHub)
		edge := w.start("edge", "east", RoleEdge)
		w.busy = func(c *Core) bool { return c == edge.core && (waits || c.now >= c.nextAE) }
		w.run(5000)
		at := w.now
		w.count("edge", "clicks", 7, Token{})
		w.run(500)
		w.full["hub"] = true
		w.run(8000)
		w.full["hub"] = false
		w.run(60_000)
		want, resyncs := "7", uint64(1)
		if waits {
			want, resyncs = "0", 0
		}
		if got := w.procs["hub"].past.region("east", "clicks", crdt.WindowAt(at, crdt.FineMillis)); got != want {
			t.Errorf("waits %t: the hub has %s in the window, want %s", waits, got, want)
		}
		if n := edge.core.Counts.Resyncs; n != resyncs {
			t.Errorf("waits %t: %d streams began again, want %d", waits, n, resyncs)
		}
	}
}

// TestEventsThatNoWindowTakes are counted in the lifetime cell alone, and as such.
func TestEventsThatNoWindowTakes(t *testing.T) {
	w := newWindowWorld(t, 3)
	w.cfg.Limits.Windows = 3
	p := w.start("hub-1", "east", RoleHub)
	w.run(2000)
	event := func(name string, at int64) {
		w.ids++
		w.step(p, Submit{ID: w.ids, Batch: &Batch{Items: []Item{{
			Series: &crdt.Series{Name: name, Kind: crdt.KindCounter}, Inc: crdt.Value{Kind: crdt.KindCounter, P: crdt.FixedFromUint(1)}, At: at,
		}}}})
		w.run(100)
	}
	event("a", w.now+crdt.MaxEarlyMillis+crdt.MinuteMillis)
	event("a", w.now-crdt.MaxLateMillis-crdt.MinuteMillis)
	event("a", w.now)
	event("b", w.now) // the minute and the hour of a need the other places
	event("b", w.now)
	c := &p.core.Counts
	if c.WindowsEarly != 1 || c.WindowsLate != 1 || c.WindowsFull != 0 {
		t.Errorf("%d early, %d late, %d without a place", c.WindowsEarly, c.WindowsLate, c.WindowsFull)
	}
	event("c", w.now)
	event("d", w.now)
	if c.WindowsFull == 0 {
		t.Error("nothing was refused a place")
	}
	for name, want := range map[string]string{"a": "3", "b": "2", "c": "1", "d": "1"} {
		if got := w.total("hub-1", name); got != want {
			t.Errorf("%s is %s, want %s", name, got, want)
		}
	}
}

// TestAForkedProcessEndsByItsPublications: a hub that holds more publications than a process made heard another copy of it.
func TestAForkedProcessEndsByItsPublications(t *testing.T) {
	c, err := NewCore(CoreConfig{Region: "east", Node: "edge", Role: RoleEdge, Inc: crdt.Incarnation{1}, Window: crdt.FineMillis})
	if err != nil {
		t.Fatal(err)
	}
	var out Output
	c.Step(Time{Mono: 1, Wall: 1}, PeerUp{ID: 1, Peer: PeerInfo{Region: "east", Node: "hub", Role: RoleHub}}, &out)
	m := &wire.WindowMarks{Full: true, Marks: []wire.WindowMark{{Origin: c.own, Cursor: 1}}}
	if c.Step(Time{Mono: 2, Wall: 2}, Received{ID: 1, Msg: Decoded{Msg: m}}, &out); out.Fatal == nil {
		t.Error("the process goes on")
	}
}

// TestWindowsCostACommitAtMostAsMuchAgain: what a commit of counters writes, with windows and without.
func TestWindowsCostACommitAtMostAsMuchAgain(t *testing.T) {
	written := map[int64]int{}
	for _, width := range []int64{0, crdt.FineMillis} {
		w := newWorld(t, 4)
		w.cfg.Window = width
		p := w.start("hub-1", "east", RoleHub)
		w.run(2000)
		for round := range uint64(2) {
			b := &Batch{}
			for i := range uint64(2000) {
				s := &crdt.Series{Name: "requests." + strings.Repeat("x", int(i%7)) + crdt.FixedFromUint(i).String(), Kind: crdt.KindCounter}
				b.Items = append(b.Items, Item{Series: s, Inc: crdt.Value{Kind: crdt.KindCounter, P: crdt.FixedFromUint(1 + i*2_654_435_761%1_000_003)}})
			}
			w.ids++
			w.step(p, Submit{ID: w.ids, Batch: b})
			if round == 1 { // the first one writes names, too
				for _, op := range p.persist.Ops {
					written[width] += len(op.Key) + len(op.Value)
				}
			}
			w.run(50)
		}
	}
	if written[crdt.FineMillis] > 2*written[0]+200 {
		t.Errorf("a commit of 2,000 counters writes %d bytes with windows and %d without", written[crdt.FineMillis], written[0])
	}
	t.Logf("2,000 counters: %d bytes with windows, %d without", written[crdt.FineMillis], written[0])
}

// BenchmarkCommitOfCounters is one commit of 2,000 counters with their names known, with windows and without.
func BenchmarkCommitOfCounters(b *testing.B) {
	for _, width := range []int64{0, crdt.FineMillis} {
		b.Run(map[bool]string{true: "windows", false: "lifetime"}[width > 0], func(b *testing.B) {
			c, err := NewCore(CoreConfig{Region: "east", Node: "hub", Role: RoleHub, Inc: crdt.Incarnation{1}, Window: width})
			if err != nil {
				b.Fatal(err)
			}
			batch := &Batch{}
			for i := range uint64(2000) {
				s := &crdt.Series{Name: "requests." + crdt.FixedFromUint(i).String(), Kind: crdt.KindCounter}
				batch.Items = append(batch.Items, Item{Series: s, Inc: crdt.Value{Kind: crdt.KindCounter, P: crdt.FixedFromUint(1 + i)}})
			}
			var out Output
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				at := Time{Mono: 1_700_000_000_000 + int64(i), Wall: 1_700_000_000_000 + int64(i)%5000}
				c.Step(at, Submit{ID: 1, Batch: batch}, &out)
				for out.Persist != nil {
					p := Persisted{Token: out.Persist.Token}
					out.Persist = nil
					c.Step(at, p, &out)
				}
			}
		})
	}
}
