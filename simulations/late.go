package simulations

import "meshd/internal/wire"

// A peer's time becomes local by the smallest difference between the time of receipt and the peer's clock seen lately.
// Of what it says of a time it may so be believed more than is true, by the shortest time that its dated messages were
// under way lately; after its clock was set forward, by what the first of them took. The oracle keeps that error.

// lateWindow is how long the smallest difference counts, in milliseconds: this period and the one before, as in node.
const lateWindow = 10_000

// offsets are the smallest differences of clocks at one end of a session.
type offsets struct {
	now, last, until int64
	known            bool
}

// lateBuckets are seconds of a run, with the greatest error in each, in microseconds.
type lateBuckets []int64

// dated records that a message which says its sender's time arrived.
func (w *World) dated(e *end, m *message) {
	mono, o := e.m.clock.mono(w.now), &e.clocks
	d := mono - m.wall
	switch {
	case !o.known:
		*o = offsets{d, d, mono + lateWindow, true}
	case mono >= o.until:
		*o = offsets{d, o.now, mono + lateWindow, true}
	default:
		o.now = min(o.now, d)
	}
	at := int(w.now / 1_000_000)
	for len(e.m.late) <= at {
		e.m.late = append(e.m.late, 0)
	}
	took := w.now - m.sent
	e.m.late[at] = max(e.m.late[at], took-1000*(d-min(o.now, o.last)))
}

// since returns the greatest error from a time on.
func (b lateBuckets) since(at int64) (greatest int64) {
	for i := max(int(at/1_000_000), 0); i < len(b); i++ {
		greatest = max(greatest, b[i])
	}
	return greatest
}

func isDated(m wire.Message) bool {
	switch m.(type) {
	case *wire.Hello, *wire.Heartbeat, *wire.Coverage, *wire.Heard:
		return true
	}
	return false
}

// slack is how far what a machine says of a region at a time may be off: the errors of four hops, from a node to a
// hub of its region, to a hub beside that one, to a hub of the machine's region, and to the machine; and drift. What was dated
// too late by them was said so much earlier: errors of that time count, too.
func (w *World) slack(m *machine, region int, at int64) (slack int64) {
	const around = 1_000_000 // as long as one of the buckets
	for from := at - around; ; from = at - around - slack {
		more := w.errorsSince(m, region, from) + (w.now-at)/drift + 30_000
		if more <= slack {
			return slack
		}
		slack = more
	}
}

// drift is by which part a clock is off at most, with 500 ppm; the clocks' windows and roundings are within the milliseconds
// that are added.
const drift = 2000

// errorsSince adds up the greatest errors of the hops from a region's nodes to a machine, from a time on.
func (w *World) errorsSince(m *machine, region int, from int64) int64 {
	var first, second int64
	for _, h := range w.hubs {
		if h.region != region && h.region != m.region {
			continue
		}
		late := h.late.since(from)
		if h.region == region {
			first = max(first, late)
		}
		if h.region == m.region {
			second = max(second, late)
		}
	}
	return 2*first + second + m.late.since(from)
}
