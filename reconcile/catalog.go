package reconcile

import (
	"fmt"
	"slices"

	"meshd/crdt"
	"meshd/internal/wire"
)

// SeriesID numbers the series that this process has heard of. It never leaves the process: origins number their
// series themselves, by refs.
type SeriesID uint32

const noSeries = ^SeriesID(0)

// MaxSeries bounds the series of one process: about 350 bytes each with name, labels and one cell, so 700 MB at worst.
const MaxSeries = 2_000_000

// Catalog numbers series.
type Catalog struct {
	index  *crdt.SeriesIndex
	pages  [][]crdt.Series // pageSeries each; what is in them stays where it is
	n      int
	texts  texts
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
	c := &Catalog{
		next: map[string]*crdt.Series{}, texts: newTexts(),
		versions: versions{metrics: map[metricKey]*Metric{}, plain: map[SeriesID]*crdt.Series{}},
	}
	c.index = crdt.NewSeriesIndex(func(n uint32) *crdt.Series { return c.Series(SeriesID(n)) })
	return c
}

// Intern returns the number of s, a new one if s is new. It keeps a copy of s, never s itself. At MaxSeries it
// refuses new series with an error that wraps crdt.ErrLimit.
func (c *Catalog) Intern(s *crdt.Series) (SeriesID, error) {
	if id, ok := c.Find(s); ok {
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
	if c.n >= MaxSeries {
		return noSeries, fmt.Errorf("reconcile: %w: %d series in this process", crdt.ErrLimit, MaxSeries)
	}
	id := SeriesID(c.n)
	if c.n%pageSeries == 0 {
		c.pages = append(c.pages, make([]crdt.Series, 0, pageSeries))
	}
	page := &c.pages[len(c.pages)-1]
	*page = append(*page, c.texts.keep(s))
	c.n++
	own := c.Series(id)
	c.gone = append(c.gone, own.Gen < c.generation(own))
	c.index.Put(own, uint32(id))
	c.enter(id, own)
	return id, nil
}

// Find returns the number of s if it is known.
func (c *Catalog) Find(s *crdt.Series) (SeriesID, bool) {
	n, ok := c.index.Find(s)
	return SeriesID(n), ok
}

// Series returns the series numbered id. It must not be modified.
func (c *Catalog) Series(id SeriesID) *crdt.Series { return &c.pages[id/pageSeries][id%pageSeries] }

// each yields all series in the order of their numbers.
func (c *Catalog) each(yield func(SeriesID, *crdt.Series) bool) {
	for id := range SeriesID(c.n) {
		if !yield(id, c.Series(id)) {
			return
		}
	}
}

// Sorted returns the numbers of all series in the order of their keys. The slice must not be modified.
func (c *Catalog) Sorted() []SeriesID {
	if len(c.sorted) == c.n {
		return c.sorted
	}
	c.sorted = make([]SeriesID, c.n)
	for i := range c.sorted {
		c.sorted[i] = SeriesID(i)
	}
	slices.SortFunc(c.sorted, func(a, b SeriesID) int { return c.Series(a).CompareKey(c.Series(b)) })
	return c.sorted
}

// Len returns how many series are numbered: 0 to Len()-1.
func (c *Catalog) Len() int { return c.n }
