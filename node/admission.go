package node

import (
	"cmp"
	"slices"

	"meshd/internal/mutant"
)

// Peers that lack much would be served all at once: after a hub's restart a thousand edges ask for everything. Instead
// each step serves catch-ups in turn, up to CoreConfig.CatchUp bytes, the nearest first. Who came and how far it is
// fixes its place, so nobody is overtaken for ever. A peer whose queue is full, or who has not acknowledged what was
// sent, uses up nothing: slow ones hold up nobody.

// farther is how long in milliseconds a peer waits behind others for each millisecond of its round trip: one that is
// 100 ms away lets those beside us go first if they come within the second after it.
const farther = 10

// lags reports that a session was not served to the end, and gives it a place among those who wait.
func (c *Core) lags(s *session) {
	if !s.catching {
		s.catching, s.place = true, c.now+farther*s.peer.RTT
	}
}

// catchUp serves the sessions that lack much, in turn. Those that are left for the next step are told what is held, at
// the usual pace: they would send again what they think was lost.
func (c *Core) catchUp(waiting []*session) {
	slices.SortStableFunc(waiting, func(a, b *session) int { return cmp.Or(cmp.Compare(a.place, b.place), cmp.Compare(a.id, b.id)) })
	budget := c.cfg.CatchUp
	for _, s := range waiting {
		if mutant.On("catch-ups all at once") {
			budget = c.cfg.Inflight
		}
		if budget <= 0 {
			c.Counts.CatchUpWaits++
			if c.now >= s.lastFlush+s.line.pace.flush || c.now >= s.lastFlush+c.cfg.Flush && c.acksDue(s) {
				c.acknowledge(s)
			}
			continue
		}
		before := c.stepBytes
		c.serve(s, budget)
		budget -= c.stepBytes - before
		if s.catching = !c.sentAll(s); !s.catching {
			c.Counts.CaughtUp++
		}
	}
}
