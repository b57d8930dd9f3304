package simulations

import (
	"slices"

	"meshd/crdt"
	"meshd/node"
)

// dropsAlone reports whether an edge has an order to drop a series that was destroyed with the disks of all hubs: it takes orders from
// hubs and tells nobody (ADR 16), so for the hubs the series never was dropped.
func (w *World) dropsAlone(m *machine, i int) bool {
	name := w.truth.series[i].Name
	return w.truth.drops[i].ordered && m.spec.Role == node.RoleEdge && m.disk.generation(name) > 0 &&
		!slices.ContainsFunc(w.hubs, func(h *machine) bool { return h.disk.drops(name) })
}

// answersSince reports whether an edge that alone has an order to drop a series answers for a region what a hub has of it that
// was counted since: by the edges that have the order, under the generation that it names.
func (w *World) answersSince(hub *machine, y told, region, i int) bool {
	name, gen := w.truth.series[i].Name, y.m.disk.generation(w.truth.series[i].Name)
	t, err := hub.proc.core.Totals(hub.clock.at(w.now), node.Select{
		Match: func(s *crdt.Series) bool { return s.Name == name && s.Gen >= gen },
	})
	if err != nil {
		return false
	}
	want := filled(w.truth.series[i].Kind, nil)
	for _, row := range t.Rows {
		if row.Region == w.regions[region] && want.Combine(&row.Value) != nil {
			return false
		}
	}
	got := filled(w.truth.series[i].Kind, y.values[region][i])
	return contains(&got, &want) && contains(&want, &got)
}

// filled returns a copy of a value, of none one that holds nothing.
func filled(k crdt.Kind, v *crdt.Value) crdt.Value {
	if v != nil {
		return v.Clone()
	}
	return crdt.Value{Kind: k, X: crdt.NewState(k)}
}
