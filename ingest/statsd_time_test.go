package ingest

import (
	"testing"

	"meshd/crdt"
	"meshd/node"
)

// TestTimesOfCounts: counts with a timestamp are of that second, apart from those without one and from other seconds; what
// a node does not take keeps its time; nothing of a second is left once the node has it.
func TestTimesOfCounts(t *testing.T) {
	d := newDoor(t, 1000, "jobs")
	d.node.answer = func(*node.Batch) node.Result { return node.Result{Err: node.ErrBusy} }
	refused := d.send(t, "a:1|c\na:2|c|T1700000000\na:4|c|T1700000001\na:8|c|T1700000000\njobs:-1|c|T1700000000\nt:3|ms|T1700000000\nu:x|s|T1700000000\ng:5|g|T1700000000\n")
	if len(refused) > 0 {
		t.Fatal(refused)
	}
	d.node.answer = nil
	d.send(t, "a:16|c|T1700000000\n")
	type key struct {
		name string
		at   int64
	}
	got := map[key]crdt.Value{}
	for _, it := range d.node.items {
		k := key{it.Series.Name, it.At}
		if _, twice := got[k]; twice {
			t.Errorf("%v stands twice in a batch", k)
		}
		got[k] = it.Inc
	}
	for k, want := range map[key]string{{"a", 0}: "1", {"a", 1_700_000_000_000}: "26", {"a", 1_700_000_001_000}: "4"} {
		v := got[k]
		if v.P.String() != want {
			t.Errorf("%v is %s, want %s", k, v.P, want)
		}
	}
	for _, k := range []key{{"jobs", 1_700_000_000_000}, {"t", 1_700_000_000_000}, {"u", 1_700_000_000_000}, {"g", 0}} {
		if _, ok := got[k]; !ok {
			t.Errorf("%v is missing", k)
		}
	}
	left := 0
	for i := range d.flush.acc.shards {
		sh := &d.flush.acc.shards[i]
		for _, c := range sh.known.buckets {
			for ; c != nil; c = c.next {
				if left++; c.at != 0 {
					t.Errorf("the accumulator of %s at %d is kept", c.text, c.at)
				}
			}
		}
		left -= sh.known.count
	}
	if left != 0 {
		t.Errorf("accumulators are miscounted by %d", left)
	}
}
