package reconcile

import (
	"meshd/crdt"
	"meshd/internal/mutant"
)

// sourceOf names the one source of what a region says of all its sources together. Those of two regions are two, and add up.
func sourceOf(region string) string { return crdt.RollupLabel + "." + region }

// additive returns what of two versions of a series can be added up and compared: of an observed counter its count over all
// sources, everything else as it is. v must not be modified.
func additive(v *crdt.Value) *crdt.Value {
	o, ok := v.X.(*crdt.Observed)
	if !ok {
		if v.Kind == crdt.KindObserved {
			return &crdt.Value{Kind: crdt.KindCounter}
		}
		return v
	}
	return &crdt.Value{Kind: crdt.KindCounter, P: o.Total()}
}

// observe adds what the sources of a series counted since the last time to a sum, which is one sample of one source: so hubs that
// say it are joined by the greater, and nobody adds it up twice. What an earlier process saw of the sources is joined first.
func (x *Export) observe(id, to SeriesID) error {
	all := new(crdt.Observed)
	for _, d := range x.from {
		v, _ := d.Cell(id)
		if v == nil || v.X == nil {
			continue
		}
		if err := all.Combine(v.X); err != nil {
			return err
		}
	}
	total, latest := all.Total(), int64(0)
	for s := range all.Samples() {
		latest = max(latest, s.Time)
	}
	sum := x.value(x.sums, to, crdt.KindCounter)
	if mutant.On("sources of one sum are joined") {
		sum.P = sum.P.Max(total)
	} else if _, err := x.value(x.added, id, crdt.KindCounter).Join(&crdt.Value{Kind: crdt.KindCounter, P: total}, 0, sum, 0); err != nil {
		return err
	}
	out := new(crdt.Observed)
	if err := out.Put(crdt.Sample{Source: sourceOf(x.Origin.Region), Time: latest, Value: sum.P}); err != nil {
		return err
	}
	_, err := x.Raise(to, &crdt.Value{Kind: crdt.KindObserved, X: out})
	return err
}
