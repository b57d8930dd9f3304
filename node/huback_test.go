package node

import (
	"errors"
	"testing"

	"meshd/crdt"
)

// countAtHub asks a node to count and to answer with the word of a hub.
func (w *world) countAtHub(name string, n uint64, within int64, tok Token) uint64 {
	w.ids++
	w.step(w.procs[name], Submit{ID: w.ids, Batch: &Batch{AckHub: within, Items: []Item{{
		Series: &crdt.Series{Name: "clicks", Kind: crdt.KindCounter}, Token: tok,
		Inc: crdt.Value{Kind: crdt.KindCounter, P: crdt.FixedFromUint(n)},
	}}}})
	return w.ids
}

// answered runs until a request is answered, at most d milliseconds.
func (w *world) answered(name string, id uint64, d int64) (Result, bool) {
	for end := w.now + d; w.now < end; {
		if r, ok := w.procs[name].replies[id]; ok {
			return r, true
		}
		w.run(1)
	}
	return Result{}, false
}

// The disk of the edge is lost in the moment of the answer, and nothing of what was answered.
func TestTheWordOfAHubIsThatOfItsDisk(t *testing.T) {
	w := newWorld(t, 5)
	w.start("hub", "east", RoleHub)
	w.start("edge", "east", RoleEdge)
	w.run(500)
	w.delay, w.slow = 1, map[string]int64{"hub": 50}
	sum := uint64(0)
	for i := range uint64(20) {
		n := i*i + 1
		id := w.countAtHub("edge", n, 1000, Token{})
		w.run(10)
		w.count("edge", "others", 1, Token{}) // wakes the edge while the hub's disk works
		r, ok := w.answered("edge", id, 2000)
		if !ok || r.Err != nil || r.Accepted != 1 {
			t.Fatalf("answer %d: %+v, %v", i, r, ok)
		}
		sum += n
		w.kill("edge")
		w.kill("hub") // what it only has in memory is lost, too
		w.procs["edge"].disk = map[string][]byte{}
		w.start("edge", "east", RoleEdge)
		w.start("hub", "east", RoleHub)
		w.run(500)
	}
	w.run(3000)
	w.mustTotal("clicks", sum)
}

func TestWithoutAHubTheAnswerSaysWhatIsHere(t *testing.T) {
	w := newWorld(t, 6)
	w.start("hub", "east", RoleHub)
	w.start("edge", "east", RoleEdge)
	w.run(500)
	w.setCut("edge", "hub", true)
	id := w.countAtHub("edge", 3, 700, Token{Key: "k"})
	if r, ok := w.answered("edge", id, 600); ok {
		t.Fatalf("answered %+v without a hub", r)
	}
	r, ok := w.answered("edge", id, 300)
	if !ok || !errors.Is(r.Err, ErrUnconfirmed) || r.Accepted != 1 {
		t.Fatalf("answer %+v, %v, want accepted and unconfirmed", r, ok)
	}
	again := w.countAtHub("edge", 3, 5000, Token{Key: "k"}) // a duplicate waits, too
	w.run(100)
	w.setCut("edge", "hub", false)
	if r, ok := w.answered("edge", again, 5000); !ok || r.Err != nil || r.Duplicates != 1 {
		t.Errorf("the retry is answered %+v, %v, want a duplicate that a hub has", r, ok)
	}
	w.mustTotal("clicks", 3)
	if c := w.procs["edge"].core.Counts; c.HubAcks != 1 || c.HubAcksLate != 1 {
		t.Errorf("%d acks of hubs and %d late, want one of each", c.HubAcks, c.HubAcksLate)
	}
	id = w.countAtHub("hub", 1, 1000, Token{})
	if r, ok := w.answered("hub", id, 100); !ok || r.Err != nil {
		t.Errorf("a hub answers %+v, %v", r, ok)
	}
	if waits := &w.procs["edge"].core.hubWaits; waits.asked != 0 || len(waits.list) != 0 {
		t.Errorf("%d and %d still wait", waits.asked, len(waits.list))
	}
}

func TestHubWaitsAreBounded(t *testing.T) {
	var w hubWaits
	for range maxHubWaits {
		if !w.admits(&Batch{AckHub: 1}) {
			t.Fatal("refused below the limit")
		}
	}
	if w.admits(&Batch{AckHub: 1}) || !w.admits(&Batch{}) {
		t.Error("the limit is of those that wait, and of no others")
	}
}
