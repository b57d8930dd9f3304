package simulations

import (
	"errors"
	"math/rand/v2"
	"slices"
	"strings"

	"meshd/crdt"
	"meshd/internal/wire"
	"meshd/node"
)

// Hubs forget what is over for seconds where nothing strikes that they could not know of: disks that go back in time or are
// copied bring more of a process than a later one confirmed, and an operator who removes a node says that what it still has is
// not wanted. Elsewhere nothing is old enough. The short schedules have both.

// beyondForgetting are the faults after which what is forgotten may be less than what was accepted.
var beyondForgetting = []FaultKind{Wipe, WipeFlush, Rollback, Clone, Remove}

// drawForgetting lets hubs forget where the faults of a plan allow it, and makes every fourth small plan without a bias one
// that does.
func drawForgetting(p *Plan, r *rand.Rand, small bool) {
	beyond := func(f Fault) bool { return slices.Contains(beyondForgetting, f.Kind) }
	after, cold := pick[int64](r, 500, 3000), pick[int64](r, 600, 2000)
	if small && p.bias.Name == "" && r.IntN(4) == 0 || p.bias.forget {
		p.Faults = slices.DeleteFunc(p.Faults, beyond)
	}
	if !slices.ContainsFunc(p.Faults, beyond) {
		p.Core.ForgetAfter, p.Core.ColdAfter = after, min(p.Core.ColdAfter, max(cold, 3*p.Core.AntiEntropy))
	}
}

// records returns which processes a disk says are forgotten, by node.
func (d *disk) records() map[string][]crdt.Incarnation {
	var out map[string][]crdt.Incarnation
	for k, v := range d.kv {
		if !strings.HasPrefix(k, "f/") {
			continue
		}
		if m, err := wire.ParseMessage(v); err == nil {
			if out == nil {
				out = map[string][]crdt.Incarnation{}
			}
			out[k[len("f/"):]] = m.(*wire.Forgotten).Incs
		}
	}
	return out
}

// closed reports whether a disk says that no more of a process is taken: it is frozen or forgotten.
func (d *disk) closed(o crdt.Origin) bool {
	if m, err := wire.ParseMessage(d.kv["f/"+o.Node]); err == nil && slices.Contains(m.(*wire.Forgotten).Incs, o.Inc) {
		return true
	}
	m, err := wire.ParseMessage(d.kv["z/"+o.Node])
	return err == nil && slices.ContainsFunc(m.(*wire.Freeze).Nodes, func(n wire.FrozenNode) bool { return slices.Contains(n.Frozen, o.Inc) })
}

// write makes a persist of a machine durable. The first hub that forgets a process says with which cells; nobody deletes any
// that are not among them, the sums of a record are those cells added up, and from then on a disk with the record holds them.
func (w *World) write(m *machine, ops []node.Op, reaches []reach) {
	if !slices.ContainsFunc(ops, func(op node.Op) bool { return strings.HasPrefix(string(op.Key), "f/") }) {
		m.disk.write(ops, reaches)
		return
	}
	before, known := held{}, m.disk.records()
	w.truth.gather(before, m.disk)
	m.disk.write(ops, reaches)
	records := m.disk.records()
	for _, name := range sorted(records) {
		want := make([]amounts, len(w.truth.series))
		for _, inc := range records[name] {
			by := w.truth.origins[inc]
			if by == nil || by.m.spec.Name != name || by.m.region != m.region {
				w.fail("I6", "%s forgets %s of %s, which never ran", m.spec.Name, inc.Short(), name)
				return
			}
			if !slices.Contains(known[name], inc) {
				w.forgets(m, by, before[inc])
			}
			for i := range want {
				want[i].add(&by.forgotten[i])
			}
		}
		w.checkRecord(m, name, want)
	}
}

// forgets takes note that a machine forgot a process of which it held cells.
func (w *World) forgets(m *machine, by *written, cells []amounts) {
	if cells == nil {
		cells = make([]amounts, len(w.truth.series))
	}
	if by.forgotten == nil {
		by.forgotten = slices.Clone(cells)
		w.trace("%s forgets %s of %s", m.spec.Name, by.inc.Short(), by.m.spec.Name)
		w.saw(sawForgotten)
	}
	for i := range cells {
		if w.truth.drops[i].ordered {
			continue
		}
		if !cells[i].within(&by.forgotten[i]) || !by.ok.sums[i].within(&by.forgotten[i]) {
			w.fail("I2", "%s forgets %s of %s (%s) with +%s -%s %v, but deletes +%s -%s %v, and +%s -%s %v were accepted", m.spec.Name,
				w.truth.series[i], by.m.spec.Name, by.inc.Short(), by.forgotten[i].P, by.forgotten[i].N, by.forgotten[i].B,
				cells[i].P, cells[i].N, cells[i].B, by.ok.sums[i].P, by.ok.sums[i].N, by.ok.sums[i].B)
			return
		}
	}
	if by.m == m && m.proc != nil && m.proc.by == by {
		w.fail("I2", "%s forgets itself", m.spec.Name)
	}
}

// checkRecord compares the sums of a record on a disk with the cells that were forgotten.
func (w *World) checkRecord(m *machine, name string, want []amounts) {
	frames, err := node.ReadCold(m.disk, node.SumsOf(m.spec.Region, name))
	if err != nil {
		w.fail("I2", "the sums of what %s forgot of %s do not parse: %v", m.spec.Name, name, err)
		return
	}
	got, refs := make([]amounts, len(w.truth.series)), map[uint32]int{}
	for _, f := range frames {
		for i := range f.Defs {
			if at, ok := w.truth.index[f.Defs[i].Series.Name]; ok {
				refs[f.Defs[i].Ref] = at
			}
		}
		for i := range f.Cells {
			if at, ok := refs[f.Cells[i].Ref]; ok {
				a, _ := amountsOf(&f.Cells[i].Value)
				got[at].add(&a)
			}
		}
	}
	for i := range want {
		if got[i] != want[i] && !w.truth.drops[i].ordered {
			w.fail("I3", "%s sums up +%s -%s %v of %s in what it forgot of %s, which is +%s -%s %v", m.spec.Name,
				got[i].P, got[i].N, got[i].B, w.truth.series[i], name, want[i].P, want[i].N, want[i].B)
			return
		}
	}
}

// gatherForgotten joins into h the cells that stand behind the records on a disk.
func (t *truth) gatherForgotten(h held, d *disk) {
	for _, incs := range d.records() { // in any order: all of it is joined
		for _, inc := range incs {
			by := t.origins[inc]
			if by == nil || by.forgotten == nil {
				continue
			}
			if h[inc] == nil {
				h[inc] = make([]amounts, len(t.series))
			}
			for i := range by.forgotten {
				h[inc][i].max(&by.forgotten[i])
			}
		}
	}
}

// checkForgotten: a hub has nothing in memory of what it forgot, and both are seldom there at once on its disk: what came
// late was refused.
func (w *World) checkForgotten(m *machine) {
	counts := m.proc.core.Counts
	if counts.ForgottenFrames > 0 {
		w.saw(sawForgottenLate)
	}
	records := m.disk.records()
	if len(records) == 0 || m.proc.persist != nil {
		return
	}
	for _, r := range m.proc.core.Replicas() {
		if r.Origin.Class != crdt.ClassNode {
			continue
		}
		if slices.Contains(records[r.Origin.Node], r.Origin.Inc) {
			w.fail("I3", "%s holds cells of %s again, which it forgot", m.spec.Name, r.Origin)
			return
		}
		if len(records[r.Origin.Node]) > 0 {
			w.saw(sawRecordAndCells)
		}
	}
}

// forgotAlike compares what the hubs of a region forgot (I1).
func (w *World) forgotAlike() error {
	first := map[int]*machine{}
	for _, m := range w.hubs {
		if m.proc == nil {
			continue
		}
		o := first[m.region]
		if o == nil {
			first[m.region] = m
			continue
		}
		a, b := o.disk.records(), m.disk.records()
		for name := range a {
			if !slices.Equal(a[name], b[name]) {
				return errors.New(o.spec.Name + " and " + m.spec.Name + " forgot different processes of a node")
			}
		}
		if len(a) != len(b) {
			return errors.New(o.spec.Name + " and " + m.spec.Name + " forgot processes of different nodes")
		}
	}
	return nil
}
