package simulations

import (
	"sync/atomic"

	"meshd/node"
)

// room is what a process' transport takes for a session now. A message waits until the sender hears that it arrived,
// which takes as long as any message: steps may run ahead of what others do.
func (w *World) room(p *process) func(peer uint64, bulk bool) node.Room {
	limit := w.plan.Net.Queue
	if limit == 0 {
		return nil
	}
	return func(peer uint64, bulk bool) node.Room {
		q, ok := p.queues.Load(peer)
		if !ok {
			return node.Room{}
		}
		lane := laneNews
		if bulk {
			lane = laneBulk
		}
		n := int(q.(*[2]atomic.Int64)[lane].Load())
		return node.Room{Peer: limit - n, All: 1 << 30, Empty: n == 0}
	}
}

// unqueue frees the room of a message that arrived.
func (w *World) unqueue(q *atomic.Int64, of *machine, bytes int) {
	if w.plan.Net.Queue > 0 {
		w.callOf(of, w.now+max(w.plan.Net.reach(), 1), func() { q.Add(int64(-bytes)) })
	}
}
