package node

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"meshd/crdt"
)

func TestTheColdIndexIsAMapInOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		x := newColdIndex()
		model := map[crdt.Origin][crdt.NumStreams]crdt.Progress{}
		seqs := rapid.SampledFrom([]uint64{0, 1, 7, oddSeq - 1, oddSeq, 1 << 40})
		for range rapid.IntRange(1, 80).Draw(t, "steps") {
			o := crdt.Origin{
				Class: crdt.ClassNode, Region: "r", Node: fmt.Sprint("n", rapid.IntRange(0, 2).Draw(t, "node")),
				Inc: crdt.Incarnation{rapid.SampledFrom([]byte{0, 1, 255}).Draw(t, "bucket"), 0, rapid.Byte().Draw(t, "inc") % 4},
			}
			if rapid.IntRange(0, 3).Draw(t, "remove") == 0 {
				x.remove(o)
				delete(model, o)
				continue
			}
			n, more := seqs.Draw(t, "seq"), uint64(0)
			if rapid.IntRange(0, 3).Draw(t, "odd") == 0 {
				more = 2
			}
			p := [crdt.NumStreams]crdt.Progress{{Cursor: n, Owed: n + more, Covered: n}, {}}
			x.put(o, p, 5000)
			model[o] = p
		}
		// Another order of insertion gives the same sums.
		y := newColdIndex()
		var last crdt.Origin
		n := 0
		for o, p := range x.all("r") {
			if model[o] != p {
				t.Fatalf("%s is at %v, want %v", o, p, model[o])
			}
			if n > 0 && (string(o.Inc[:]) < string(last.Inc[:])) {
				t.Fatalf("%s comes after %s", o, last)
			}
			y.put(o, p, 5000)
			last = o
			n++
		}
		if n != len(model) || x.len != n {
			t.Fatalf("%d rows, len %d, want %d", n, x.len, len(model))
		}
		for o, p := range model {
			if got, ok := x.progress(o); !ok || got != p {
				t.Fatalf("%s: %v, want %v", o, got, p)
			}
		}
		for b := range coldBuckets {
			if x.sum(b) != y.sum(b) {
				t.Fatalf("bucket %d: two indexes of the same origins have the sums %x and %x", b, x.sum(b), y.sum(b))
			}
		}
		for o, p := range model {
			p[0].Covered++
			p[0].Cursor, p[0].Owed = p[0].Covered, max(p[0].Owed, p[0].Covered)
			b := coldBucket(o.Inc)
			before := x.sum(b)
			if x.put(o, p, 5000); x.sum(b) == before {
				t.Fatalf("the sum of a bucket does not tell that %s is covered further", o)
			}
		}
	})
}

// TestASiblingGetsWhatIsColdWithoutBeingToldOfIt: hubs compare what is cold by sums, and keep nothing of it in a session.
func TestASiblingGetsWhatIsColdWithoutBeingToldOfIt(t *testing.T) {
	w := newWorld(t, 31)
	w.cfg = CoreConfig{ColdAfter: 1000, AntiEntropy: 200, LogBytes: 1} // what is loaded to be relayed stays until it is
	w.start("east-hub0", "east", RoleHub)
	const lives = 40
	for range lives {
		w.start("east-edge0", "east", RoleEdge)
		w.count("east-edge0", "clicks", 1, Token{})
		w.run(600)
		w.kill("east-edge0")
		w.procs["east-edge0"].disk = map[string][]byte{} // nobody else has what it wrote
	}
	w.run(4000)
	if n := len(w.procs["east-hub0"].core.Cold()); n < lives-2 {
		t.Fatalf("%d incarnations are cold, want nearly %d", n, lives)
	}
	w.start("east-hub1", "east", RoleHub)
	w.run(30_000)
	w.mustTotal("clicks", lives)
	quiet := map[string]uint64{}
	for _, h := range []string{"east-hub0", "east-hub1"} {
		c := w.procs[h].core
		if n := len(c.Cold()); n != lives {
			t.Errorf("%s: %d are cold, want %d", h, n, lives)
		}
		s := c.order[0]
		if n := len(s.told) + len(s.marks) + len(s.streams) + len(s.sources); n > 20 {
			t.Errorf("%s keeps %d things in a session of two hubs in which nothing is hot", h, n)
		}
		quiet[h] = c.Counts.Loads
	}
	w.run(30_000)
	for h, n := range quiet {
		if got := w.procs[h].core.Counts.Loads; got != n {
			t.Errorf("%s goes on loading: %d times in 30 s", h, got-n)
		}
	}
	w.kill("east-hub0")
	w.mustTotal("clicks", lives)
}
