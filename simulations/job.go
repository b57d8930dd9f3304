package simulations

import (
	"fmt"
	"math"
	"runtime/debug"

	"meshd/crdt"
	"meshd/internal/wire"
	"meshd/node"
)

// job is what one event asks of a machine's core and disk. It is made and finished by the goroutine of the run; execute
// may run on another one. Until it is over nobody else uses the core, the clock or the disk of its machine.
type job struct {
	w    *World // only what never changes
	m    *machine
	proc *process
	kind kind
	ev   *event // of one that runs ahead
	at   node.Time
	in   node.Event
	out  node.Output
	sent []sent // what is known of out.Sends
	over chan struct{}

	answers *answers   // of evRead
	wrong   *Violation // of evRead
	reaches []reach    // of evDurable: of the frames that are written
	broke   string     // how the core panicked

	decoded map[*byte]sent

	// Of evDeliver: the message, and the jobs that may follow without waiting for the turn of this one. See extend.
	end    *end
	lane   uint64
	place  int   // of the message in its lane, when the job was made
	due    int64 // true time of the event
	armed  int64 // when the machine's next wake event is due
	next   *job
	more   bool     // next ran, too, or is running
	probes []int    // see follower
	peeked []peeked // the same
	waits  uint64   // for room, as the core counted them after the step
}

// sent is a message that a core wants sent, read as its receiver will read it.
type sent struct {
	dec  node.Decoded
	err  error
	leak string // what it shows that is not on the sender's disk
}

// reach is how far a frame that goes to disk takes its origin.
type reach struct {
	op   int // the operation that it is part of
	o    crdt.Origin
	head uint64
	raw  []byte // the frame's bytes in it
}

// jobOf returns a job for a machine at this time.
func (w *World) jobOf(m *machine, k kind, in node.Event, at int64) *job {
	a := &w.ahead
	var j *job
	if n := len(a.idle); n > 0 {
		j, a.idle = a.idle[n-1], a.idle[:n-1]
	} else {
		j = &job{over: make(chan struct{}, 1), decoded: map[*byte]sent{}}
	}
	j.w, j.m, j.proc, j.kind, j.in, j.at, j.due = w, m, m.proc, k, in, m.clock.at(at), at
	if k == evRead {
		j.answers = w.blank()
	}
	if m.proc != nil {
		j.out.Room, j.armed = m.proc.room, m.proc.armed
	}
	return j
}

// free gives a job back.
func (w *World) free(j *job) {
	clear(j.out.Sends)
	clear(j.sent)
	*j = job{over: j.over, out: j.out, sent: j.sent[:0], reaches: j.reaches[:0], decoded: j.decoded, peeked: j.peeked[:0]}
	w.ahead.idle = append(w.ahead.idle, j)
}

// execute does the work. What goes wrong is kept for the job's turn.
func (j *job) execute() {
	defer func() {
		if r := recover(); r != nil {
			j.broke = fmt.Sprintf("%v\n%s", r, debug.Stack())
		}
	}()
	switch j.kind {
	case evRead:
		j.wrong = j.w.answersOf(j.answers, j.proc.core, j.at)
		return
	case evDurable:
		j.reaches = reachesOf(j.reaches, j.proc.persist.Ops)
		return
	case evLoaded:
		in := j.in.(node.Loaded)
		in.Snapshot, in.Err = node.ReadCold(j.m.disk, in.Origin)
		j.in = in
	default: // all is known
	}
	j.proc.core.Step(j.at, j.in, &j.out)
	for i := range j.out.Sends {
		j.sent = append(j.sent, j.read(j.out.Sends[i].Msg))
	}
	clear(j.decoded)
	j.waits = j.proc.core.Counts.RoomWaits
	if j.w.follow != nil {
		j.peek(j.w.follow)
	}
}

// read parses a message, once for all peers that get the same bytes. Cores keep nothing of a frame but copies.
func (j *job) read(b []byte) sent {
	s, ok := j.decoded[&b[0]]
	if !ok {
		s.dec, s.err = node.Decode(b)
		if s.err == nil {
			s.leak = j.leak(s.dec)
		}
		j.decoded[&b[0]] = s
	}
	return s
}

// prepare returns what an event will ask of its machine's core or disk, nil if that is nothing or not certain before its
// turn. It changes nothing.
func (w *World) prepare(ev *event) *job {
	m, at := ev.m, max(ev.at, w.now)
	if m == nil || m.proc == nil || m.gen != ev.gen && ev.kind != evRead || m.paused(at) && ev.kind != evDurable {
		return nil
	}
	var in node.Event
	switch ev.kind {
	case evDurable, evRead:
		return w.jobOf(m, ev.kind, nil, at)
	case evWake:
		if at >= m.proc.wake && ev.at == m.proc.armed {
			in = node.Tick{}
		}
	case evDeliver:
		in = w.arriving(ev)
	case evPersisted:
		in = m.proc.answer()
	case evLoaded:
		in = node.Loaded{Origin: m.proc.loads[ev.arg]}
	default: // for its turn
	}
	if in == nil {
		return nil
	}
	j := w.jobOf(m, ev.kind, in, at)
	if ev.kind == evDeliver {
		j.end, j.lane, j.probes = ev.end, ev.arg, ev.end.lanes[ev.arg].queue[0].probes
	}
	return j
}

// leak says what a message shows that is not on its sender's disk (I7), nothing if all of it is.
func (j *job) leak(d node.Decoded) (what string) {
	m, inc := j.m, j.proc.by.inc
	durable := func(how string, o crdt.Origin, seq uint64) {
		if o.Inc.SameProcess(inc) && o.Class != crdt.ClassNode || o.Class == crdt.ClassView {
			return // derived: it has no disk
		}
		if have := m.disk.heads[o]; seq > have {
			what = fmt.Sprintf("%s %s %s up to %d, but has %d on disk", m.spec.Name, how, o, seq, have)
		}
	}
	switch msg := d.Msg.(type) {
	case *wire.FrameMsg:
		f := d.Frame
		if f.Stream == crdt.StreamWindow {
			if !m.disk.storedNumber(f.Origin, f.To) {
				what = fmt.Sprintf("%s sends publication %d of %s, which is not on its disk", m.spec.Name, f.To, f.Origin)
			}
			return what
		}
		durable("sends", f.Origin, max(f.To, f.Head, top(f)))
	case *wire.Hello:
		for i := range msg.Own {
			durable("names", crdt.Origin{Class: crdt.ClassNode, Region: m.spec.Region, Node: m.spec.Name, Inc: msg.Own[i].Inc}, msg.Own[i].Head[crdt.StreamLifetime])
		}
	case *wire.Marks:
		for i := range msg.Marks {
			mk := &msg.Marks[i]
			at := mk.Progress[crdt.StreamLifetime].Cursor
			if at == math.MaxUint64 && m.disk.closed(mk.Origin) { // nothing more of it is wanted
				continue
			}
			if m.spec.Role == node.RoleHub {
				durable("acknowledges", mk.Origin, at)
			}
		}
	case *wire.WindowMarks:
		for _, mk := range msg.Marks {
			if mk.Cursor > 0 && !m.disk.storedNumber(mk.Origin, mk.Cursor) {
				what = fmt.Sprintf("%s acknowledges publication %d of %s, which is not on its disk", m.spec.Name, mk.Cursor, mk.Origin)
			}
		}
	case *wire.Heartbeat:
		if m.spec.Role == node.RoleEdge {
			durable("claims", crdt.Origin{Class: crdt.ClassNode, Region: m.spec.Region, Node: m.spec.Name, Inc: inc}, msg.Head[crdt.StreamLifetime])
		}
	}
	return what
}

// top returns the highest seq of a frame's cells.
func top(f *wire.Frame) (seq uint64) {
	for i := range f.Cells {
		seq = max(seq, f.Cells[i].Seq)
	}
	return seq
}
