package simulations

import (
	"fmt"
	"slices"
	"strings"

	"meshd/internal/wire"
	"meshd/node"
)

// dropOf is what the oracle knows of the drop of a series. What was counted on it before is gone by order, in part at
// once and in part later, so that answers may fall; what nobody counted since must not come back.
type dropOf struct {
	ordered bool      // an operator asked for it: nothing that answers held to before is demanded any more
	done    bool      // a hub said that it is durable
	since   []amounts // by region: all that was asked for since it was ordered
}

// dropSeries has an operator drop a series at a machine.
func (w *World) dropSeries(m *machine, series int) {
	if m.proc == nil || m.paused(w.now) || m.spec.Role != node.RoleHub || w.truth.drops[series].ordered {
		return
	}
	w.truth.drops[series] = dropOf{ordered: true, since: make([]amounts, len(w.regions))}
	for _, o := range w.machines { // what waits for an answer may be counted after it
		if o.proc == nil {
			continue
		}
		for _, rq := range o.proc.asked {
			for _, it := range rq.items {
				if it.series == series {
					w.truth.drops[series].since[o.region].add(&it.sums)
				}
			}
		}
	}
	w.ids++
	w.orders[w.ids] = func() {
		w.saw(sawDrop)
		w.truth.drops[series].done = true
	}
	w.step(m, node.DropSeries{ID: w.ids, Metric: w.truth.series[series].Name})
}

// undo takes note of orders that were destroyed with the only disks of hubs that knew of them: edges tell nobody.
func (w *World) undo() {
	for i := range w.truth.drops {
		d, name := &w.truth.drops[i], w.truth.series[i].Name
		d.done = d.done && slices.ContainsFunc(w.hubs, func(m *machine) bool { return m.disk.drops(name) })
	}
}

// drops reports whether a disk knows that a series was dropped.
func (d *disk) drops(name string) bool { return d.generation(name) > 0 }

// generation returns the highest to which a disk knows that a series was raised, 0 if it was not dropped.
func (d *disk) generation(name string) (gen uint32) {
	for k, v := range d.kv { // in any order: it is the highest
		if !strings.HasPrefix(k, "d/") {
			continue
		}
		m, err := wire.ParseMessage(v)
		if err != nil {
			continue
		}
		for _, d := range m.(*wire.Drops).Drops {
			if d.Metric == name {
				gen = max(gen, d.Gen)
			}
		}
	}
	return gen
}

// undropped says what of a dropped series came back, nil if nothing did.
func (w *World) undropped(m *machine, a *answers) error {
	for i := range w.truth.drops {
		d := &w.truth.drops[i]
		for region := range w.regions {
			if got := &a.sums[region][i]; d.done && !got.within(&d.since[region]) {
				return &Violation{Rule: "I3", What: fmt.Sprintf("%s answers +%s -%s %v for %s of %s: more than was counted since it was dropped, +%s -%s %v",
					m.spec.Name, got.P, got.N, got.B, w.truth.series[i], w.regions[region], d.since[region].P, d.since[region].N, d.since[region].B)}
			}
		}
	}
	return nil
}
