package simulations

import (
	"slices"

	"meshd/crdt"
	"meshd/internal/wire"
	"meshd/node"
)

// Spread is how long updates took from the moment a client was told they are accepted until an answer at another node
// contained them. Every node is asked after every step that may have shown it more. What is followed are the updates
// of the probes: a cell of one region and series has one writer, so its value tells which updates it contains, as
// long as no disaster destroys some and no request goes unanswered.
type Spread struct {
	Updates  int       // followed: accepted after Plan.Warm
	Accepted int       // of all series in that time, not only the probes'
	Pairs    Latencies // of every update and node, the writer excepted
	Hubs     Latencies // the pairs whose node is a hub
	Last     Latencies // of every update, to the last node
	Unseen   int64     // pairs that never happened
	Messages int64     // of every kind, over all links, from Plan.Warm until everything heals
	Frames   int64     // the messages among them that carry cells
	Cells    int64     // the cells in those
}

// Latencies counts durations by millisecond; the last one takes all that are longer.
type Latencies [1 << 16]int64

func (l *Latencies) add(us int64) { l[min(us/1000, int64(len(l)-1))]++ }

// Quantile returns an upper bound in milliseconds of the q quantile, 0 if nothing was counted.
func (l *Latencies) Quantile(q float64) int64 {
	var n, seen int64
	for _, c := range l {
		n += c
	}
	want := int64(q * float64(n))
	for ms, c := range l {
		if seen += c; c > 0 && seen >= max(want, 1) {
			return int64(ms) + 1
		}
	}
	return 0
}

// follower tracks updates to the answers of all nodes.
type follower struct {
	Spread
	first  int // of the probes
	series int
	cell   map[crdt.Origin][]int // by the origin's own numbers: region and series of a probe, -1 for others
	cells  [][]followed          // by region and series: updates in order
	seen   [][]int32             // by machine, then region and series: updates seen
	wait   [][]int               // by hub: cells that came in and may be waiting for the disk
	waits  [][]bool              // by machine, then region and series: in wait
	last   *wire.Frame           // that was sent, and the probes' cells in it
	probes []int
}

type followed struct {
	sum  crdt.Fixed // value of the cell with this update
	at   int64      // 0: before Plan.Warm
	left int
}

func newFollower(w *World) *follower {
	f := &follower{first: w.plan.Load.Series, series: len(w.truth.series), cell: map[crdt.Origin][]int{}}
	f.cells = make([][]followed, len(w.regions)*f.series)
	f.wait = make([][]int, len(w.machines))
	for range w.machines {
		f.seen = append(f.seen, make([]int32, len(f.cells)))
		f.waits = append(f.waits, make([]bool, len(f.cells)))
	}
	return f
}

// wrote records an accepted update.
func (f *follower) wrote(w *World, m *machine, series int, amount crdt.Fixed) {
	warm := w.now >= 1000*w.plan.Warm
	if warm {
		f.Accepted++
	}
	if series < f.first {
		return
	}
	at := m.region*f.series + series
	us := f.cells[at]
	u := followed{left: len(w.machines) - 1}
	if warm {
		u.at = w.now
		f.Updates++
	}
	if n := len(us); n > 0 {
		u.sum = us[n-1].sum
	}
	u.sum, _ = u.sum.Add(amount)
	f.cells[at] = append(us, u)
	f.seen[m.index][at] = int32(len(f.cells[at]))
}

// sends learns an origin's numbers, counts messages that carry cells, and returns the probes' cells in a frame.
func (f *follower) sends(w *World, fr *wire.Frame) []int {
	if w.now >= 1000*w.plan.Warm && !w.healed {
		f.Messages++
		if fr != nil {
			f.Frames++
			f.Cells += int64(len(fr.Cells))
		}
	}
	if fr == nil {
		return nil
	}
	if fr == f.last { // the same bytes for another peer
		return f.probes
	}
	cell := f.learn(w, fr)
	f.last, f.probes = fr, nil
	for i := range fr.Cells {
		ref := int(fr.Cells[i].Ref)
		if ref < len(cell) && cell[ref] >= 0 {
			f.probes = append(f.probes, cell[ref])
		}
	}
	return f.probes
}

// learn returns what is known of an origin's numbers with a frame of it.
func (f *follower) learn(w *World, fr *wire.Frame) []int {
	cell := f.cell[fr.Origin]
	if len(fr.Defs) == 0 {
		return cell
	}
	region := w.regionOf(fr.Origin.Region)
	for i := range fr.Defs {
		d := &fr.Defs[i]
		for int(d.Ref) >= len(cell) {
			cell = append(cell, -1)
		}
		if series, ok := w.truth.index[d.Series.Name]; ok && series >= f.first && region >= 0 {
			cell[d.Ref] = region*f.series + series
		}
	}
	f.cell[fr.Origin] = cell
	return cell
}

// peeked is what a machine answered for a cell after a step.
type peeked struct {
	at int
	p  crdt.Fixed
	ok bool
}

// peek asks a machine, after a step, for the cells that came in: an edge for those of the frame that it got, a hub, which shows
// what is on disk only, for all that wait once something is. That belongs to the step: the machine may be ahead of its
// turn then.
func (j *job) peek(f *follower) {
	cells := j.probes
	if j.m.spec.Role == node.RoleHub {
		if j.kind != evPersisted {
			return
		}
		cells = f.wait[j.m.index]
	}
	for _, at := range cells {
		v, ok := j.proc.core.Peek(j.w.truth.series[at%f.series], j.w.regions[at/f.series])
		j.peeked = append(j.peeked, peeked{at, v.P, ok})
	}
}

// stepped takes note of what a step let a machine see.
func (f *follower) stepped(w *World, j *job) {
	m, hub := j.m, j.m.spec.Role == node.RoleHub
	for _, p := range j.peeked {
		if p.ok {
			f.reached(w, m, p.at, p.p)
		}
	}
	if !hub {
		return
	}
	waits := f.waits[m.index]
	if j.kind == evPersisted {
		f.wait[m.index] = slices.DeleteFunc(f.wait[m.index], func(at int) bool {
			over := int(f.seen[m.index][at]) == len(f.cells[at])
			waits[at] = !over
			return over
		})
	}
	for _, at := range j.probes {
		if !waits[at] {
			waits[at] = true
			f.wait[m.index] = append(f.wait[m.index], at)
		}
	}
}

func (f *follower) reached(w *World, m *machine, at int, have crdt.Fixed) {
	us := f.cells[at]
	for next := &f.seen[m.index][at]; int(*next) < len(us) && !have.Less(us[*next].sum); *next++ {
		u := &us[*next]
		if u.left--; u.at == 0 {
			continue
		}
		took := w.now - u.at
		f.Pairs.add(took)
		if m.spec.Role == node.RoleHub {
			f.Hubs.add(took)
		}
		if u.left == 0 {
			f.Last.add(took)
		}
	}
}

// done counts what never arrived.
func (f *follower) done() *Spread {
	for _, us := range f.cells {
		for i := range us {
			if us[i].at > 0 {
				f.Unseen += int64(us[i].left)
			}
		}
	}
	return &f.Spread
}
