package short

import (
	"slices"
	"strings"

	"meshd/crdt"
	"meshd/internal/wire"
	"meshd/node"
)

// records returns which incarnations a disk says are forgotten, by node.
func (d *disk) records() map[string][]crdt.Incarnation {
	var out map[string][]crdt.Incarnation
	_ = d.Scan([]byte("f/"), func(_, value []byte) error { // it returns what this function does
		if m, err := wire.ParseMessage(value); err == nil {
			if m, ok := m.(*wire.Forgotten); ok {
				if out == nil {
					out = map[string][]crdt.Incarnation{}
				}
				out[m.Node] = m.Incs
			}
		}
		return nil
	})
	return out
}

// checkRecords holds what a write changed in what is forgotten to what the writers wrote. The first hub that forgets an
// incarnation says with which cells, and no hub may delete any that are not among them. The sums of a record are those cells
// added up, at every hub. From then on a disk with the record holds those cells.
func (w *World) checkRecords(m *machine, known map[string][]crdt.Incarnation) {
	changed := slices.ContainsFunc(m.proc.persist.Ops, func(op node.Op) bool { return strings.HasPrefix(string(op.Key), "f/") })
	if !changed {
		return
	}
	for name, incs := range m.disk.records() {
		var want amounts
		for _, inc := range incs {
			by := w.truth.writers[inc]
			if by == nil {
				w.fail("I6", "%s forgets %s of %s, which never ran", m.name, inc.Short(), name)
			}
			if !slices.Contains(known[name], inc) {
				w.forgets(m, by)
			}
			want.add(by.forgotten)
		}
		if got := w.sumsOn(m, name); got != want {
			w.fail("I3", "%s sums up %v for %d forgotten of %s, which make %v", m.name, &got, len(incs), name, &want)
		}
	}
}

func (w *World) forgets(m *machine, by *writer) {
	h := m.disk.held[by.origin.Inc]
	if h == nil {
		h = &copyOf{}
		m.disk.held[by.origin.Inc] = h
	}
	if by.forgotten == nil {
		cells := h.cells
		by.forgotten = &cells
		w.report.Forgotten++
		w.logf("%s forgets %s with %v", m.name, by.origin, &cells)
	} else {
		w.report.Taken++
		w.logf("%s forgets %s, too", m.name, by.origin)
	}
	if !h.cells.within(by.forgotten) && (!m.replaced || !w.excused(by)) { // who was told of the freezing has no more than it had then
		w.fail("I2", "%s deletes %v of %s, which is forgotten with %v", m.name, &h.cells, by.origin, by.forgotten)
	}
	h.cells = *by.forgotten
}

// sumsOn reads the sums of a record from a disk.
func (w *World) sumsOn(m *machine, name string) (sum amounts) {
	frames, err := node.ReadCold(m.disk, node.SumsOf(m.regionName(), name))
	if err != nil {
		w.fail("I2", "the sums of what %s forgot of %s do not parse: %v", m.name, name, err)
	}
	refs := map[uint32]int{}
	for _, f := range frames {
		for i := range f.Defs {
			refs[f.Defs[i].Ref] = indexOf(f.Defs[i].Series.Name)
		}
		for i := range f.Cells {
			var a amounts
			a.set(refs[f.Cells[i].Ref], &f.Cells[i].Value)
			sum.raise(&a)
		}
	}
	return sum
}

// restored notes, before a disk is replaced by an older copy of it, what comes back that the node did not have any more. A
// later process may have said so, and hubs may have forgotten it without: nobody could know.
func (w *World) restored(m *machine) {
	for inc, h := range m.backup.held {
		now := m.disk.held[inc]
		if now == nil || !h.cells.within(&now.cells) {
			w.truth.writers[inc].older = true
		}
	}
}

// excused reports whether hubs could not know that a process was not over or that more of it would come: its node runs
// on several machines, or came back from a backup.
func (w *World) excused(by *writer) bool {
	machines := 0
	for _, m := range w.machines {
		if m.name == by.origin.Node && m.region == by.region {
			machines++
		}
	}
	return by.older || machines > 1
}

// closed reports whether a hub takes no more of a process from its node.
func (w *World) closed(by *writer) bool {
	if by.forgotten != nil {
		return true
	}
	for _, m := range w.machines {
		if m.isHub() && m.region == by.region && slices.Contains(m.disk.frozen(by.origin.Node), by.origin.Inc) {
			return true
		}
	}
	return false
}

// frozen returns which incarnations of a node are frozen on a disk.
func (d *disk) frozen(name string) (incs []crdt.Incarnation) {
	_ = d.Scan([]byte("z/"+name), func(_, value []byte) error { // it returns what this function does
		if m, err := wire.ParseMessage(value); err == nil {
			for _, n := range m.(*wire.Freeze).Nodes {
				if n.Node == name {
					incs = append(incs, n.Frozen...)
				}
			}
		}
		return nil
	})
	return incs
}

// unequalRecords compares what two hubs of a region forgot.
func unequalRecords(a, b *machine) *Violation {
	if v := recordsDiffer(a, b); v != nil {
		v.within = roundsWithin
		return v
	}
	return nil
}

func recordsDiffer(a, b *machine) *Violation {
	ra, rb := a.disk.records(), b.disk.records()
	for name := range ra {
		if !slices.Equal(ra[name], rb[name]) {
			return wrong("I1", "%s forgot %d incarnations of %s, and %s %d", a.name, len(ra[name]), name, b.name, len(rb[name]))
		}
	}
	if len(ra) != len(rb) {
		return wrong("I1", "%s forgot some of %d nodes, and %s of %d", a.name, len(ra), b.name, len(rb))
	}
	return nil
}
