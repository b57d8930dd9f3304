package node

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"meshd/crdt"
	"meshd/internal/wire"
)

// writing is an origin whose frames are drawn.
type writing struct {
	origin crdt.Origin
	seq    uint64
	sent   []uint64 // what frames reached to, and 0
	cells  map[uint32]wire.Cell
	first  map[uint32]uint64
}

// drawnSeries are what every origin counts, by reference.
var drawnSeries = []crdt.Series{
	{Name: "m0", Kind: crdt.KindCounter}, {Name: "m1", Kind: crdt.KindCounter}, {Name: "d0", Kind: crdt.KindDistribution},
}

// count changes some cells, under the next number.
func (o *writing) count(rt *rapid.T, sums []uint64) {
	o.seq++
	for _, ref := range rapid.SliceOfNDistinct(rapid.Uint32Range(0, uint32(len(drawnSeries)-1)), 1, -1, rapid.ID).Draw(rt, "series") {
		n := rapid.Uint64Range(1, 9).Draw(rt, "amount")
		inc := crdt.Value{Kind: drawnSeries[ref].Kind}
		if inc.Kind == crdt.KindCounter {
			inc.P = crdt.FixedFromUint(n)
		} else {
			d := new(crdt.Distribution)
			if err := d.Observe(float64(n), 1); err != nil {
				rt.Fatal(err)
			}
			inc.X = d
		}
		cell, ok := o.cells[ref]
		if !ok {
			cell.Value.Kind, o.first[ref] = inc.Kind, o.seq
		}
		next, err := cell.Value.Next(&inc)
		if err != nil {
			rt.Fatal(err)
		}
		if _, err := cell.Value.Join(&next, o.seq, nil, 0); err != nil {
			rt.Fatal(err)
		}
		o.cells[ref] = wire.Cell{Ref: ref, Seq: o.seq, Value: cell.Value}
		sums[ref] += n
	}
}

// frame tells what changed since some earlier frame.
func (o *writing) frame(rt *rapid.T) ArchiveRecord {
	back := rapid.IntRange(0, min(3, len(o.sent)-1)).Draw(rt, "frames back")
	f := &wire.Frame{Origin: o.origin, From: o.sent[len(o.sent)-1-back], To: o.seq, Head: o.seq}
	for ref, cell := range o.cells {
		if o.first[ref] > f.From {
			f.Defs = append(f.Defs, wire.Def{Ref: ref, Seq: o.first[ref], Series: drawnSeries[ref]})
		}
		if v, seq, ok := cell.Value.Delta(f.From, f.To, cell.Seq); ok {
			f.Cells = append(f.Cells, wire.Cell{Ref: ref, Seq: seq, Value: v})
		}
	}
	f.Sort()
	o.sent = append(o.sent, o.seq)
	return ArchiveRecord{Of: archiveKey(o.origin), Message: encode(f).msg}
}

// drawArchive draws what several processes, two of them of one node, told, and the sums of all series.
func drawArchive(rt *rapid.T) (records []ArchiveRecord, sums []uint64) {
	sums = make([]uint64, len(drawnSeries))
	var origins []*writing
	for i, node := range []string{"e0", "e0", "e1"} {
		origins = append(origins, &writing{
			origin: crdt.Origin{Class: crdt.ClassNode, Region: "east", Node: node, Inc: crdt.Incarnation{1, byte(i)}},
			sent:   []uint64{0}, cells: map[uint32]wire.Cell{}, first: map[uint32]uint64{},
		})
	}
	for range rapid.IntRange(5, 40).Draw(rt, "frames") {
		o := rapid.SampledFrom(origins).Draw(rt, "origin")
		for range rapid.IntRange(1, 3).Draw(rt, "changes") {
			o.count(rt, sums)
		}
		records = append(records, o.frame(rt))
	}
	return records, sums
}

// drawnHub is a hub that is killed now and then.
type drawnHub struct {
	*testing.T
	w *world
}

func newDrawnHub(t *testing.T) drawnHub {
	w := newWorld(t, 5)
	w.cfg = CoreConfig{LogBytes: 300, ColdAfter: 2000, ForgetAfter: -1}
	w.start("hub", "east", RoleHub)
	return drawnHub{t, w}
}

// killed begins to replay records and is killed some time later, whatever is on disk then.
func (h drawnHub) killed(records []ArchiveRecord, after int64) {
	in := Replay{ID: 1 << 40}
	for _, r := range records {
		d, err := Decode(slices.Clone(r.Message))
		if err != nil {
			h.Fatal(err)
		}
		in.Msgs = append(in.Msgs, d)
	}
	h.w.step(h.w.procs["hub"], in)
	h.w.run(after)
	h.restart()
}

func (h drawnHub) restart() {
	h.w.kill("hub")
	h.w.start("hub", "east", RoleHub)
}

// state is what the hub answers and how far it holds each process.
func (h drawnHub) state() map[string]string {
	h.w.run(5000)
	out := h.w.state("hub", "east")
	core := h.w.procs["hub"].core
	for i := range byte(3) {
		o := crdt.Origin{Class: crdt.ClassNode, Region: "east", Node: "e0", Inc: crdt.Incarnation{1, i}}
		if i == 2 {
			o.Node = "e1"
		}
		p, ok := core.hub.cold.index.progress(o)
		if r := core.hub.region.Held(o); r != nil {
			p, ok = r.Progress, true
		}
		if ok {
			out["held of "+o.String()] = fmt.Sprint(p[crdt.StreamLifetime].Cursor)
		}
	}
	return out
}

// TestReplayInAnyOrderGivesTheSame: an archive is cut into segments that overlap, these come in any order, some again, and the hub is killed
// between and within them. When nothing is left out, its state is that of a hub that got everything once and in order.
func TestReplayInAnyOrderGivesTheSame(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		records, sums := drawArchive(rt)
		plain := newDrawnHub(t)
		into(t, plain.w, plain.w.procs["hub"], records)
		want := plain.state()
		if len(want) < 2 {
			rt.Fatalf("%d values to compare", len(want))
		}
		for ref, series := range drawnSeries[:2] {
			if got := plain.w.total("hub", series.Name); sums[ref] > 0 && got != fmt.Sprint(sums[ref]) {
				rt.Fatalf("%s is %s in order, want %d", series.Name, got, sums[ref])
			}
		}
		segment := rapid.Custom(func(rt *rapid.T) []ArchiveRecord {
			from := rapid.IntRange(0, len(records)-1).Draw(rt, "from")
			return records[from:rapid.IntRange(from+1, len(records)).Draw(rt, "to")]
		})
		h := newDrawnHub(t)
		rt.Repeat(map[string]func(*rapid.T){
			"replay":  func(rt *rapid.T) { into(t, h.w, h.w.procs["hub"], segment.Draw(rt, "segment")) },
			"kill":    func(rt *rapid.T) { h.killed(segment.Draw(rt, "segment"), rapid.Int64Range(0, 8).Draw(rt, "after")) },
			"restart": func(*rapid.T) { h.restart() },
			"wait":    func(*rapid.T) { h.w.run(4000) }, // until processes are cold
		})
		segments := rapid.Permutation(slices.Collect(slices.Chunk(records, rapid.IntRange(1, len(records)).Draw(rt, "size")))).Draw(rt, "order")
		for round := 0; into(t, h.w, h.w.procs["hub"], slices.Concat(segments...)) > 0; round++ {
			if round > len(segments) { // each round connects one at least
				rt.Fatalf("frames are left out after %d rounds of %d segments", round, len(segments))
			}
		}
		for range 2 {
			if got := h.state(); !maps.Equal(got, want) {
				rt.Fatalf("replayed:\n%v\nin order:\n%v", got, want)
			}
			h.restart()
		}
	})
}
