package node

import "math"

// messageCost is what a transport charges for a message besides its bytes, at most.
const messageCost = 64

// Room is how much of what a step sends the transport takes now, in bytes, each message costing messageCost more. A
// queue that is empty takes any one message that there is room for in all.
type Room struct {
	Peer  int  // left in the queue of this peer and class
	All   int  // left in all queues together
	Empty bool // nothing waits in the queue of this peer and class
}

// smallMessage is what an empty queue takes although all queues together are full: acknowledgements and heartbeats.
const smallMessage = 4 << 10

// unbounded is the room of a caller that says nothing of it.
var unbounded = Room{Peer: math.MaxInt, All: math.MaxInt, Empty: true}

// room returns what a session's queue takes beside what this step sends already.
func (c *Core) room(s *session, bulk bool) Room {
	r := unbounded
	if c.out.Room != nil {
		r = c.out.Room(s.id, bulk)
	}
	if s.step == c.step && s.stepBytes[class(bulk)] > 0 {
		r.Peer -= s.stepBytes[class(bulk)]
		r.Empty = false
	}
	r.All -= c.stepBytes
	return r
}

// takes reports whether a message of n bytes finds room. What does not fit waits where it is: in the cells, from
// which a later step builds it again.
func (r Room) takes(n int) bool {
	n += messageCost
	if r.Empty {
		return n <= max(r.All, smallMessage)
	}
	return n <= min(r.All, r.Peer)
}

// charge notes what a step sends.
func (c *Core) charge(s *session, n int, bulk bool) {
	if s.step != c.step {
		s.step, s.stepBytes = c.step, [2]int{}
	}
	s.stepBytes[class(bulk)] += n + messageCost
	c.stepBytes += n + messageCost
}

func class(bulk bool) int {
	if bulk {
		return 1
	}
	return 0
}

// frameSize returns the size to build frames for a session in: what the configuration says, less where the queue has
// not that much left.
func (c *Core) frameSize(s *session, bulk bool) int {
	size, r := c.cfg.FrameBytes, c.room(s, bulk)
	for size > minPush && !r.takes(size) {
		size /= 4
	}
	return size
}
