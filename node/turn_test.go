package node

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	"meshd/crdt"
)

// TestWhoFoundNoRoomIsNext has an edge read two regions over a queue of 5,000 bytes: its own, in which counts change at
// every flush, and another that counted visitors in one cell of 12 KB, which goes only into an empty queue. It must be sent while
// the counts go on.
func TestWhoFoundNoRoomIsNext(t *testing.T) {
	w := newWorld(t, 5)
	for _, r := range []string{"east", "west"} {
		w.start(r+"-hub", r, RoleHub)
		w.start(r+"-edge", r, RoleEdge)
	}
	w.start("east-reader", "east", RoleEdge)
	w.delay = 150 // what one flush sends is under way at the next
	w.run(2000)
	for i := range 60 {
		w.count("east-edge", fmt.Sprintf("requests.%d", i), 1, Token{})
	}
	w.run(2000)
	w.limit = 5000
	visitors, rng := new(crdt.Unique), rand.New(rand.NewPCG(1, 2))
	for range 20_000 {
		visitors.InsertHash(rng.Uint64())
	}
	w.step(w.procs["west-edge"], Submit{Batch: &Batch{Items: []Item{{
		Series: &crdt.Series{Name: "visitors", Kind: crdt.KindUnique}, Inc: crdt.Value{Kind: crdt.KindUnique, X: visitors},
	}}}})
	for i := range 400 {
		w.count("east-edge", fmt.Sprintf("requests.%d", i%60), 1, Token{})
		w.count("east-edge", fmt.Sprintf("requests.%d", (i+30)%60), 1, Token{})
		w.run(25)
	}
	if waits := w.procs["east-hub"].core.Counts.RoomWaits; waits == 0 {
		t.Fatal("the queue was never full: this tests nothing")
	}
	got, err := w.procs["east-reader"].core.Totals(w.at(), Select{Match: func(s *crdt.Series) bool { return s.Name == "visitors" }})
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Rows) != 1 || got.Rows[0].Region != "west" || !bytes.Equal(got.Rows[0].Value.X.AppendBinary(nil), visitors.AppendBinary(nil)) {
		t.Errorf("ten seconds later the reader answers %d rows, want the visitors of west", len(got.Rows))
	}
}
