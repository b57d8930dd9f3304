package simulations

import (
	"errors"
	"fmt"
	"slices"

	"meshd/crdt"
	"meshd/node"
)

// probePause is how long the checker waits between two looks at a mesh that has to converge, in microseconds.
const probePause = 250_000

func (w *World) probeSoon() { w.call(w.now+probePause, w.probe) }

// probe ends the run once every machine answers the same and the truth, or fails it when the bound has passed.
func (w *World) probe() {
	if w.done {
		return
	}
	after := w.now/1000 - w.plan.Safety
	missing := w.unconverged(after > w.plan.Bound)
	switch {
	case missing == nil:
		w.stats.ConvergedMs = after
		w.trace("converged after %d ms", after)
		w.checkAll()
		w.done = true
	case after > w.plan.Bound:
		rule := "I10"
		if v, ok := errors.AsType[*Violation](missing); ok {
			rule = v.Rule
		}
		w.dump(w.suspect)
		w.fail(rule, "not converged %d ms after everything healed: %v", after, missing)
	default:
		w.probeSoon()
	}
}

// awake returns the machines that are meant to run.
func (w *World) awake() (out []*machine) {
	for _, m := range w.machines {
		if !m.dormant {
			out = append(out, m)
		}
	}
	return out
}

// batch is how many machines are asked at once. It is a part of the run: who is asked closes its totals.
func (w *World) batch() int {
	if len(w.plan.Nodes) < parallelFrom {
		return 1
	}
	return parallelFrom
}

// checkAll judges the answers of all machines that run once more.
func (w *World) checkAll() {
	var up []*machine
	for _, m := range w.machines {
		if m.proc != nil {
			up = append(up, m)
		}
	}
	for ms := range slices.Chunk(up, w.batch()) {
		for i, a := range w.askAll(ms, false) {
			if a != nil && len(w.report.Violations) == 0 {
				w.check(ms[i], a)
				w.spent(a)
				ms[i].proc.last = nil // all answers of a large mesh take much memory, and this was the last one
			}
			if ms[i].spec.Role == node.RoleHub && len(w.report.Violations) == 0 {
				w.checkCells(ms[i])
				w.checkPast(ms[i])
			}
		}
	}
}

// Error makes a Violation an error.
func (v *Violation) Error() string { return v.What }

// unconverged says what is still wrong, nil if nothing is; if it is late, what is worst.
func (w *World) unconverged(late bool) error {
	var who *machine
	for _, m := range w.machines {
		switch {
		case m.dormant:
			continue
		case m.proc == nil || m.paused(w.now):
			return fmt.Errorf("%s is not up", m.spec.Name)
		case len(m.proc.asked) > 0:
			return fmt.Errorf("%s has %d requests to answer", m.spec.Name, len(m.proc.asked))
		case who == nil || who.spec.Role == node.RoleEdge && m.spec.Role == node.RoleHub:
			who = m
		}
	}
	if err := w.openWindows(); err != nil && !late { // it is certain to fail: nobody need be asked for it
		return err
	}
	first, set, inside := w.ask(who), w.lastSet(), w.insiders()
	if first == nil || slices.ContainsFunc(inside, func(t told) bool { return t.answers == nil }) {
		return fmt.Errorf("%s or a hub of another region does not answer", who.spec.Name)
	}
	for ms := range slices.Chunk(w.awake(), w.batch()) {
		as := w.askAll(ms, true)
		for i, m := range ms {
			if as[i] == nil {
				return fmt.Errorf("%s does not answer", m.spec.Name)
			}
			if err := w.differ(told{who, first}, told{m, as[i]}, inside); err != nil {
				return err
			}
			if err := w.covered(m, as[i]); err != nil {
				return err
			}
			if err := w.present(m, as[i], set); err != nil {
				return err
			}
			if err := w.configsDiffer(who, m); err != nil {
				return err
			}
			w.spent(as[i])
		}
	}
	if err := w.sidesDiffer(told{who, first}, inside); err != nil {
		return err
	}
	if err := w.undropped(who, first); err != nil {
		return err
	}
	disks := w.gatherAll()
	if err := w.exact(who, first, inside, disks); err != nil {
		return err
	}
	if err := w.shared(); err != nil {
		return err
	}
	return w.pastDiffers(disks)
}

// canonical returns the bytes of an answer.
func canonical(v *crdt.Value) []byte {
	if v == nil {
		return nil
	}
	if g, ok := v.X.(*crdt.Rollup); ok { // when it was written says nothing of the gauge
		same := *g
		same.Stamp = 0
		return same.AppendBinary(nil)
	}
	return v.AppendBinary(nil)
}

func describe(v *crdt.Value) string {
	if v == nil {
		return "nothing"
	}
	if g, ok := v.X.(*crdt.Rollup); ok {
		return fmt.Sprintf("%+v", *g)
	}
	if u, ok := v.X.(*crdt.Unique); ok { // with its registers: two sets of as many values differ
		return fmt.Sprintf("about %.0f values %x", u.Estimate(), u.AppendBinary(nil))
	}
	a, _ := amountsOf(v)
	return fmt.Sprintf("+%s -%s %v", a.P, a.N, a.B)
}

// covered checks that every region is said to be complete and fresh: everybody is up and connected. A region whose
// disks were destroyed is left out: it says that nobody knows until when it is complete.
func (w *World) covered(m *machine, a *answers) error {
	var names int
	for i := range a.coverage {
		c, far := &a.coverage[i], false
		for region, r := range w.regions {
			if r == c.Region {
				names = len(w.roll(region).names)
				far = w.destroyed[region]
			}
		}
		if far {
			continue
		}
		if c.NodesExpected < names || c.NodesHeard != c.NodesExpected || len(c.Missing) > 0 || c.CompleteUntil.IsZero() {
			return &Violation{Rule: "I13", What: fmt.Sprintf("%s says of %s: %+v, with %d nodes up", m.spec.Name, c.Region, *c, names)}
		}
	}
	return nil
}

// exact compares the answers with the disks: per process and series what is there lies between what was accepted and
// what was asked for (I2, I3), and the totals are the sums of it.
func (w *World) exact(m *machine, a *answers, inside []told, disks held) error {
	total := make([][]amounts, len(w.regions))
	for i := range total {
		total[i] = make([]amounts, len(w.truth.series))
	}
	none := make([]amounts, len(w.truth.series))
	for _, by := range w.truth.order {
		have := disks[by.inc]
		if have == nil {
			have = none
		}
		for i, s := range w.truth.series {
			if w.truth.drops[i].ordered {
				continue
			}
			if !by.ok.sums[i].within(&have[i]) {
				return &Violation{Rule: "I2", What: fmt.Sprintf("%s of %s lost what was accepted: +%s -%s %v on disk of +%s -%s %v", s, by.m.spec.Name,
					have[i].P, have[i].N, have[i].B, by.ok.sums[i].P, by.ok.sums[i].N, by.ok.sums[i].B)}
			}
			if !have[i].within(&by.asked.sums[i]) {
				return &Violation{Rule: "I3", What: fmt.Sprintf("%s of %s is on disk with more than was written", s, by.m.spec.Name)}
			}
			total[by.m.region][i].add(&have[i])
		}
	}
	for region := range w.regions {
		for i, s := range w.truth.series {
			got, want := &a.sums[region][i], &total[region][i]
			if w.stays(m, region, i) {
				got = &inside[region].sums[region][i]
			}
			if *got != *want && !w.truth.drops[i].ordered && (!w.destroyed[region] || !want.within(got)) {
				w.suspect = i
				return &Violation{Rule: "I2", What: fmt.Sprintf("%s answers %s of %s: +%s -%s %v, the disks say +%s -%s %v", m.spec.Name, s, w.regions[region],
					got.P, got.N, got.B, want.P, want.N, want.B)}
			}
		}
	}
	return w.exactUniques(m, a, inside)
}

// exactUniques: all registers that clients were told are set, are.
func (w *World) exactUniques(m *machine, a *answers, inside []told) error {
	for _, by := range w.truth.order {
		if by.gone {
			continue
		}
		for i, u := range by.ok.uniques {
			if u == nil || w.truth.drops[i].ordered {
				continue
			}
			v := a.values[by.m.region][i]
			if w.stays(m, by.m.region, i) {
				v = inside[by.m.region].values[by.m.region][i]
			}
			if v == nil || !registersWithin(u, v.X.(*crdt.Unique)) {
				return &Violation{Rule: "I2", What: fmt.Sprintf("%s lacks registers of %s that %s accepted", m.spec.Name, w.truth.series[i], by.m.spec.Name)}
			}
		}
	}
	return nil
}
