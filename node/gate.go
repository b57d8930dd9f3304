package node

import (
	"sync"
	"sync/atomic"
)

// gate bounds the bytes of messages in hand: being parsed, or parsed and not yet taken by the core. Parsed, a frame takes
// about twenty times its bytes, and a thousand peers may each send one at once. Whoever finds it full waits in the order
// of coming, which pushes back on that peer by QUIC's flow control. A message larger than the gate passes it alone.
type gate struct {
	limit  int
	waited atomic.Uint64 // messages

	mu    sync.Mutex
	used  int
	queue []*passage
}

type passage struct {
	n    int
	open chan struct{}
}

// enter takes n bytes of the gate and returns how many to give back, or false if stop closed first.
func (g *gate) enter(n int, stop <-chan struct{}) (int, bool) {
	n = min(n, g.limit)
	g.mu.Lock()
	if len(g.queue) == 0 && g.used+n <= g.limit {
		g.used += n
		g.mu.Unlock()
		return n, true
	}
	p := &passage{n, make(chan struct{})}
	g.queue = append(g.queue, p)
	g.mu.Unlock()
	g.waited.Add(1)
	select {
	case <-p.open:
		return n, true
	case <-stop: // nobody passes any more: what is left in the queue does not matter
		return 0, false
	}
}

// leave gives bytes back and opens for those who waited longest.
func (g *gate) leave(n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.used -= n
	for len(g.queue) > 0 && g.used+g.queue[0].n <= g.limit {
		g.used += g.queue[0].n
		close(g.queue[0].open)
		g.queue = g.queue[1:]
	}
}
