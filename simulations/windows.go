package simulations

import (
	"encoding/binary"
	"errors"
	"maps"
	"slices"
	"strings"

	"meshd/crdt"
	"meshd/internal/wire"
	"meshd/node"
)

// windowOf names one window of one series of the truth.
type windowOf struct {
	series int
	gen    uint32
	window crdt.Window
}

// windowOf returns which window of a series of the truth is meant.
func (t *truth) windowOf(s *crdt.Series, win crdt.Window) (windowOf, bool) {
	at, ok := t.index[s.Name]
	return windowOf{at, s.Gen, win}, ok
}

// pastWindows are windows of one owner.
type pastWindows map[windowOf]*crdt.Value

// pastOf is what a machine's disk says of the past, by owner: incarnations of nodes, and regions. It is the oracle's own
// reading of stored publications, and stands in for the history that a core asks.
type pastOf struct {
	nodes   map[crdt.Origin]pastWindows
	regions map[string]pastWindows
}

func newPast() *pastOf {
	return &pastOf{nodes: map[crdt.Origin]pastWindows{}, regions: map[string]pastWindows{}}
}

// join takes the cells of an owner. Nothing of v is kept.
func (p *pastOf) join(owner crdt.Origin, at windowOf, v *crdt.Value) {
	var of pastWindows
	if owner.Class == crdt.ClassRegion {
		if of = p.regions[owner.Region]; of == nil {
			of = pastWindows{}
			p.regions[owner.Region] = of
		}
	} else if of = p.nodes[owner]; of == nil {
		of = pastWindows{}
		p.nodes[owner] = of
	}
	have := of[at]
	if have == nil {
		bottom := crdt.Bottom(v.Kind)
		have = &bottom
		of[at] = have
	}
	_, _ = have.Join(v, 0, nil, 0) // honest values are within all limits
}

// prefixPublished begins the keys of publications.
const prefixPublished = "w/"

// pastOn returns what readPast finds on a disk. It is the disk's own: of a publication that was read before only what is new
// is read.
func (t *truth) pastOn(d *disk) *pastOf {
	if d.past == nil {
		d.past = t.readPast(d)
	}
	for _, value := range d.fresh { // in any order: all of it is joined
		t.readPublication(d.past, value)
	}
	d.fresh = nil
	return d.past
}

// readPast reads the publications on a disk.
func (t *truth) readPast(d *disk) *pastOf {
	p := newPast()
	var keys []string
	for k := range d.kv {
		if strings.HasPrefix(k, prefixPublished) {
			keys = append(keys, k)
		}
	}
	slices.Sort(keys)
	for _, k := range keys {
		t.readPublication(p, d.kv[k])
	}
	return p
}

// readPublication joins a stored publication into p.
func (t *truth) readPublication(p *pastOf, value []byte) {
	f, err := wire.ParseFrame(value[8+1+16+8:])
	if err != nil {
		return
	}
	names := map[uint32]*crdt.Series{}
	for i := range f.Defs {
		names[f.Defs[i].Ref] = &f.Defs[i].Series
	}
	for i := range f.Cells {
		if at, ok := t.windowOf(names[f.Cells[i].Ref], f.Cells[i].Window); ok {
			p.join(f.Owner(), at, &f.Cells[i].Value)
		}
	}
}

// answer is what a history answers a core.
func (p *pastOf) answer(t *truth, want *node.WindowRead) (out []crdt.Value) {
	owners := []crdt.Origin{want.From}
	if want.From == (crdt.Origin{}) {
		owners = slices.SortedFunc(maps.Keys(p.nodes), crdt.Origin.Compare)
	}
	for _, k := range want.Keys {
		var v crdt.Value
		at, _ := t.windowOf(k.Series, k.Window)
		for _, o := range owners {
			c := p.nodes[o][at]
			switch {
			case c == nil:
			case v.Kind == 0:
				v = c.Clone()
			default:
				_ = v.AddWindow(c) // honest values are within all limits
			}
		}
		out = append(out, v)
	}
	return out
}

// wants does what a core wants of its history and of the frames on its disk.
func (w *World) wants(m *machine, out *node.Output) {
	p := m.proc
	for i := range out.Published {
		pub := &out.Published[i]
		if pub.Owner.Class == crdt.ClassNode && pub.Owner.Node == m.spec.Name && pub.Owner.Inc != p.by.inc {
			w.saw(sawWindowsLeft)
		}
		for j := range pub.Cells {
			if at, ok := w.truth.windowOf(pub.Cells[j].Series, pub.Cells[j].Window); ok {
				p.past.join(pub.Owner, at, &pub.Cells[j].Value)
			}
		}
	}
	later := func(answer func() node.Event) {
		w.ids++
		p.reads[w.ids] = answer
		w.push(event{at: w.now + w.rng.past.Int64N(1000*w.plan.Disk.Read+1), kind: evHistory, m: m, gen: m.gen, arg: w.ids})
	}
	for _, want := range out.WindowReads {
		if want.From == (crdt.Origin{}) {
			w.saw(sawWindowTotals)
		} else {
			w.saw(sawWindowReopened)
		}
		fails := w.rng.past.IntN(30) == 0
		later(func() node.Event {
			if fails {
				return node.WindowsRead{ID: want.ID, Err: errors.New("simulated history: not now")}
			}
			return node.WindowsRead{ID: want.ID, Values: p.past.answer(w.truth, &want)}
		})
	}
	for _, want := range out.FrameReads {
		later(func() node.Event { return node.ReadFrames(m.disk, want) })
	}
}

// historyRead gives a core what it asked for.
func (w *World) historyRead(ev *event) {
	answer := ev.m.proc.reads[ev.arg]
	delete(ev.m.proc.reads, ev.arg)
	w.step(ev.m, answer())
}

// drawTime draws when something happened, by the clock of the machine that is told of it: mostly now, sometimes some
// seconds or minutes ago, sometimes days.
func (w *World) drawTime(m *machine) int64 {
	r, wall := w.rng.past, m.clock.at(w.now).Wall
	switch r.IntN(8) {
	case 0:
		return wall - r.Int64N(4000)
	case 1:
		return wall - r.Int64N(5)*60_000
	case 2: // the same few windows again and again
		return wall - wall%crdt.HourMillis - (1+r.Int64N(3))*crdt.HourMillis*20 + r.Int64N(3)*w.plan.Core.Window
	}
	return wall
}

// counts enters a write of a process into the windows that it happened in.
func (l *ledger) counts(w *write, sign int) {
	if w.at == 0 || w.gauge != 0 {
		return
	}
	key := windowOf{series: w.series, window: crdt.WindowAt(w.at, w.fine)}
	if l.past == nil {
		l.past = map[windowOf]*amounts{}
	}
	a := l.past[key]
	if a == nil {
		a = new(amounts)
		l.past[key] = a
	}
	if sign > 0 {
		a.add(&w.sums)
	} else {
		a.sub(&w.sums)
	}
	l.latest = max(l.latest, w.at)
}

// wide returns the upper bounds of all windows around the fine ones.
func (l *ledger) wide(fine int64) map[windowOf]*amounts {
	out := map[windowOf]*amounts{}
	for k, a := range l.past {
		for _, width := range slices.Compact([]int64{fine, crdt.MinuteMillis, crdt.HourMillis}) {
			key := windowOf{series: k.series, window: crdt.WindowAt(k.window.Start, width)}
			if out[key] == nil {
				out[key] = new(amounts)
			}
			out[key].add(a)
		}
	}
	return out
}

// storedNumber reports whether a disk has a publication.
func (d *disk) storedNumber(o crdt.Origin, number uint64) bool {
	key := append(append([]byte("n/"), byte(o.Class)), o.Inc[:]...)
	_, ok := d.kv[string(binary.BigEndian.AppendUint64(key, number))]
	return ok
}
