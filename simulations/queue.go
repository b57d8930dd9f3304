package simulations

// kind says what an event does.
type kind uint8

const (
	evCall      kind = iota // call do
	evWake                  // a core wants a tick
	evDeliver               // the head of a lane arrives
	evDown                  // an end of a session learns of its death
	evDurable               // a persist is on disk
	evPersisted             // and its answer arrives
	evLoaded                // a cold origin was read
	evHistory               // what a core asked of its history, or of the frames on its disk, was read
	evDial                  // a machine looks for sessions to open
	evClient                // a client acts
	evRead                  // somebody reads and the checker looks
	evOwn                   // call do, which changes nothing but one machine
)

// event is one thing that happens at a time. Events of a process carry its generation: when that is over, they mean
// nothing.
type event struct {
	at   int64 // microseconds of true time
	seq  uint64
	kind kind
	near bool // entered into its machine's queue: see ahead
	gen  uint32
	m    *machine
	end  *end
	arg  uint64
	do   func()

	region int // of evCall: whose machines it may change; everywhere
}

func (e *event) before(f *event) bool { return e.at < f.at || e.at == f.at && e.seq < f.seq }

// agenda is a heap of events by time, then by the order in which they were added. It has four children a node: most
// events go to the end, and those that sink look at neighbours in memory.
type agenda struct{ heap []slot }

type slot struct {
	at  int64
	seq uint64
	ev  *event
}

func (e *slot) before(f *slot) bool { return e.at < f.at || e.at == f.at && e.seq < f.seq }

// first returns the event that is next, nil if there is none.
func (a *agenda) first() *event {
	if len(a.heap) == 0 {
		return nil
	}
	return a.heap[0].ev
}

func (a *agenda) push(ev *event) {
	e := slot{ev.at, ev.seq, ev}
	h := append(a.heap, e)
	i := len(h) - 1
	for i > 0 {
		up := (i - 1) / 4
		if !e.before(&h[up]) {
			break
		}
		h[i] = h[up]
		i = up
	}
	h[i] = e
	a.heap = h
}

func (a *agenda) pop() *event {
	h := a.heap
	top, last := h[0].ev, h[len(h)-1]
	h[len(h)-1] = slot{}
	h = h[:len(h)-1]
	a.heap = h
	if len(h) == 0 {
		return top
	}
	i := 0
	for {
		c := 4*i + 1
		if c >= len(h) {
			break
		}
		for o := c + 1; o < min(4*i+5, len(h)); o++ {
			if h[o].before(&h[c]) {
				c = o
			}
		}
		if !h[c].before(&last) {
			break
		}
		h[i] = h[c]
		i = c
	}
	h[i] = last
	return top
}
