package simulations

import "testing"

// BenchmarkLarge runs one large drawn seed after another: what `make seeds` costs of one processor.
func BenchmarkLarge(b *testing.B) {
	b.ReportAllocs()
	for seed := uint64(100); b.Loop(); seed++ {
		p := Draw(seed)
		p.Workers = 1
		if rep := Run(p); len(rep.Violations) > 0 {
			b.Fatalf("seed %d: %v", seed, rep.Violations)
		}
	}
}

// BenchmarkOnDisk is what the oracle reads of a disk at every look at a mesh that has to converge, of which little changed
// since the look before.
func BenchmarkOnDisk(b *testing.B) {
	p := Draw(102)
	p.Core.Window, p.Workers = 1000, 1
	p.Watch = &Watch{Every: p.Safety + p.Bound}
	var last *World
	p.Watch.Look = func(w *World) { last = w }
	Run(p)
	t := last.truth
	for name, read := range map[string]func(*disk){
		"kept": func(d *disk) { t.keepCells(d); t.pastOn(d) },
		"anew": func(d *disk) { t.gather(held{}, d); t.readPast(d) },
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				for _, m := range last.machines {
					read(m.disk)
				}
			}
		})
	}
}
