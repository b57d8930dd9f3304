package simulations

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"

	"github.com/cespare/xxhash/v2"

	"meshd/crdt"
	"meshd/node"
)

// World is a mesh in one run. It is used by one goroutine and shares nothing with other worlds.
type World struct {
	plan      *Plan
	now       int64  // true time since the start, microseconds
	seq       uint64 // of the last event
	ahead     ahead
	readAt    int64 // when the last read that was planned is due
	machines  []*machine
	hubs      []*machine
	regions   []string
	byRegion  [][]*machine
	rolls     []*roll    // by region; nil: to be made
	accepted  []*history // by region
	sessions  []*session
	truth     *truth
	settings  *settings
	cuts      [][]uint8 // how many faults cut the way from one machine to another; nil where none ever did
	storm     struct{ loss, corrupt float64 }
	hubsLost  []int64 // by region: when a hub last lost its disk
	destroyed []bool  // by region: a disaster may have destroyed writes
	healed    bool
	weather   []*weather
	active    map[FaultKind]int64 // until when
	follow    *follower
	done      bool
	suspect   int // a series on which machines differ
	ids       uint64
	orders    map[uint64]func() // of operators: what follows from being done
	bytes     []byte            // to be used again
	moments   []moment          // the same

	rng struct{ net, disk, life, work, read, ids, conf, hub, past *rand.Rand }

	digest xxhash.Digest
	stats  Stats
	seen   Sometimes
	report *Report
}

// Stats says how much happened in a run.
type Stats struct {
	Events, Steps, Messages, Reads int
	Bytes                          int64
	Requests, Accepted             int
	NodeSeconds                    int64 // virtual time by machines that were meant to run
	ConvergedMs                    int64 // after everything healed
	Links                          [NumLinks]Link
}

// Report is what became of a run.
type Report struct {
	Plan       *Plan
	Hash       uint64 // of all events: equal for equal plans
	Stats      Stats
	Seen       Sometimes
	Violations []Violation
	Spread     *Spread // with Plan.Follow
}

// Violation is a promise that did not hold.
type Violation struct {
	Rule string // I1 to I13, or "panic"
	AtMs int64
	What string
}

// String names the rule, the time and what was seen.
func (v Violation) String() string { return fmt.Sprintf("%s at %d ms: %s", v.Rule, v.AtMs, v.What) }

// Run runs a plan to its end, or to the first violation.
func Run(p *Plan) *Report {
	w := newWorld(p)
	w.ahead.begin(p)
	for ev := w.next(); ev != nil && !w.done; ev = w.next() {
		w.now = max(w.now, ev.at)
		w.dispatch(ev)
		w.passed(ev)
	}
	w.ahead.end()
	if w.follow != nil {
		w.report.Spread = w.follow.done()
	}
	if p.Watch != nil && p.Watch.Look != nil {
		p.Watch.Look(w)
	}
	w.stats.NodeSeconds = w.now / 1_000_000 * int64(len(w.machines))
	w.report.Stats, w.report.Seen, w.report.Hash = w.stats, w.seen, w.digest.Sum64()
	return w.report
}

func newWorld(p *Plan) *World {
	w := &World{plan: p, report: &Report{Plan: p}, seen: newSometimes(), active: map[FaultKind]int64{}, orders: map[uint64]func(){}}
	w.digest.Reset()
	r := &w.rng
	for _, s := range []struct {
		to   **rand.Rand
		name string
	}{{&r.net, "net"}, {&r.disk, "disk"}, {&r.life, "life"}, {&r.work, "work"}, {&r.read, "read"}, {&r.ids, "ids"}, {&r.conf, "configurations"}, {&r.hub, "hub"}, {&r.past, "past"}} {
		*s.to = stream(p.Seed, s.name)
	}
	w.build(p)
	w.rolls = make([]*roll, len(w.regions))
	w.destroyed, w.hubsLost = make([]bool, len(w.regions)), make([]int64, len(w.regions))
	series := drawSeries(p)
	w.truth = newTruth(series, len(w.regions))
	w.settings = newSettings()
	for range w.regions {
		w.accepted = append(w.accepted, newHistory(len(series)))
	}
	for _, m := range w.machines {
		m.acked, m.history = make([]amounts, len(series)), newHistory(len(series))
		if m.spec.Role == node.RoleEdge || !p.Load.Edges {
			m.client = newClient(m)
		}
		if !m.dormant {
			w.call(r.life.Int64N(50_000), func() { w.start(m) })
		}
	}
	if p.Follow {
		w.follow = newFollower(w)
	}
	for i := range p.Faults {
		f := &p.Faults[i]
		w.call(1000*f.At, func() { w.strike(f) })
	}
	w.planConfigs()
	w.readAt = 500_000
	w.planReads(w.readAt)
	w.call(1000*p.Safety, w.heal)
	if p.Watch != nil && p.Watch.Look != nil {
		w.call(0, w.look)
	}
	return w
}

// build makes the machines of a plan and their regions.
func (w *World) build(p *Plan) {
	clocks := stream(p.Seed, "clocks")
	at := map[string]int{}
	for i, spec := range p.Nodes {
		if _, ok := at[spec.Region]; !ok {
			at[spec.Region] = len(w.regions)
			w.regions = append(w.regions, spec.Region)
		}
		m := &machine{
			index: i, region: at[spec.Region], spec: spec, disk: newDisk(), incs: map[uint32]crdt.Incarnation{}, dormant: spec.Copy >= 0,
			peers: map[int]*session{}, dials: map[int]*dialing{},
		}
		for _, o := range w.machines {
			if o.region == m.region && o.spec.Role == spec.Role {
				m.ordinal++
			}
		}
		m.clock.ppm = clocks.Int64N(2*p.Clocks.PPM+1) - p.Clocks.PPM
		m.clock.offset = 1000 * (clocks.Int64N(2*p.Clocks.Offset+1) - p.Clocks.Offset)
		w.machines = append(w.machines, m)
		if m.region == len(w.byRegion) {
			w.byRegion = append(w.byRegion, nil)
			w.ahead.zones = append(w.ahead.zones, &zone{})
		}
		w.byRegion[m.region] = append(w.byRegion[m.region], m)
		w.cuts = append(w.cuts, nil)
		if spec.Role == node.RoleHub {
			m.place = len(w.hubs)
			w.hubs = append(w.hubs, m)
		}
	}
}

// call plans something that may change anything.
func (w *World) call(at int64, do func()) {
	w.push(event{at: at, kind: evCall, do: do, region: everywhere})
}

// callIn plans something that changes nothing but machines of one region.
func (w *World) callIn(region int, at int64, do func()) {
	w.push(event{at: at, kind: evCall, do: do, region: region})
}

// callOf plans something that changes nothing but a machine, whatever process it runs then.
func (w *World) callOf(m *machine, at int64, do func()) {
	w.push(event{at: at, kind: evOwn, m: m, do: do})
}

func (w *World) dispatch(ev *event) {
	m := ev.m
	if m != nil && ev.kind != evOwn && ev.kind != evRead {
		if m.proc == nil || m.gen != ev.gen {
			return
		}
		if ev.kind == evWake && ev.at != m.proc.armed {
			return // an earlier one was asked for since
		}
		if m.paused(w.now) && ev.kind != evDurable {
			if ev.kind == evWake {
				m.proc.armed = m.resume
			}
			again := *ev
			again.at, again.near = m.resume, false
			w.push(again)
			return
		}
	}
	w.stats.Events++
	w.hashEvent(ev)
	switch ev.kind {
	case evCall, evOwn:
		ev.do()
	case evWake:
		w.wake(ev)
	case evDeliver:
		w.deliver(ev)
	case evDown:
		w.ended(ev.end)
	case evDurable:
		w.durable(ev)
	case evPersisted:
		w.persisted(ev)
	case evLoaded:
		j := w.finish(ev)
		delete(m.proc.loads, ev.arg)
		w.did(j)
	case evHistory:
		w.historyRead(ev)
	case evDial:
		w.dial(m)
	case evClient:
		w.act(m)
	case evRead:
		w.readOne(ev)
	}
}

// cut reports whether nothing gets from a to b.
func (w *World) cut(a, b *machine) bool {
	row := w.cuts[a.index]
	return row != nil && row[b.index] > 0
}

func (w *World) hashEvent(ev *event) {
	var b [18]byte
	binary.LittleEndian.PutUint64(b[:], uint64(ev.at))
	binary.LittleEndian.PutUint64(b[8:], ev.seq)
	b[16] = byte(ev.kind)
	if ev.m != nil {
		b[17] = byte(ev.m.index)
	}
	w.hash(b[:])
}

func (w *World) hash(b []byte) { _, _ = w.digest.Write(b) }

func (w *World) hashDisk(ops []node.Op) {
	for _, op := range ops {
		w.hash(op.Key)
		w.hash(op.Value)
	}
}

func (w *World) fail(rule, format string, args ...any) {
	v := Violation{Rule: rule, AtMs: w.now / 1000, What: fmt.Sprintf(format, args...)}
	w.report.Violations = append(w.report.Violations, v)
	w.trace("VIOLATION %s", v)
	w.done = true
}

func (w *World) trace(format string, args ...any) {
	if w.plan.Verbose {
		fmt.Printf("%9.3f ms  %s\n", float64(w.now)/1000, fmt.Sprintf(format, args...))
	}
}

func sorted[K cmp.Ordered, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }

func (s *Stats) add(o *Stats) {
	s.Events += o.Events
	s.Steps += o.Steps
	s.Messages += o.Messages
	s.Reads += o.Reads
	s.Bytes += o.Bytes
	s.Requests += o.Requests
	s.Accepted += o.Accepted
	s.NodeSeconds += o.NodeSeconds
	for i := range s.Links {
		s.Links[i].Messages += o.Links[i].Messages
		s.Links[i].Bytes += o.Links[i].Bytes
	}
	s.ConvergedMs = max(s.ConvergedMs, o.ConvergedMs)
}
