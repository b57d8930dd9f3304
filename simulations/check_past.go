package simulations

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"slices"

	"meshd/crdt"
)

// checkPast compares what a hub's disk says of the past with what was asked for: no window of a node is ever above what
// that process was asked to count in it, and none of a region above what the region was (I3, I6).
func (w *World) checkPast(m *machine) {
	if w.plan.Core.Window == 0 {
		return
	}
	past := w.truth.pastOn(m.disk)
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

// openFor returns for how many milliseconds hubs may not have all windows of a process yet; 0 where nothing is judged by
// that: a disaster may have destroyed what no window says, or a clock was set back, and it is not over for long.
func (w *World) openFor(by *written) (left int64, judged bool) {
	m, longest := by.m, closes+w.plan.Core.Window
	if by.gone || m.lost || m.proc == nil {
		return 0, false
	}
	left = by.asked.latest + longest - m.clock.at(w.now).Wall
	return max(left, 0), left <= 2*longest
}

// openWindows says which process has windows that are not over, nil if none has: until then pastDiffers is sure to say that
// something is wrong, and need not read all disks for it.
func (w *World) openWindows() error {
	if w.plan.Core.Window == 0 {
		return nil
	}
	for _, by := range w.truth.order {
		if left, judged := w.openFor(by); judged && left > 0 && w.firstHub(by.m.region) != nil {
			return openError(by)
		}
	}
	return nil
}

func openError(by *written) error { return fmt.Errorf("windows of %s are open", by.m.spec.Name) }

// firstHub returns a hub of a region, nil if all are spare ones.
func (w *World) firstHub(region int) *machine {
	for _, m := range w.hubs {
		if m.region == region && !m.dormant {
			return m
		}
	}
	return nil
}

// pastDiffers says what is wrong with the past at hubs, nil if nothing is: of every process all hubs of its region say
// the same (I1), and what it is known to have counted (I2); of every region all hubs say the sum of that, window by window.
func (w *World) pastDiffers(disks held) error {
	if w.plan.Core.Window == 0 {
		return nil
	}
	pasts := w.pasts()
	for region, name := range w.regions {
		first := w.firstHub(region)
		if first == nil {
			continue
		}
		for _, m := range w.hubs {
			if m.region == region && !m.dormant {
				if err := samePast(first, m, pasts); err != nil {
					return err
				}
			}
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
		left, judged := w.openFor(by)
		if m.region != region || !judged {
			continue
		} else if left > 0 {
			return openError(by)
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
