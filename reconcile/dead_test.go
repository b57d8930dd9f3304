package reconcile

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"meshd/crdt"
	"meshd/internal/wire"
)

// deadMesh is one reader of the entries of two hubs that restart, lose cells and come back.
type deadMesh struct {
	t    *rapid.T
	cat  *Catalog
	e    *Entries
	runs []*Derived       // processes of hubs, the dead ones too
	sum  map[SeriesID]int // of each series, the truth so far
	live map[int]*Derived // by hub
	sent []*wire.Frame    // everything that was ever sent: any of it may come again
	last []*crdt.Value    // by series
	at   map[*Derived]uint64
}

const deadSeries = 3

func newDeadMesh(t *rapid.T) *deadMesh {
	cat := NewCatalog()
	m := &deadMesh{
		t: t, cat: cat, e: NewEntries("reader", crdt.Incarnation{255}, cat), sum: map[SeriesID]int{}, live: map[int]*Derived{},
		last: make([]*crdt.Value, deadSeries), at: map[*Derived]uint64{},
	}
	for i := range deadSeries {
		if _, err := cat.Intern(&crdt.Series{Name: string(rune('a' + i)), Kind: crdt.KindUpDown}); err != nil {
			t.Fatal(err)
		}
	}
	for h := range 2 {
		m.restart(h, false)
	}
	return m
}

// restart begins a process of a hub. With its disk it knows what the one before it did.
func (m *deadMesh) restart(h int, disk bool) {
	was := m.live[h]
	o := crdt.Origin{Class: crdt.ClassRegion, Region: "r", Node: string(rune('g' + h)), Inc: crdt.Incarnation{byte(len(m.runs))}}
	d := NewDerived(o, m.cat)
	m.live[h] = d
	m.runs = append(m.runs, d)
	if disk {
		was.Each(func(id SeriesID, v *crdt.Value, _ uint64) { m.raise(d, id, v) })
		d.Close()
	}
}

func (m *deadMesh) raise(d *Derived, id SeriesID, v *crdt.Value) {
	if _, err := d.Raise(id, v); err != nil {
		m.t.Fatal(err)
	}
}

// send makes the next frame of a process, or one that was sent before, arrive.
func (m *deadMesh) send() {
	if len(m.sent) > 0 && rapid.IntRange(0, 3).Draw(m.t, "again") == 0 {
		m.arrive(rapid.SampledFrom(m.sent).Draw(m.t, "old"))
		return
	}
	d := rapid.SampledFrom(m.runs).Draw(m.t, "run")
	from := m.at[d]
	if p, ok := m.e.Dropped(d.Origin); ok {
		from = max(from, p[0].Cursor)
	} else if r := m.e.Held(d.Origin); r == nil || r.Progress[0].Cursor < from {
		from = 0 // it was dropped and came back: its sender resumes from what is named
	}
	f, ok := d.Frame(from, rapid.SampledFrom([]int{1, 1000}).Draw(m.t, "bytes"))
	if !ok {
		return
	}
	m.at[d] = f.To
	m.sent = append(m.sent, f)
	m.arrive(f)
}

func (m *deadMesh) arrive(f *wire.Frame) {
	if m.e.Late(f) {
		return
	}
	r := m.e.Replica(f.Origin)
	if err := r.Check(f); err != nil {
		m.t.Fatal(err)
	}
	if _, err := m.e.Apply(f); err != nil {
		m.t.Fatal(err)
	}
}

func (m *deadMesh) running(o crdt.Origin) bool {
	for _, d := range m.live {
		if d.Origin == o {
			return true
		}
	}
	return false
}

// drop lets go of what is not needed. Who is called dead may run: suspicion errs.
func (m *deadMesh) drop() {
	suspect := m.runs[rapid.IntRange(0, len(m.runs)-1).Draw(m.t, "suspect")].Origin
	live := func(o crdt.Origin) bool { return m.running(o) && o != suspect }
	for _, o := range m.e.Origins() {
		if live(o) || !m.e.Settled(o) {
			continue
		}
		if ok, err := m.e.Dominated(o, live, none); err != nil {
			m.t.Fatal(err)
		} else if ok {
			m.e.Drop(o)
		}
	}
}

// reread makes the reader start again from what it keeps.
func (m *deadMesh) reread() {
	next := NewEntries("reader", crdt.Incarnation{254}, m.cat)
	for _, o := range m.e.Origins() {
		if err := next.Take(m.e.Held(o)); err != nil {
			m.t.Fatal(err)
		}
	}
	for _, o := range m.e.dead.order {
		p, _ := m.e.Dropped(o)
		next.Restored(o, p)
	}
	m.e = next
}

// check: the answer never falls, whatever was dropped and however often the reader started.
func (m *deadMesh) check() {
	view := m.e.View("r")
	for id := range SeriesID(deadSeries) {
		v := crdt.Bottom(crdt.KindUpDown)
		if view != nil {
			if held, _ := view.Cell(id); held != nil {
				v = held.Clone()
			}
		}
		if was := m.last[id]; was != nil {
			sum := v.Clone()
			if rose, err := sum.Join(was, 0, nil, 0); err != nil || rose {
				m.t.Fatalf("series %d fell from %v to %v", id, *was, v)
			}
		}
		m.last[id] = &v
	}
}

func TestDroppedEntriesTakeNothingWithThem(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := newDeadMesh(t)
		for range rapid.IntRange(10, 60).Draw(t, "steps") {
			switch rapid.IntRange(0, 9).Draw(t, "step") {
			case 0, 1, 2:
				d := m.live[rapid.IntRange(0, 1).Draw(t, "hub")]
				v := crdt.Value{Kind: crdt.KindUpDown, P: crdt.FixedFromUint(rapid.Uint64Range(0, 9).Draw(t, "p")), N: crdt.FixedFromUint(rapid.Uint64Range(0, 9).Draw(t, "n"))}
				m.raise(d, SeriesID(rapid.IntRange(0, deadSeries-1).Draw(t, "series")), &v)
				d.Close()
			case 3, 4, 5, 6:
				m.send()
			case 7:
				m.restart(rapid.IntRange(0, 1).Draw(t, "hub"), rapid.IntRange(0, 3).Draw(t, "disk") > 0)
			case 8:
				m.drop()
			case 9:
				m.reread()
			}
			m.check()
		}
	})
}

func TestDroppedEntriesAreRememberedUpToALimit(t *testing.T) {
	e := NewEntries("reader", crdt.Incarnation{255}, NewCatalog())
	var all []crdt.Origin
	for i := range MaxDropped + 3 {
		o := crdt.Origin{Class: crdt.ClassRegion, Region: "r", Node: "h", Inc: crdt.Incarnation{byte(i), byte(i >> 8)}}
		all = append(all, o)
		e.Replica(o)
		excess := e.Excess(1)
		if want := max(0, i+1-MaxDropped); len(excess) != min(want, 1) {
			t.Fatalf("%d entries to forget before number %d", len(excess), i)
		}
		e.Forget(len(excess))
		e.Drop(o)
	}
	if _, ok := e.Dropped(all[2]); ok || len(e.dead.dropped) != MaxDropped || !slices.Equal(e.dead.order, all[3:]) {
		t.Errorf("%d dropped entries remembered, the first of %d", len(e.dead.dropped), MaxDropped)
	}
	if len(e.Origins()) != 0 {
		t.Errorf("%d entries still have cells", len(e.Origins()))
	}
}

// What a process wrote anew is its own, however often: once it runs after all, none of it was dropped, and all of it may come again.
func TestAProcessThatRunsAfterAllWasNeverDropped(t *testing.T) {
	e := NewEntries("reader", crdt.Incarnation{255}, NewCatalog())
	o := crdt.Origin{Class: crdt.ClassRegion, Region: "r", Node: "h", Inc: crdt.Incarnation{1}}
	anew, other := o, o
	anew.Inc, other.Node = o.Inc.Anew(1), "i"
	for _, o := range []crdt.Origin{o, anew, other} {
		if _, err := e.Apply(frame(o, 0, 1, []string{"a"}, 0, 1)); err != nil {
			t.Fatal(err)
		}
		e.Drop(o)
		e.Drop(o) // twice is once
	}
	f := frame(o, 0, 2, []string{"a"}, 0, 2)
	if !e.Superseded(o) || e.Superseded(anew) || !e.Late(f) || e.Late(frame(anew, 1, 2, nil, 0, 2)) {
		t.Error("what was written anew since is taken, or what is new is not")
	}
	e.Drop(anew)
	e.Runs(anew)
	for o, want := range map[crdt.Origin]bool{o: false, anew: false, other: true} {
		if _, dropped := e.Dropped(o); dropped != want {
			t.Errorf("%s is remembered as dropped: %v, want %v", o, dropped, want)
		}
	}
	if e.Late(f) {
		t.Error("a process that runs is not heard")
	}
}

func none(SeriesID) bool { return false }
