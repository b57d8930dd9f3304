package reconcile

import (
	"cmp"
	"maps"
	"slices"

	"meshd/crdt"
	"meshd/internal/wire"
)

// Region is what a hub holds of its own region: the cells of every node origin, and their totals, which are the
// hub's own entry towards other regions and towards its edges.
type Region struct {
	Total *Derived

	cat    *Catalog
	raw    map[crdt.Origin]*Replica
	order  ordered[*Replica]
	gauges map[SeriesID]*gaugeSeries
}

// gaugeSeries lists who holds a gauge, so that its rollup is made from the holders and not from all origins.
type gaugeSeries struct {
	holders map[string]map[*Replica]bool // by node
	dirty   bool
}

// NewRegion returns an empty region whose totals are written under the origin total.
func NewRegion(total crdt.Origin, cat *Catalog) *Region {
	return &Region{Total: NewDerived(total, cat), cat: cat, raw: map[crdt.Origin]*Replica{}, gauges: map[SeriesID]*gaugeSeries{}}
}

// Replica returns the copy of a node origin, an empty new one if it was not heard of.
func (g *Region) Replica(o crdt.Origin) *Replica {
	r := g.raw[o]
	if r == nil {
		r = NewReplica(o, g.cat)
		g.raw[o] = r
		g.order.forget()
	}
	return r
}

// Held returns the copy of a node origin, or nil.
func (g *Region) Held(o crdt.Origin) *Replica { return g.raw[o] }

// Origins returns all node origins held, in order. The slice must not be modified.
func (g *Region) Origins() []crdt.Origin {
	return g.order.of(g.raw).keys
}

// Replicas returns the copies of all node origins held, in the order of their origins. The slice must not be modified.
func (g *Region) Replicas() []*Replica { return g.order.of(g.raw).vals }

// Len returns the number of node origins held.
func (g *Region) Len() int { return len(g.raw) }

// Apply joins a frame of a node origin that passed Check, and adds what its cells gained to the totals.
func (g *Region) Apply(f *wire.Frame) (int, error) {
	r := g.Replica(f.Origin)
	return r.Apply(f, &regionSink{Derived: g.Total, region: g, from: r})
}

// Take adds the cells of a replica that was restored from disk, as if its frames had come one by one.
func (g *Region) Take(r *Replica) error {
	g.raw[r.Origin] = r
	g.order.forget()
	sink := &regionSink{Derived: g.Total, region: g, from: r}
	for ref := range r.cells {
		c := &r.cells[ref]
		if !c.linked {
			continue
		}
		id := r.series[ref]
		if g.cat.Series(id).Kind != crdt.KindGauge {
			if err := g.Total.Add(id, &c.v); err != nil {
				return err
			}
		}
		sink.Gained(id)
	}
	return nil
}

// Restore puts back a replica whose cells the totals contain already: a cold origin that is needed again.
func (g *Region) Restore(r *Replica, now int64) {
	g.raw[r.Origin] = r
	g.order.forget()
	r.Touched = now
	sink := &regionSink{Derived: g.Total, region: g, from: r}
	r.Each(func(id SeriesID, _ *crdt.Value, _ uint64) {
		if g.cat.Series(id).Kind == crdt.KindGauge {
			sink.Gained(id)
		}
	})
}

// Drop takes a replica out of memory. Its cells stay in the totals: the caller keeps them among the cold sums.
func (g *Region) Drop(o crdt.Origin) {
	r := g.raw[o]
	if r == nil {
		return
	}
	delete(g.raw, o)
	g.order.forget()
	for _, s := range g.gauges {
		if hs := s.holders[o.Node]; hs[r] {
			delete(hs, r)
			s.dirty = true
			if len(hs) == 0 {
				delete(s.holders, o.Node)
			}
		}
	}
}

// Replace lets the totals contain the cells of in where they contain those of out, which in contains. What out has beyond it
// stays in the totals as long as this process lives: a total never falls.
func (g *Region) Replace(out []*Replica, in *Replica) (err error) {
	in.Each(func(id SeriesID, v *crdt.Value, _ uint64) {
		if err != nil || g.cat.Series(id).Kind == crdt.KindGauge {
			return
		}
		had, ok, e := OwnSum(id, out)
		if !ok {
			had = crdt.Bottom(v.Kind)
		}
		gain := had.Clone()
		if e == nil {
			_, e = gain.Join(v, 0, nil, 0)
		}
		if e == nil {
			gain.Remove(&had)
			e = g.Total.Add(id, &gain)
		}
		err = e
	})
	return err
}

// regionSink adds gains to the totals and remembers which gauges moved.
type regionSink struct {
	*Derived
	region *Region
	from   *Replica
}

// Gained implements Sink.
func (s *regionSink) Gained(id SeriesID) {
	if s.cat.Series(id).Kind != crdt.KindGauge {
		s.Derived.Gained(id)
		return
	}
	g := s.region.gauges[id]
	if g == nil {
		g = &gaugeSeries{holders: map[string]map[*Replica]bool{}}
		s.region.gauges[id] = g
	}
	node := s.from.Origin.Node
	if g.holders[node] == nil {
		g.holders[node] = map[*Replica]bool{}
	}
	g.holders[node][s.from] = true
	g.dirty = true
}

// NodeChanged marks the gauges of a node for a new rollup, because it was lost or is back.
func (g *Region) NodeChanged(node string) {
	for _, s := range g.gauges {
		if len(s.holders[node]) > 0 {
			s.dirty = true
		}
	}
}

// Rollup writes the rollups of the gauges that changed into the totals. One value counts per node, that of the process
// that runs, the newest if two run by one name; what only earlier ones wrote is over. Nodes that are not heard are
// expected but not counted. stamp is the time of reading.
func (g *Region) Rollup(stamp crdt.HLC, heard func(node string) bool, runs func(crdt.Origin) bool) error {
	for _, id := range slices.Sorted(maps.Keys(g.gauges)) {
		s := g.gauges[id]
		if !s.dirty {
			continue
		}
		s.dirty = false
		out := &crdt.Rollup{Stamp: stamp}
		for _, node := range slices.Sorted(maps.Keys(s.holders)) {
			if !heard(node) {
				out.Expected++
				continue
			}
			if v := newestGauge(id, s.holders[node], runs); v != nil {
				out.Expected++
				out.AddGauge(v)
			}
		}
		if _, err := g.Total.Raise(id, &crdt.Value{Kind: crdt.KindRollup, X: out}); err != nil {
			return err
		}
	}
	return nil
}

func newestGauge(id SeriesID, holders map[*Replica]bool, runs func(crdt.Origin) bool) *crdt.Gauge {
	rs := slices.SortedFunc(maps.Keys(holders), func(a, b *Replica) int { return a.Origin.Compare(b.Origin) })
	var best *crdt.Gauge
	for _, r := range rs {
		v, _ := r.Cell(id)
		if v == nil || !runs(r.Origin) {
			continue
		}
		if x, ok := v.X.(*crdt.Gauge); ok && (best == nil || cmp.Compare(x.Time, best.Time) > 0) {
			best = x
		}
	}
	return best
}
