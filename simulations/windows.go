package simulations

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
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

// readPast reads the publications on a disk.
func (t *truth) readPast(d *disk) *pastOf {
	p := newPast()
	for _, k := range slices.Sorted(maps.Keys(d.kv)) {
		if !strings.HasPrefix(k, "w/") {
			continue
		}
		f, err := wire.ParseFrame(d.kv[k][8+1+16+8:])
		if err != nil {
			continue
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
	return p
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

// checkPast compares what a hub's disk says of the past with what was asked for: no window of a node is ever above what
// that process was asked to count in it, and none of a region above what the region was (I3, I6).
func (w *World) checkPast(m *machine) {
	if w.plan.Core.Window == 0 {
		return
	}
	past := w.truth.readPast(m.disk)
	for _, o := range slices.SortedFunc(maps.Keys(past.nodes), crdt.Origin.Compare) {
		by := w.truth.origins[o.Inc]
		if by == nil || by.m.spec.Name != o.Node || by.m.spec.Region != o.Region {
			w.fail("I12", "%s holds windows of %s, which never ran", m.spec.Name, o)
			return
		}
		w.notAbove(m, "I6", o.String(), past.nodes[o], by.asked)
	}
	for i, region := range w.regions {
		w.notAbove(m, "I3", region, past.regions[region], w.truth.regions[i])
	}
}

func (w *World) notAbove(m *machine, rule, who string, have pastWindows, asked *ledger) {
	upper, none := asked.wide(w.plan.Core.Window), new(amounts)
	for _, k := range have.order() {
		got, known := amountsOf(have[k])
		if w.truth.series[k.series].Kind == crdt.KindGauge {
			continue
		}
		at := k
		at.gen = 0
		if !known || !got.within(cmp.Or(upper[at], none)) {
			w.fail(rule, "%s has +%s -%s %v of %s of %s in the %d s from %d on, more than was written", m.spec.Name,
				got.P, got.N, got.B, w.truth.series[k.series], who, k.window.Width/1000, k.window.Start)
			return
		}
	}
}

func (p pastWindows) order() []windowOf {
	return slices.SortedFunc(maps.Keys(p), func(a, b windowOf) int {
		return cmp.Or(cmp.Compare(a.series, b.series), cmp.Compare(a.gen, b.gen), cmp.Compare(a.window.Width, b.window.Width), cmp.Compare(a.window.Start, b.window.Start))
	})
}

// closes says how long after the end of a window every hub has to have it, by the clock of who counted in it: grace and
// publication, which are at most 3 s, and room for a comparison.
const closes = 4000

// pastDiffers says what is wrong with the past at hubs, nil if nothing is: of every process all hubs of its region say
// the same (I1), and what it is known to have counted (I2); of every region all hubs say the sum of that, window by window.
func (w *World) pastDiffers() error {
	if w.plan.Core.Window == 0 {
		return nil
	}
	disks := held{}
	for _, o := range w.machines {
		w.truth.gather(disks, o.disk)
	}
	pasts := map[*machine]*pastOf{}
	for _, m := range w.machines {
		if m.spec.Role == node.RoleHub && !m.dormant {
			pasts[m] = w.truth.readPast(m.disk)
		}
	}
	for region, name := range w.regions {
		var first *machine
		for _, m := range w.hubs {
			if m.region == region && !m.dormant {
				first = cmp.Or(first, m)
				if err := samePast(first, m, pasts); err != nil {
					return err
				}
			}
		}
		if first == nil {
			continue
		}
		if err := w.pastExact(region, pasts[first], disks); err != nil {
			return err
		}
		sum := pasts[first].sum(name)
		for _, m := range w.hubs {
			if m.dormant {
				continue
			}
			if err := w.sameRegion(m, region, pasts[m].regions[name], sum); err != nil {
				return err
			}
		}
	}
	return nil
}

// sum adds up the windows of a region's nodes.
func (p *pastOf) sum(region string) pastWindows {
	out := pastWindows{}
	for _, o := range slices.SortedFunc(maps.Keys(p.nodes), crdt.Origin.Compare) {
		if o.Region != region {
			continue
		}
		for k, v := range p.nodes[o] {
			if out[k] == nil {
				c := v.Clone()
				out[k] = &c
				continue
			}
			_ = out[k].AddWindow(v) // honest values are within all limits
		}
	}
	return out
}

// samePast compares what two hubs say of the nodes of their region.
func samePast(a, b *machine, pasts map[*machine]*pastOf) error {
	for _, o := range slices.SortedFunc(maps.Keys(pasts[a].nodes), crdt.Origin.Compare) {
		if k, ok := firstDifference(pasts[a].nodes[o], pasts[b].nodes[o]); ok {
			return &Violation{Rule: "I1", What: fmt.Sprintf("%s and %s differ on window %+v of %s: %s and %s", a.spec.Name, b.spec.Name, k, o,
				describe(pasts[a].nodes[o][k]), describe(pasts[b].nodes[o][k]))}
		}
	}
	if len(pasts[a].nodes) != len(pasts[b].nodes) {
		return &Violation{Rule: "I1", What: fmt.Sprintf("%s and %s have windows of %d and %d processes", a.spec.Name, b.spec.Name, len(pasts[a].nodes), len(pasts[b].nodes))}
	}
	return nil
}

func firstDifference(a, b pastWindows) (windowOf, bool) {
	for _, k := range a.order() {
		if b[k] == nil || !bytes.Equal(canonical(a[k]), canonical(b[k])) {
			return k, true
		}
	}
	for _, k := range b.order() {
		if a[k] == nil {
			return k, true
		}
	}
	return windowOf{}, false
}

// sameRegion compares what a hub says of a region with the sum over its nodes. Of a region whose disks were destroyed
// others may know more.
func (w *World) sameRegion(m *machine, region int, have, sum pastWindows) error {
	for _, k := range sum.order() {
		if w.truth.drops[k.series].ordered {
			continue
		}
		got := crdt.Bottom(sum[k].Kind)
		if have[k] != nil {
			got = have[k].Clone()
		}
		if _, err := got.Join(sum[k], 0, nil, 0); err != nil {
			return err
		}
		if have[k] == nil || !bytes.Equal(canonical(&got), canonical(have[k])) || !w.destroyed[region] && !bytes.Equal(canonical(have[k]), canonical(sum[k])) {
			return &Violation{Rule: "I1", What: fmt.Sprintf("%s says of window %+v of %s: %s, its nodes counted %s", m.spec.Name, k, w.regions[region],
				describe(have[k]), describe(sum[k]))}
		}
	}
	return nil
}

// pastExact compares the windows of each process with its lifetime cells, and wide windows with the fine ones in them. A
// process some of whose writes a disaster destroyed may have counted what no window says.
func (w *World) pastExact(region int, past *pastOf, disks held) error {
	for _, by := range w.truth.order {
		m := by.m
		if m.region != region || by.gone || m.lost || m.proc == nil {
			continue
		}
		if open := by.asked.latest + closes + w.plan.Core.Window - m.clock.at(w.now).Wall; open > 2*(closes+w.plan.Core.Window) {
			continue // its clock was set back: it is not over for long
		} else if open > 0 {
			return fmt.Errorf("windows of %s are open", m.spec.Name)
		}
		o := crdt.Origin{Class: crdt.ClassNode, Region: m.spec.Region, Node: m.spec.Name, Inc: by.inc}
		sums := make([]amounts, len(w.truth.series))
		inner := map[windowOf]*amounts{}
		for k, v := range past.nodes[o] {
			a, _ := amountsOf(v)
			if k.window.Width != w.plan.Core.Window {
				continue
			}
			sums[k.series].add(&a)
			for _, width := range slices.Compact([]int64{w.plan.Core.Window, crdt.MinuteMillis, crdt.HourMillis})[1:] {
				wide := windowOf{k.series, k.gen, crdt.WindowAt(k.window.Start, width)}
				if inner[wide] == nil {
					inner[wide] = new(amounts)
				}
				inner[wide].add(&a)
			}
		}
		for i, s := range w.truth.series {
			want := new(amounts)
			if have := disks[by.inc]; have != nil {
				want = &have[i]
			}
			if s.Kind != crdt.KindGauge && s.Kind != crdt.KindUnique && sums[i] != *want && !w.truth.drops[i].ordered {
				return &Violation{Rule: "I2", What: fmt.Sprintf("the windows of %s of %s are +%s -%s %v together, its disk says +%s -%s %v", s, o,
					sums[i].P, sums[i].N, sums[i].B, want.P, want.N, want.B)}
			}
		}
		for k, want := range inner {
			var got amounts
			if v := past.nodes[o][k]; v != nil {
				got, _ = amountsOf(v)
			}
			over := m.proc.by != by || k.window.End()+closes < m.clock.at(w.now).Wall // what a dead process left is published at once
			if got != *want && !w.truth.drops[k.series].ordered && over {
				return &Violation{Rule: "I2", What: fmt.Sprintf("window %+v of %s of %s is +%s -%s %v, the fine ones in it +%s -%s %v", k.window,
					w.truth.series[k.series], o, got.P, got.N, got.B, want.P, want.N, want.B)}
			}
		}
	}
	return nil
}

// storedNumber reports whether a disk has a publication.
func (d *disk) storedNumber(o crdt.Origin, number uint64) bool {
	key := append(append([]byte("n/"), byte(o.Class)), o.Inc[:]...)
	_, ok := d.kv[string(binary.BigEndian.AppendUint64(key, number))]
	return ok
}
