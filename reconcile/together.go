package reconcile

import (
	"cmp"
	"errors"
	"maps"
	"slices"
	"strings"

	"meshd/crdt"
	"meshd/internal/mutant"
)

// After a disaster no version of a metric may ever hold all that the others do: sums are left of what no disk has any more, and
// what is counted since is in cells with all labels. Which of them a node would choose depends on what it heard of first. So
// while that is so it answers with what all of them say together: for the labels that all of them have, the greatest of every
// monotone part. Each version is a lower bound of the same counts, so this is one, it never falls, and it is the same at all who
// hold the same.

// maxLevels bounds the sets of labels that versions are joined for, on the way to those that all have: six versions of one
// metric at a time, each about labels of its own.
const maxLevels = 64

// level is what is held of a metric by the labels that are left without some.
type level struct {
	drop  []string // sorted
	cells map[string]*levelCell
}

type levelCell struct {
	labels []crdt.Label
	v      *crdt.Value
}

// joinable reports whether versions of a kind can be joined: those of gauges replace each other, and of observed counters
// one is sources and the other a sum over them.
func joinable(k crdt.Kind) bool { return k != crdt.KindGauge && k != crdt.KindObserved }

// Together returns what all versions say together of a series, nil if one version is answered with. It must not be modified.
func (c *Choice) Together(id SeriesID) *crdt.Value {
	return c.together[c.cat.versions.of(id).metric][id]
}

// Joins reports whether a series is of a metric that is answered with what all versions say together.
func (c *Choice) Joins(id SeriesID) bool { return c.together[c.cat.versions.of(id).metric] != nil }

// join finds what all versions of a metric say together, unless the chosen one says all of it.
func (c *Choice) join(m *Metric, value func(SeriesID) (*crdt.Value, error)) error {
	if !joinable(m.Kind) || !c.open[m] && len(c.has[m]) < 3 || mutant.On("versions are not joined") {
		return nil
	}
	top, err := c.top(m, value)
	if err != nil {
		return err
	}
	if !c.open[m] { // what two others say together may be more than what each does
		all, err := c.project(m, c.chosen[m], append(slices.Clone(top.drop), crdt.RollupLabel), value)
		if err != nil {
			return err
		}
		if enough, err := covers(all, top.values()); err != nil || enough {
			return err
		}
		c.open[m] = true
	}
	out := map[SeriesID]*crdt.Value{}
	version := versionSum + strings.Join(top.drop, ",")
	for _, key := range slices.Sorted(maps.Keys(top.cells)) {
		cell := top.cells[key]
		s := &crdt.Series{Name: m.Name, Kind: m.Kind, Labels: cell.labels}
		if len(top.drop) > 0 {
			s.Labels = crdt.SortLabels(append(slices.Clone(s.Labels), crdt.Label{Name: crdt.RollupLabel, Value: version}))
		}
		id, err := c.cat.Intern(c.cat.Writable(s))
		if errors.Is(err, crdt.ErrLimit) {
			return nil // the chosen version is less, and is known
		}
		if err != nil {
			return err
		}
		out[id] = cell.v
	}
	c.together[m] = out
	return nil
}

// top joins the versions of a metric for the labels that all of them have. What some of them say together for more labels is in
// it: otherwise an answer would fall when one with fewer comes.
func (c *Choice) top(m *Metric, value func(SeriesID) (*crdt.Value, error)) (*level, error) {
	levels := c.levels(m)
	for i, l := range levels {
		for _, version := range slices.Sorted(maps.Keys(c.has[m])) {
			if !slices.Equal(dropsOf(version), l.drop) {
				continue
			}
			held := &level{drop: l.drop, cells: map[string]*levelCell{}}
			for _, id := range m.series[version] {
				v, err := value(id)
				if err != nil {
					return nil, err
				}
				if v == nil {
					continue
				}
				labels := without(c.cat.Series(id).Labels, []string{crdt.RollupLabel})
				if err := held.add(labels, v); err != nil {
					return nil, err
				}
			}
			if err := l.raise(held); err != nil {
				return nil, err
			}
		}
		for _, finer := range levels[:i] {
			if err := l.raiseBy(finer); err != nil {
				return nil, err
			}
		}
	}
	return levels[len(levels)-1], nil
}

// levels returns the sets of labels that some versions of a metric lack together, each after those that are a part of it.
func (c *Choice) levels(m *Metric) []*level {
	var sets [][]string
	add := func(drop []string) {
		if !slices.ContainsFunc(sets, func(s []string) bool { return slices.Equal(s, drop) }) {
			sets = append(sets, drop)
		}
	}
	var all []string
	for _, version := range slices.Sorted(maps.Keys(c.has[m])) {
		drop := dropsOf(version)
		for _, s := range slices.Clone(sets) {
			if len(sets) < maxLevels {
				add(union(s, drop))
			}
		}
		add(drop)
		all = union(all, drop)
	}
	add(all)
	slices.SortFunc(sets, func(a, b []string) int { return cmp.Or(cmp.Compare(len(a), len(b)), slices.Compare(a, b)) })
	out := make([]*level, len(sets))
	for i, s := range sets {
		out[i] = &level{drop: s, cells: map[string]*levelCell{}}
	}
	return out
}

// raiseBy joins what another level says to one that has fewer labels.
func (l *level) raiseBy(finer *level) error {
	if len(union(finer.drop, l.drop)) != len(l.drop) {
		return nil
	}
	held := &level{drop: l.drop, cells: map[string]*levelCell{}}
	for _, key := range slices.Sorted(maps.Keys(finer.cells)) {
		if err := held.add(finer.cells[key].labels, finer.cells[key].v); err != nil {
			return err
		}
	}
	return l.raise(held)
}

// add adds v to what is counted under labels.
func (l *level) add(labels []crdt.Label, v *crdt.Value) error {
	left := without(labels, l.drop)
	key := string((&crdt.Series{Labels: left}).AppendKey(nil))
	if cell := l.cells[key]; cell != nil {
		return cell.v.Combine(v)
	}
	own := v.Clone()
	l.cells[key] = &levelCell{left, &own}
	return nil
}

// raise joins what another of the same labels holds.
func (l *level) raise(o *level) error {
	for key, cell := range o.cells { // in any order: each is joined to one of its own
		if was := l.cells[key]; was == nil {
			l.cells[key] = cell
		} else if _, err := was.v.Join(cell.v, 0, nil, 0); err != nil {
			return err
		}
	}
	return nil
}

func (l *level) values() map[string]*crdt.Value {
	out := make(map[string]*crdt.Value, len(l.cells))
	for key, cell := range l.cells {
		out[key] = cell.v
	}
	return out
}

func dropsOf(version string) []string { return union(nil, lacking(version)) }

// union returns what is in any of two lists, sorted.
func union(a, b []string) []string {
	out := slices.Concat(a, b)
	slices.Sort(out)
	return slices.Compact(out)
}
