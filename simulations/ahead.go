package simulations

import (
	"runtime"
	"slices"
	"sync"
)

// ahead lets steps of cores run before their turn, on other processors, while everything that they cause still happens
// at their turn: a run is the same whatever the number of processors.
//
// No message takes less than reach from one machine to another. So what a core is told until now+reach is known now, but
// for what its own machine does first: its next event may run as soon as the one before is over. Only the core, the
// machine's clock and its disk take part in that. Random draws, messages on their way, the oracle and the hash of the
// run belong to the turn. An event that is nobody's own, such as a fault or a heal, may change anything: nothing behind
// it runs before it is over.
type ahead struct {
	reach    int64    // microseconds
	until    int64    // events before that are near
	near     agenda   // events that are close enough to run ahead
	barriers []*event // those of them that are nobody's own, in order
	current  *event   // whose turn it is

	width   int // processors that run steps
	jobs    chan *job
	workers sync.WaitGroup
	idle    []*job
	spare   []*answers
	events  []*event // to be used again
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
	a.reach, a.width = p.Net.reach(), n
	a.jobs = make(chan *job, len(p.Nodes)) // a machine has one job at a time: sending never waits
	for range n - 1 {
		a.workers.Go(func() {
			for j := range a.jobs {
				j.execute()
				j.over <- struct{}{}
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
	if e.at < a.until {
		w.enter(ev)
	} else {
		w.agenda.push(ev)
	}
}

// next takes the event whose turn it is, nil if there is none.
func (w *World) next() *event {
	a := &w.ahead
	from := &w.agenda
	if n := a.near.first(); n != nil {
		if f := w.agenda.first(); f == nil || n.before(f) {
			from = &a.near
		}
	}
	if from.len() == 0 {
		return nil
	}
	ev := from.pop()
	if a.current = ev; !ev.near {
		return ev
	}
	if m := ev.queued(); m != nil {
		m.queue = m.queue[:copy(m.queue, m.queue[1:])]
	} else if ev.barrier() {
		a.barriers = a.barriers[:copy(a.barriers, a.barriers[1:])]
	}
	return ev
}

// passed gives back an event whose turn is over and lets what is possible now run ahead.
func (w *World) passed(ev *event) {
	a := &w.ahead
	m, barrier := ev.queued(), ev.barrier()
	*ev = event{}
	a.events, a.current = append(a.events, ev), nil
	if a.jobs == nil || w.done {
		return
	}
	if barrier {
		for i := range a.near.heap {
			if o := a.near.heap[i].ev.queued(); o != nil {
				w.runAhead(o)
			}
		}
	} else if m != nil {
		w.runAhead(m)
	}
	a.until = w.now + a.reach
	for f := w.agenda.first(); f != nil && f.at < a.until; f = w.agenda.first() {
		f = w.agenda.pop()
		w.enter(f)
		if o := f.queued(); o != nil {
			w.runAhead(o)
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

// barrier reports whether an event may change what other machines do at once.
func (e *event) barrier() bool { return e.m == nil }

// enter puts an event among the near ones.
func (w *World) enter(ev *event) {
	a := &w.ahead
	ev.near = true
	a.near.push(ev)
	m := ev.queued()
	if c := a.current; c != nil && m != nil && c.m != nil && c.m != m {
		panic("simulations: an event reaches another machine sooner than any message may")
	}
	list := &a.barriers
	if m != nil {
		list = &m.queue
	} else if !ev.barrier() {
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
	ev := m.queue[0]
	if len(a.barriers) > 0 && a.barriers[0].before(ev) {
		return
	}
	if j := w.prepare(ev); j != nil {
		m.job = j
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
	m.job = nil
	for {
		select {
		case <-j.over:
			return j
		default:
		}
		select { // do not wait while there is something to do
		case o := <-a.jobs:
			o.execute()
			o.over <- struct{}{}
		case <-j.over:
			return j
		}
	}
}
