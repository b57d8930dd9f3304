package short

import (
	"maps"

	"meshd/crdt"
)

// windowsWithin bounds the time from the end of the last window to its totals at every hub: a window waits for what is late for up
// to two seconds, another one until it is looked for, a third until the totals are; each may meet a read that fails.
const windowsWithin = 2 * healWithin

// windowsHeal lets the last hour pass: all windows are published. Then every hub has to hold exactly what happened in each,
// or where a disaster took the only copy at least what was left of it.
func (w *World) windowsHeal(others func() *Violation) {
	want := w.windowsLeft()
	w.now += crdt.HourMillis
	w.converge(func() *Violation {
		v := w.unequalPast(want)
		if v == nil {
			v = others()
		}
		if v != nil {
			v.within = windowsWithin
		}
		return v
	})
}

// windowsWant is what windows have to hold.
type windowsWant struct {
	of     []map[crdt.Window]span // by process, in the order of truth
	totals [numRegions]map[crdt.Window]span
}

// windowsLeft returns what happened in each window. Where no disk has it any more the least is what disks have.
func (w *World) windowsLeft() (want windowsWant) {
	for region := range numRegions {
		want.totals[region] = map[crdt.Window]span{}
	}
	for _, by := range w.truth.order {
		spans := by.spans()
		for win, s := range spans {
			if left := w.leftIn(by, win, spans); !s.least.within(&left) {
				w.report.WindowsLost++
				s.least = left
				spans[win] = s
			}
			t := want.totals[by.region][win]
			t.least.add(&s.least)
			t.most.add(&s.most)
			want.totals[by.region][win] = t
		}
		want.of = append(want.of, spans)
	}
	return want
}

// leftIn returns what disks have of a window: published, open, or in fine ones that were open on the same disk. Of those that
// others published nobody makes a wide one.
func (w *World) leftIn(by *writer, win crdt.Window, spans map[crdt.Window]span) (left amounts) {
	for _, m := range w.machines {
		var fine amounts
		for f := range spans {
			if f.Width == fineWidth && crdt.WindowAt(f.Start, win.Width) == win {
				a := m.disk.open[pastKey{by.origin.Inc, f}]
				fine.add(&a)
			}
		}
		k := pastKey{by.origin.Inc, win}
		for _, a := range [...]amounts{fine, m.disk.past[k], m.disk.open[k]} {
			left.raise(&a)
		}
	}
	return left
}

// unequalPast says what is wrong with the windows of a mesh that has healed.
func (w *World) unequalPast(want windowsWant) *Violation {
	for _, m := range w.machines {
		if !m.isHub() {
			continue
		}
		if !maps.Equal(m.proc.past, m.disk.past) {
			return wrong("I1", "%s told its history %d windows, and its disk has %d, or others", m.name, len(m.proc.past), len(m.disk.past))
		}
		for i, by := range w.truth.order {
			if by.region == m.region {
				if v := w.unequalWindows(m, by.origin.String(), by.origin.Inc, want.of[i]); v != nil {
					return v
				}
			}
		}
		for region := range numRegions {
			if v := w.unequalWindows(m, regionNames[region], totalsOf(region), want.totals[region]); v != nil {
				return v
			}
		}
	}
	return nil
}

// unequalWindows holds a hub to the windows of one owner, and to what the first hub that has them holds.
func (w *World) unequalWindows(m *machine, name string, owner crdt.Incarnation, want map[crdt.Window]span) *Violation {
	first := w.machines[0]
	if r := w.truth.writers[owner]; r != nil {
		for _, first = range w.machines {
			if first.region == r.region {
				break
			}
		}
	}
	for win, s := range want {
		k := pastKey{owner, win}
		got, other := m.proc.past[k], first.proc.past[k]
		switch {
		case !got.within(&s.most):
			return wrong("I3", "%s holds %v of %s at %d of %d ms, where %v happened", m.name, &got, name, win.Start-began, win.Width, &s.most)
		case !s.least.within(&got):
			return wrong("I2", "%s holds %v of %s at %d of %d ms, where %v happened", m.name, &got, name, win.Start-began, win.Width, &s.least)
		case got != other:
			return wrong("I1", "%s holds %v of %s at %d of %d ms, and %s %v", m.name, &got, name, win.Start-began, win.Width, first.name, &other)
		}
	}
	return nil
}
