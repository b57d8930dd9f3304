package short

import (
	"encoding/binary"
	"fmt"
	"maps"
	"math/rand/v2"
	"runtime/debug"
	"strings"

	"meshd/crdt"
	"meshd/internal/wire"
	"meshd/node"
)

// World runs one schedule.
type World struct {
	s        *Schedule
	now      int64
	machines []*machine // by region: hubs, then edges; copies last
	conns    []*conn
	truth    *truth
	ids      uint64
	parser   wire.Parser
	outs     []*node.Output // one for each step that runs inside another
	depth    int
	acting   int   // index of the action that runs
	healed   int64 // when faults ended
	report   Report
	trace    *strings.Builder // nil: nobody reads it
}

// Report is the outcome of a schedule.
type Report struct {
	Violation   *Violation    // nil if no rule broke
	Did         [numKinds]int // actions that found something to do
	Reads       int           // answers that were judged, each of all series of a region
	Claims      int           // claims to cover something that were judged
	ConvergedMs int64         // from heal on
	Windows     int           // that nodes published, each value once
	Reopened    int           // windows that were read for a late event
	Left        int           // publications of what an earlier process left behind, on some disk
	WindowsLost int           // windows of which a disaster took the only copy of something
	Forgotten   int           // incarnations that hubs forgot
	Taken       int           // how often another hub forgot one of them
	Lost        bool          // a disaster took the only copy of something
	Trace       string
}

// Violation is a broken rule.
type Violation struct {
	Rule, What string
	At         int // index of the action; their number for what broke while the mesh healed

	within int64 // how long after heal it may take to be right
}

// machine is one computer: a disk, and a process while it runs.
type machine struct {
	index, region int
	place         int // among the hubs, or the edges, of the region
	name          string
	role          node.Role
	lives         int
	disk, backup  *disk
	proc          *process
	replaced      bool    // its disk was lost once, or replaced by an older copy
	acked         amounts // own writes that clients were told of, as far as disasters left them
}

// process is one life of a node.
type process struct {
	core    *node.Core
	writer  *writer
	ends    []*end
	wake    int64
	persist *node.Persist
	asked   map[uint64]*request // not answered yet
	loads   []crdt.Origin
	past    past // what its history was told
	reads   []func() node.Event
	last    [numRegions]amounts
	covered map[crdt.Origin]claim // as judged last
}

var regionNames = [numRegions]string{"r0", "r1"}

func (m *machine) regionName() string { return regionNames[m.region] }

func (m *machine) isHub() bool { return m.role == node.RoleHub }

// began is the time at which schedules begin, half a minute before a full hour.
const began = 1000*crdt.HourMillis - crdt.MinuteMillis/2

// stopped ends a run from within: a rule broke.
type stopped struct{}

// Run runs a schedule to its end or to the first violation. With traced it also writes what happened.
func Run(s *Schedule, traced bool) *Report {
	w := &World{s: s, now: began, truth: newTruth()}
	if traced {
		w.trace = &strings.Builder{}
	}
	w.guarded(w.run)
	if w.trace != nil {
		w.report.Trace = w.trace.String()
	}
	return &w.report
}

// guarded turns a panic of a core into a violation.
func (w *World) guarded(f func()) {
	defer func() {
		switch r := recover().(type) {
		case nil, stopped:
		default:
			w.report.Violation = &Violation{Rule: "panic", What: fmt.Sprintf("%v\n%s", r, debug.Stack()), At: w.acting}
		}
	}()
	f()
}

func (w *World) run() {
	p := &w.s.Plan
	for region := range numRegions {
		for i := range p.Hubs {
			w.add(&machine{region: region, place: i, role: node.RoleHub, name: fmt.Sprintf("hub%d%d", region, i)})
		}
	}
	for i := range p.Edges {
		region := 0
		if i%3 == 2 {
			region = 1
		}
		w.add(&machine{region: region, place: i / 2, role: node.RoleEdge, name: fmt.Sprintf("edge%d", i)})
	}
	if p.Joined {
		w.redial()
		w.drain()
	}
	for i := range w.s.Actions {
		w.acting = i
		w.act(w.s.Actions[i])
	}
	w.acting = len(w.s.Actions)
	w.heal()
}

// add puts up a machine and starts it.
func (w *World) add(m *machine) {
	m.index = len(w.machines)
	if m.disk == nil {
		m.disk = newDisk()
	}
	w.machines = append(w.machines, m)
	w.start(m)
}

// fail records a broken rule and ends the run.
func (w *World) fail(rule, format string, args ...any) {
	w.report.Violation = &Violation{Rule: rule, What: fmt.Sprintf(format, args...), At: w.acting}
	w.logf("%s: %s", rule, w.report.Violation.What)
	panic(stopped{})
}

func (w *World) at() node.Time { return node.Time{Mono: w.now, Wall: w.now} }

// draw returns the incarnation of a machine's next life.
func (w *World) draw(m *machine) (inc crdt.Incarnation) {
	r := rand.NewPCG(w.s.Seed, uint64(m.index)<<32|uint64(m.lives))
	binary.BigEndian.PutUint64(inc[:8], r.Uint64())
	binary.BigEndian.PutUint64(inc[8:], r.Uint64())
	return inc
}

// start runs a new process on what the disk holds.
func (w *World) start(m *machine) {
	if m.proc != nil {
		return
	}
	m.lives++
	plan := &w.s.Plan
	cfg := node.CoreConfig{
		Region: m.regionName(), Node: m.name, Role: m.role, Inc: w.draw(m),
		Flush: flushEvery, AntiEntropy: compareEvery, Beat: beatEvery, Silence: silentAfter,
		LogBytes: plan.LogBytes, ColdAfter: plan.ColdAfter, FrameBytes: plan.FrameBytes,
		Publish: plan.FrameBytes / 30, // 0 to 2
	}
	if plan.Forgets {
		cfg.ForgetAfter = 1
	}
	cfg.Limits.Named = plan.Named
	if plan.Windows {
		cfg.Window = fineWidth
	}
	c, err := node.NewCore(cfg)
	if err == nil {
		err = c.Recover(m.disk, w.at())
	}
	if err != nil {
		w.fail("I2", "%s does not start: %v", m.name, err)
	}
	o := crdt.Origin{Class: crdt.ClassNode, Region: cfg.Region, Node: cfg.Node, Inc: cfg.Inc}
	m.proc = &process{core: c, writer: w.truth.begin(o, m.region), wake: w.now, asked: map[uint64]*request{}, covered: map[crdt.Origin]claim{}, past: maps.Clone(m.disk.past)}
	w.logf("%s starts as %s with %d records", m.name, cfg.Inc.Short(), len(m.disk.kv))
	if m.isHub() {
		w.watch(c)
	}
	w.checkRecovery(m)
	w.judge(m)
}

// crash ends a process between two instructions. A write that was under way is on disk or not.
func (w *World) crash(m *machine, durable bool) {
	p := m.proc
	if p == nil {
		return
	}
	w.logf("%s crashes", m.name)
	if p.persist != nil && durable {
		w.durable(m)
	}
	for _, e := range p.ends {
		e.down = true
		w.kill(e.c)
	}
	m.proc = nil
}

// step gives a core one event, does what it wants, and judges what it answers then.
func (w *World) step(m *machine, in node.Event) {
	if w.depth == len(w.outs) {
		w.outs = append(w.outs, &node.Output{})
	}
	p, out := m.proc, w.outs[w.depth]
	w.depth++
	p.core.Step(w.at(), in, out)
	if out.Fatal != nil {
		w.depth--
		w.logf("%s ends: %v", m.name, out.Fatal)
		w.crash(m, false)
		w.start(m)
		return
	}
	for i := range out.Sends {
		w.send(m, &out.Sends[i])
	}
	for i := range out.Replies {
		w.answered(m, &out.Replies[i])
	}
	for _, c := range out.Close {
		if e := p.end(c.Peer); e != nil {
			w.logf("%s closes its session with %s: %s", m.name, e.other().m.name, c.Reason)
			w.ended(e)
			w.kill(e.c)
		}
	}
	p.loads = append(p.loads, out.Loads...)
	w.wants(m, out)
	if out.Persist != nil {
		if p.persist != nil {
			w.fail("I7", "%s asks for a persist while another runs", m.name)
		}
		p.persist = out.Persist
	}
	p.wake = out.Wake
	w.depth--
	if m.isHub() {
		w.watch(p.core)
	}
	if mayChange(m, in) {
		w.checkJoins(m, in)
		w.judge(m)
	}
}

// mayChange reports whether an event is worth a look at the answers. Should one without cells change them after all, or one that
// a hub only queues for its disk, the next look sees it.
func mayChange(m *machine, in node.Event) bool {
	switch in := in.(type) {
	case node.PeerUp, node.PeerDown:
		return false
	case node.Received:
		return in.Msg.Frame != nil && !m.isHub()
	}
	return true
}

// submit lets a client of a machine write what happened at a time.
func (w *World) submit(m *machine, at, part int, n uint32, when int64) {
	v, a := increment(at, part, n)
	w.ids++
	by := m.proc.writer
	req := &request{amounts: a, at: when}
	by.requests = append(by.requests, req)
	m.proc.asked[w.ids] = req
	by.asked.add(&a)
	w.logf("%s is asked for %v of %d ms", m.name, &a, when-began)
	w.step(m, node.Submit{ID: w.ids, Batch: &node.Batch{Items: []node.Item{{Series: series[at], Inc: v, At: when}}}})
}

func (w *World) answered(m *machine, r *node.Reply) {
	req, ok := m.proc.asked[r.ID]
	delete(m.proc.asked, r.ID)
	switch {
	case r.ID == 0: // a mutant asked itself
	case !ok:
		w.fail("I2", "%s answers request %d, which nobody waits for", m.name, r.ID)
	case r.Result.Err != nil:
		req.outcome = refused
	case r.Result.Accepted != 1:
		w.fail("I2", "%s counted %d of one item", m.name, r.Result.Accepted)
	default:
		req.outcome = accepted
		m.acked.add(&req.amounts)
	}
}
