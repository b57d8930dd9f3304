package gossip

import (
	"sync"
	"sync/atomic"
)

const (
	// messageOverhead is what a waiting message costs besides its bytes, so that empty ones are bounded too.
	messageOverhead = 64
	// smallMessage is what an empty queue takes although all queues together are full.
	smallMessage = 4 << 10
)

// queue holds what waits to be written to one stream. A message counts until it is written, not until it is taken.
type queue struct {
	limit    int           // bytes of this queue
	all      *atomic.Int64 // bytes of all queues
	allLimit int64
	wake     chan struct{} // cap 1: something was pushed

	mu     sync.Mutex
	msgs   [][]byte
	bytes  int
	closed bool
}

func newQueue(limit int, all *atomic.Int64, allLimit int) *queue {
	return &queue{limit: limit, all: all, allLimit: int64(allLimit), wake: make(chan struct{}, 1)}
}

// push appends msg if there is room and reports whether there was. An empty queue has room for any one message, and the
// empty message, of which a session sends one, always has room.
func (q *queue) push(msg []byte) bool {
	cost := len(msg) + messageOverhead
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed || (len(msg) > 0 && q.bytes > 0 && q.bytes+cost > q.limit) {
		return false
	}
	if q.all.Load()+int64(cost) > q.allLimit && len(msg) > 0 && (q.bytes > 0 || len(msg) > smallMessage) {
		return false
	}
	q.msgs = append(q.msgs, msg)
	q.bytes += cost
	q.all.Add(int64(cost))
	select {
	case q.wake <- struct{}{}:
	default:
	}
	return true
}

// room returns what push would take now.
func (q *queue) room() Room {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return Room{}
	}
	return Room{Peer: q.limit - q.bytes, All: int(q.allLimit - q.all.Load()), Empty: q.bytes == 0}
}

// take returns all waiting messages in order, nil when there are none. The caller calls written for each.
func (q *queue) take() [][]byte {
	q.mu.Lock()
	defer q.mu.Unlock()
	msgs := q.msgs
	q.msgs = nil
	return msgs
}

// written frees the room of one message that take returned.
func (q *queue) written(msg []byte) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return
	}
	cost := len(msg) + messageOverhead
	q.bytes -= cost
	q.all.Add(int64(-cost))
}

// close drops what waits and returns how many messages that were. Pushing fails from then on.
func (q *queue) close() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return 0
	}
	q.closed = true
	q.all.Add(int64(-q.bytes))
	n := len(q.msgs)
	q.msgs, q.bytes = nil, 0
	return n
}
