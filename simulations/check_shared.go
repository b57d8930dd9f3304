package simulations

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"

	"meshd/crdt"
	"meshd/node"
	"meshd/reconcile"
)

// cells are the canonical bytes of one origin's cells, by the name of the series: an origin may have a thousand names, and of
// each a few series.
type cells map[string][]cellBytes

type cellBytes struct {
	series string
	b      []byte
}

// put enters the bytes of a series, in place of others.
func (c cells) put(s *crdt.Series, b []byte) {
	key := s.String()[len(s.Kind.String())+1:]
	name, _, _ := strings.Cut(key, "{")
	all := c[name]
	for i := range all {
		if all[i].series == key {
			all[i].b = b
			return
		}
	}
	c[name] = append(all, cellBytes{key, b})
}

// ofName returns the bytes of all series of a name, in order.
func (c cells) ofName(name string) (out []byte) {
	all := slices.Clone(c[name])
	slices.SortFunc(all, func(a, b cellBytes) int { return strings.Compare(a.series, b.series) })
	for _, s := range all {
		out = append(append(append(out, s.series...), '='), s.b...)
	}
	return out
}

// shared compares what hubs hold of the same origins, byte by byte (I1): the hubs of a region every cell of the
// region's nodes, cold ones included; all hubs the entries of processes that run.
func (w *World) shared() error {
	if err := w.forgotAlike(); err != nil {
		return err
	}
	held := map[*machine]map[crdt.Origin]cells{}
	who := map[crdt.Origin]*machine{}
	for _, m := range w.hubs {
		if m.proc == nil {
			continue
		}
		held[m] = w.holds(m)
		for o := range held[m] {
			if who[o] == nil && (o.Class == crdt.ClassNode || w.lives(o) && w.goesTo(o, m)) {
				who[o] = m
			}
		}
	}
	for _, o := range slices.SortedFunc(maps.Keys(who), crdt.Origin.Compare) {
		x := who[o]
		if o.Class == crdt.ClassRegion && !w.lives(o) { // each hub drops it when a living one contains it
			continue
		}
		for _, y := range w.hubs {
			if held[y] == nil || o.Class == crdt.ClassNode && y.spec.Region != o.Region || o.Class == crdt.ClassRegion && !w.goesTo(o, y) {
				continue
			}
			for i, s := range w.truth.series {
				a, b := held[x][o].ofName(s.Name), held[y][o].ofName(s.Name)
				if !bytes.Equal(a, b) && !w.truth.drops[i].ordered {
					w.suspect = i
					return &Violation{Rule: "I1", What: fmt.Sprintf("%s and %s hold different cells of %s of %s: %x and %x",
						x.spec.Name, y.spec.Name, s, o, a, b)}
				}
			}
		}
	}
	return nil
}

// lives reports whether the process that writes an origin runs, and no other one of its name, which would replace it.
func (w *World) lives(o crdt.Origin) bool {
	by := w.writerOf(o)
	if by == nil || by.m.lost || by.m.proc == nil || by.m.proc.by != by {
		return false
	}
	c := by.m.proc.core
	return o == c.Entry().Origin || o == c.Exported().Origin
}

// writerOf returns the process that writes an origin, be it anew.
func (w *World) writerOf(o crdt.Origin) *written {
	for _, by := range slices.Backward(w.truth.order) {
		if by.inc.SameProcess(o.Inc) {
			return by
		}
	}
	return nil
}

// goesTo reports whether a hub gets an entry: its region the totals, the others what is exported. The writer has both.
func (w *World) goesTo(o crdt.Origin, y *machine) bool {
	by := w.writerOf(o)
	c := by.m.proc.core
	switch {
	case y == by.m:
		return true
	case y.spec.Region == o.Region:
		return o == c.Entry().Origin
	}
	return o == c.Exported().Origin
}

// holds returns what a hub holds: in memory, and on disk of what is cold.
func (w *World) holds(m *machine) map[crdt.Origin]cells {
	c := m.proc.core
	out := map[crdt.Origin]cells{}
	put := func(o crdt.Origin, s *crdt.Series, v *crdt.Value) {
		if out[o] == nil {
			out[o] = cells{}
		}
		out[o].put(s, canonical(v))
	}
	for _, r := range append(c.Replicas(), c.Entry(), c.Exported()) {
		r.Each(func(id reconcile.SeriesID, v *crdt.Value, _ uint64) { put(r.Origin, c.Series(id), v) })
	}
	for _, o := range c.Cold() {
		snapshot, err := node.ReadCold(m.disk, o)
		if err != nil {
			w.fail("I2", "%s cannot read its cold %s: %v", m.spec.Name, o, err)
			return nil
		}
		for _, f := range snapshot {
			names := map[uint32]*crdt.Series{}
			for i := range f.Defs {
				names[f.Defs[i].Ref] = &f.Defs[i].Series
			}
			for i := range f.Cells {
				put(o, names[f.Cells[i].Ref], &f.Cells[i].Value)
			}
		}
	}
	return out
}

// checkFresh demands more of an edge than that it answers what it accepted: what it accepts comes on top of what it
// answered before (I5). Hubs do not, where a sibling knows more than they.
func (w *World) checkFresh(m *machine, series int, got *amounts) bool {
	before := m.proc.fresh[series]
	m.proc.fresh[series] = m.acked[series]
	if m.spec.Role != node.RoleEdge || w.destroyed[m.region] || m.proc.last == nil {
		return true
	}
	want := m.proc.last[m.region][series]
	want.add(&m.acked[series])
	want.sub(&before)
	if w.truth.drops[series].ordered || want.within(got) || m.proc.core.FromDead(w.truth.series[series].Name) {
		return true
	}
	w.failSum("I5", m, m.region, series, "less than before and what it accepted since", got, &want)
	return false
}
