package short

import (
	"slices"

	"meshd/crdt"
	"meshd/node"
)

// conn is a session of two processes. Each of its lanes keeps order, as QUIC's streams do; only a session that dies drops
// anything, and each end notices by itself.
type conn struct {
	ends [2]end
	dead bool // takes no more messages
}

// end is where one of the processes sees a session.
type end struct {
	c     *conn
	m     *machine
	proc  *process
	inc   crdt.Incarnation // of the process at the other end
	id    uint64
	side  int
	up    bool // PeerUp was given
	down  bool // PeerDown was given, or the process is gone
	lanes [2][]message
}

// message is one under way; the first of a session has no bytes and announces it.
type message struct{ raw []byte }

// The first byte of a message, see docs/protocol.md.
const (
	typeHeartbeat = 5
	typeCoverage  = 6
	packed        = 0x80
)

func (e *end) other() *end { return &e.c.ends[1-e.side] }

func (e *end) waiting() int { return len(e.lanes[0]) + len(e.lanes[1]) }

func (p *process) end(id uint64) *end {
	for _, e := range p.ends {
		if e.id == id {
			return e
		}
	}
	return nil
}

// connect opens a session of two running processes.
func (w *World) connect(a, b *machine) {
	c := &conn{}
	for i, m := range [2]*machine{a, b} {
		peer := [2]*machine{b, a}[i]
		w.ids++
		c.ends[i] = end{c: c, side: i, m: m, proc: m.proc, inc: peer.proc.writer.origin.Inc, id: w.ids}
		c.ends[i].lanes[0] = append(c.ends[i].lanes[0], message{})
		m.proc.ends = append(m.proc.ends, &c.ends[i])
	}
	w.conns = append(w.conns, c)
	w.logf("%s and %s open a session", a.name, b.name)
}

// connected reports whether a process has a session with another machine's process that is not known to be over.
func connected(a, b *machine) bool {
	return slices.ContainsFunc(a.proc.ends, func(e *end) bool { return e.other().m == b && e.other().proc == b.proc && !e.c.dead })
}

// wants reports whether two machines talk to each other: hubs all, an edge the hubs of its region.
func wants(a, b *machine) bool {
	if a == b || a.proc == nil || b.proc == nil {
		return false
	}
	return a.isHub() && b.isHub() || a.region == b.region && a.isHub() != b.isHub()
}

func (w *World) send(m *machine, s *node.Send) {
	e := m.proc.end(s.Peer)
	if e == nil || e.c.dead || e.down {
		return
	}
	if kind := s.Msg[0] &^ packed; kind == typeHeartbeat || kind == typeCoverage {
		return // they speak of coverage in time, which is not judged here, and are half of all messages
	}
	lane := 0
	if s.Bulk {
		lane = 1
	}
	o := e.other()
	o.lanes[lane] = append(o.lanes[lane], message{s.Msg})
}

// deliver hands over the head of a lane, and reports whether it had cells. What is bulk waits until the session is announced.
func (w *World) deliver(e *end, lane int) (cells bool) {
	if !e.up {
		lane = 0
	} else if len(e.lanes[lane]) == 0 {
		lane = 1 - lane
	}
	msg := e.lanes[lane][0]
	e.lanes[lane] = e.lanes[lane][1:]
	o := e.other().m
	if msg.raw == nil {
		e.up = true
		w.step(e.m, node.PeerUp{ID: e.id, Peer: node.PeerInfo{Region: o.regionName(), Node: o.name, Role: o.role, Inc: e.inc}})
		return false
	}
	dec, err := node.Decode(msg.raw)
	if err != nil {
		w.fail("I11", "%s sent %s a message that does not parse: %v", o.name, e.m.name, err)
	}
	if w.trace != nil {
		w.logf("%s -> %s: %s", o.name, e.m.name, describe(&dec))
	}
	w.step(e.m, node.Received{ID: e.id, Msg: dec})
	return dec.Frame != nil
}

// kill ends a session: nothing more is sent, and what is under way arrives until an end notices.
func (w *World) kill(c *conn) { c.dead = true }

// ended drops what is under way to an end.
func (w *World) ended(e *end) {
	e.down = true
	e.lanes = [2][]message{}
	e.proc.ends = slices.DeleteFunc(e.proc.ends, func(x *end) bool { return x == e })
}

// notice tells an end that its session is over.
func (w *World) notice(e *end) {
	w.logf("%s loses its session with %s", e.m.name, e.other().m.name)
	was := e.up
	w.ended(e)
	if was {
		w.step(e.m, node.PeerDown{ID: e.id})
	}
}

// sweep forgets sessions that both ends know to be over.
func (w *World) sweep() {
	w.conns = slices.DeleteFunc(w.conns, func(c *conn) bool { return c.dead && c.ends[0].down && c.ends[1].down })
}
