package node

import (
	"errors"
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"meshd/crdt"
)

// chained is a client with one session at one node of a world.
type chained struct {
	w  *world
	id ChainID
}

// send submits a batch of the chain that counts n, and returns what the node says of it.
func (c *chained) send(in Chain, n uint64) Result {
	in.ID = c.id
	b := &Batch{Chain: &in}
	if in.Op == ChainCount {
		b.Items = []Item{{
			Series: &crdt.Series{Name: "clicks", Kind: crdt.KindCounter},
			Inc:    crdt.Value{Kind: crdt.KindCounter, P: crdt.FixedFromUint(n)},
		}}
	}
	p := c.w.procs["hub"]
	c.w.ids++
	c.w.step(p, Submit{ID: c.w.ids, Batch: b})
	c.w.run(10)
	return p.replies[c.w.ids]
}

func (c *chained) restart() {
	c.w.kill("hub")
	c.w.start("hub", "east", RoleHub)
	c.w.run(10)
}

func newChained(t testing.TB, limits Limits) *chained {
	w := newWorld(t, 1)
	w.cfg.Limits = limits
	w.start("hub", "east", RoleHub)
	return &chained{w: w, id: ChainID{1}}
}

// TestALinkCountsOnce sends links once and again, in and out of order, over restarts, against a model that knows the last.
func TestALinkCountsOnce(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		c := newChained(t, Limits{})
		if res := c.send(Chain{Op: ChainOpen}, 0); res.Err != nil {
			rt.Fatal(res.Err)
		}
		var last, total uint64
		for range rapid.IntRange(1, 12).Draw(rt, "steps") {
			if rapid.IntRange(0, 4).Draw(rt, "restart") == 0 {
				c.restart()
			}
			prev := rapid.Uint64Range(0, last+1).Draw(rt, "prev")
			seq := prev + rapid.Uint64Range(0, 3).Draw(rt, "more")
			res := c.send(Chain{Prev: prev, Seq: seq}, 1<<seq)
			switch {
			case seq > prev && seq == last:
				if res.Err != nil || res.Duplicates != 1 || res.Accepted != 0 {
					rt.Fatalf("link %d again: %+v", seq, res)
				}
			case seq > prev && prev == last:
				if res.Err != nil || res.Accepted != 1 {
					rt.Fatalf("link %d behind %d: %+v", seq, prev, res)
				}
				last, total = seq, total+1<<seq
			case !errors.Is(res.Err, ErrChain):
				rt.Fatalf("link %d behind %d, the last is %d: %+v", seq, prev, last, res)
			}
			if got := c.w.total("hub", "clicks"); got != fmt.Sprint(total) && (total > 0 || got != "") {
				rt.Fatalf("total %s, want %d", got, total)
			}
		}
	})
}

// TestAChainThatIsForgottenCountsNothing: neither one that was never opened, nor closed, nor silent for a day.
func TestAChainThatIsForgottenCountsNothing(t *testing.T) {
	c := newChained(t, Limits{})
	refused := func(why string) {
		t.Helper()
		if res := c.send(Chain{Prev: 0, Seq: 1}, 1); !errors.Is(res.Err, ErrChain) {
			t.Errorf("%s: %+v, want ErrChain", why, res)
		}
		if res := c.send(Chain{Prev: 1, Seq: 2}, 1); !errors.Is(res.Err, ErrChain) {
			t.Errorf("%s: %+v, want ErrChain", why, res)
		}
	}
	counted := func() {
		t.Helper()
		if res := c.send(Chain{Op: ChainOpen}, 0); res.Err != nil {
			t.Fatal(res.Err)
		}
		if res := c.send(Chain{Prev: 0, Seq: 1}, 1); res.Err != nil || res.Accepted != 1 {
			t.Fatal(res)
		}
		if res := c.send(Chain{Op: ChainOpen}, 0); !errors.Is(res.Err, ErrChain) {
			t.Errorf("opened twice: %+v", res)
		}
	}
	refused("never opened")
	counted()
	if res := c.send(Chain{Op: ChainClose}, 0); res.Err != nil {
		t.Fatal(res.Err)
	}
	refused("closed")
	c.restart()
	refused("closed before a restart")
	c.id = ChainID{2}
	counted()
	c.w.skew = map[string]int64{"hub": 26 * 3_600_000}
	c.id = ChainID{3}
	counted()
	c.id = ChainID{2}
	refused("silent for a day")
	if got := c.w.total("hub", "clicks"); got != "3" {
		t.Errorf("total %s, want 3", got)
	}
}

func TestChainsAreLimited(t *testing.T) {
	c := newChained(t, Limits{Chains: 2})
	for i, refused := range []bool{false, false, true} {
		c.id = ChainID{byte(i)}
		if res := c.send(Chain{Op: ChainOpen}, 0); errors.Is(res.Err, ErrTokens) != refused {
			t.Errorf("session %d: %v", i, res.Err)
		}
	}
	c.id = ChainID{0}
	c.send(Chain{Op: ChainClose}, 0)
	c.id = ChainID{9}
	if res := c.send(Chain{Op: ChainOpen}, 0); res.Err != nil {
		t.Errorf("after one was closed: %v", res.Err)
	}
}
