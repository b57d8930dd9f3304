package reconcile

import (
	"testing"

	"pgregory.net/rapid"

	"meshd/crdt"
	"meshd/internal/wire"
)

// mesh is one region in the small: edges that write, hubs that add up, and pushes back, all in any order. It judges
// every answer of every edge against what was written: never more (I3), never less than own writes (I5), never
// falling (I4), P and N and every bucket apart.
type mesh struct {
	t     *rapid.T
	edges []*meshEdge
	hubs  []*meshHub
	incs  int
}

type meshEdge struct {
	name  string
	own   []*writer // its incarnations, the live one last
	slots *Slots
	cat   *Catalog
	last  map[int]crdt.Value
}

type meshHub struct {
	region *Region
	feed   *Export // the totals for edges, once rules of scope node were set; nil: those of the region
	anew   uint32
	pushed map[*meshEdge]uint64
}

// total returns what edges get.
func (m *mesh) total(h *meshHub) *Derived {
	h.region.Total.Close()
	if h.feed == nil {
		return h.region.Total
	}
	if err := h.feed.Update(); err != nil {
		m.t.Fatal(err)
	}
	h.feed.Close()
	return &h.feed.Derived
}

// ruled begins what edges get of a hub anew, without what stays at its nodes.
func (m *mesh) ruled(h *meshHub, match string) {
	o := h.region.Total.Origin
	h.anew++
	o.Inc = o.Inc.Anew(h.anew)
	h.feed = NewFeed(o, rulesFor(m.t, Rule{Match: match, Scope: ScopeNode}), h.region.cat, h.region.Total)
	clear(h.pushed)
}

func newMesh(t *rapid.T) *mesh {
	m := &mesh{t: t}
	for i := range 3 {
		cat := NewCatalog()
		e := &meshEdge{name: string(rune('a' + i)), cat: cat, slots: NewSlots(cat), last: map[int]crdt.Value{}}
		m.restart(e)
		m.edges = append(m.edges, e)
	}
	for range 2 {
		m.hubs = append(m.hubs, m.hub())
	}
	return m
}

func (m *mesh) inc() (inc crdt.Incarnation) {
	m.incs++
	inc[0] = byte(m.incs)
	return inc
}

func (m *mesh) hub() *meshHub {
	o := crdt.Origin{Class: crdt.ClassRegion, Region: "r", Node: "h", Inc: m.inc()}
	return &meshHub{region: NewRegion(o, NewCatalog()), pushed: map[*meshEdge]uint64{}}
}

// restart gives the edge a new incarnation; its answers may begin anew, but not below what it wrote.
func (m *mesh) restart(e *meshEdge) {
	w := newWriter(m.t, e.name, e.cat)
	w.r.Origin.Inc = m.inc()
	e.own = append(e.own, w)
	e.slots, e.last = NewSlots(e.cat), map[int]crdt.Value{}
	for _, h := range m.hubs {
		delete(h.pushed, e)
	}
}

func (e *meshEdge) replicas() (rs []*Replica) {
	for _, w := range e.own {
		rs = append(rs, w.r)
	}
	return rs
}

// up sends the hub some of what it lacks of one incarnation, or something beyond a gap.
func (m *mesh) up(e *meshEdge, h *meshHub, whole bool) {
	for _, w := range e.own {
		r := h.region.Replica(w.r.Origin)
		from, size := r.Progress[0].Cursor, 1<<20
		if !whole {
			size = rapid.IntRange(1, 60).Draw(m.t, "bytes")
			if rapid.IntRange(0, 5).Draw(m.t, "gap") == 0 {
				from = rapid.Uint64Range(from, max(from, w.r.Progress[0].Cursor)).Draw(m.t, "from")
			}
		}
		if f, ok := w.r.Build(crdt.StreamLifetime, from, size); ok {
			m.join(h, f)
		}
	}
	h.region.Total.Close()
}

func (m *mesh) join(h *meshHub, f *wire.Frame) {
	raw, err := wire.AppendFrame(nil, f)
	if err != nil {
		m.t.Fatal(err)
	}
	g, err := wire.ParseFrame(raw)
	if err == nil {
		err = h.region.Replica(g.Origin).Check(g)
	}
	if err == nil {
		_, err = h.region.Apply(g)
	}
	if err != nil {
		m.t.Fatal(err)
	}
}

// down pushes totals and pairs to an edge, a part of them if not whole; old ones may come again.
func (m *mesh) down(e *meshEdge, h *meshHub, whole bool) {
	var named []Named
	for i, w := range e.own {
		n := Named{Inc: w.r.Origin.Inc, Live: i == len(e.own)-1}
		n.Head[0] = w.r.Progress[0].Cursor
		named = append(named, n)
	}
	size, from := 1<<20, h.pushed[e]
	if !whole {
		size = rapid.IntRange(1, 100).Draw(m.t, "bytes")
		if rapid.IntRange(0, 4).Draw(m.t, "again") == 0 {
			from = rapid.Uint64Range(0, from).Draw(m.t, "from")
		}
	}
	none := func(crdt.Origin) (crdt.Progress, bool) { return crdt.Progress{}, false }
	total := m.total(h)
	f, ok := total.Frame(from, size)
	if !ok {
		return
	}
	yours, ok := h.region.Pairs(total, f, e.name, named, none)
	if !ok {
		m.t.Fatal("nothing is cold")
	}
	h.pushed[e] = max(h.pushed[e], f.To)
	raw, err := wire.AppendFrame(nil, f)
	if err != nil {
		m.t.Fatal(err)
	}
	msg, err := wire.AppendMessage(nil, &wire.Push{Frame: raw, Yours: yours})
	if err != nil {
		m.t.Fatal(err)
	}
	got, err := wire.ParseMessage(msg)
	if err != nil {
		m.t.Fatal(err)
	}
	p := got.(*wire.Push)
	g, err := wire.ParseFrame(p.Frame)
	if err == nil {
		err = e.slots.Slot(g.Origin).Total.Check(g)
	}
	if err == nil {
		err = CheckPairs(g, p.Yours)
	}
	if err == nil {
		err = e.slots.Apply(g, p.Yours, e.replicas())
	}
	if err != nil {
		m.t.Fatal(err)
	}
}

// share lets one hub take from another what it has of one origin.
func (m *mesh) share(from, to *meshHub, whole bool) {
	for _, o := range from.region.Origins() {
		size := 1 << 20
		if !whole {
			size = rapid.IntRange(1, 60).Draw(m.t, "bytes")
		}
		if f, ok := from.region.Held(o).Build(crdt.StreamLifetime, to.region.Replica(o).Progress[0].Covered, size); ok {
			m.join(to, f)
		}
	}
	to.region.Total.Close()
}

// dead reports whether the hub process of an origin is over.
func (m *mesh) dead(o crdt.Origin) bool {
	for _, h := range m.hubs {
		if m.total(h).Origin == o {
			return false
		}
	}
	return true
}

// contains reports whether all of b is in a: joining b into a changes nothing.
func contains(t *rapid.T, a, b crdt.Value) bool {
	c := a.Clone()
	rose, err := c.Join(&b, ^uint64(0), nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	return !rose
}

func (m *mesh) check(final bool) {
	for _, i := range []int{0, 1, 3, 4, 5, 6, 8, 9} { // no gauges: they are not sums
		s := series(i)
		truth := crdt.Bottom(s.Kind)
		for _, e := range m.edges {
			if id, ok := e.cat.Find(s); ok {
				if v, ok, _ := OwnSum(id, e.replicas()); ok {
					if err := truth.Combine(&v); err != nil {
						m.t.Fatal(err)
					}
				}
			}
		}
		for _, e := range m.edges {
			id, known := e.cat.Find(s)
			if !known {
				continue
			}
			got, ok, err := e.slots.Answer(id, e.replicas())
			if err != nil {
				m.t.Fatal(err)
			}
			if !ok {
				continue
			}
			own, _, _ := OwnSum(id, e.replicas())
			switch {
			case !contains(m.t, truth, got):
				m.t.Fatalf("I3: edge %s answers %v of %s, written %v", e.name, got, s, truth)
			case own.Kind == got.Kind && !contains(m.t, got, own):
				m.t.Fatalf("I5: edge %s answers %v of %s, wrote %v itself", e.name, got, s, own)
			case e.last[i].Kind == got.Kind && !contains(m.t, got, e.last[i]):
				m.t.Fatalf("I4: edge %s answers %+v of %s after %+v", e.name, got.X, s, e.last[i].X)
			case final && !contains(m.t, got, truth):
				m.t.Fatalf("edge %s answers %v of %s at the end, written %v", e.name, got, s, truth)
			}
			e.last[i] = got
		}
	}
}

func TestEdgesAnswerForTheirRegion(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := newMesh(t)
		pick := func() (*meshEdge, *meshHub) {
			return rapid.SampledFrom(m.edges).Draw(t, "edge"), rapid.SampledFrom(m.hubs).Draw(t, "hub")
		}
		for range rapid.IntRange(10, 60).Draw(t, "steps") {
			e, h := pick()
			switch rapid.IntRange(0, 14).Draw(t, "op") {
			case 0, 1, 2, 3:
				e.own[len(e.own)-1].commit()
			case 4, 5, 6:
				m.up(e, h, false)
			case 7, 8, 9:
				m.down(e, h, false)
			case 10:
				m.share(m.hubs[0], m.hubs[1], false)
			case 11:
				m.restart(e)
			case 13:
				for _, e := range m.edges {
					if err := e.slots.Prune(m.dead, none, e.replicas()); err != nil {
						t.Fatal(err)
					}
				}
			case 14:
				m.ruled(h, rapid.SampledFrom([]string{"s*", "s0", "none"}).Draw(t, "stays"))
			case 12: // a wiped hub comes back as another incarnation
				m.hubs[rapid.IntRange(0, 1).Draw(t, "wiped")] = m.hub()
			}
			m.check(false)
		}
		for _, h := range m.hubs {
			if h.feed != nil {
				m.ruled(h, "none")
			}
		}
		for range 3 {
			for _, h := range m.hubs {
				for _, e := range m.edges {
					m.up(e, h, true)
				}
			}
		}
		for _, h := range m.hubs {
			for _, e := range m.edges {
				m.down(e, h, true)
			}
		}
		m.check(true)
		for _, e := range m.edges {
			if err := e.slots.Prune(m.dead, none, e.replicas()); err != nil {
				t.Fatal(err)
			}
			if n := len(e.slots.Origins()); n > len(m.hubs) {
				t.Fatalf("edge %s keeps what %d hub processes said, %d live", e.name, n, len(m.hubs))
			}
		}
		m.check(true)
	})
}

// TestALiveIncarnationThatIsColdIsNotWhole: an edge that was away for long may write while the push is under way, so that of
// its live incarnation only an exact pair will do, whatever the hub covers.
func TestALiveIncarnationThatIsColdIsNotWhole(t *testing.T) {
	g := NewRegion(crdt.Origin{Class: crdt.ClassRegion, Region: "r", Node: "hub"}, NewCatalog())
	held := func(crdt.Origin) (crdt.Progress, bool) { return crdt.Progress{Cursor: 3, Owed: 3, Covered: 3}, true }
	for _, live := range []bool{false, true} {
		named := []Named{{Inc: crdt.Incarnation{1}, Head: [crdt.NumStreams]uint64{3}, Live: live}}
		yours, ok := g.Pairs(g.Total, &wire.Frame{}, "edge", named, held)
		if ok == live {
			t.Errorf("live %t: pairs %v without loading it: %t", live, yours, ok)
		}
	}
}
