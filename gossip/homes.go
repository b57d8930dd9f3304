package gossip

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/cespare/xxhash/v2"

	"meshd/internal/mutant"
)

// rank orders hubs for one edge by weighted rendezvous hashing: every edge has its own order, so that the load is even, and
// a hub that comes, goes or gets slower moves only the edges that have it among their first. A hub's weight falls to a
// quarter with every doubling of what its link costs this edge (quality.class): of two hubs, one four times as
// far, the near one is first for 16 of 17 edges. A hub whose link was never measured counts as the best that was: it is
// worth a try, and no reason to leave others.
func rank(node string, hubs []*target) []*target {
	best := maxClass
	for _, t := range hubs {
		if t.quality.known() {
			best = min(best, t.quality.class)
		}
	}
	score := func(t *target) float64 {
		class := best
		if t.quality.known() && !mutant.On("homes by hash alone") {
			class = t.quality.class
		}
		draw := (float64(xxhash.Sum64String(node+"\x00"+t.Node)>>11) + 0.5) / (1 << 53) // in (0, 1)
		return -math.Log(draw) * math.Pow(4, float64(class))
	}
	return slices.SortedFunc(slices.Values(hubs), func(a, b *target) int {
		return cmp.Or(cmp.Compare(score(a), score(b)), cmp.Compare(a.Addr, b.Addr))
	})
}

// An edge does not move back and forth. It gives a session up for a better one only when all the better ones have been up
// for settle, and when the one that goes has been up for minStay.
const (
	// homeSettle is how long a hub that is back must be up before it is relied on. It doubles with each session in a row
	// that ended before steady, up to 32 times as much: a hub that comes and goes every half minute keeps the edges
	// that rank it first for a few rounds and is a third session beyond their homes from then on.
	homeSettle = 10 * time.Second
	steady     = 5 * time.Minute
	maxFlaps   = 5
	// minStay is how long a session lasts at least if it does not fail.
	minStay = 30 * time.Second
)

// settle is how long the hub must be up before it is relied on.
func (t *target) settle() time.Duration {
	if mutant.On("flapping hubs relied on") {
		return homeSettle
	}
	return homeSettle << min(t.flaps, maxFlaps)
}

// chooseHomes says which of the ranked hubs an edge should be dialing and which sessions it holds too many. A hub that
// failed is tried again but not relied on: the next in the ranking takes its place at once.
func chooseHomes(ranked []*target, homes int, now time.Time) (dial, drop []*target) {
	counted, up, settled := 0, 0, true
	for _, t := range ranked {
		switch {
		case t.up != 0 && up < homes:
			up++
			counted++
			settled = settled && now.Sub(t.since) >= t.settle()
		case t.up != 0:
			drop = append(drop, t)
		case counted < homes:
			dial = append(dial, t)
			if t.failures == 0 {
				counted++
			}
		}
	}
	if up < homes || !settled {
		return dial, nil
	}
	return dial, slices.DeleteFunc(drop, func(t *target) bool { return now.Sub(t.since) < minStay })
}

// backoff draws the pause after the nth failure in a row, n >= 1: full jitter, uniform between 0 and 200 ms * 2^(n-1)
// up to limit, so that those who lost the same hub do not come back together.
func backoff(n int, limit time.Duration) time.Duration {
	ceiling := min(limit, 200*time.Millisecond<<min(n-1, 16))
	return rand.N(ceiling)
}
