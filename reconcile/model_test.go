package reconcile

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"meshd/crdt"
	"meshd/internal/wire"
)

// writer is an origin that commits increments as frames of its own, and remembers them.
type writer struct {
	t   *rapid.T
	r   *Replica
	log []*wire.Frame // what it committed: log[i] is (i, i+1]
}

func newWriter(t *rapid.T, node string, cat *Catalog) *writer {
	o := crdt.Origin{Class: crdt.ClassNode, Region: "r", Node: node}
	copy(o.Inc[:], node)
	return &writer{t: t, r: NewReplica(o, cat)}
}

var kinds = []crdt.Kind{crdt.KindCounter, crdt.KindUpDown, crdt.KindGauge, crdt.KindDistribution, crdt.KindUnique}

func series(i int) *crdt.Series {
	return &crdt.Series{Name: fmt.Sprintf("s%d", i), Kind: kinds[i%len(kinds)], Labels: []crdt.Label{{Name: "i", Value: fmt.Sprint(i)}}}
}

// increment draws something to count on series i.
func increment(t *rapid.T, i int) crdt.Value {
	n := rapid.Uint64Range(0, 9).Draw(t, "n")
	v := crdt.Bottom(kinds[i%len(kinds)])
	switch v.Kind {
	case crdt.KindCounter:
		v.P = crdt.FixedFromUint(n)
	case crdt.KindUpDown:
		v.P, v.N = crdt.FixedFromUint(n), crdt.FixedFromUint(n/2)
	case crdt.KindGauge:
		v.X = &crdt.Gauge{Time: crdt.HLCFrom(int64(n), 0), Value: float64(n)}
	case crdt.KindDistribution:
		d := &crdt.Distribution{}
		if err := d.Observe(float64(n)-2, 1); err != nil {
			t.Fatal(err)
		}
		v.X = d
	default:
		u := &crdt.Unique{}
		u.InsertHash(n * 0x9e3779b97f4a7c15)
		v.X = u
	}
	return v
}

// commit counts a few increments under one seq.
func (w *writer) commit() {
	seq := w.r.Progress[0].Cursor + 1
	f := &wire.Frame{Origin: w.r.Origin, From: seq - 1, To: seq, Head: seq}
	ref := uint32(w.r.Refs())
	for _, i := range slices.Compact(slices.Sorted(slices.Values(rapid.SliceOfN(rapid.IntRange(0, 9), 1, 4).Draw(w.t, "series")))) {
		s := series(i)
		id, err := w.r.cat.Intern(s)
		if err != nil {
			w.t.Fatal(err)
		}
		at, ok := w.r.Ref(id)
		cur := crdt.Bottom(s.Kind)
		if !ok {
			at, ref = ref, ref+1
			f.Defs = append(f.Defs, wire.Def{Ref: at, Seq: seq, Series: *s})
		} else if v, _ := w.r.Cell(id); v != nil {
			cur = v.Clone()
		}
		inc := increment(w.t, i)
		next, err := cur.Next(&inc)
		if err != nil {
			w.t.Fatal(err)
		}
		f.Cells = append(f.Cells, wire.Cell{Ref: at, Seq: seq, Value: next})
	}
	apply(w.t, w.r, f)
	w.log = append(w.log, f)
}

// apply sends a frame through its bytes into r.
func apply(t *rapid.T, r *Replica, f *wire.Frame) {
	raw, err := wire.AppendFrame(nil, f)
	if err != nil {
		t.Fatal(err)
	}
	g, err := wire.ParseFrame(raw)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Check(g); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Apply(g, nil); err != nil {
		t.Fatal(err)
	}
}

// holds reports whether r has everything that the writer had at seq: applying all of it once more changes nothing.
func holds(w *writer, r *Replica, seq uint64) bool {
	c := NewReplica(r.Origin, r.cat)
	for _, f := range w.log[:seq] {
		apply(w.t, c, f)
	}
	ok := true
	c.Each(func(id SeriesID, v *crdt.Value, cellSeq uint64) {
		have, _ := r.Cell(id)
		if have == nil {
			ok = false
			return
		}
		h := have.Clone()
		rose, err := h.Join(v, cellSeq, nil, 0)
		ok = ok && err == nil && !rose
	})
	return ok
}

func TestCoveredNeverClaimsMoreThanIsHeld(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWriter(t, "w", NewCatalog())
		relay, last := NewReplica(w.r.Origin, w.r.cat), NewReplica(w.r.Origin, NewCatalog())
		for range rapid.IntRange(5, 40).Draw(t, "steps") {
			switch rapid.IntRange(0, 5).Draw(t, "op") {
			case 0, 1, 2:
				w.commit()
			case 3: // straight from the writer, from anywhere it may resume: also over a gap
				from := rapid.Uint64Range(0, w.r.Progress[0].Cursor).Draw(t, "from")
				if f, ok := w.r.Build(crdt.StreamLifetime, from, rapid.IntRange(1, 200).Draw(t, "bytes")); ok {
					apply(t, relay, f)
				}
			case 4: // through the relay, from what is covered
				if f, ok := relay.Build(crdt.StreamLifetime, last.Progress[0].Covered, rapid.IntRange(1, 200).Draw(t, "bytes")); ok {
					apply(t, last, f)
				}
			case 5:
				for _, f := range relay.Extras(100) {
					apply(t, last, f)
				}
			}
			for _, r := range []*Replica{relay, last} {
				if !holds(w, r, r.Progress[0].Covered) {
					t.Fatalf("%+v covered, but not held", r.Progress[0])
				}
			}
		}
		// heal: everything arrives, chunk by chunk
		for _, hop := range [][2]*Replica{{w.r, relay}, {relay, last}} {
			for {
				f, ok := hop[0].Build(crdt.StreamLifetime, hop[1].Progress[0].Covered, 50)
				if !ok {
					break
				}
				if f.To <= hop[1].Progress[0].Covered {
					t.Fatalf("no progress at %+v", hop[1].Progress[0])
				}
				apply(t, hop[1], f)
				if hop[1].Progress[0].Covered < f.To { // left out cells come with later frames
					if g, ok := hop[0].Build(crdt.StreamLifetime, hop[1].Progress[0].Cursor, 1<<20); ok {
						apply(t, hop[1], g)
					}
				}
			}
			if !sameCells(hop[1], w.r) {
				t.Fatal("states differ after everything arrived")
			}
		}
	})
}

// sameCells compares by series, as two processes number them differently.
func sameCells(a, b *Replica) bool {
	by := func(r *Replica) map[string]string {
		m := map[string]string{}
		r.Each(func(id SeriesID, v *crdt.Value, _ uint64) {
			m[string(r.cat.Series(id).AppendKey(nil))] = string(v.AppendBinary(nil))
		})
		return m
	}
	x, y := by(a), by(b)
	if len(x) != len(y) {
		return false
	}
	for k := range x {
		if x[k] != y[k] {
			return false
		}
	}
	return true
}
