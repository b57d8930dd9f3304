package reconcile

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"meshd/crdt"
	"meshd/internal/wire"
)

// ruledMesh is a region of two hubs whose rules change, and what a hub and an edge of another region make of their exports.
// Hubs restart with their disks or without, frames come in any order and again, entries of the dead are dropped.
type ruledMesh struct {
	t     *rapid.T
	kind  crdt.Kind // of the metric: updown or observed
	cat   *Catalog
	truth map[SeriesID]*crdt.Value
	hubs  []*ruledHub
	runs  []*Export // all that were ever begun
	incs  int
	rules *Rules // the reader's

	e      *Entries
	sent   []*wire.Frame // everything that was ever sent: any of it may come again
	choice *Choice       // of the hub that reads
	edge   *Views
	views  []*Derived // that the hub ever had of the region
	fromV  *Choice    // of the edge that reads
	last   map[string]crdt.Value
}

type ruledHub struct {
	total, floor *Derived
	export       *Export
	anew         uint32
}

// ruleSets are what a region's configuration may say of the metric m.
func ruleSets(t *rapid.T) []*Rules {
	return []*Rules{
		nil,
		rulesFor(t, Rule{Match: "m", Drop: []string{"user"}}),
		rulesFor(t, Rule{Match: "m", Drop: []string{"code"}}),
		rulesFor(t, Rule{Match: "m", Drop: []string{"user", "code"}}),
		rulesFor(t, Rule{Match: "m", Observed: ObservedSum}),
		rulesFor(t, Rule{Match: "m", Drop: []string{"user"}, Observed: ObservedSum}),
		rulesFor(t, Rule{Match: "m", Drop: []string{"user", "code"}, Observed: ObservedSum}),
		rulesFor(t, Rule{Match: "m", Scope: ScopeRegion}),
	}
}

func newRuledMesh(t *rapid.T, kind crdt.Kind) *ruledMesh {
	m := &ruledMesh{t: t, kind: kind, cat: NewCatalog(), truth: map[SeriesID]*crdt.Value{}, last: map[string]crdt.Value{}}
	for code := range 2 {
		for user := range 2 {
			s := counterOf("m", "code", fmt.Sprint(code), "user", fmt.Sprint(user))
			s.Kind = kind
			id, err := m.cat.Intern(s)
			m.must(err)
			v := crdt.Bottom(s.Kind)
			m.truth[id] = &v
		}
	}
	m.e, m.edge = NewEntries("reader", crdt.Incarnation{200}, m.cat), NewViews(m.cat)
	m.choice, m.fromV = NewChoice(m.cat), NewChoice(m.cat)
	for range 2 {
		h := &ruledHub{}
		m.hubs = append(m.hubs, h)
		m.restart(h)
	}
	return m
}

func (m *ruledMesh) must(err error) {
	m.t.Helper()
	if err != nil {
		m.t.Fatal(err)
	}
}

func (m *ruledMesh) ids() []SeriesID {
	ids := make([]SeriesID, len(m.truth))
	for i := range ids {
		ids[i] = SeriesID(i)
	}
	return ids
}

// restart begins a process of a hub, which knows nothing yet.
func (m *ruledMesh) restart(h *ruledHub) {
	m.incs++
	o := crdt.Origin{Class: crdt.ClassRegion, Region: "eu", Node: fmt.Sprint(slices.Index(m.hubs, h)), Inc: crdt.Incarnation{byte(m.incs)}}
	h.total, h.floor, h.anew = NewDerived(o, m.cat), NewDerived(o, m.cat), 0
	m.ruled(h, nil)
}

// ruled begins the export of a hub anew.
func (m *ruledMesh) ruled(h *ruledHub, rules *Rules) {
	h.anew++
	o := h.total.Origin
	o.Inc = o.Inc.Anew(h.anew)
	h.export = NewExport(o, rules, m.cat, h.total, h.floor)
	m.runs = append(m.runs, h.export)
	m.update(h)
}

func (m *ruledMesh) update(h *ruledHub) {
	h.total.Close()
	m.must(h.export.Update())
	h.export.Close()
}

// learn tells a hub, or its floor, all that was counted of one series.
func (m *ruledMesh) learn(h *ruledHub, d *Derived, id SeriesID) {
	_, err := d.Raise(id, m.truth[id])
	m.must(err)
	d.Close()
	m.update(h)
}

func (m *ruledMesh) count(id SeriesID) {
	if m.kind == crdt.KindObserved {
		o := new(crdt.Observed)
		m.must(o.Put(crdt.Sample{
			Source: rapid.SampledFrom([]string{"a", "b"}).Draw(m.t, "source"), Start: rapid.Int64Range(0, 2).Draw(m.t, "start"),
			Time: rapid.Int64Range(1, 9).Draw(m.t, "time"), Value: crdt.FixedFromUint(rapid.Uint64Range(1, 99).Draw(m.t, "seen")),
		}))
		m.must(m.truth[id].Combine(&crdt.Value{Kind: crdt.KindObserved, X: o}))
		return
	}
	inc := crdt.Value{Kind: crdt.KindUpDown, P: crdt.FixedFromUint(rapid.Uint64Range(0, 9).Draw(m.t, "p")), N: crdt.FixedFromUint(rapid.Uint64Range(0, 9).Draw(m.t, "n"))}
	m.must(m.truth[id].Combine(&inc))
}

// send makes the next frame of an export arrive, or one that was sent before.
func (m *ruledMesh) send(x *Export, bytes int) bool {
	if _, ok := m.e.Dropped(x.Origin); ok && m.e.Superseded(x.Origin) {
		return false
	}
	from := uint64(0)
	if p, ok := m.e.Dropped(x.Origin); ok {
		from = p[0].Cursor
	}
	if r := m.e.Held(x.Origin); r != nil {
		from = r.Progress[0].Cursor
	}
	f, ok := x.Frame(from, bytes)
	if ok {
		m.sent = append(m.sent, f)
		m.arrive(f)
	}
	return ok
}

func (m *ruledMesh) arrive(f *wire.Frame) {
	if m.e.Late(f) {
		return
	}
	m.must(m.e.Replica(f.Origin).Check(f))
	_, err := m.e.Apply(f)
	m.must(err)
}

func (m *ruledMesh) live(o crdt.Origin) bool {
	return slices.ContainsFunc(m.hubs, func(h *ruledHub) bool { return h.export.Origin == o })
}

// drop lets go of the entries that nothing needs, and of what they alone had in the view.
func (m *ruledMesh) drop() {
	m.settle(m.choice, m.e.View("eu"))
	for _, o := range slices.Clone(m.e.Origins()) {
		if m.live(o) || !m.e.Settled(o) {
			continue
		}
		ok, err := m.e.Dominated(o, m.live, m.choice.Passed)
		m.must(err)
		if !ok {
			continue
		}
		m.e.Drop(o)
		anew := m.e.Anew("eu")
		renewed, err := m.e.Renew("eu")
		m.must(err)
		if renewed != (m.e.Anew("eu") == anew+1) {
			m.t.Fatal("a view is made anew, and does not say so")
		}
		m.settle(m.choice, m.e.View("eu"))
	}
}

// down sends the edge what it lacks of the hub's view.
func (m *ruledMesh) down(bytes int) bool {
	view := m.e.View("eu")
	if view == nil {
		return false
	}
	if view.Close(); !slices.Contains(m.views, view) {
		m.views = append(m.views, view)
	}
	from := uint64(0)
	if held := m.edge.Held(view.Origin); held != nil {
		from = held.Progress[0].Cursor
	}
	f, ok := view.Frame(from, bytes)
	if ok {
		if m.settle(m.fromV, m.edge.Region("eu")); m.fromV.Turned() {
			m.prune()
		}
		m.must(m.edge.Apply(f))
	}
	return ok
}

// forget lets the edge go of what the hub does not send any more.
func (m *ruledMesh) forget() {
	m.edge.Forget(func(crdt.Origin) bool { return true })
	if m.settle(m.fromV, m.edge.Region("eu")); m.fromV.Several() {
		m.prune()
	}
}

func (m *ruledMesh) prune() {
	m.must(m.edge.Prune("eu", m.fromV.Passed, m.fromV.Left))
	m.fromV.Forgot()
}

func (m *ruledMesh) settle(c *Choice, d *Derived) {
	m.must(c.Settle(d, false, func(id SeriesID) (*crdt.Value, error) {
		if d == nil {
			return nil, nil
		}
		v, _ := d.Cell(id)
		return v, nil
	}, m.rules))
}

// answer adds up what is answered of the metric.
func (m *ruledMesh) answer(c *Choice, d *Derived) crdt.Value {
	m.settle(c, d)
	sum, versions := crdt.Bottom(additive(&crdt.Value{Kind: m.kind}).Kind), map[string]bool{}
	if d == nil {
		return sum
	}
	for id := range SeriesID(m.cat.Len()) {
		v, _ := d.Cell(id)
		version, want := m.cat.Series(id).Get(crdt.RollupLabel), c.Version(id)
		if all := c.Together(id); all != nil {
			v, want = all, version
		}
		if v == nil || !c.Counts(id) {
			continue
		}
		m.must(sum.Combine(additive(v)))
		if versions[version] = true; version != want {
			m.t.Fatalf("an answer of version %q has a series of %q", want, version)
		}
	}
	if len(versions) > 1 {
		m.t.Fatalf("an answer is of the versions %v", versions)
	}
	return sum
}

func (m *ruledMesh) all() crdt.Value {
	sum := crdt.Bottom(additive(&crdt.Value{Kind: m.kind}).Kind)
	for _, v := range m.truth {
		m.must(sum.Combine(additive(v)))
	}
	return sum
}

// check: no answer exceeds the truth, and none falls, P and N apart. Who holds the same answers the same, whatever came first; of
// observed counters the version that was chosen first.
func (m *ruledMesh) check() {
	truth := m.all()
	if d := m.e.View("eu"); m.kind != crdt.KindObserved {
		fresh, got := m.answer(NewChoice(m.cat), d), m.answer(m.choice, d)
		if !contains(m.t, fresh, got) || !contains(m.t, got, fresh) {
			m.t.Fatalf("who heard all at once answers %v, the hub that heard it in turn %v", fresh, got)
		}
	}
	for who, got := range map[string]crdt.Value{"hub": m.answer(m.choice, m.e.View("eu")), "edge": m.answer(m.fromV, m.edge.Region("eu"))} {
		if !contains(m.t, truth, got) {
			m.t.Fatalf("the %s answers %v of %v", who, got, truth)
		}
		if was, ok := m.last[who]; ok && !contains(m.t, got, was) {
			m.t.Fatalf("the %s answered %v and answers %v", who, was, got)
		}
		m.last[who] = got
	}
}

// heal lets everybody know everything by one set of rules.
func (m *ruledMesh) heal(rules *Rules) {
	m.rules = rules
	for _, h := range m.hubs {
		for _, id := range m.ids() {
			m.learn(h, h.total, id)
		}
		m.ruled(h, rules)
	}
	for range 3 {
		for _, x := range m.runs {
			m.send(x, 1<<20)
			m.send(x, 1<<20)
		}
		m.drop()
		m.down(1 << 20)
		m.down(1 << 20)
		m.forget()
	}
}

// TestAnswersUnderRulesThatChange: whatever rules hubs have and for how long, answers elsewhere are of one version, never more
// than was counted, and never fall. Once the rules are the same everywhere, everybody answers everything, and
// nobody keeps another version than theirs.
func TestAnswersUnderRulesThatChange(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := newRuledMesh(t, rapid.SampledFrom([]crdt.Kind{crdt.KindUpDown, crdt.KindObserved}).Draw(t, "kind"))
		sets := ruleSets(t)
		for range rapid.IntRange(10, 60).Draw(t, "steps") {
			h := m.hubs[rapid.IntRange(0, 1).Draw(t, "hub")]
			id := rapid.SampledFrom(m.ids()).Draw(t, "series")
			bytes := rapid.SampledFrom([]int{1, 1000}).Draw(t, "bytes")
			switch rapid.IntRange(0, 11).Draw(t, "step") {
			case 0, 1:
				m.count(id)
			case 2, 3:
				m.learn(h, rapid.SampledFrom([]*Derived{h.total, h.total, h.floor}).Draw(t, "where"), id)
			case 4:
				m.ruled(h, rapid.SampledFrom(sets).Draw(t, "rules"))
			case 5:
				m.rules = rapid.SampledFrom(sets).Draw(t, "reader's rules")
			case 6, 7:
				m.send(rapid.SampledFrom(m.runs).Draw(t, "run"), bytes)
			case 8:
				if len(m.sent) > 0 {
					m.arrive(rapid.SampledFrom(m.sent).Draw(t, "old"))
				}
			case 9:
				m.drop()
			case 10:
				m.down(bytes)
				m.forget()
			case 11:
				if rapid.IntRange(0, 3).Draw(t, "restarts") == 0 {
					m.restart(h)
				}
			}
			m.check()
		}
		rules := rapid.SampledFrom(slices.DeleteFunc(sets, func(r *Rules) bool { _, travels := r.Version("m", m.kind); return !travels })).Draw(t, "in the end")
		for _, id := range m.ids() { // of what is nothing no version has a cell
			m.count(id)
		}
		m.heal(rules)
		m.check()
		want := m.all()
		version, _ := rules.Version("m", m.kind)
		for who, d := range map[string]*Derived{"hub": m.e.View("eu"), "edge": m.edge.Region("eu")} {
			if got := m.last[who]; !contains(t, got, want) {
				t.Fatalf("in the end the %s answers %v of %v", who, got, want)
			}
			d.Each(func(id SeriesID, v *crdt.Value, _ uint64) {
				if is := m.cat.Series(id).Get(crdt.RollupLabel); is != version {
					t.Fatalf("in the end the %s has %s, of version %q; the rules say %q", who, m.cat.Series(id), is, version)
				}
			})
		}
		if m.choice.Open() || m.fromV.Open() {
			t.Fatal("everything is there, and it is said that something is lacking")
		}
		if got := m.e.Hubs("eu"); !slices.Equal(got, []string{"0", "1"}) && !slices.Equal(got, []string{"-1", "0", "1"}) {
			t.Fatalf("hubs of the region: %v", got)
		}
	})
}
