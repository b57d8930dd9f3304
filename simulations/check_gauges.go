package simulations

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"meshd/crdt"
)

// setting is that a process accepted a value for a gauge.
type setting struct {
	id    uint64 // of the request: a process takes them in their order, but answers some later
	wall  int64  // when it was asked, by the machine's clock
	value float64
}

// set records that a process accepted a setting.
func (by *written) set(rq *request, wr *write) {
	if wr.gauge == 0 {
		return
	}
	if by.gauges == nil {
		by.gauges = map[int][]setting{}
	}
	by.gauges[wr.series] = append(by.gauges[wr.series], setting{rq.id, rq.wall, wr.gauge})
}

// last returns what a process set a gauge to last, nil if it did not. Its time never goes back, whatever the clock did.
func (by *written) last(series int) *crdt.Gauge {
	all := by.gauges[series]
	if len(all) == 0 {
		return nil
	}
	slices.SortStableFunc(all, func(a, b setting) int { return cmp.Compare(a.id, b.id) })
	g := new(crdt.Gauge)
	for _, s := range all {
		g.Time, g.Value = max(crdt.HLCFrom(s.wall, 0), g.Time+1), s.value
	}
	return g
}

// checkGauge looks at a gauge during a run: of every value there has to be somebody who set it, and the aggregates have to
// be those of as many nodes as are counted.
func (w *World) checkGauge(m *machine, region, i int, g *crdt.Rollup) {
	if g.Count == 0 {
		return
	}
	s, name := w.truth.series[i], w.regions[region]
	for _, x := range []float64{g.Min, g.Max, g.LastValue} {
		if !w.truth.regions[region].gauges[i][x] {
			w.fail("I3", "%s answers %v for gauge %s of %s: nobody set it", m.spec.Name, x, s, name)
			return
		}
	}
	n, nodes := float64(g.Count), len(w.roll(region).names)
	if g.Sum < g.Min*n || g.Sum > g.Max*n || g.Count == 1 && g.Sum != g.Min || g.Count > g.Expected || int(g.Expected) > nodes {
		w.fail("I3", "%s answers %+v for gauge %s of %s, which has %d nodes", m.spec.Name, *g, s, name, nodes)
	}
}

// gauges is what must be said of every gauge after heal, by region and series; nil where that is not known.
type gauges [][]*crdt.Rollup

// lastSet returns what the processes that run set last. Two of one name have two clocks: which is newer is theirs to say. When
// one of them ends, nobody can know that it is not to come back: its name counts as missing until it is started anew.
func (w *World) lastSet() gauges {
	out := make(gauges, len(w.regions))
	for region := range w.regions {
		out[region] = make([]*crdt.Rollup, len(w.truth.series))
		procs := map[string]*written{}
		twice := false
		for _, m := range w.byRegion[region] {
			twice = twice || m.spec.Copy >= 0 && m.gen > 0
			if m.proc != nil {
				twice = twice || procs[m.spec.Name] != nil
				procs[m.spec.Name] = m.proc.by
			}
		}
		for i, s := range w.truth.series {
			if s.Kind != crdt.KindGauge || twice || w.truth.drops[i].ordered {
				continue
			}
			r := new(crdt.Rollup)
			for _, name := range slices.Sorted(maps.Keys(procs)) {
				if g := procs[name].last(i); g != nil {
					r.AddGauge(g)
					r.Expected++
				}
			}
			out[region][i] = r
		}
	}
	return out
}

// present says which gauge a machine does not answer as what the processes that run set last (I1): how many did, and the
// sum, the extremes and the newest of it.
func (w *World) present(m *machine, a *answers, want gauges) error {
	for region := range w.regions {
		for i, s := range w.truth.series {
			if want[region][i] == nil || w.stays(m, region, i) {
				continue
			}
			got := new(crdt.Rollup)
			if v := a.values[region][i]; v != nil {
				*got = *v.X.(*crdt.Rollup)
			}
			got.Stamp = 0
			if !slices.Equal(got.AppendBinary(nil), want[region][i].AppendBinary(nil)) {
				w.suspect = i
				return &Violation{Rule: "I1", What: fmt.Sprintf("%s answers %+v for gauge %s of %s, set was %+v", m.spec.Name, *got, s, w.regions[region], *want[region][i])}
			}
		}
	}
	return nil
}
