package simulations

import (
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
	refs   map[crdt.Origin]map[uint32]int // by the origin's own numbers: index of the series
	cells  [][]followed                   // by region and series: updates in order
	seen   [][]int32                      // by machine, then region and series: updates seen
	wait   []map[int]struct{}             // by machine: cells that came in and may be waiting for the disk
}

type followed struct {
	sum  crdt.Fixed // value of the cell with this update
	at   int64      // 0: before Plan.Warm
	left int
}

func newFollower(w *World) *follower {
	f := &follower{first: w.plan.Load.Series, series: len(w.truth.series), refs: map[crdt.Origin]map[uint32]int{}}
	f.cells = make([][]followed, len(w.regions)*f.series)
	for range w.machines {
		f.seen = append(f.seen, make([]int32, len(f.cells)))
		f.wait = append(f.wait, map[int]struct{}{})
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
	if fr == nil {
		return
	}
	if len(fr.Defs) == 0 {
		return
	}
	refs := f.refs[fr.Origin]
	if refs == nil {
		refs = map[uint32]int{}
		f.refs[fr.Origin] = refs
	}
	for i := range fr.Defs {
		if at, ok := w.truth.index[fr.Defs[i].Series.Name]; ok {
			refs[fr.Defs[i].Ref] = at
		}
	}
}

// came records which cells of a frame reached a machine.
func (f *follower) came(w *World, m *machine, fr *wire.Frame) {
	region := w.regionOf(fr.Origin.Region)
	refs := f.refs[fr.Origin]
	for i := range fr.Cells {
		if series, ok := refs[fr.Cells[i].Ref]; ok && series >= f.first && region >= 0 {
			f.wait[m.index][region*f.series+series] = struct{}{}
		}
	}
}

// stepped asks a machine for the cells that came in.
func (f *follower) stepped(w *World, m *machine, in node.Event) {
	switch e := in.(type) {
	case node.Received:
		if e.Msg.Frame != nil {
			f.came(w, m, e.Msg.Frame)
		}
		if m.spec.Role == node.RoleHub {
			return // it shows what is on disk only
		}
	case node.Persisted:
	default:
		return
	}
	for at := range f.wait[m.index] {
		next := f.seen[m.index][at]
		if int(next) < len(f.cells[at]) {
			v, ok := m.proc.core.Peek(w.truth.series[at%f.series], w.regions[at/f.series])
			if !ok {
				continue
			}
			f.reached(w, m, at, v.P)
		}
		if int(f.seen[m.index][at]) == len(f.cells[at]) || m.spec.Role == node.RoleEdge {
			delete(f.wait[m.index], at)
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
