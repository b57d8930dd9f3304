package simulations

import (
	"slices"
	"time"

	"meshd/crdt"
	"meshd/node"
)

// Watch looks at a run from outside. Reading a node is an event for it, so what Look reads is part of the run: for equal
// trace hashes the same nodes have to be read at the same times.
type Watch struct {
	Every int64        // virtual milliseconds between two calls of Look
	Look  func(*World) // called on the goroutine of Run, also once at the end
}

func (w *World) look() {
	w.plan.Watch.Look(w)
	w.call(w.now+max(1000*w.plan.Watch.Every, 1), w.look)
}

// Now returns the virtual time since the start.
func (w *World) Now() time.Duration { return time.Duration(w.now) * time.Microsecond }

// Stats returns what happened so far.
func (w *World) Stats() Stats { return w.stats }

// Sane reports whether no promise was broken so far.
func (w *World) Sane() bool { return len(w.report.Violations) == 0 }

// Healed reports whether the safety phase is over.
func (w *World) Healed() bool { return w.healed }

// Counted returns the sum of all counters that clients were told are accepted, less what disasters destroyed.
func (w *World) Counted() float64 {
	var sum crdt.Fixed
	for _, by := range w.truth.order {
		for i, s := range w.truth.series {
			if s.Kind == crdt.KindCounter {
				sum, _ = sum.Add(by.ok.sums[i].P)
			}
		}
	}
	return sum.Float64()
}

// View is what one node says at one instant.
type View struct {
	Node    string
	Up      bool
	Total   float64         // sum of all counters of the mesh
	Ages    []time.Duration // of each region that it can date, in no order
	Regions int             // that it knows, with and without a date
	Heard   bool            // all nodes of all regions are heard
}

// Views asks machines, named by their places in Plan.Nodes.
func (w *World) Views(who []int) []View {
	var up []*machine
	out := make([]View, len(who))
	for k, i := range who {
		m := w.machines[i]
		out[k] = View{Node: m.spec.Name, Up: m.proc != nil && !m.paused(w.now), Heard: true}
		if out[k].Up {
			up = append(up, m)
		}
	}
	as := w.askAll(up, false)
	for k := range out {
		if !out[k].Up {
			continue
		}
		if a := as[0]; a != nil {
			w.view(&out[k], a)
			w.spent(a)
		}
		as = as[1:]
	}
	return out
}

// view sums answers up.
func (w *World) view(v *View, a *answers) {
	var sum crdt.Fixed
	for region := range a.sums {
		for s := range a.sums[region] {
			if w.truth.series[s].Kind == crdt.KindCounter {
				sum, _ = sum.Add(a.sums[region][s].P)
			}
		}
	}
	v.Total, v.Regions = sum.Float64(), len(a.coverage)
	for i := range a.coverage {
		c := &a.coverage[i]
		if !c.CompleteUntil.IsZero() {
			v.Ages = append(v.Ages, c.Age)
		}
		v.Heard = v.Heard && c.NodesHeard == c.NodesExpected && slices.Contains(w.regions, c.Region)
	}
	v.Heard = v.Heard && len(a.coverage) == len(w.regions)
}

// regionOf returns the place of a region, -1 if there is none of that name.
func (w *World) regionOf(name string) int { return slices.Index(w.regions, name) }

// Spans returns the virtual time that each fault of the plan was active in, whether or not it did harm.
func (p *Plan) Spans() (from, to []time.Duration) {
	for i := range p.Faults {
		f := &p.Faults[i]
		end := max(min(f.At+f.For, p.Safety), f.At)
		from, to = append(from, time.Duration(f.At)*time.Millisecond), append(to, time.Duration(end)*time.Millisecond)
	}
	return from, to
}

// Core returns the core of machine i, nil while it is down. It may be read, not stepped.
func (w *World) Core(i int) *node.Core {
	if p := w.machines[i].proc; p != nil {
		return p.core
	}
	return nil
}
