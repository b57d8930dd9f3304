package node

import "meshd/internal/mutant"

// inFlight is what of one stream was sent on a session and is not acknowledged yet, the oldest first: frames of lifetime
// cells and publications of windows alike. What a peer's full disk refused it neither acknowledges nor asks for, so
// whoever sent it has to notice.
type inFlight struct {
	frames []sentFrame
	since  int64 // when the oldest was sent or the last one acknowledged
}

type sentFrame struct {
	to   uint64
	size int
	bulk bool // the class it went by
}

func (q *inFlight) add(now int64, f sentFrame) {
	if len(q.frames) == 0 {
		q.since = now
	}
	q.frames = append(q.frames, f)
}

// acked forgets what the peer holds and returns how many bytes that was.
func (q *inFlight) acked(now int64, cursor uint64) (size int) {
	for len(q.frames) > 0 && q.frames[0].to <= cursor {
		size += q.frames[0].size
		q.frames, q.since = q.frames[1:], now
	}
	return size
}

// bytes returns how much of it is not acknowledged.
func (q *inFlight) bytes() (size int) {
	for _, f := range q.frames {
		size += f.size
	}
	return size
}

// noteEmptied remembers when the queues that a session sends by were empty, each by itself: what was sent by one of them
// before is under way, or was not kept. It is asked whenever something may be sent. At comparisons alone a queue may be
// found in use every time, by what else goes out on the same grid.
func (c *Core) noteEmptied(s *session) {
	if s.inflight == 0 && s.win.inflight == 0 {
		return
	}
	for _, bulk := range []bool{false, true} {
		if c.room(s, bulk).Empty {
			s.emptied[class(bulk)] = c.now
		}
	}
}

// unkept reports whether what was sent has to be sent again: the peer has acknowledged none of it for long, and it does not
// wait in this node any more. It may have had no room for it, or its disk none.
func (c *Core) unkept(s *session, q *inFlight) bool {
	if len(q.frames) == 0 || c.now < q.since+s.line.pace.retry || mutant.On("unacknowledged never resumed") {
		return false
	}
	if mutant.On("queues looked at when compared") {
		return c.room(s, false).Empty && c.room(s, true).Empty
	}
	return s.emptied[class(q.frames[0].bulk)] > q.since
}
