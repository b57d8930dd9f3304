package simulations

import (
	"meshd/crdt"
	"meshd/internal/wire"
	"meshd/node"
)

// traceSend shows what of cells goes from one machine to another.
func (w *World) traceSend(from, to *machine, d node.Decoded) {
	if f := d.Frame; f != nil {
		w.trace("%s -> %s: %T %s (%d, %d] head %d, %d cells", from.spec.Name, to.spec.Name, d.Msg, f.Origin, f.From, f.To, f.Head, len(f.Cells))
	}
	switch msg := d.Msg.(type) {
	case *wire.Marks:
		for _, mk := range msg.Marks {
			w.trace("%s -> %s: mark %s %+v", from.spec.Name, to.spec.Name, mk.Origin, mk.Progress[crdt.StreamLifetime])
		}
	case *wire.Heartbeat:
		w.trace("%s -> %s: heartbeat %d at %d", from.spec.Name, to.spec.Name, msg.Head[crdt.StreamLifetime], msg.WallMs-epochMs)
	case *wire.Coverage:
		for i := range msg.Regions {
			w.trace("%s -> %s: states %+v", from.spec.Name, to.spec.Name, msg.Regions[i])
		}
	}
}

// dump shows, in a verbose run, what stands behind every machine's answer for a series, and who is connected.
func (w *World) dump(series int) {
	if !w.plan.Verbose {
		return
	}
	name := w.truth.series[series].Name
	for _, m := range w.machines {
		if m.proc == nil {
			continue
		}
		w.trace("-- %s %s", m.spec.Name, m.proc.by.inc.Short())
		for _, id := range sorted(m.proc.ends) {
			e := m.proc.ends[id]
			w.trace("   session %d with %s %s, up %v, dead %v", id, e.other().m.spec.Name, e.peerInc().Short(), e.up, e.s.dead)
		}
		x, err := m.proc.core.Explain(m.clock.at(w.now), node.Select{Match: func(s *crdt.Series) bool { return s.Name == name }})
		if err != nil {
			continue
		}
		for i := range x.Series {
			for _, a := range x.Series[i].Answers {
				w.trace("   %s: %s by %s", a.Region, describe(&a.Value), a.Rule)
				for _, in := range a.Inputs {
					w.trace("      %s seq %d covered %d: %s (%s)", in.Origin, in.Seq, in.Covered, describe(&in.Value), in.Note)
				}
			}
		}
		for _, c := range x.Coverage {
			w.trace("   %+v", c)
		}
	}
}

// traceDisk shows which origins a machine checkpoints, and which of them go cold.
func (w *World) traceDisk(m *machine, ops []node.Op) {
	for _, op := range ops {
		if op.Delete || len(op.Key) < 2 || string(op.Key[:2]) != "p/" {
			continue
		}
		if p, err := wire.ParseStoredProgress(op.Value); err == nil {
			w.trace("%s checkpoints %s at %+v, cold %v", m.spec.Name, p.Origin, p.Progress[crdt.StreamLifetime], p.Cold)
		}
	}
}
