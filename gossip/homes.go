package gossip

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/cespare/xxhash/v2"
)

// rank orders hubs for one edge by rendezvous hashing: every edge has its own order, and a hub that comes or goes moves
// only the edges that have it among their first.
func rank(node string, hubs []*target) []*target {
	score := func(t *target) uint64 { return xxhash.Sum64String(node + "\x00" + t.Node) }
	return slices.SortedFunc(slices.Values(hubs), func(a, b *target) int {
		return cmp.Or(cmp.Compare(score(b), score(a)), cmp.Compare(a.Addr, b.Addr))
	})
}

// homeSettle is how long the wanted homes must all be up before a session beyond them is given up: a hub that flaps
// should not make edges move twice.
const homeSettle = 10 * time.Second

// chooseHomes says which of the ranked hubs an edge should be dialing and which sessions it holds too many. A hub that
// failed is tried again but not relied on: the next in the ranking takes its place at once.
func chooseHomes(ranked []*target, homes int, now time.Time) (dial, drop []*target) {
	counted, up, settled := 0, 0, true
	for _, t := range ranked {
		switch {
		case t.up != 0 && up < homes:
			up++
			counted++
			settled = settled && now.Sub(t.since) >= homeSettle
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
		drop = nil
	}
	return dial, drop
}

// backoff draws the pause after the nth failure in a row, n >= 1: full jitter, uniform between 0 and 200 ms * 2^(n-1)
// up to limit, so that those who lost the same hub do not come back together.
func backoff(n int, limit time.Duration) time.Duration {
	ceiling := min(limit, 200*time.Millisecond<<min(n-1, 16))
	return rand.N(ceiling)
}
