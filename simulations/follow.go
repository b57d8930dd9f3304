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
	wait   [][]int               // by machine: cells that came in and may be waiting for the disk
	waits  [][]bool              // by machine, then region and series: in wait
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

// sends learns an origin's numbers and counts messages that carry cells.
func (f *follower) sends(w *World, dec *node.Decoded) {
	fr := dec.Frame
	if w.now >= 1000*w.plan.Warm && !w.healed {
		f.Messages++
		if fr != nil {
			f.Frames++
			f.Cells += int64(len(fr.Cells))
		}
	}
	if fr == nil || len(fr.Defs) == 0 {
		return
	}
	region := w.regionOf(fr.Origin.Region)
	cell := f.cell[fr.Origin]
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
}

// came records which cells of a frame reached a machine.
func (f *follower) came(m *machine, fr *wire.Frame) {
	cell, waits := f.cell[fr.Origin], f.waits[m.index]
	for i := range fr.Cells {
		ref := int(fr.Cells[i].Ref)
		if ref < len(cell) && cell[ref] >= 0 && !waits[cell[ref]] {
			waits[cell[ref]] = true
			f.wait[m.index] = append(f.wait[m.index], cell[ref])
		}
	}
}

// stepped asks a machine for the cells that came in.
func (f *follower) stepped(w *World, m *machine, in node.Event) {
	switch e := in.(type) {
	case node.Received:
		if e.Msg.Frame != nil {
			f.came(m, e.Msg.Frame)
		}
		if m.spec.Role == node.RoleHub {
			return // it shows what is on disk only
		}
	case node.Persisted:
	default:
		return
	}
	f.wait[m.index] = slices.DeleteFunc(f.wait[m.index], func(at int) bool {
		over := f.look(w, m, at)
		f.waits[m.index][at] = !over
		return over
	})
}

// look asks a machine for one cell and reports whether it waits no longer.
func (f *follower) look(w *World, m *machine, at int) bool {
	if int(f.seen[m.index][at]) < len(f.cells[at]) {
		v, ok := m.proc.core.Peek(w.truth.series[at%f.series], w.regions[at/f.series])
		if !ok {
			return false
		}
		f.reached(w, m, at, v.P)
	}
	return int(f.seen[m.index][at]) == len(f.cells[at]) || m.spec.Role == node.RoleEdge
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
