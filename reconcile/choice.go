package reconcile

import (
	"maps"
	"slices"

	"meshd/crdt"
	"meshd/internal/mutant"
)

// Choice is which version of each metric of a region is answered with. All versions are lower bounds of the same counts.
// Another one is chosen once it holds as much as the one before, for every combination of the labels that both have: so
// an answer never falls, and never adds two versions up. Where none holds all that the others do, see together.go.
type Choice struct {
	cat     *Catalog
	chosen  map[*Metric]string
	has     map[*Metric]map[string]bool // versions that are held
	several []*Metric                   // those with more than one, in the order of names
	open    map[*Metric]bool            // of these, those of which another version holds something that the chosen one lacks
	left    map[*Metric]map[string]bool // versions that were answered with, and are not any more

	together map[*Metric]map[SeriesID]*crdt.Value // of those that are answered with what all versions say
	lacking  bool                                 // something is open that is answered for

	of      *Derived // what was looked at: so many of its series
	refs    int
	metrics int // of the catalog then

	settled settledOn
}

// settledOn is all that a choice depends on where nothing but the cells of one Derived is answered with. A choice that was
// settled on it and came out as it had been before comes out so again.
type settledOn struct {
	d      *Derived
	moves  uint64 // of its cells
	series int    // of the catalog
	drops  int
	rules  *Rules
}

// NewChoice returns a choice among nothing.
func NewChoice(cat *Catalog) *Choice {
	return &Choice{
		cat: cat, chosen: map[*Metric]string{}, has: map[*Metric]map[string]bool{}, open: map[*Metric]bool{}, left: map[*Metric]map[string]bool{},
		together: map[*Metric]map[SeriesID]*crdt.Value{},
	}
}

// Counts reports whether a series is of the version that is answered with, or of what all versions say together.
func (c *Choice) Counts(id SeriesID) bool {
	t := c.cat.versions.of(id)
	if all := c.together[t.metric]; all != nil {
		return all[id] != nil
	}
	return t.metric == nil || c.chosen[t.metric] == t.version || mutant.On("all versions answered at once")
}

// Version returns the version of a metric that is answered with.
func (c *Choice) Version(id SeriesID) string {
	if m := c.cat.versions.of(id).metric; m != nil {
		return c.chosen[m]
	}
	return ""
}

// Passed reports whether a series is of a version that was given up, and in which there is nothing that the chosen one lacks.
func (c *Choice) Passed(id SeriesID) bool {
	t := c.cat.versions.of(id)
	return t.metric != nil && c.chosen[t.metric] != t.version && !c.open[t.metric] && c.has[t.metric][c.chosen[t.metric]]
}

// Turned reports whether another version of something was chosen since Forgot.
func (c *Choice) Turned() bool { return len(c.left) > 0 }

// Left reports whether a series is of a version that another one was chosen over since Forgot.
func (c *Choice) Left(id SeriesID) bool {
	t := c.cat.versions.of(id)
	return t.metric != nil && c.left[t.metric][t.version]
}

// Forgot says that the versions that were left are forgotten as far as they were given up.
func (c *Choice) Forgot() { clear(c.left) }

// Open reports whether a version that is not answered with holds something that the one that is lacks. Metrics that the rules
// keep in their region are not answered for: nothing of them can lack.
func (c *Choice) Open() bool { return c.lacking }

// Lacks calls f for every metric of which what is answered is without some labels, sorted. What all versions say together lacks
// those of each.
func (c *Choice) Lacks(f func(m *Metric, labels []string)) {
	for m, has := range c.has { // in any order: each for itself
		labels := lacking(c.chosen[m])
		if c.together[m] != nil {
			labels = nil
			for v := range has {
				labels = append(labels, lacking(v)...)
			}
			slices.Sort(labels)
			labels = slices.Compact(labels)
		}
		if len(labels) > 0 {
			f(m, labels)
		}
	}
}

// Several reports whether more than one version of something is held.
func (c *Choice) Several() bool { return len(c.several) > 0 }

// Settle chooses anew. d is what is held of the region, all of it or, with own, what is held beside the region's own
// totals, which have all labels. value returns what would be answered for a series, which is only read, or nil; rules say which version
// is preferred of two that hold the same.
func (c *Choice) Settle(d *Derived, own bool, value func(SeriesID) (*crdt.Value, error), rules *Rules) error {
	if len(c.cat.versions.metrics) == 0 {
		return nil
	}
	on := settledOn{d: d, series: c.cat.Len(), drops: len(c.cat.drops), rules: rules}
	if d != nil && !mutant.On("settled whatever comes") {
		on.moves = d.moves
	}
	if on == c.settled {
		return nil
	}
	c.settled = settledOn{}
	c.look(d, own)
	clear(c.open)
	clear(c.together)
	c.lacking = false
	again := own || d == nil // what is answered for the own region is made of more than d
	for _, m := range c.several {
		was := c.chosen[m]
		if err := c.choose(m, own, value, rules); err != nil {
			return err
		}
		again = again || m.Kind == crdt.KindGauge || c.chosen[m] != was // one turn may make room for another; gauges change with who is heard
		if !own {
			if err := c.join(m, value); err != nil {
				return err
			}
		}
		_, travels := rules.Version(m.Name, m.Kind)
		c.lacking = c.lacking || c.open[m] && (own || travels || mutant.On("what stays is lacking"))
	}
	if !again {
		c.settled = on
	}
	return nil
}

// look finds out which versions are held. It looks at what is new since the last time.
func (c *Choice) look(d *Derived, own bool) {
	if d != c.of || len(c.cat.versions.metrics) != c.metrics {
		c.of, c.refs, c.metrics = d, 0, len(c.cat.versions.metrics)
		clear(c.has)
		c.several = nil
	}
	n := 0
	if d != nil {
		n = len(d.series)
	}
	for ; c.refs < n; c.refs++ {
		id := d.series[c.refs]
		if id == noSeries {
			continue
		}
		if t := c.cat.versions.of(id); t.metric != nil {
			c.hold(t, own)
		}
	}
	maps.DeleteFunc(c.chosen, func(m *Metric, _ string) bool { return c.has[m] == nil })
	for m, has := range c.has {
		if !has[c.chosen[m]] {
			c.chosen[m] = slices.Min(slices.Collect(maps.Keys(has)))
		}
	}
}

func (c *Choice) hold(t told, own bool) {
	has := c.has[t.metric]
	if has == nil {
		has = map[string]bool{}
		if c.has[t.metric] = has; own {
			has[""] = true
		}
	}
	was := len(has)
	has[t.version] = true
	if len(has) > 1 && was < len(has) && !slices.Contains(c.several, t.metric) {
		c.several = append(c.several, t.metric)
		slices.SortFunc(c.several, func(a, b *Metric) int { return a.compare(b) })
	}
}

// choose decides between the versions of one metric. The own region's totals are always the version with all labels: sums are
// of what earlier hubs had, nobody adds to them, and the totals may come later than they do.
func (c *Choice) choose(m *Metric, own bool, value func(SeriesID) (*crdt.Value, error), rules *Rules) error {
	chosen := c.chosen[m]
	preferred, _ := rules.Version(m.Name, m.Kind)
	others := slices.Sorted(maps.Keys(c.has[m]))
	if i := slices.Index(others, preferred); i >= 0 { // it is the last that is looked at
		others = append(slices.Delete(others, i, i+1), preferred)
	}
	var open []string
	for _, v := range others {
		if v == chosen {
			continue
		}
		up, down, err := c.compare(m, v, chosen, value)
		switch {
		case err != nil:
			return err
		case own && !mutant.On("own region answered in sums"):
			if !down {
				open = append(open, v)
			}
		case up && (v == preferred || !down) || mutant.On("newest version answered"):
			chosen = v
		case !down:
			open = append(open, v)
		}
	}
	if was := c.chosen[m]; was != chosen {
		if c.left[m] == nil {
			c.left[m] = map[string]bool{}
		}
		c.left[m][was] = true
	}
	if c.chosen[m] = chosen; len(slices.DeleteFunc(open, func(v string) bool { return v == chosen })) > 0 {
		c.open[m] = true
	}
	return nil
}

// compare reports whether version a holds all that b does, and the other way around.
func (c *Choice) compare(m *Metric, a, b string, value func(SeriesID) (*crdt.Value, error)) (up, down bool, err error) {
	drop := append(append([]string{crdt.RollupLabel}, lacking(a)...), lacking(b)...)
	x, err := c.project(m, a, drop, value)
	if err != nil {
		return false, false, err
	}
	y, err := c.project(m, b, drop, value)
	if err != nil {
		return false, false, err
	}
	if m.Kind == crdt.KindGauge {
		at, bt := newest(x), newest(y)
		return len(x) > 0 && at >= bt-rollupAge, bt >= at-rollupAge, nil
	}
	if up, err = covers(x, y); err != nil {
		return false, false, err
	}
	down, err = covers(y, x)
	return up, down, err
}

// project adds up what is held of one version of a metric, by the labels that are not dropped.
func (c *Choice) project(m *Metric, version string, drop []string, value func(SeriesID) (*crdt.Value, error)) (map[string]*crdt.Value, error) {
	out := map[string]*crdt.Value{}
	for _, id := range m.series[version] {
		v, err := value(id)
		if err != nil {
			return nil, err
		}
		if v == nil {
			continue
		}
		if err := addTo(out, c.cat.Series(id), drop, additive(v)); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// addTo adds v to the sum of its labels but those that are dropped.
func addTo(sums map[string]*crdt.Value, s *crdt.Series, drop []string, v *crdt.Value) error {
	key := string((&crdt.Series{Labels: without(s.Labels, drop)}).AppendKey(nil))
	if sums[key] == nil {
		sum := v.Clone()
		sums[key] = &sum
		return nil
	}
	return sums[key].Combine(v)
}

// covers reports whether a holds, of everything that b does, as much in every monotone part.
func covers(a, b map[string]*crdt.Value) (bool, error) {
	for key, less := range b { // in any order: it is about all of them
		more := crdt.Bottom(less.Kind)
		if a[key] != nil {
			more = a[key].Clone()
		}
		if rose, err := more.Join(less, 0, nil, 0); err != nil || rose {
			return false, err
		}
	}
	return true, nil
}

// newest returns the time of the newest of some rollups, in milliseconds.
func newest(sums map[string]*crdt.Value) (ms int64) {
	for _, v := range sums {
		if r, ok := v.X.(*crdt.Rollup); ok {
			ms = max(ms, r.Stamp.Millis())
		}
	}
	return ms
}
