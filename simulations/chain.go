package simulations

import (
	"slices"

	"meshd/node"
)

// chainMost is how many steps one machine runs ahead at most, one after the other. Most messages come in bursts of a few.
const chainMost = 16

// coming is a message that will be the head of its lane once those before it are taken, and has no event yet.
type coming struct {
	at    int64
	end   *end
	lane  uint64
	place int // in the lane
}

// extend lets a machine go on after a message, to those that come next: as far as time is known no other event of it lies before
// them but what the steps themselves cause. Whoever runs the jobs goes on only while they cause nothing, see goesOn: the
// events of the messages are made at their turns, in the order that is foreseen here.
func (w *World) extend(m *machine, head *job) {
	z, queue := w.ahead.zones[m.region], m.queue[1:]
	var next []coming
	last := head
	for n := 1; n < chainMost && last.kind == evDeliver && !last.end.other().m.doomed; n++ {
		next = last.follower(next)
		var c coming
		var ev *event
		switch {
		case len(queue) > 0 && (len(next) == 0 || queue[0].at <= next[0].at):
			ev, queue = queue[0], queue[1:]
			c = coming{at: ev.at, end: ev.end, lane: ev.arg}
		case len(next) > 0:
			c, next = next[0], next[1:]
		default:
			return
		}
		if c.at >= z.until || w.barred(z, c.at) || m.paused(c.at) {
			return
		}
		if last.next = w.foresee(m, ev, c); last.next == nil {
			return
		}
		last = last.next
	}
}

// follower adds the message behind that of a job to those that come next, in the order in which their events are made.
func (j *job) follower(next []coming) []coming {
	q := j.end.lanes[j.lane].queue
	if j.place+1 >= len(q) {
		return next
	}
	c := coming{max(q[j.place+1].at, j.due), j.end, j.lane, j.place + 1}
	i := len(next)
	for i > 0 && c.at < next[i-1].at {
		i--
	}
	return slices.Insert(next, i, c)
}

// barred reports whether an event that may change any machine of a zone may come before a time.
func (w *World) barred(z *zone, at int64) bool {
	if len(z.barriers) > 0 && z.barriers[0].at <= at {
		return true
	}
	f := w.ahead.calls.first()
	return f != nil && f.at <= at
}

// foresee returns the job of an event of a machine that comes after one that runs ahead, or, without an event, of a message
// that has none yet; nil if it is not certain.
func (w *World) foresee(m *machine, ev *event, c coming) *job {
	switch {
	case ev != nil && (ev.kind != evDeliver && ev.kind != evRead || ev.kind == evDeliver && ev.gen != m.gen):
		return nil
	case ev != nil && ev.kind == evRead:
		j := w.jobOf(m, evRead, nil, c.at)
		j.ev = ev
		return j
	}
	e, q := c.end, c.end.lanes[c.lane].queue
	if c.place >= len(q) || e.down || w.cut(e.other().m, m) || c.lane == laneBulk && !e.up || w.corrupt() > 0 || q[c.place].up {
		return nil
	}
	j := w.jobOf(m, evDeliver, node.Received{ID: e.id, Msg: q[c.place].dec}, c.at)
	j.ev, j.end, j.lane, j.place, j.probes = ev, e, c.lane, c.place, q[c.place].probes
	return j
}

// goesOn reports whether the job after this one may run now: this one causes nothing that its machine has to do before. It
// is asked once, when the job is over.
func (j *job) goesOn() bool {
	n := j.next
	if n == nil || j.broke != "" || j.kind != evDeliver {
		return false
	}
	j.armed = min(j.armed, j.m.clock.when(j.out.Wake, j.due))
	n.armed = j.armed
	return n.due < j.armed && j.out.Idle() && (n.kind == evRead || !j.proc.core.Congested())
}

// run executes a job and those that may follow it.
func (j *job) run() {
	for {
		j.execute()
		next := j.next
		j.more = j.goesOn()
		more := j.more
		j.over <- struct{}{} // from here on it belongs to the goroutine of the run
		if !more {
			return
		}
		j = next
	}
}

// is reports whether a job was made for an event whose turn it is.
func (j *job) is(ev *event) bool {
	if j.ev != nil {
		return j.ev == ev
	}
	return ev.kind == evDeliver && j.end == ev.end && j.lane == ev.arg && j.due == ev.at
}

// following takes the jobs after one that is over: the next one if it ran or is running, otherwise nobody needs them.
func (w *World) following(j *job) *job {
	n := j.next
	j.next = nil
	if j.more {
		return n
	}
	for n != nil {
		after := n.next
		if n.answers != nil {
			w.spent(n.answers)
		}
		w.free(n)
		n = after
	}
	return nil
}
