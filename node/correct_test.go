package node

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"meshd/crdt"
	"meshd/internal/wire"
)

const correctionA, correctionB, correctionC = "00000000000000aa", "00000000000000bb", "00000000000000cc"

// differ writes that so much of what nodes counted as one metric is of another one, through a hub of their region.
func (w *world) differ(hub, id, from, to string, amounts map[string]uint64) {
	w.t.Helper()
	p := w.procs[hub]
	b := &Batch{Corrects: true}
	for _, name := range slices.Sorted(func(yield func(string) bool) {
		for name := range amounts {
			if !yield(name) {
				return
			}
		}
	}) {
		for _, side := range []crdt.Side{{ID: id, Minus: true, Node: name}, {ID: id, Node: name}} {
			s := &crdt.Series{Name: to, Kind: crdt.KindCounter}
			if side.Minus {
				s.Name = from
			}
			b.Items = append(b.Items, Item{Series: s.Beside(side), At: w.now, Inc: crdt.Value{Kind: crdt.KindCounter, P: crdt.FixedFromUint(amounts[name])}})
		}
	}
	w.ids++
	w.step(p, Submit{ID: w.ids, Batch: b})
	w.run(2 * correctionLookMs)
	if r, ok := p.replies[w.ids]; !ok || r.Err != nil || r.Accepted != len(b.Items) {
		w.t.Fatalf("differences at %s: %+v", hub, r)
	}
}

// settled returns where a hub's differences are, once their windows are there, too.
func (w *world) settled(hub, id string) wire.CorrectedRegion {
	w.t.Helper()
	for range 200 {
		r, ok, err := w.procs[hub].core.settledDifferences(id)
		if err != nil {
			w.t.Fatal(err)
		}
		if ok {
			return wire.CorrectedRegion{Totals: wire.WindowMark{Origin: w.procs[hub].core.totalOrigin(), Cursor: r.Cursor}}
		}
		w.run(500)
	}
	w.t.Fatalf("differences at %s do not settle", hub)
	panic("unreachable")
}

// correct asks for the record of a correction, and returns what became of it.
func (w *world) correct(hub string, r wire.Correction) error {
	w.ids++
	if r.Metric == "" {
		r.Metric = "*"
	}
	if r.To == 0 {
		r.From, r.To = w.now-3600_000, w.now
	}
	p := w.procs[hub]
	w.step(p, MakeCorrection{ID: w.ids, Correction: r})
	w.run(20)
	res, ok := p.replies[w.ids]
	if !ok {
		return errors.New("no answer yet")
	}
	return res.Err
}

func TestACorrectionCountsEverywhereAsAWhole(t *testing.T) {
	w := newWindowWorld(t, 21)
	mesh(w)
	w.run(3000)
	for _, p := range w.sorted() {
		w.count(p.name, "wrong", 10, Token{})
	}
	w.run(5000)
	w.mustTotal("wrong", 100)
	w.differ("east-hub0", correctionA, "wrong", "right", map[string]uint64{"east-edge0": 4, "east-hub1": 3})
	w.differ("west-hub1", correctionA, "wrong", "right", map[string]uint64{"west-edge2": 2})
	w.run(5000)
	w.mustTotal("wrong", 100) // no record, nothing corrected
	w.mustTotal("right", 0)
	regions := []wire.CorrectedRegion{w.settled("east-hub0", correctionA), w.settled("west-hub1", correctionA)}
	if err := w.correct("west-hub0", wire.Correction{ID: correctionA, Regions: regions}); err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for range 400 {
		w.run(50)
		for _, p := range w.sorted() {
			got := w.total(p.name, "wrong") + " " + w.total(p.name, "right")
			if seen[got] = true; got != "100 0" && got != "91 9" {
				t.Fatalf("at %d: %s answers %s, want all of the correction or nothing of it", w.now, p.name, got)
			}
		}
	}
	if len(seen) != 2 {
		t.Errorf("seen %v", seen)
	}
	w.mustTotal("wrong", 91)
	w.mustTotal("right", 9)
	w.nodesAnswer("east-hub1", "wrong", "east-edge0=6 east-edge1=10 east-edge2=10 east-hub0=10 east-hub1=7 ")
	w.nodesAnswer("east-hub1", "right", "east-edge0=4 east-hub1=3 ")
	x, err := w.procs["east-hub0"].core.Explain(w.at(), Select{})
	if err != nil || len(x.Series) != 2 || !strings.Contains(x.Series[0].Answers[0].Rule, "corrected by "+correctionA) {
		t.Errorf("explained as %+v, %v", x, err)
	}

	for _, p := range w.sorted() { // all counts on, and after a restart it is as before
		w.count(p.name, "wrong", 1, Token{})
	}
	w.run(3000)
	w.mustTotal("wrong", 101)
	for _, p := range w.sorted() {
		w.kill(p.name)
		w.start(p.name, p.region, p.role)
		if p.role == RoleHub {
			if got := w.total(p.name, "right"); got != "9" {
				t.Errorf("%s answers %s before it has heard anybody", p.name, got)
			}
		}
	}
	w.start("east-new", "east", RoleEdge)
	w.start("west-new", "west", RoleHub)
	w.run(20_000)
	w.mustTotal("wrong", 101)
	w.mustTotal("right", 9)
}

// nodesAnswer compares what a hub says of single nodes.
func (w *world) nodesAnswer(hub, metric, want string) {
	w.t.Helper()
	got, err := w.procs[hub].core.Totals(w.at(), Select{ByNode: true, Match: func(s *crdt.Series) bool { return s.Name == metric }})
	if err != nil {
		w.t.Fatal(err)
	}
	var text strings.Builder
	for _, r := range got.Rows {
		if r.Region == w.procs[hub].region {
			fmt.Fprintf(&text, "%s=%s ", r.Node, r.Value.P)
		}
	}
	if text.String() != want {
		w.t.Errorf("%s answers %q by node, want %q", hub, text.String(), want)
	}
}

func TestACorrectionReplacesEarlierOnes(t *testing.T) {
	w := newWorld(t, 22)
	mesh(w)
	w.run(3000)
	w.count("east-edge0", "wrong", 10, Token{})
	w.run(3000)
	for i, id := range []string{correctionA, correctionB} {
		w.differ("east-hub0", id, "wrong", "right", map[string]uint64{"east-edge0": uint64(4 - i)})
	}
	part := []wire.CorrectedRegion{w.settled("east-hub0", correctionA)}
	if err := w.correct("east-hub0", wire.Correction{ID: correctionA, Regions: part}); err != nil {
		t.Fatal(err)
	}
	w.run(20_000)
	w.mustTotal("right", 4)
	if err := w.correct("east-hub1", wire.Correction{ID: correctionB, Regions: part, Replaces: []string{correctionA}}); err != nil {
		t.Fatal(err)
	}
	for range 300 {
		w.run(50)
		for _, p := range w.sorted() {
			if got := w.total(p.name, "right"); got != "4" && got != "3" {
				t.Fatalf("%s answers %s while one correction replaces another", p.name, got)
			}
		}
	}
	w.mustTotal("right", 3)
	if err := w.correct("west-hub1", wire.Correction{ID: correctionC, Replaces: []string{correctionA, correctionB}}); err != nil {
		t.Fatal(err)
	}
	w.run(20_000)
	w.mustTotal("right", 0)
	w.mustTotal("wrong", 10)
	for _, bad := range []wire.Correction{
		{ID: correctionA}, {ID: "nothing"}, {ID: "00000000000000dd", Replaces: []string{"00000000000000ee"}}, {ID: "00000000000000dd", From: 5, To: 4},
	} {
		if err := w.correct("east-hub0", bad); !errors.Is(err, ErrCorrection) {
			t.Errorf("%+v: %v, want a refusal", bad, err)
		}
	}
	if err := w.correct("east-edge0", wire.Correction{ID: "00000000000000dd"}); !errors.Is(err, ErrCorrection) {
		t.Errorf("at an edge: %v, want a refusal", err)
	}
}

// TestOfTwoCorrectionsOneCounts: two operators at two hubs that do not hear each other correct the same.
func TestOfTwoCorrectionsOneCounts(t *testing.T) {
	w := newWorld(t, 23)
	mesh(w)
	w.run(3000)
	w.count("east-edge0", "wrong", 10, Token{})
	w.run(3000)
	part := func(hub string) []wire.CorrectedRegion { return []wire.CorrectedRegion{w.settled(hub, correctionA)} }
	w.differ("east-hub0", correctionA, "wrong", "right", map[string]uint64{"east-edge0": 4})
	w.differ("east-hub1", correctionB, "wrong", "right", map[string]uint64{"east-edge0": 5})
	if err := errors.Join(
		w.correct("east-hub0", wire.Correction{ID: correctionA, Regions: part("east-hub0")}),
		w.correct("east-hub1", wire.Correction{ID: correctionB, Regions: part("east-hub1")}),
		w.correct("east-hub1", wire.Correction{ID: correctionC, Regions: part("east-hub1"), From: 1, To: 2}),
	); err != nil {
		t.Fatal(err)
	}
	w.run(30_000)
	w.mustTotal("right", 5)
	w.mustTotal("wrong", 5)
}

func TestNobodyElseWritesSides(t *testing.T) {
	w := newWorld(t, 24)
	mesh(w)
	w.run(3000)
	w.count("east-hub0", "wrong", 10, Token{})
	w.differ("east-hub0", correctionA, "wrong", "right", map[string]uint64{"east-hub0": 4})
	side := (&crdt.Series{Name: "wrong", Kind: crdt.KindCounter}).Beside(crdt.Side{ID: correctionA, Minus: true, Node: "east-hub0"})
	one := crdt.Value{Kind: crdt.KindCounter, P: crdt.FixedFromUint(1)}
	for name, b := range map[string]*Batch{
		"a client's":        {Items: []Item{{Series: side, Inc: one}}},
		"no side":           {Corrects: true, Items: []Item{{Series: &crdt.Series{Name: "wrong", Kind: crdt.KindCounter}, Inc: one}}},
		"of no correction":  {Corrects: true, Items: []Item{{Series: (&crdt.Series{Name: "wrong", Kind: crdt.KindCounter}).Beside(crdt.Side{ID: "x", Node: "n"}), Inc: one}}},
		"of what has no <0": {Corrects: true, Items: []Item{{Series: (&crdt.Series{Name: "u", Kind: crdt.KindUnique}).Beside(crdt.Side{ID: correctionA, Node: "n"}), Inc: crdt.Value{Kind: crdt.KindUnique}}}},
	} {
		w.ids++
		w.step(w.procs["east-hub0"], Submit{ID: w.ids, Batch: b})
		w.run(100)
		if r := w.procs["east-hub0"].replies[w.ids]; len(r.Rejected) != 1 {
			t.Errorf("%s: %+v, want it rejected", name, r)
		}
	}
	edge := w.procs["west-edge0"] // which is not what it should be
	w.ids++
	w.step(edge, Submit{ID: w.ids, Batch: &Batch{Corrects: true, Items: []Item{{Series: side, Inc: one}}}})
	w.run(5000)
	if c := w.procs["west-hub0"].core; c.Counts.Quarantined == 0 || c.cat.AnySides() && c.cat.IsSide(0) {
		t.Errorf("an edge's sides are taken: %+v", c.Counts)
	}
}

// TestCorrectionsUnderFaults: whatever is cut, killed and started again, each read at each hub has all of a correction or nothing of it,
// and what a hub answers does not fall by it.
func TestCorrectionsUnderFaults(t *testing.T) {
	for seed := range uint64(24) {
		w := newWindowWorld(t, seed)
		upTo := func(n int) int { return w.rng.IntN(n) }
		mesh(w)
		w.run(3000)
		var names []string
		for _, p := range w.sorted() {
			w.count(p.name, "wrong", 10, Token{})
			names = append(names, p.name)
		}
		w.run(int64(upTo(3000)))
		hubs := []string{"east-hub0", "west-hub0"}
		var regions []wire.CorrectedRegion
		last := map[string]uint64{}
		counted := uint64(100)
		look := func() {
			for _, p := range w.sorted() {
				if p.core == nil {
					delete(last, p.name)
					continue
				}
				var wrong, right uint64
				if _, err := fmt.Sscan(w.total(p.name, "wrong"), &wrong); err != nil {
					t.Fatal(err)
				}
				if _, err := fmt.Sscan(w.total(p.name, "right"), &right); err != nil {
					t.Fatal(err)
				}
				if right != 0 && right != 12 {
					t.Fatalf("seed %d: %s answers %d of a correction of 12", seed, p.name, right)
				}
				if p.core.Counts.CorrectionsShort > 0 {
					t.Fatalf("seed %d: %s took more off than there was", seed, p.name)
				}
				if p.role == RoleHub && wrong+right < last[p.name] || wrong+right > counted {
					t.Fatalf("seed %d: %s answers %d and %d after %d together, of %d", seed, p.name, wrong, right, last[p.name], counted)
				}
				last[p.name] = wrong + right
			}
		}
		for step := range 14 + upTo(16) {
			if step == 8 {
				w.differ(hubs[0], correctionA, "wrong", "right", map[string]uint64{"east-edge0": 4, "east-edge1": 4})
				w.differ(hubs[1], correctionA, "wrong", "right", map[string]uint64{"west-edge0": 4})
				for _, hub := range hubs {
					regions = append(regions, w.settled(hub, correctionA))
				}
				if err := w.correct(hubs[upTo(2)], wire.Correction{ID: correctionA, Regions: regions}); err != nil {
					t.Fatal(err)
				}
			}
			a, b := names[upTo(len(names))], names[upTo(len(names))]
			switch p := w.procs[a]; []string{"count", "count", "cut", "heal", "restart"}[upTo(5)] {
			case "count":
				if p.core != nil {
					w.count(a, "wrong", 1, Token{})
					counted++
				}
			case "cut":
				if a != b && (step < 4 || step > 8) {
					w.setCut(a, b, true)
				}
			case "heal":
				w.setCut(a, b, false)
			case "restart":
				if step > 8 {
					w.run(10) // what was acknowledged is on its disk
					w.kill(a)
					w.start(a, p.region, p.role)
				}
			}
			for range 5 {
				w.run(10 + int64(upTo(500)))
				look()
			}
		}
		for _, a := range names {
			for _, b := range names {
				w.setCut(a, b, false)
			}
		}
		for range 25 {
			w.run(4000)
			look()
		}
		for _, name := range names {
			if got := w.total(name, "right"); got != "12" {
				t.Fatalf("seed %d: %s answers %s in the end", seed, name, got)
			}
		}
	}
}

// TestACorrectionWaitsForItsWindows: a hub that lacks windows which the writer still hands on answers without; once that is over for a while, with.
func TestACorrectionWaitsForItsWindows(t *testing.T) {
	w := newWindowWorld(t, 25)
	mesh(w)
	w.run(3000)
	w.count("east-edge0", "wrong", 10, Token{})
	w.run(3000)
	w.differ("east-hub0", correctionA, "wrong", "right", map[string]uint64{"east-edge0": 4})
	part := w.settled("east-hub0", correctionA)
	part.Totals.Cursor += 1000 // which it has not written yet
	if err := w.correct("east-hub0", wire.Correction{ID: correctionA, Regions: []wire.CorrectedRegion{part}}); err != nil {
		t.Fatal(err)
	}
	w.run(30_000)
	for _, name := range []string{"east-hub0", "east-hub1", "west-hub0"} {
		if got := w.total(name, "right"); got != "0" {
			t.Errorf("%s answers %s before it has the windows", name, got)
		}
	}
	if got := w.total("west-edge0", "right"); got != "4" {
		t.Errorf("an edge, which holds no windows of others, answers %s", got)
	}
	w.kill("east-hub0")
	w.start("east-hub0", "east", RoleHub)
	w.run(correctionOverMs + 30_000)
	w.mustTotal("right", 4)
	list := w.procs["west-hub1"].core.listCorrections()
	if len(list) != 1 || !list[0].Counts || !list[0].Answered || len(list[0].Regions) != 1 {
		t.Errorf("listed as %+v", list)
	}
}

// TestALogRemembersCorrections: what operators decided is copied into a log, and comes back from it.
func TestALogRemembersCorrections(t *testing.T) {
	w := newWorld(t, 26)
	mesh(w)
	w.run(3000)
	if err := w.correct("east-hub0", wire.Correction{ID: correctionA}); err != nil {
		t.Fatal(err)
	}
	w.run(3000)
	var kept []Decoded
	if err := ReadDecisions(w.procs["east-hub1"], func(r ArchiveRecord) error {
		d, err := Decode(r.Message)
		kept = append(kept, d)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	fresh := newWorld(t, 27)
	p := fresh.start("hub", "east", RoleHub)
	fresh.run(1000)
	fresh.step(p, Replay{ID: 1, Msgs: kept})
	fresh.run(1000)
	if l := p.core.listCorrections(); len(kept) != 1 || len(l) != 1 || l[0].ID != correctionA {
		t.Errorf("%d decisions kept, %+v come back", len(kept), l)
	}
}

// TestCorrectionsFollowRollupRules: what other regions get as sums without a label is corrected as a sum, also after rules change.
func TestCorrectionsFollowRollupRules(t *testing.T) {
	for _, first := range []bool{false, true} {
		w := newWorld(t, 28)
		mesh(w)
		w.run(3000)
		rules := func() { w.configure("east-edge0", `{"rollup":[{"match":"*","drop":["till"]}]}`) }
		if first {
			rules()
		}
		for _, p := range w.sorted() {
			w.hit(p.name, "wrong", 10)
		}
		w.run(5000)
		b := &Batch{Corrects: true}
		for _, name := range []string{"east-edge0", "east-edge1"} {
			for _, side := range []crdt.Side{{ID: correctionA, Minus: true, Node: name}, {ID: correctionA, Node: name}} {
				s := &crdt.Series{Name: "right", Kind: crdt.KindCounter, Labels: []crdt.Label{{Name: "till", Value: name}}}
				if side.Minus {
					s.Name = "wrong"
				}
				b.Items = append(b.Items, Item{Series: s.Beside(side), At: w.now, Inc: amountOf(4)})
			}
		}
		w.ids++
		w.step(w.procs["east-hub0"], Submit{ID: w.ids, Batch: b})
		w.run(1000)
		if err := w.correct("east-hub0", wire.Correction{ID: correctionA, Regions: []wire.CorrectedRegion{w.settled("east-hub0", correctionA)}}); err != nil {
			t.Fatal(err)
		}
		check := func() {
			for range 100 {
				w.run(200)
				for _, p := range w.sorted() {
					if got := w.total(p.name, "wrong") + " " + w.total(p.name, "right"); got != "100 0" && got != "92 8" {
						t.Fatalf("rules first: %v: at %d %s answers %s", first, w.now, p.name, got)
					}
				}
			}
			w.mustTotal("wrong", 92)
			w.mustTotal("right", 8)
		}
		check()
		if !first {
			rules()
			check()
		}
		if own, far := w.series("west-edge1", "right", "west"), w.series("west-edge1", "right", "east"); own != 0 || far != 1 {
			t.Errorf("rules first: %v: %d and %d series, want none of the own region and a sum of the other", first, own, far)
		}
	}
}
