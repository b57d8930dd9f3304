package simulations

import (
	"cmp"
	"sync/atomic"

	"meshd/node"
)

// session is a connection of two processes. It keeps order within each of its two lanes, as QUIC streams do: a lost
// packet delays what follows, and only a session that dies drops anything.
type session struct {
	ends [2]end
	dead bool // takes no more messages
}

// end is where one of the processes sees the session.
type end struct {
	s      *session
	side   int
	m      *machine
	gen    uint32
	id     uint64
	up     bool // PeerUp was given
	down   bool // PeerDown was given, or the process died
	closed bool // the core asked for its end
	lanes  [2]lane
	clocks offsets
	bytes  [2]int // queued by the other end, by lane

	queued [2]atomic.Int64 // by this end, by lane, as its machine knows; only with Net.Queue
}

// lane is what is under way to an end: 0 in order with everything else, 1 bulk.
type lane struct {
	queue []message
	armed bool
	last  int64
}

// message is one under way; the first of a session has no bytes and announces it.
type message struct {
	at         int64
	sent, wall int64 // the true time and the sender's
	raw        []byte
	dec        node.Decoded
	probes     []int // of its frame, see follower
	up         bool
}

func (e *end) other() *end { return &e.s.ends[1-e.side] }

const (
	laneNews = 0
	laneBulk = 1
	// maxQueued is how many bytes the transport queues for a peer before it ends the session, unless the plan says less.
	maxQueued = 4 << 20
)

func (w *World) queueLimit() int { return cmp.Or(w.plan.Net.Queue, maxQueued) }

// rtt is the usual round trip between two machines, in milliseconds.
func (w *World) rtt(a, b *machine) int64 {
	there, _ := w.plan.Net.oneWay(a, b)
	return 2 * there / 1000
}

// connect opens a session between two running processes.
func (w *World) connect(a, b *machine) {
	s := &session{}
	w.ids += 2
	for i, m := range [2]*machine{a, b} {
		s.ends[i] = end{s: s, side: i, m: m, gen: m.gen, id: w.ids + uint64(i)}
		m.proc.ends[w.ids+uint64(i)] = &s.ends[i]
		m.proc.queues.Store(s.ends[i].id, &s.ends[i].queued)
	}
	w.sessions = append(w.sessions, s)
	a.peers[b.index] = s
	b.peers[a.index] = s
	for i := range s.ends {
		e := &s.ends[i]
		w.enqueue(e, laneNews, message{up: true, at: w.now + w.delay(e.other().m, e.m)/4})
	}
}

func (w *World) enqueue(e *end, ln int, m message) {
	l := &e.lanes[ln]
	m.at = max(m.at, l.last)
	l.last = m.at
	l.queue = append(l.queue, m)
	e.bytes[ln] += len(m.raw)
	if !l.armed {
		l.armed = true
		w.push(event{at: m.at, kind: evDeliver, m: e.m, gen: e.gen, end: e, arg: uint64(ln)})
	}
}

// delay draws how long a message takes from a to b.
func (w *World) delay(a, b *machine) int64 {
	n, r := &w.plan.Net, w.rng.net
	base, fixed := n.oneWay(a, b)
	d := base
	if !fixed {
		d = base/2 + r.Int64N(base/2+1)
	}
	if n.Jitter > 0 {
		d += r.Int64N(1000 * n.Jitter)
	}
	loss, slow := w.worse(a, b)
	loss, base, d = max(loss, n.Loss, w.storm.loss), base+slow, d+slow
	for try := 0; try < 5 && r.Float64() < loss; try++ { // QUIC notices after about a round trip
		d += 2*base + 20_000<<try
	}
	return d
}

// arriving returns what a core will be told by the head of a lane, nil if that is not certain yet.
func (w *World) arriving(ev *event) node.Event {
	e, l := ev.end, &ev.end.lanes[ev.arg]
	if len(l.queue) == 0 || e.down || !w.open(ev) || l.queue[0].up || w.corrupt() > 0 {
		return nil
	}
	return node.Received{ID: e.id, Msg: l.queue[0].dec}
}

// open reports whether a machine can take what is under way on a lane.
func (w *World) open(ev *event) bool {
	e := ev.end
	return !w.cut(e.other().m, e.m) && (ev.arg != laneBulk || e.up) && !e.m.proc.core.Congested()
}

// corrupt is the probability that a message arrives damaged.
func (w *World) corrupt() float64 {
	if w.healed {
		return 0
	}
	return max(w.plan.Net.Corrupt, w.storm.corrupt)
}

// deliver hands over the head of a lane, if the path is open.
func (w *World) deliver(ev *event) {
	e, l := ev.end, &ev.end.lanes[ev.arg]
	j := w.finish(ev)
	again := func(at int64) {
		w.push(event{at: at, kind: evDeliver, m: e.m, gen: e.gen, end: e, arg: ev.arg})
	}
	if len(l.queue) == 0 || e.down {
		l.armed, l.queue = false, nil
		return
	}
	if w.cut(e.other().m, e.m) {
		again(w.now + 20_000 + w.rng.net.Int64N(100_000))
		return
	}
	if j == nil && !w.open(ev) {
		again(w.now + 5000)
		return
	}
	m := l.queue[0]
	l.queue[0] = message{}
	l.queue = l.queue[1:]
	e.bytes[ev.arg] -= len(m.raw)
	w.unqueue(&e.other().queued[ev.arg], e.other().m, len(m.raw))
	if len(l.queue) > 0 {
		again(max(l.queue[0].at, w.now))
	} else {
		l.armed = false
	}
	if m.up {
		e.up = true
		o := e.other().m
		w.step(e.m, node.PeerUp{ID: e.id, Peer: node.PeerInfo{Region: o.spec.Region, Node: o.spec.Name, Role: o.spec.Role, Inc: e.peerInc(), RTT: w.rtt(e.m, o)}})
		return
	}
	w.hash(m.raw)
	if c := w.corrupt(); c > 0 && w.rng.net.Float64() < c && w.damage(e, m.raw) {
		return
	}
	w.stats.Messages++
	if isDated(m.dec.Msg) {
		w.dated(e, &m)
	}
	if j == nil {
		j = w.jobOf(e.m, evDeliver, node.Received{ID: e.id, Msg: m.dec}, w.now)
		j.probes = m.probes
		j.execute()
	}
	w.did(j)
	if m.dec.Frame != nil {
		w.partial(e, m.dec.Frame)
	}
}

// damage flips a bit. Damage that still parses is not delivered: it would not pass the session's own seal.
func (w *World) damage(e *end, raw []byte) bool {
	bad := append([]byte(nil), raw...)
	bad[w.rng.net.IntN(len(bad))] ^= 1 << w.rng.net.IntN(8)
	if _, err := node.Decode(bad); err == nil {
		return false
	}
	w.saw(sawDamaged)
	w.step(e.m, node.Malformed{ID: e.id})
	return true
}

// send queues what a core wants sent.
func (w *World) send(m *machine, s *node.Send, is *sent) {
	e := m.proc.ends[s.Peer]
	if e == nil || e.down || e.closed {
		w.fail("I9", "%s sends on session %d, which is over", m.spec.Name, s.Peer)
		return
	}
	if e.s.dead {
		return // it will hear of that
	}
	if is.err != nil {
		w.fail("I11", "%s sends a message that does not parse: %v", m.spec.Name, is.err)
		return
	}
	if is.leak != "" {
		w.fail("I7", "%s", is.leak)
	}
	o, dec := e.other(), is.dec
	if w.plan.Verbose {
		w.traceSend(m, o.m, dec)
	}
	ln, at := laneNews, w.now+w.delay(m, o.m)
	if s.Bulk {
		ln = laneBulk
		at += w.rng.net.Int64N(50_000)
		w.saw(sawBulk)
	}
	w.stats.Bytes += int64(len(s.Msg))
	w.countSend(m, o.m, len(s.Msg))
	var probes []int
	if w.follow != nil {
		probes = w.follow.sends(w, dec.Frame)
	}
	waited := o.bytes[ln] > 0
	w.enqueue(o, ln, message{at: at, sent: w.now, wall: m.clock.at(w.now).Wall, raw: s.Msg, dec: dec, probes: probes})
	e.queued[ln].Add(int64(len(s.Msg)))
	if waited && o.bytes[ln] > w.queueLimit() {
		after := [2]int64{}
		after[1-e.side] = w.plan.Net.least(m, o.m)
		w.kill(e.s, after[0], after[1])
	}
}

// kill ends a session. Each end hears of it after its delay in microseconds; what arrives until then is delivered.
func (w *World) kill(s *session, after ...int64) {
	if s.dead {
		return
	}
	s.dead = true
	for i := range s.ends {
		e := &s.ends[i]
		w.push(event{at: w.now + after[i], kind: evDown, m: e.m, gen: e.gen, end: e})
	}
}

// ended tells an end that its session is over.
func (w *World) ended(e *end) {
	if e.down {
		return
	}
	e.down = true
	if len(e.lanes[laneNews].queue) > 0 || len(e.lanes[laneBulk].queue) > 0 {
		w.saw(sawLostInFlight)
	}
	delete(e.m.proc.ends, e.id)
	o := e.other().m
	if e.m.peers[o.index] == e.s {
		delete(e.m.peers, o.index)
		w.dialSoon(e.m, w.now+w.rng.net.Int64N(100_000))
	} else {
		w.saw(sawReplaced)
	}
	if e.up {
		w.step(e.m, node.PeerDown{ID: e.id})
	}
}
