package simulations

import (
	"fmt"

	"meshd/node"
)

// FaultKind names a fault.
type FaultKind string

// The faults.
const (
	Cut        FaultKind = "cut"     // nothing passes between the machines A and B
	OneWay     FaultKind = "one-way" // nothing passes from A to B
	Split      FaultKind = "split"   // nothing passes between the machines A and all others
	Bridge     FaultKind = "bridge"  // two halves that only the machine B reaches
	Ring       FaultKind = "ring"    // a machine reaches its two neighbours only
	Flap       FaultKind = "flap"    // Split again and again
	Swizzle    FaultKind = "swizzle" // the machines A are cut off one by one and come back in another order
	Drop       FaultKind = "drop"    // the sessions of A end without a reason
	Redial     FaultKind = "redial"  // A opens new sessions beside the ones it has
	Crash      FaultKind = "crash"   // A dies and is started again
	TrapBefore FaultKind = "crash-in-write"
	TrapSynced FaultKind = "crash-synced"
	TrapAnswer FaultKind = "crash-answered"
	Pause      FaultKind = "pause"          // A is stopped and goes on
	Wipe       FaultKind = "wipe"           // A dies and starts with an empty disk
	WipeFlush  FaultKind = "wipe-mid-flush" // A is cut from B; then, between two frames of one flush, A and its disk are lost
	Rollback   FaultKind = "rollback"       // the disk of A is saved, later A dies and starts with what was saved
	Clone      FaultKind = "clone"          // the spare machine B starts with a copy of the disk of A, beside it
	FullDisk   FaultKind = "full-disk"
	SlowDisk   FaultKind = "slow-disk"
	Jump       FaultKind = "jump"        // the wall clock of A is set by X milliseconds
	Loss       FaultKind = "loss"        // between A and To X of 1,000 messages are lost at first
	Delay      FaultKind = "delay"       // between A and To messages take X milliseconds longer
	Remove     FaultKind = "remove"      // A dies, an operator removes it at the machine B, and it comes back
	DropSeries FaultKind = "drop-series" // an operator drops the series X at the machine A
	Bounce     FaultKind = "bounce"      // A is started again and again, each time after X milliseconds at most
	Storm      FaultKind = "storm"       // a third of all messages is lost at first, some arrive damaged
)

// Fault is one fault: when it strikes, for how long, whom. Times are milliseconds.
type Fault struct {
	Kind    FaultKind
	At, For int64
	A       []int // machines
	To      []int // of cuts, loss and delay: the machines at the other end; nil = B, of loss and delay all others
	B       int
	X       int64
}

// String is the fault as a schedule shows it.
func (f Fault) String() string {
	return fmt.Sprintf("%6d ms %s for %d ms: %v %d %d", f.At, f.Kind, f.For, f.A, f.B, f.X)
}

// strike makes a fault happen and plans its end.
func (w *World) strike(f *Fault) {
	if w.healed {
		return
	}
	w.trace("fault: %s", f)
	end := min(w.now+1000*f.For, 1000*w.plan.Safety-1000) // all is over when everything heals
	w.struck(f.Kind, end)
	switch f.Kind {
	case Cut, OneWay, Split, Bridge, Ring, Flap, Swizzle:
		w.strikeNetwork(f, end)
	case Loss, Delay:
		w.strikeWeather(f, end)
	case Storm:
		w.storm.loss, w.storm.corrupt = 0.3, 0.002
		w.call(end, func() { w.storm.loss, w.storm.corrupt = 0, 0 })
	case Clone:
		w.clone(f, end)
	case WipeFlush:
		w.doom(f, end)
	default:
		for _, i := range f.A {
			w.strikeMachine(f, w.machines[i], end)
		}
	}
}

func (w *World) strikeMachine(f *Fault, m *machine, end int64) {
	switch f.Kind {
	case Crash:
		w.crash(m)
		w.restartIn(m, end-w.now)
	case Bounce:
		w.bounce(m, f.X, end)
	case DropSeries:
		w.dropSeries(m, int(f.X))
	case Remove:
		w.remove(m, w.machines[f.B], end)
	case TrapBefore:
		m.trap = trapBefore
	case TrapSynced:
		m.trap = trapBetween
	case TrapAnswer:
		m.trap = trapAfter
	case Pause:
		w.pause(m, end)
	case Wipe:
		w.wipe(m)
	case Rollback:
		saved, acked := m.disk.copy(), append([]amounts(nil), m.acked...)
		w.call(end, func() {
			w.crash(m)
			w.replaceDisk(m, saved, acked)
			w.saw(sawRollback)
			w.restartIn(m, w.rng.life.Int64N(500_000))
		})
	case FullDisk:
		d := m.disk
		d.full = true
		w.call(end, func() { d.full = false })
	case SlowDisk:
		d := m.disk
		d.slow = f.X
		w.call(end, func() { d.slow = 0 })
	case Jump:
		m.clock.offset += 1000 * f.X
	case Drop:
		for _, i := range sorted(m.peers) {
			w.kill(m.peers[i], w.rng.life.Int64N(1000*w.plan.Net.Idle), w.rng.life.Int64N(1000*w.plan.Net.Idle))
		}
	case Redial:
		w.redial(m)
	default: // strikes the network or all machines at once, see strike
	}
}

// redial opens a second session beside each that is up, as a machine does whose address changed.
func (w *World) redial(m *machine) {
	for _, i := range sorted(m.peers) {
		o := w.machines[i]
		if m.proc == nil || o.proc == nil || w.cut(m, o) || w.cut(o, m) {
			continue
		}
		w.saw(sawSecondSession)
		w.connect(m, o)
	}
}

// remove crashes a machine, has an operator remove it at another one, and starts it again: it is expected again then.
// Sessions with it last a while longer, so the order may be refused.
func (w *World) remove(m, at *machine, end int64) {
	w.crash(m)
	w.restartIn(m, end-w.now)
	w.call(w.now+(end-w.now)/2, func() {
		if at.proc == nil || at.paused(w.now) || m.proc != nil {
			return
		}
		w.ids++
		w.orders[w.ids] = func() { w.saw(sawRemoval) }
		w.step(at, node.RemoveNode{ID: w.ids, Region: m.spec.Region, Node: m.spec.Name})
	})
}

// bounce crashes a machine again and again: each time it leaves an incarnation, and a hub an entry, that is over.
func (w *World) bounce(m *machine, every, end int64) {
	if w.healed || w.now >= end {
		return
	}
	w.crash(m)
	w.restartIn(m, w.rng.life.Int64N(100_000))
	w.call(w.now+200_000+w.rng.life.Int64N(1000*every), func() { w.bounce(m, every, end) })
}

// pause stops a process. Its peers give it up after a while; it hears of that when it goes on.
func (w *World) pause(m *machine, end int64) {
	if m.proc == nil {
		return
	}
	m.resume = max(m.resume, end)
	gen, idle := m.gen, w.now+1000*w.plan.Net.Idle
	if end < idle {
		return
	}
	w.call(idle, func() {
		if m.gen != gen {
			return
		}
		w.saw(sawLongPause)
		for _, id := range sorted(m.proc.ends) {
			w.kill(m.proc.ends[id].s, w.rng.life.Int64N(100_000), w.rng.life.Int64N(100_000))
		}
	})
}

// clone starts the spare machine on a copy of another's disk.
func (w *World) clone(f *Fault, end int64) {
	from, to := w.machines[f.A[0]], w.machines[f.B]
	to.disk, to.acked = from.disk.copy(), append([]amounts(nil), from.acked...)
	w.rolls[to.region], w.rolls[from.region] = nil, nil
	to.lost, from.lost = true, true // two processes of one name: neither speaks for the other's writes
	w.saw(sawClone)
	w.start(to)
	if f.X == 0 {
		w.call(end, func() {
			w.crash(to)
			w.replaceDisk(to, newDisk(), make([]amounts, len(to.acked)))
			to.dormant = true
		})
	}
}

// replaceDisk destroys a disk. What only it held is lost from now on.
func (w *World) replaceDisk(m *machine, d *disk, acked []amounts) {
	if m.spec.Role == node.RoleHub {
		w.hubDiskLost(m)
	}
	before := held{}
	w.truth.gather(before, m.disk)
	d.epoch = m.disk.epoch + 1
	m.disk, m.acked, m.lost, m.diskLost = d, acked, true, w.now
	w.rolls[m.region] = nil
	after := held{}
	for _, o := range w.machines {
		if o.region == m.region {
			w.truth.gather(after, o.disk)
		}
	}
	none := make([]amounts, len(w.truth.series))
	for inc := range before {
		by := w.truth.origins[inc]
		if by == nil {
			continue
		}
		have := after[inc]
		if have == nil {
			have = none
		}
		by.gone = true
		for i := range have {
			by.ok.sums[i].min(&have[i])
		}
	}
	w.destroyed[m.region] = true
	w.undo()
}
