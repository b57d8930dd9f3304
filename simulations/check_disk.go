package simulations

import (
	"strings"

	"meshd/crdt"
	"meshd/internal/wire"
)

// checkColdSums compares the sums over cold origins on a disk with the cold cells beside them: they are written
// together, and a start believes the sums without looking at the cells.
func (w *World) checkColdSums(m *machine) {
	cold := map[crdt.Incarnation]bool{}
	sums := make([]amounts, len(w.truth.series))
	cells := newDisk()
	for _, k := range sorted(m.disk.kv) {
		v := m.disk.kv[k]
		switch {
		case strings.HasPrefix(k, "p/"):
			if p, err := wire.ParseStoredProgress(v); err == nil && p.Cold {
				cold[p.Origin.Inc] = true
			}
		case strings.HasPrefix(k, "k/"):
			f, err := wire.ParseFrame(v)
			if err != nil {
				w.fail("I2", "%s: a cold sum does not parse: %v", m.spec.Name, err)
				return
			}
			if at, ok := w.truth.index[f.Defs[0].Series.Name]; ok {
				a, _ := amountsOf(&f.Cells[0].Value)
				sums[at].add(&a)
			}
		case strings.HasPrefix(k, "o/"), strings.HasPrefix(k, "f/"):
			cells.kv[k] = v
		}
	}
	for _, incs := range cells.records() { // they are among the cold
		for _, inc := range incs {
			cold[inc] = true
		}
	}
	have := held{}
	w.truth.gather(have, cells)
	want := make([]amounts, len(w.truth.series))
	for inc := range cold {
		for i := range want {
			if of := have[inc]; of != nil {
				want[i].add(&of[i])
			}
		}
	}
	for i := range want {
		if sums[i] != want[i] && !w.truth.drops[i].ordered {
			w.fail("I2", "%s keeps the sum of cold %s as +%s -%s %v, its cold cells are +%s -%s %v", m.spec.Name, w.truth.series[i],
				sums[i].P, sums[i].N, sums[i].B, want[i].P, want[i].N, want[i].B)
			return
		}
	}
}
