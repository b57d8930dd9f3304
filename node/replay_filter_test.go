package node

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"meshd/crdt"
)

// filtered returns what a filter leaves of records.
func filtered(rt *rapid.T, rf *ReplayFilter, records []ArchiveRecord) (out []ArchiveRecord) {
	for _, r := range records {
		d, err := Decode(slices.Clone(r.Message))
		if err != nil {
			rt.Fatal(err)
		}
		rf.Learn(&d)
	}
	for _, r := range records {
		d, err := Decode(slices.Clone(r.Message))
		if err != nil {
			rt.Fatal(err)
		}
		kept, err := rf.Take(d)
		if err != nil {
			rt.Fatal(err)
		}
		for _, k := range kept {
			out = append(out, ArchiveRecord{Of: r.Of, Message: encodeMessage(k.Msg)})
		}
	}
	return out
}

// covers returns how far a hub says that it holds each process.
func (h drawnHub) covers() map[crdt.Origin]crdt.Progress {
	core := h.w.procs["hub"].core
	out := map[crdt.Origin]crdt.Progress{}
	for _, r := range core.hub.region.Replicas() {
		if r.Origin.Node != "hub" {
			out[r.Origin] = r.Progress[crdt.StreamLifetime]
		}
	}
	for _, o := range core.Cold() {
		p, _ := core.hub.cold.index.progress(o)
		out[o] = p[crdt.StreamLifetime]
	}
	return out
}

// TestAFilteredReplayClaimsNothing: whatever came before, in any order, a replay of one metric brings all of that metric and none of
// another, and moves no cursor. A whole replay behind it gives the same state as one alone.
func TestAFilteredReplayClaimsNothing(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		records, sums := drawArchive(rt)
		plain := newDrawnHub(t)
		into(t, plain.w, plain.w.procs["hub"], records)
		want := plain.state()

		h := newDrawnHub(t)
		before := rapid.IntRange(0, len(records)/2).Draw(rt, "records before")
		into(t, h.w, h.w.procs["hub"], records[:before])
		h.w.run(rapid.Int64Range(0, 5000).Draw(rt, "until it is cold"))
		held, other := h.covers(), h.w.total("hub", "m1")
		rf := NewReplayFilter(func(name string) bool { return name == "m0" })
		some := filtered(rt, rf, records)
		if rf.Unnamed > 0 {
			rt.Fatalf("%d cells of an archive that has all definitions are unnamed", rf.Unnamed)
		}
		if ahead := into(t, h.w, h.w.procs["hub"], rapid.Permutation(some).Draw(rt, "order")); ahead > 0 {
			rt.Fatalf("%d frames of the filter are beyond a gap", ahead)
		}
		for range 2 {
			h.w.run(100)
			if got := h.w.total("hub", "m0"); sums[0] > 0 && got != fmt.Sprint(sums[0]) {
				rt.Fatalf("m0 is %s behind the filter, want %d", got, sums[0])
			}
			if got := h.w.total("hub", "m1"); got != other {
				rt.Fatalf("m1 is %s behind the filter, was %s", got, other)
			}
			for o, p := range h.covers() {
				if q := held[o]; p.Cursor != q.Cursor || p.Covered != q.Covered {
					rt.Fatalf("%s: %+v is claimed behind the filter, was %+v", o, p, q)
				}
			}
			h.restart()
		}
		for range len(records) {
			if into(t, h.w, h.w.procs["hub"], records) == 0 {
				break
			}
		}
		if got := h.state(); !maps.Equal(got, want) {
			rt.Fatalf("a whole replay behind the filter:\n%v\nalone:\n%v", got, want)
		}
	})
}

// TestAFilterLeavesOutWhatNothingNames: a part of an archive may lack definitions. Cells without one are counted, and never sent: a hub
// would take them for a lie.
func TestAFilterLeavesOutWhatNothingNames(t *testing.T) {
	unnamed := int64(0)
	rapid.Check(t, func(rt *rapid.T) {
		records, _ := drawArchive(rt)
		part := records[rapid.IntRange(0, len(records)-1).Draw(rt, "from"):]
		rf := NewReplayFilter(func(name string) bool { return name == "m0" })
		h := newDrawnHub(t)
		into(t, h.w, h.w.procs["hub"], filtered(rt, rf, part))
		if n := h.w.procs["hub"].core.Counts.Quarantined; n > 0 {
			rt.Fatalf("%d origins are in quarantine", n)
		}
		unnamed += rf.Unnamed
	})
	if unnamed == 0 {
		t.Error("every cell had a name: nothing was tried")
	}
}
