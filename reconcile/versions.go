package reconcile

import (
	"cmp"
	"slices"
	"strings"

	"meshd/crdt"
)

// versionSum begins the version of series that are sums; the labels that they lack follow.
const versionSum = "sum-"

// Metric is what is counted under one name, once there are series of it in more than one version: with all labels (version
// "") and as sums without some (crdt.RollupLabel). All versions tell the same counts: an answer uses one of them.
type Metric struct {
	Name string
	Kind crdt.Kind

	series map[string][]SeriesID // by version
}

// told says of which metric and version a series is.
type told struct {
	metric  *Metric // nil: there is one version
	version string
}

type metricKey struct {
	name string
	kind crdt.Kind
}

// versions is what a catalog knows of metrics with more than one version.
type versions struct {
	metrics map[metricKey]*Metric
	told    []told                    // by SeriesID; those beyond it have one version
	plain   map[SeriesID]*crdt.Series // without the label that names the version
}

// enter takes a new series.
func (c *Catalog) enter(id SeriesID, s *crdt.Series) {
	v := &c.versions
	version := s.Get(crdt.RollupLabel)
	if version == "" && len(v.metrics) == 0 {
		return
	}
	key := metricKey{s.Name, s.Kind}
	m := v.metrics[key]
	if m == nil && version == "" {
		return
	}
	if version != "" {
		plain := *s
		plain.Labels = without(s.Labels, []string{crdt.RollupLabel})
		v.plain[id] = &plain
	}
	if m != nil {
		m.add(v, id, version)
		return
	}
	m = &Metric{Name: s.Name, Kind: s.Kind, series: map[string][]SeriesID{}}
	v.metrics[key] = m
	for other, o := range c.each {
		if o.Name == s.Name && o.Kind == s.Kind {
			m.add(v, other, o.Get(crdt.RollupLabel))
		}
	}
}

func (m *Metric) add(v *versions, id SeriesID, version string) {
	if more := int(id) + 1 - len(v.told); more > 0 {
		v.told = append(v.told, make([]told, more)...)
	}
	v.told[id] = told{m, version}
	m.series[version] = append(m.series[version], id)
}

// of says of which metric and version a series is.
func (v *versions) of(id SeriesID) told {
	if int(id) >= len(v.told) {
		return told{}
	}
	return v.told[id]
}

// Versioned reports whether any metric has series that count instead of each other.
func (c *Catalog) Versioned() bool { return len(c.versions.metrics) > 0 }

// Plain returns a series as people see it: without the label that says that it is a sum.
func (c *Catalog) Plain(id SeriesID) *crdt.Series {
	if s := c.versions.plain[id]; s != nil {
		return s
	}
	return c.Series(id)
}

// Lacks returns the labels that a sum was made without.
func Lacks(s *crdt.Series) []string { return lacking(s.Get(crdt.RollupLabel)) }

func lacking(version string) []string {
	if names, ok := strings.CutPrefix(version, versionSum); ok && names != "" { // sums over sources alone lack no label
		return strings.Split(names, ",")
	}
	return nil
}

// without returns labels but those of some names.
func without(labels []crdt.Label, names []string) []crdt.Label {
	return slices.DeleteFunc(slices.Clone(labels), func(l crdt.Label) bool { return slices.Contains(names, l.Name) })
}

// compare orders metrics by name and kind.
func (m *Metric) compare(o *Metric) int {
	return cmp.Or(strings.Compare(m.Name, o.Name), cmp.Compare(m.Kind, o.Kind))
}
