package simulations

import (
	"math"
	"runtime"
	"slices"
	"sync"
)

// ahead lets steps of cores run before their turn, on other processors, while everything that they cause still happens
// at their turn: a run is the same whatever the number of processors.
//
// No message takes less than reach from one machine to another, nor less than far from one region to another. So what
// a core is told until reach after the next event of its region, and until far after now, is known now, but
// for what its own machine does first: its next event may run as soon as the one before is over, and the messages of a
// burst without waiting for each other's turns (see extend). Only the core, the
// machine's clock and its disk take part in that. Random draws, messages on their way, the oracle and the hash of the
// run belong to the turn. An event that is nobody's own, such as a fault or a heal, may change anything: nothing behind
// it runs before it is over.
type ahead struct {
	reach, far int64 // microseconds
	zones      []*zone
	calls      agenda // events that are nobody's own
	current    *event // whose turn it is

	width   int // processors that run steps
	jobs    chan *job
	workers sync.WaitGroup
	idle    []*job
	spare   []*answers
	events  []*event   // to be used again
	fresh   []*machine // the same
}

// zone has the events of one region.
type zone struct {
	agenda   agenda
	near     agenda   // those before until, which may run ahead
	until    int64    // whatever the machines are told before that is known
	barriers []*event // near ones that may change any machine of the region, in order
}

// parallelFrom is how many machines make it worth while to run steps ahead: in smaller meshes seldom two steps are due
// within one delay.
const parallelFrom = 60

// begin starts the workers, if there are processors for them.
func (a *ahead) begin(p *Plan) {
	n := runtime.GOMAXPROCS(0)
	if p.Workers != 0 {
		n = p.Workers
	}
	if n < 2 || p.Workers == 0 && len(p.Nodes) < parallelFrom {
		return
	}
	a.reach, a.far, a.width = p.Net.reach(), p.Net.far(), n
	a.jobs = make(chan *job, len(p.Nodes)) // a machine has one job at a time: sending never waits
	for range n - 1 {
		a.workers.Go(func() {
			for j := range a.jobs {
				j.run()
			}
		})
	}
}

// end waits for the workers.
func (a *ahead) end() {
	if a.jobs != nil {
		close(a.jobs)
		a.workers.Wait()
		a.width = 1
	}
}

// reach is the shortest time in microseconds that a message may take: see World.delay.
func (n *Net) reach() int64 {
	least := min(1000*n.Local, 1000*n.Far) / 2
	for i, row := range n.Table {
		for j, d := range row {
			if i != j {
				least = min(least, d.Microseconds())
			}
		}
	}
	return least
}

// far is the shortest time in microseconds that anything takes from one region to another, reach where that is not
// known: room in a send queue is told to any sender after reach.
func (n *Net) far() int64 {
	if n.Table == nil || n.Queue > 0 {
		return n.reach()
	}
	least := int64(math.MaxInt64)
	for i, row := range n.Table {
		for j, d := range row {
			if i != j {
				least = min(least, d.Microseconds())
			}
		}
	}
	return least
}

// least is the shortest time that anything takes from a to b.
func (n *Net) least(a, b *machine) int64 {
	if a.region == b.region {
		return n.reach()
	}
	return n.far()
}

// everywhere is the region of an event that may change any machine.
const everywhere = -1

// zone returns the zone of an event, nil if it may change any machine.
func (w *World) zone(e *event) *zone {
	switch {
	case e.m != nil:
		return w.ahead.zones[e.m.region]
	case e.region == everywhere:
		return nil
	}
	return w.ahead.zones[e.region]
}

// push adds an event.
func (w *World) push(e event) {
	a := &w.ahead
	w.seq++
	e.seq = w.seq
	var ev *event
	if n := len(a.events); n > 0 {
		ev, a.events = a.events[n-1], a.events[:n-1]
	} else {
		ev = new(event)
	}
	*ev = e
	switch z := w.zone(ev); {
	case z == nil:
		a.calls.push(ev)
	case ev.at < z.until:
		w.enter(z, ev)
	default:
		z.agenda.push(ev)
	}
}

// first returns the next event of a zone, nil if there is none.
func (z *zone) first() *event {
	if n := z.near.first(); n != nil {
		return n
	}
	return z.agenda.first()
}

// next takes the event whose turn it is, nil if there is none.
func (w *World) next() *event {
	a := &w.ahead
	first := a.calls.first()
	var z *zone
	for _, o := range a.zones {
		if f := o.first(); f != nil && (first == nil || f.before(first)) {
			first, z = f, o
		}
	}
	a.current = first
	switch {
	case first == nil:
		return nil
	case z == nil:
		return a.calls.pop()
	case !first.near:
		return z.agenda.pop()
	}
	z.near.pop()
	if m := first.queued(); m != nil {
		m.queue = m.queue[:copy(m.queue, m.queue[1:])]
	} else if first.m == nil {
		z.barriers = z.barriers[:copy(z.barriers, z.barriers[1:])]
	}
	return first
}

// passed gives back an event whose turn is over and lets what is possible now run ahead.
func (w *World) passed(ev *event) {
	a := &w.ahead
	m, z, barrier := ev.queued(), w.zone(ev), ev.m == nil
	*ev = event{}
	a.events, a.current = append(a.events, ev), nil
	if a.jobs == nil || w.done {
		return
	}
	switch {
	case m != nil:
		w.runAhead(m)
	case barrier && z != nil:
		w.resume(z)
	case barrier:
		for _, o := range a.zones {
			w.resume(o)
		}
	}
	limit := w.now + a.far
	if f := a.calls.first(); f != nil {
		limit = min(limit, f.at)
	}
	for _, o := range a.zones {
		w.advance(o, limit)
	}
}

// advance lets events of a zone run ahead that have come near, but none from limit on.
func (w *World) advance(z *zone, limit int64) {
	f := z.first()
	if f == nil {
		return
	}
	until := min(f.at+w.ahead.reach, limit)
	if until <= z.until {
		return
	}
	z.until = until
	ms := w.ahead.fresh[:0]
	for f = z.agenda.first(); f != nil && f.at < until; f = z.agenda.first() {
		f = z.agenda.pop()
		w.enter(z, f)
		if m := f.queued(); m != nil && m.job == nil {
			ms = append(ms, m)
		}
	}
	for _, m := range ms { // now that all that is known is entered
		w.runAhead(m)
	}
	w.ahead.fresh = ms
}

// resume lets the machines of a zone go on after a barrier.
func (w *World) resume(z *zone) {
	for i := range z.near.heap {
		if m := z.near.heap[i].ev.queued(); m != nil {
			w.runAhead(m)
		}
	}
}

// queued returns the machine whose core an event is about, nil if it is about none or about any.
func (e *event) queued() *machine {
	if e.kind == evDial {
		return nil
	}
	return e.m
}

// enter puts an event among the near ones of its zone.
func (w *World) enter(z *zone, ev *event) {
	ev.near = true
	z.near.push(ev)
	m := ev.queued()
	if c := w.ahead.current; c != nil && m != nil && c.m != m && (c.m != nil || w.zone(c) != nil && w.zone(c) != z) {
		panic("simulations: an event reaches another machine sooner than any message may")
	}
	list := &z.barriers
	if m != nil {
		list = &m.queue
	} else if ev.m != nil {
		return
	}
	i := len(*list)
	for i > 0 && ev.before((*list)[i-1]) {
		i--
	}
	*list = slices.Insert(*list, i, ev)
}

// runAhead lets the next event of a machine run before its turn, if nothing can change it any more.
func (w *World) runAhead(m *machine) {
	a := &w.ahead
	if m.job != nil || len(m.queue) == 0 {
		return
	}
	ev, z := m.queue[0], a.zones[m.region]
	if len(z.barriers) > 0 && z.barriers[0].before(ev) {
		return
	}
	if f := a.calls.first(); f != nil && f.before(ev) {
		return
	}
	if j := w.prepare(ev); j != nil {
		j.ev, m.job = ev, j
		w.extend(m, j)
		a.jobs <- j
	}
}

// finish returns the job of an event whose turn it is: the one that ran ahead, or one that runs now; nil if the event
// asks nothing of a core.
func (w *World) finish(ev *event) *job {
	m, a := ev.m, &w.ahead
	j := m.job
	if j == nil {
		if j = w.prepare(ev); j != nil {
			j.execute()
		}
		return j
	}
	if !j.is(ev) {
		panic("simulations: a step ran ahead of what comes before it")
	}
	a.await(j)
	m.job = w.following(j)
	return j
}

// await waits for a job to be over, and does others meanwhile.
func (a *ahead) await(j *job) {
	for {
		select {
		case <-j.over:
			return
		default:
		}
		select { // do not wait while there is something to do
		case o := <-a.jobs:
			o.run()
		case <-j.over:
			return
		}
	}
}
