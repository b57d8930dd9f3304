package node

import "meshd/reconcile"

// walkSeries is how many series one step of a Walk looks at: some 5 ms.
const walkSeries = 16_384

// Walk hands the rows of very many series to Select.Each, some at a time. The core may go on in between: what is read later is
// newer, and each row is whole by itself.
type Walk struct {
	Totals  *Totals // without rows
	sel     Select
	regions []string
	next    reconcile.SeriesID
	one     bool // all in one step: versions of a metric count instead of each other, and which may change between two
	row     []Row
}

// Walk begins a walk. Coverage is that of now.
func (c *Core) Walk(at Time, sel Select) (*Walk, error) {
	c.tell(at)
	c.rollup()
	c.settleCorrections(true)
	regions := c.regions()
	c.settleChoices(regions)
	withheld, err := c.withholds(sel)
	if err != nil {
		return nil, err
	}
	t := &Totals{Coverage: c.coverageOf(regions), Withheld: withheld, Shortfalls: c.shortfalls(&sel), Corrections: c.Corrections()}
	if sel.Windows {
		t.Rollup = c.windowRules()
	}
	return &Walk{Totals: t, sel: sel, regions: regions, one: c.cat.Versioned()}, nil
}

// Next hands on the rows of some series, and reports whether these were the last. The caller asks from where it asks c for anything.
func (w *Walk) Next(c *Core) (done bool, err error) {
	if !w.one && c.cat.Versioned() || c.Corrections() != w.Totals.Corrections {
		return true, ErrMoved
	}
	last := reconcile.SeriesID(c.cat.Len())
	if !w.one {
		last = min(last, w.next+walkSeries)
	}
	for ; w.next < last; w.next++ {
		if w.row, err = c.rows(w.row[:0], w.next, w.regions, &w.sel); err != nil {
			return true, err
		}
		for i := range w.row {
			if err := w.sel.Each(&w.row[i]); err != nil {
				return true, err
			}
		}
	}
	return int(w.next) >= c.cat.Len(), nil
}
