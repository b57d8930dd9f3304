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
	evDial                  // a machine looks for sessions to open
	evClient                // a client acts
	evRead                  // somebody reads and the checker looks
)

// event is one thing that happens at a time. Events of a machine carry the generation of its process: when that is
// over, they mean nothing.
type event struct {
	at   int64 // microseconds of true time
	seq  uint64
	kind kind
	gen  uint32
	m    *machine
	end  *end
	arg  uint64
	do   func()
}

func (e *event) before(f *event) bool { return e.at < f.at || e.at == f.at && e.seq < f.seq }

// agenda is a binary heap of events by time, then by the order in which they were added.
type agenda struct {
	heap []event
	seq  uint64
}

func (a *agenda) push(e event) {
	a.seq++
	e.seq = a.seq
	h := append(a.heap, e)
	i := len(h) - 1
	for i > 0 {
		up := (i - 1) / 2
		if !e.before(&h[up]) {
			break
		}
		h[i] = h[up]
		i = up
	}
	h[i] = e
	a.heap = h
}

func (a *agenda) pop() event {
	h := a.heap
	top, last := h[0], h[len(h)-1]
	h[len(h)-1] = event{}
	h = h[:len(h)-1]
	i := 0
	for {
		c := 2*i + 1
		if c >= len(h) {
			break
		}
		if c+1 < len(h) && h[c+1].before(&h[c]) {
			c++
		}
		if !h[c].before(&last) {
			break
		}
		h[i] = h[c]
		i = c
	}
	if len(h) > 0 {
		h[i] = last
	}
	a.heap = h
	return top
}
