package short

import (
	"meshd/node"
)

// acts does each kind of action, and reports whether there was anything to do. What is left out has no effect.
var acts = [numKinds]func(*World, Action) bool{
	write: (*World).doWrite, persist: (*World).doPersist, deliver: (*World).doDeliver, settle: (*World).doSettle,
	tick: (*World).doTick, pass: (*World).doPass, dial: (*World).doDial, cut: (*World).doCut, down: (*World).doDown,
	load: (*World).doLoad, backup: (*World).doBackup, restart: (*World).doRestart, start: (*World).doStart,
	clone: (*World).doClone, damage: (*World).doDamage, wipeAll: (*World).doWipeAll, forget: (*World).doForget,
}

// act does one action.
func (w *World) act(a Action) {
	if w.trace != nil {
		w.logf("-- %d: %s", w.acting, a)
	}
	if do := acts[a.Kind]; do != nil && do(w, a) {
		w.report.Did[a.Kind]++
	}
}

// pick returns the first machine from index at on for which ok holds, or nil.
func (w *World) pick(at uint16, ok func(*machine) bool) *machine {
	n := len(w.machines)
	for i := range n {
		if m := w.machines[(int(at)+i)%n]; ok(m) {
			return m
		}
	}
	return nil
}

func running(m *machine) bool { return m.proc != nil }

func (w *World) doWrite(a Action) bool {
	m := w.pick(a.M, func(m *machine) bool { return m.proc != nil && (!m.isHub() || w.s.Plan.HubsWrite) })
	if m == nil {
		return false
	}
	n := int(a.N)
	for i := range 1 + int(a.P)%3 { // a burst leaves the mesh several seqs behind
		w.submit(m, (n+i)%len(series), (n/4+i)%3, uint32(1+n/12%5), w.when(a.M>>4))
		if m.proc.persist != nil && a.P%8 < 6 {
			w.persist(m, false)
		}
	}
	return true
}

func (w *World) doPersist(a Action) bool {
	m := w.pick(a.M, func(m *machine) bool { return m.proc != nil && m.proc.persist != nil })
	if m == nil {
		return false
	}
	switch how := a.N % 24; how {
	case 0, 1, 2:
		w.logf("%s cannot write", m.name)
		w.persist(m, true)
	case 3, 4:
		w.crash(m, how == 3)
		w.start(m)
	default:
		w.persist(m, false)
	}
	return true
}

// doDeliver lets a node take messages of one session: some, some with cells and what comes before them, or all.
func (w *World) doDeliver(a Action) bool {
	m := w.pick(a.M, func(m *machine) bool { return m.proc != nil && w.inbox(m, a.P) != nil })
	if m == nil {
		return false
	}
	e := w.inbox(m, a.P)
	n, how := 1+int(a.N)%4, a.N>>2%8
	for n > 0 && !e.down && e.waiting() > 0 {
		cells := w.deliver(e, int(a.N>>5)%2)
		if how < 2 || how < 6 && cells {
			n--
		}
	}
	if p := m.proc; p.persist != nil && a.N>>6%2 == 0 {
		w.persist(m, false)
	}
	return true
}

// doSettle lets some nodes take all that is under way to them, and write it.
func (w *World) doSettle(a Action) bool {
	for _, m := range w.machines {
		if m.proc != nil && a.P>>(m.index%16)&1 == 0 {
			w.drainOne(m)
		}
	}
	return true
}

// inbox returns an end of m with messages, the first from that with number at on.
func (w *World) inbox(m *machine, at uint16) *end {
	n := len(m.proc.ends)
	for i := range n {
		if e := m.proc.ends[(int(at)+i)%n]; e.waiting() > 0 {
			return e
		}
	}
	return nil
}

func (w *World) doTick(a Action) bool {
	w.now += int64(a.N%3) * flushEvery
	if a.P%4 < 2 {
		w.tickAll(func(m *machine) bool { return w.now >= m.proc.wake })
		return true
	}
	if m := w.pick(a.M, running); m != nil {
		w.step(m, node.Tick{})
	}
	return true
}

func (w *World) tickAll(due func(*machine) bool) {
	for _, m := range w.machines {
		if m.proc != nil && due(m) {
			w.step(m, node.Tick{})
		}
	}
}

// doPass lets enough time pass for a comparison, for incarnations to go cold, or for a retry; some nodes notice.
func (w *World) doPass(a Action) bool {
	w.now += []int64{compareEvery, compareEvery, compareEvery, compareEvery, 2 * compareEvery, 2 * compareEvery, 3 * compareEvery, 10_010}[a.N%8]
	w.tickAll(func(m *machine) bool { return a.P>>(m.index%16)&1 == 0 })
	return true
}

func (w *World) doDial(a Action) bool {
	m := w.pick(a.M, running)
	if m == nil {
		return false
	}
	for _, o := range w.machines {
		if again := a.N%8 == 0; wants(m, o) && a.P>>(o.index%16)&1 == 0 && (again || !connected(m, o)) {
			w.connect(m, o)
		}
	}
	return true
}

func (w *World) doCut(a Action) bool {
	w.sweep()
	if len(w.conns) == 0 {
		return false
	}
	c := w.conns[int(a.M)%len(w.conns)]
	if c.dead {
		return false
	}
	w.logf("the session of %s and %s dies", c.ends[0].m.name, c.ends[1].m.name)
	w.kill(c)
	for i := range c.ends {
		if e := &c.ends[i]; a.P>>i&1 == 0 && !e.down {
			w.notice(e)
		}
	}
	return true
}

func (w *World) doDown(a Action) bool {
	w.sweep()
	for i := range w.conns {
		c := w.conns[(int(a.M)+i)%len(w.conns)]
		if !c.dead {
			continue
		}
		for j := range c.ends {
			if e := &c.ends[(j+int(a.P))%2]; !e.down {
				w.notice(e)
				return true
			}
		}
	}
	return false
}

func (w *World) doLoad(a Action) bool {
	m := w.pick(a.M, func(m *machine) bool { return m.proc != nil && len(m.proc.loads)+len(m.proc.reads) > 0 })
	if m == nil {
		return false
	}
	if p := m.proc; len(p.loads) == 0 || len(p.reads) > 0 && a.N%2 == 0 {
		w.readNext(m)
	} else {
		w.loadNext(m)
	}
	return true
}

// readNext gives a core the next thing that it wants to know of its windows.
func (w *World) readNext(m *machine) {
	read := m.proc.reads[0]
	m.proc.reads = m.proc.reads[1:]
	w.step(m, read())
}

func (w *World) loadNext(m *machine) {
	o := m.proc.loads[0]
	m.proc.loads = m.proc.loads[1:]
	in := node.Loaded{Origin: o}
	in.Snapshot, in.Err = node.ReadCold(m.disk, o)
	w.logf("%s has loaded %s", m.name, o)
	w.step(m, in)
}

func (w *World) doBackup(a Action) bool {
	m := w.machines[int(a.M)%len(w.machines)]
	m.backup = m.disk.clone()
	w.logf("the disk of %s is backed up", m.name)
	return true
}

// doRestart crashes a machine and starts it, or leaves it down, from its disk, an older copy of it, or an empty one.
func (w *World) doRestart(a Action) bool {
	m := w.pick(a.M, running)
	if m == nil {
		return false
	}
	w.crash(m, a.P%2 == 0)
	switch a.N % 8 {
	case 0, 1:
		if m.backup != nil {
			w.logf("%s gets an older copy of its disk", m.name)
			w.restored(m)
			m.disk, m.replaced = m.backup.clone(), true
			m.acked = w.own(m)
		}
	case 2:
		w.wipe(m)
	case 3, 4:
		return true // it stays down
	}
	w.start(m)
	return true
}

func (w *World) wipe(m *machine) {
	w.logf("%s loses its disk", m.name)
	m.disk, m.acked, m.replaced = newDisk(), amounts{}, true
}

func (w *World) doStart(a Action) bool {
	m := w.pick(a.M, func(m *machine) bool { return m.proc == nil })
	if m == nil {
		return false
	}
	w.start(m)
	return true
}

// doClone starts a second machine of an edge's name from a copy of its disk.
func (w *World) doClone(a Action) bool {
	edges := 0
	for _, m := range w.machines {
		if !m.isHub() {
			edges++
		}
	}
	m := w.pick(a.M, func(m *machine) bool { return !m.isHub() })
	if edges >= maxEdges || edges >= w.s.Plan.Edges+2 || w.s.Plan.Forgets && a.N%4 != 0 { // hubs cannot tell that the first one still runs
		return false
	}
	c := &machine{region: m.region, place: m.place + 1, role: m.role, name: m.name, disk: m.disk.clone()}
	c.acked = w.own(c)
	w.logf("the disk of %s is copied to a second machine", m.name)
	w.add(c)
	return true
}

func (w *World) doDamage(a Action) bool {
	m := w.pick(a.M, func(m *machine) bool { return m.proc != nil && w.inbox(m, a.P) != nil })
	if m == nil {
		return false
	}
	e := w.inbox(m, a.P)
	if !e.up {
		return false
	}
	w.logf("%s gets damaged bytes from %s", m.name, e.other().m.name)
	w.step(m, node.Malformed{ID: e.id})
	return true
}

// doForget lets some comparisons go by in which all but a few nodes take what is under way to them, and write it.
func (w *World) doForget(a Action) bool {
	if !w.s.Plan.Forgets {
		return false
	}
	if a.N>>13%4 > 0 { // a hub that is down keeps its region from it
		for _, m := range w.machines {
			if m.isHub() {
				w.start(m)
			}
		}
	}
	if a.N>>8%4 > 0 {
		w.redial()
	}
	if m := w.pick(a.M>>3, func(m *machine) bool { return m.proc != nil && !m.isHub() }); m != nil && a.P>>12%4 > 0 {
		w.renew(m, a)
	}
	if a.N>>10%4 > 0 {
		w.now += 1000 // what is long over is told in seconds
	}
	away := a.P & a.M // a quarter of all
	if a.N>>12%2 == 0 {
		away = 0
	}
	for range 4 + a.N%8 {
		w.now += compareEvery
		for _, m := range w.machines {
			if m.proc != nil && away>>(m.index%16)&1 == 0 {
				w.step(m, node.Tick{})
			}
		}
		for _, m := range w.machines {
			if m.proc != nil && away>>(m.index%16)&1 == 0 {
				w.drainOne(m)
			}
		}
	}
	return true
}

// renew lets an edge count something, which mostly gets to where it can, and run as another process from then on.
func (w *World) renew(m *machine, a Action) {
	w.submit(m, int(a.N)%len(series), int(a.P)%3, uint32(1+a.M%5), w.when(a.P>>4))
	if m.proc.persist != nil {
		w.persist(m, false)
	}
	w.now += flushEvery
	w.tickAll(func(m *machine) bool { return w.now >= m.proc.wake })
	for _, o := range w.machines {
		if o.proc != nil && a.P>>(o.index%8)&3 > 0 {
			w.drainOne(o)
		}
	}
	w.crash(m, true)
	w.start(m)
}

func (w *World) doWipeAll(a Action) bool {
	if !w.s.Plan.Disasters || a.N%4 != 0 {
		return false
	}
	for _, m := range w.machines {
		if m.isHub() && m.region == int(a.M)%numRegions {
			w.crash(m, a.P%2 == 0)
			w.wipe(m)
			w.start(m)
		}
	}
	return true
}
