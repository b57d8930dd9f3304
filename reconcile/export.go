package reconcile

import (
	"errors"

	"meshd/crdt"
	"meshd/internal/mutant"
)

// Export is what other regions get of a region's totals while rules are in force: the series that travel, as they are or
// as sums without some labels. It is an origin of its own: no origin is ever filtered, so what a cursor says of cells
// is true whatever rules its readers and relays have. New rules make a new export.
type Export struct {
	Derived
	Full uint64 // gains that were left out because a sum reached its limit

	// version says of a metric whether it travels, and in which version.
	version func(metric string, k crdt.Kind) (version string, travels bool)

	from  []*Derived               // the totals, and what earlier processes had beyond them
	upto  []uint64                 // seqs of these up to which all is exported
	ways  []way                    // by SeriesID
	added map[SeriesID]*crdt.Value // what of a series its sum contains
	sums  map[SeriesID]*crdt.Value // by sum; the cell may hold more, from an earlier process
	of    map[SeriesID][]SeriesID  // by sum of gauges: what it is made of
}

// way is what becomes of a series of the totals.
type way struct {
	known, travels, sum bool
	to                  SeriesID
}

// NewExport returns an empty export under an origin of its own. It is of the maximum, series by series, of what is in from: the
// totals first.
func NewExport(o crdt.Origin, rules *Rules, cat *Catalog, from ...*Derived) *Export {
	return newExport(o, rules.Version, cat, from...)
}

// NewFeed returns an empty export for the edges of the own region: the totals as they are, but for metrics of scope node.
func NewFeed(o crdt.Origin, rules *Rules, cat *Catalog, total *Derived) *Export {
	version := func(metric string, _ crdt.Kind) (string, bool) {
		return "", !rules.Alone(metric) || mutant.On("edges get what is of scope node")
	}
	return newExport(o, version, cat, total)
}

func newExport(o crdt.Origin, version func(string, crdt.Kind) (string, bool), cat *Catalog, from ...*Derived) *Export {
	return &Export{
		Derived: *NewDerived(o, cat), version: version, from: from, upto: make([]uint64, len(from)),
		added: map[SeriesID]*crdt.Value{}, sums: map[SeriesID]*crdt.Value{}, of: map[SeriesID][]SeriesID{},
	}
}

// Update takes over what changed until the last closed seqs.
func (x *Export) Update() error {
	for i, d := range x.from {
		if x.upto[i] == d.Seq() {
			continue
		}
		refs, _ := d.since(x.upto[i])
		for _, ref := range refs {
			if err := x.take(d.series[ref], &d.cells[ref].v); err != nil {
				return err
			}
		}
		x.upto[i] = d.Seq()
	}
	return nil
}

func (x *Export) take(id SeriesID, v *crdt.Value) error {
	w, err := x.way(id)
	if err == nil && w.travels {
		switch {
		case !w.sum || v.Kind == crdt.KindUnique:
			_, err = x.Raise(w.to, v)
		case v.Kind == crdt.KindRollup:
			err = x.rollup(w.to)
		case v.Kind == crdt.KindObserved:
			err = x.observe(id, w.to)
		default:
			err = x.add(id, w.to, v)
		}
	}
	if errors.Is(err, crdt.ErrLimit) || errors.Is(err, crdt.ErrRange) { // what was added up before stays: it is less than what there is
		x.Full++
		return nil
	}
	return err
}

// way returns what becomes of a series.
func (x *Export) way(id SeriesID) (way, error) {
	for len(x.ways) <= int(id) {
		x.ways = append(x.ways, way{})
	}
	w := &x.ways[id]
	if w.known {
		return *w, nil
	}
	s := x.cat.Series(id)
	version, travels := x.version(s.Name, s.Kind)
	if mutant.On("scope ignored") {
		travels = true
	}
	*w = way{known: true, travels: travels, to: id}
	if is := x.cat.versions.of(id).version; !travels || is != "" { // earlier processes said sums: they count if they are of this version
		w.travels = travels && is == version
		return *w, nil
	}
	if w.sum = version != ""; !w.sum {
		return *w, nil
	}
	sum := *s
	sum.Gen = 0
	sum.Labels = crdt.SortLabels(append(without(s.Labels, lacking(version)), crdt.Label{Name: crdt.RollupLabel, Value: version}))
	if mutant.On("sums without a version") {
		sum.Labels = without(sum.Labels, []string{crdt.RollupLabel})
	}
	to, err := x.cat.Intern(x.cat.Writable(&sum))
	if err != nil {
		w.travels = false
		return *w, err
	}
	w.to = to
	if s.Kind == crdt.KindGauge {
		x.of[to] = append(x.of[to], id)
	}
	return *w, nil
}

// add adds what a series gained to a sum.
func (x *Export) add(id, to SeriesID, v *crdt.Value) error {
	sum := x.value(x.sums, to, v.Kind)
	if _, err := x.value(x.added, id, v.Kind).Join(v, 0, sum, 0); err != nil {
		return err
	}
	_, err := x.Raise(to, sum)
	return err
}

func (x *Export) value(of map[SeriesID]*crdt.Value, id SeriesID, k crdt.Kind) *crdt.Value {
	v := of[id]
	if v == nil {
		bottom := crdt.Bottom(k)
		v = &bottom
		of[id] = v
	}
	return v
}

// rollup describes the gauges of a sum anew.
func (x *Export) rollup(to SeriesID) error {
	sum := &crdt.Rollup{}
	for _, id := range x.of[to] {
		v, _ := x.from[0].Cell(id)
		if v == nil {
			continue
		}
		if r, ok := v.X.(*crdt.Rollup); ok {
			if err := sum.Combine(r); err != nil {
				return err
			}
		}
	}
	return x.setRollup(to, sum)
}
