package reconcile

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"meshd/crdt"
	"meshd/internal/wire"
)

// SeriesID numbers the series that this process has heard of. It never leaves the process: origins number their
// series themselves, by refs.
type SeriesID uint32

const noSeries = ^SeriesID(0)

// MaxSeries bounds the series of one process: about 500 bytes each with name, labels and one cell, so 1 GB at worst.
const MaxSeries = 2_000_000

// Catalog numbers series.
type Catalog struct {
	byKey  map[string]SeriesID
	series []*crdt.Series
	key    []byte
	sorted []SeriesID
	drops  []wire.Drop
	gone   []bool                  // by SeriesID: dropped
	next   map[string]*crdt.Series // by key: where what is counted on a series goes, since the last drop
	Late   uint64                  // cells of dropped series that came and were refused

	versions versions
	sides    sides
}

// NewCatalog returns an empty catalog.
func NewCatalog() *Catalog {
	return &Catalog{
		byKey: map[string]SeriesID{}, next: map[string]*crdt.Series{},
		versions: versions{metrics: map[metricKey]*Metric{}, plain: map[SeriesID]*crdt.Series{}},
	}
}

// Intern returns the number of s, a new one if s is new. It keeps a copy of s, never s itself. At MaxSeries it
// refuses new series with an error that wraps crdt.ErrLimit.
func (c *Catalog) Intern(s *crdt.Series) (SeriesID, error) {
	c.key = s.AppendKey(c.key[:0])
	if id, ok := c.byKey[string(c.key)]; ok {
		return id, nil
	}
	if s.IsSide() {
		base, side, ok := s.Side()
		return c.internSide(s, base, side, ok)
	}
	return c.number(s)
}

// number gives a series that is new a number.
func (c *Catalog) number(s *crdt.Series) (SeriesID, error) {
	c.key = s.AppendKey(c.key[:0])
	if len(c.series) >= MaxSeries {
		return noSeries, fmt.Errorf("reconcile: %w: %d series in this process", crdt.ErrLimit, MaxSeries)
	}
	id := SeriesID(len(c.series))
	own := &crdt.Series{Name: strings.Clone(s.Name), Kind: s.Kind, Gen: s.Gen, Labels: slices.Clone(s.Labels)}
	for i, l := range own.Labels {
		own.Labels[i] = crdt.Label{Name: strings.Clone(l.Name), Value: strings.Clone(l.Value)}
	}
	c.series = append(c.series, own)
	c.gone = append(c.gone, own.Gen < c.generation(own))
	c.byKey[string(c.key)] = id
	c.enter(id, own)
	return id, nil
}

// Find returns the number of s if it is known.
func (c *Catalog) Find(s *crdt.Series) (SeriesID, bool) {
	c.key = s.AppendKey(c.key[:0])
	id, ok := c.byKey[string(c.key)]
	return id, ok
}

// Series returns the series numbered id. It must not be modified.
func (c *Catalog) Series(id SeriesID) *crdt.Series { return c.series[id] }

// Sorted returns the numbers of all series in the order of their keys. The slice must not be modified.
func (c *Catalog) Sorted() []SeriesID {
	if len(c.sorted) == len(c.series) {
		return c.sorted
	}
	c.sorted = make([]SeriesID, 0, len(c.series))
	for _, key := range slices.Sorted(maps.Keys(c.byKey)) {
		c.sorted = append(c.sorted, c.byKey[key])
	}
	return c.sorted
}

// Len returns how many series are numbered: 0 to Len()-1.
func (c *Catalog) Len() int { return len(c.series) }
