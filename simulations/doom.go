package simulations

import (
	"meshd/crdt"
	"meshd/internal/wire"
)

// A writer that is lost between two frames of one flush leaves hubs that hold different parts of what it wrote, and
// nobody to ask. Whatever hubs tell each other of cursors and gaps is put to the test then.

// doom cuts a machine from one of its hubs, so that it has much to send when that ends, and then waits for such a flush.
func (w *World) doom(f *Fault, end int64) {
	m := w.machines[f.A[0]]
	w.cutUntil(end, func(a, b int) bool { return a == m.index && b == f.B || a == f.B && b == m.index })
	w.call(end, func() { m.doomed = !w.healed })
}

// partial looks at a frame that arrived: the doom of its sender is that more of the same flush was to follow.
func (w *World) partial(e *end, f *wire.Frame) {
	m := e.other().m
	if !m.doomed || m.proc == nil || f.Origin.Class != crdt.ClassNode || f.Origin.Inc != m.proc.by.inc || f.To >= f.Head {
		return
	}
	w.saw(sawDoom)
	m.doomed = false
	gen := m.gen
	e.lose()
	w.call(w.now+w.plan.Net.reach(), func() {
		if m.proc == nil || m.gen != gen {
			return
		}
		for _, id := range sorted(m.proc.ends) {
			m.proc.ends[id].other().lose()
		}
		w.wipe(m)
	})
}

// lose drops what is under way to an end, which nobody will repeat.
func (e *end) lose() {
	for i := range e.lanes {
		e.lanes[i].queue, e.bytes[i] = nil, 0
	}
}

// wipe ends a machine's process and destroys its disk.
func (w *World) wipe(m *machine) {
	w.crash(m)
	w.replaceDisk(m, newDisk(), make([]amounts, len(m.acked)))
	w.restartIn(m, w.rng.life.Int64N(500_000))
}
