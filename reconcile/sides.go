package reconcile

import (
	"strings"

	"meshd/crdt"
)

// Beside is a series that stands beside another one, see crdt.Side.
type Beside struct {
	Series SeriesID
	crdt.Side
}

// sides is what a catalog knows of series that stand beside others.
type sides struct {
	is map[SeriesID]bool
	of map[SeriesID][]Beside // by the series beside which they stand, in the order in which they came
}

// internSide numbers a side that is new, behind the series that it stands beside. What a malformed side stands beside nobody knows: nobody sees
// it, and it changes nothing.
func (c *Catalog) internSide(s, base *crdt.Series, side crdt.Side, ok bool) (SeriesID, error) {
	of := noSeries
	if ok {
		var err error
		if of, err = c.Intern(base); err != nil {
			return noSeries, err
		}
	}
	id, err := c.number(s)
	if err != nil {
		return noSeries, err
	}
	if c.sides.is == nil {
		c.sides = sides{map[SeriesID]bool{}, map[SeriesID][]Beside{}}
	}
	c.sides.is[id] = true
	if ok {
		side.ID, side.Node = strings.Clone(side.ID), strings.Clone(side.Node)
		c.sides.of[of] = append(c.sides.of[of], Beside{id, side})
	}
	return id, nil
}

// AnySides reports whether any series is a side.
func (c *Catalog) AnySides() bool { return len(c.sides.is) > 0 }

// IsSide reports whether a series is one.
func (c *Catalog) IsSide(id SeriesID) bool { return c.sides.is[id] }

// Sides returns the series that stand beside one. They must not be changed.
func (c *Catalog) Sides(of SeriesID) []Beside { return c.sides.of[of] }

// SidesOf returns the series that sides of a correction are, in no order.
func (c *Catalog) SidesOf(correction string) map[SeriesID]bool {
	out := map[SeriesID]bool{}
	for _, all := range c.sides.of { // in any order: it becomes a set
		for _, b := range all {
			if b.ID == correction {
				out[b.Series] = true
			}
		}
	}
	return out
}
