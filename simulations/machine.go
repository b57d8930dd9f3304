package simulations

import (
	"fmt"
	"slices"
	"sync"

	"meshd/crdt"
	"meshd/internal/mutant"
	"meshd/node"
)

// machine is one computer: a disk, clocks, and a process while it runs.
type machine struct {
	index, region int
	place         int // among the hubs
	ordinal       int // among the machines of its role in its region
	spec          Spec
	disk          *disk
	clock         clock
	proc          *process // nil while it is down
	gen           uint32
	incs          map[uint32]crdt.Incarnation // by generation
	resume        int64                       // stopped until then
	dormant       bool                        // a spare machine that was not started yet
	peers         map[int]*session            // by machine: the newest session, as this machine sees it
	dials         map[int]*dialing            // by machine
	ranked        []*machine
	trap          trap
	doomed        bool // see doom
	client        *client
	acked         []amounts // own cells that clients of this machine were told are accepted, as far as its disk kept them
	history       *history
	series        []*crdt.Series // what it counts on, see seriesOf; nil before that is asked
	queue         []*event       // near events about its core, in order
	job           *job           // the first of them, running or over
	lost          bool           // a disaster destroyed writes of this node's name
	diskLost      int64          // when its disk was last destroyed or set back; 0: never
	late          lateBuckets    // how late statements of others were dated
}

// trap says where in its next persist a machine is to crash.
type trap uint8

const (
	noTrap      trap = iota
	trapBefore       // the write is under way
	trapBetween      // it is on disk, the core does not know
	trapAfter        // the core just answered
)

// process is one life of a node.
type process struct {
	core    *node.Core
	born    int64
	by      *written
	ends    map[uint64]*end
	wake    int64 // when the core wants its tick
	armed   int64 // when a wake event is due; 0 for none
	persist *node.Persist
	began   int64 // when the persist was asked for
	durable bool
	asked   map[uint64]*request
	loads   map[uint64]crdt.Origin
	past    *pastOf                      // the history that the core asks
	reads   map[uint64]func() node.Event // that are under way
	last    [][]amounts                  // the last answer, which is the greatest, by region and series; nil before the first
	fresh   []amounts                    // acked at the last answer, by series
	uniques map[[2]int]*crdt.Unique
	queues  sync.Map // by session: *[2]atomic.Int64, what waits for the peer
	waits   uint64   // for room, as the core counts them
	room    func(peer uint64, bulk bool) node.Room
	config  uint64 // version of the mesh's configuration when it was looked at last
}

func (m *machine) incOf(gen uint32) crdt.Incarnation { return m.incs[gen] }

func (m *machine) paused(now int64) bool { return m.resume > now }

// start runs a new process on what the disk holds.
func (w *World) start(m *machine) {
	if m.proc != nil {
		return
	}
	m.gen++
	w.rolls[m.region] = nil
	m.dormant, m.resume = false, 0
	cfg := w.plan.Core
	cfg.Region, cfg.Node, cfg.Role = m.spec.Region, m.spec.Name, m.spec.Role
	for i := range cfg.Inc {
		cfg.Inc[i], cfg.Nonce[i] = byte(w.rng.ids.Uint32()), byte(w.rng.ids.Uint32())
	}
	if mutant.On("incarnation reused") { // as if it were kept on disk
		if m.disk.inc == (crdt.Incarnation{}) {
			m.disk.inc = cfg.Inc
		}
		cfg.Inc = m.disk.inc
	}
	m.incs[m.gen] = cfg.Inc
	c, err := node.NewCore(cfg)
	if err == nil {
		err = c.Recover(m.disk, m.clock.at(w.now))
	}
	if err != nil {
		w.fail("I2", "%s does not start: %v", m.spec.Name, err)
		return
	}
	clear(m.peers)
	clear(m.dials)
	m.proc = &process{
		core: c, born: w.now, by: w.truth.begin(m, cfg.Inc), ends: map[uint64]*end{}, asked: map[uint64]*request{}, loads: map[uint64]crdt.Origin{},
		past: w.truth.readPast(m.disk), reads: map[uint64]func() node.Event{},
		uniques: map[[2]int]*crdt.Unique{}, fresh: slices.Clone(m.acked),
	}
	m.proc.room = w.room(m.proc)
	if m.gen > 1 {
		w.saw(sawRestart)
	}
	w.trace("%s starts as %s", m.spec.Name, cfg.Inc.Short())
	w.checkRecovery(m)
	w.checkColdSums(m)
	w.dialSoon(m, w.now)
	if m.spec.Role == node.RoleHub { // the others hear of it
		for _, o := range w.machines {
			if o.proc != nil && o != m {
				w.dialSoon(o, w.now+w.rng.life.Int64N(300_000))
			}
		}
	}
	w.step(m, node.Tick{})
	if m.client != nil {
		w.push(event{at: w.now + w.rng.work.Int64N(100_000), kind: evClient, m: m, gen: m.gen})
	}
}

// crash ends a process between two instructions. A write that was under way is on disk or not.
func (w *World) crash(m *machine) {
	p := m.proc
	if p == nil {
		return
	}
	w.trace("%s crashes", m.spec.Name)
	if p.persist != nil {
		if !p.durable && w.rng.disk.IntN(2) == 0 && !m.disk.full {
			w.write(m, p.persist.Ops, reachesOf(nil, p.persist.Ops))
			p.durable = true
		}
		if p.durable {
			w.saw(sawCrashAfterDurable)
		} else {
			w.saw(sawCrashBeforeDurable)
		}
	}
	for _, id := range sorted(p.ends) {
		e := p.ends[id]
		e.down = true
		after := [2]int64{}
		after[1-e.side] = 1000*w.plan.Net.Idle + w.rng.life.Int64N(200_000)
		w.kill(e.s, after[0], after[1])
	}
	for _, id := range sorted(p.asked) {
		w.unanswered(p.asked[id])
	}
	m.proc = nil
	m.gen++
	m.trap, m.resume = noTrap, 0
	clear(m.peers)
}

// step gives a core one event and does what it wants.
func (w *World) step(m *machine, in node.Event) {
	j := w.jobOf(m, evCall, in, w.now)
	j.execute()
	w.did(j)
}

// did does what a core wants after a step.
func (w *World) did(j *job) {
	m, p, out := j.m, j.proc, &j.out
	defer w.free(j)
	if j.broke != "" {
		w.fail("panic", "%s: %s", m.spec.Name, j.broke)
		return
	}
	if out.Fatal != nil { // no process is another's twin here, and none is forgotten while it runs
		w.fail("I6", "%s has to end: %v", m.spec.Name, out.Fatal)
		return
	}
	w.stats.Steps++
	if j.waits > p.waits {
		p.waits = j.waits
		w.saw(sawFullQueue)
	}
	if w.follow != nil {
		w.follow.stepped(w, j)
	}
	persisted, written := j.in.(node.Persisted)
	if written { // a configuration counts once it is on disk
		w.ruled(m)
	}
	for i := range out.Sends {
		w.send(m, &out.Sends[i], &j.sent[i])
	}
	for i := range out.Replies {
		w.answered(m, &out.Replies[i], persisted)
	}
	for _, o := range out.Loads {
		w.ids++
		p.loads[w.ids] = o
		w.saw(sawLoad)
		w.push(event{at: w.now + w.rng.disk.Int64N(1000*w.plan.Disk.Read+1), kind: evLoaded, m: m, gen: m.gen, arg: w.ids})
	}
	w.wants(m, out)
	for _, c := range out.Close {
		w.closed(m, c)
	}
	if out.Persist != nil {
		w.persist(m, out.Persist)
	}
	p.wake = m.clock.when(out.Wake, w.now)
	if p.armed == 0 || p.wake < p.armed {
		p.armed = p.wake
		w.push(event{at: p.wake, kind: evWake, m: m, gen: m.gen})
	}
}

func (w *World) closed(m *machine, c node.CloseSession) {
	e := m.proc.ends[c.Peer]
	if e == nil {
		return
	}
	e.closed = true
	w.trace("%s closes its session with %s: %s", m.spec.Name, e.other().m.spec.Name, c.Reason)
	after := [2]int64{}
	after[1-e.side] = w.delay(m, e.other().m)
	w.kill(e.s, after[0], after[1])
}

func (w *World) persist(m *machine, ps *node.Persist) {
	p := m.proc
	if p.persist != nil {
		w.fail("I7", "%s asks for a persist while another runs", m.spec.Name)
		return
	}
	p.persist, p.began, p.durable = ps, w.now, false
	at := w.now + 100 + w.rng.disk.Int64N(1000*w.plan.Disk.Write) + w.rng.disk.Int64N(1000*m.disk.slow+1)
	if m.trap == trapBefore {
		gen := m.gen
		w.callOf(m, w.now+(at-w.now)/2, func() { w.spring(m, gen) })
	}
	w.push(event{at: at, kind: evDurable, m: m, gen: m.gen})
}

// spring crashes a machine where a trap was set and starts it again.
func (w *World) spring(m *machine, gen uint32) {
	if m.gen != gen || m.proc == nil {
		return
	}
	w.crash(m)
	n := &w.plan.Net // a start calls nodes of other regions, which may be ahead
	w.restartIn(m, max(w.rng.life.Int64N(1_500_000), n.far()-n.reach()))
}

func (w *World) restartIn(m *machine, after int64) {
	gen := m.gen
	w.call(w.now+after, func() {
		if m.gen == gen {
			w.start(m)
		}
	})
}

// durable: what a persist wrote is synced. The kernel does it, also for a process that is stopped.
func (w *World) durable(ev *event) {
	m, p, j := ev.m, ev.m.proc, w.finish(ev)
	if !m.disk.full {
		w.write(m, p.persist.Ops, j.reaches)
		p.durable = true
		w.hashDisk(p.persist.Ops)
		if w.plan.Verbose {
			w.traceDisk(m, p.persist.Ops)
		}
	}
	w.free(j)
	at := w.now + w.rng.disk.Int64N(2000)
	if m.trap == trapBetween && p.durable {
		gen := m.gen
		w.callOf(m, w.now+(at-w.now)/2, func() { w.spring(m, gen) })
	}
	w.push(event{at: at, kind: evPersisted, m: m, gen: m.gen})
}

// answer is what the core is told of the persist that is over.
func (p *process) answer() node.Persisted {
	in := node.Persisted{Token: p.persist.Token}
	if !p.durable {
		in.Err = fmt.Errorf("simulated disk: %w", node.ErrFull)
	}
	return in
}

func (w *World) persisted(ev *event) {
	m, j := ev.m, w.finish(ev)
	if !m.proc.durable {
		w.saw(sawFullDisk)
	}
	m.proc.persist = nil
	after := m.trap == trapAfter
	w.did(j)
	if after {
		w.saw(sawCrashAfterAnswer)
		w.spring(m, m.gen)
	}
}

// wake lets time pass for a core, unless it wants to sleep longer by now.
func (w *World) wake(ev *event) {
	p, j := ev.m.proc, w.finish(ev)
	p.armed = 0
	if j != nil {
		w.did(j)
		return
	}
	p.armed = p.wake
	w.push(event{at: p.wake, kind: evWake, m: ev.m, gen: ev.gen})
}
