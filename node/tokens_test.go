package node

import (
	"errors"
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"meshd/crdt"
)

func TestASourceWindowKnowsWhatWasCounted(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w, counted, high := &window{}, map[uint64]bool{}, uint64(0)
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			seq := rapid.Uint64Range(1, high+2*tokenWindow).Draw(t, "seq")
			want := counted[seq] || high >= seq && high-seq >= tokenWindow // older than the window: taken as counted
			if got := w.seen(seq); got != want {
				t.Fatalf("seq %d below %d: seen %v, want %v", seq, high, got, want)
			}
			if !w.seen(seq) {
				w.mark(seq)
				counted[seq], high = true, max(high, seq)
			}
			back, err := parseWindow(w.append(nil))
			if err != nil || *back != *w {
				t.Fatalf("%v: %v after a restart, want %v", err, back, w)
			}
		}
	})
	if _, err := parseWindow(make([]byte, 7)); err == nil {
		t.Error("a window of 7 bytes was read")
	}
}

func TestAtTheTokenLimitABatchIsRefusedWhole(t *testing.T) {
	w := newWorld(t, 1)
	w.cfg.Limits = Limits{Keys: 2, Sources: 1}
	p := w.start("hub", "east", RoleHub)
	item := func(tok Token) Item {
		return Item{Series: &crdt.Series{Name: "clicks", Kind: crdt.KindCounter}, Inc: crdt.Value{Kind: crdt.KindCounter, P: crdt.FixedFromUint(1)}, Token: tok}
	}
	submit := func(toks ...Token) Result {
		b := &Batch{}
		for _, tok := range toks {
			b.Items = append(b.Items, item(tok))
		}
		w.ids++
		w.step(p, Submit{ID: w.ids, Batch: b})
		w.run(10)
		return p.replies[w.ids]
	}
	for i, c := range []struct {
		toks    []Token
		refused bool
	}{
		{[]Token{{Key: "a"}, {}}, false},
		{[]Token{{Key: "b"}, {Key: "c"}, {}}, true},
		{[]Token{{Key: "a"}, {Key: "b"}}, false},
		{[]Token{{Source: "s", Seq: 1}}, false},
		{[]Token{{Source: "s", Seq: 2}, {Source: "u", Seq: 1}}, true},
		{[]Token{{Source: "s", Seq: 2}, {}}, false},
	} {
		if got := submit(c.toks...); errors.Is(got.Err, ErrTokens) != c.refused {
			t.Errorf("batch %d: %+v, refused should be %v", i, got, c.refused)
		}
	}
	w.mustTotal("clicks", 2+1+1+2)
	w.now += 26 * 3600 * 1000
	for i := range 2 {
		if got := submit(Token{Key: fmt.Sprint("next day ", i)}); got.Accepted != 1 {
			t.Errorf("keys of the day before still take room: %+v", got)
		}
	}
}

// TestASilentSourceIsForgotten: after a day without an item, which makes room for another; over a restart too, and not before. What is
// sent again then counts again. The node's own inputs are never forgotten.
func TestASilentSourceIsForgotten(t *testing.T) {
	const hour = 3600 * 1000
	w := newWorld(t, 1)
	w.cfg.Limits = Limits{Sources: 2}
	p := w.start("hub", "east", RoleHub)
	submit := func(tok Token) Result {
		w.ids++
		w.step(p, Submit{ID: w.ids, Batch: &Batch{Items: []Item{{
			Series: &crdt.Series{Name: "clicks", Kind: crdt.KindCounter}, Inc: crdt.Value{Kind: crdt.KindCounter, P: crdt.FixedFromUint(1)}, Token: tok,
		}}}})
		w.run(10)
		return p.replies[w.ids]
	}
	accepted := func(when string, tok Token) {
		t.Helper()
		if got := submit(tok); got.Err != nil || got.Accepted != 1 {
			t.Errorf("%s, %v: %+v, want it accepted", when, tok, got)
		}
	}
	known := func(when string, tok Token) {
		t.Helper()
		if got := submit(tok); got.Err != nil || got.Duplicates != 1 {
			t.Errorf("%s, %v: %+v, want a duplicate", when, tok, got)
		}
	}
	client, log, other := Token{Source: "pos", Seq: 1}, Token{Source: "log", Seq: 1, Kept: true}, Token{Source: "other", Seq: 1}
	accepted("at first", client)
	accepted("at first", log)
	w.now += 23 * hour
	accepted("a day later", Token{Source: "pos", Seq: 2})
	w.now += 23 * hour
	known("within a day of the last", client)
	if got := submit(other); !errors.Is(got.Err, ErrTokens) {
		t.Errorf("a third source: %+v, want ErrTokens", got)
	}
	w.kill("hub")
	p = w.start("hub", "east", RoleHub)
	known("after a restart", client)
	w.now += 2 * hour
	accepted("after a day of silence", other)
	if p.core.Counts.SourcesForgotten != 1 {
		t.Errorf("%d sources forgotten, want 1", p.core.Counts.SourcesForgotten)
	}
	known("its position may lie still", log)
	w.now += 26 * hour
	accepted("when it is forgotten", client)
	known("its position may lie still", log)
}
