package node

import (
	"cmp"
	"slices"

	"meshd/crdt"
	"meshd/internal/mutant"
	"meshd/reconcile"
)

const defaultRows = 100_000

// Totals answers for the whole mesh from what is committed here.
func (c *Core) Totals(at Time, sel Select) (*Totals, error) {
	c.tell(at)
	c.rollup()
	c.settleCorrections(true)
	regions := c.regions()
	c.settleChoices(regions)
	limit := cmp.Or(sel.Limit, defaultRows)
	asked := sel
	if sel.Bare {
		asked.Names = nil // what hubs withhold is rows
	}
	withheld, err := c.withholds(asked)
	if err != nil {
		return nil, err
	}
	t := &Totals{Coverage: c.coverageOf(regions), Withheld: withheld, Shortfalls: c.shortfalls(&sel), Corrections: c.Corrections()}
	if sel.Windows {
		t.Rollup = c.windowRules()
	}
	if sel.Bare {
		return t, nil
	}
	if sel.Match == nil {
		t.Rows = make([]Row, 0, min(c.cat.Len()*len(regions), limit+1))
	}
	for _, id := range c.cat.Sorted() {
		if t.Rows, err = c.rows(t.Rows, id, regions, &sel); err != nil {
			return nil, err
		}
		if len(t.Rows) > limit {
			return nil, ErrTooMany
		}
	}
	return t, nil
}

// rows appends those of one series, if it is wanted: region by region, node by node. With Select.Each their values may be shared
// with the core.
func (c *Core) rows(rows []Row, id reconcile.SeriesID, regions []string, sel *Select) ([]Row, error) {
	if sel.Match != nil && !sel.Match(c.cat.Series(id)) || !c.holds(id) {
		return rows, nil
	}
	for _, region := range regions {
		v, own, ok, err := c.look(id, region)
		if err != nil {
			return rows, err
		}
		if !ok {
			continue
		}
		if !own && sel.Each == nil {
			v = v.Clone()
		}
		if sel.ByNode && region == c.cfg.Region {
			first := len(rows)
			if rows, err = c.byNode(rows, id, v); err != nil {
				return rows, err
			}
			slices.SortFunc(rows[first:], func(a, b Row) int { return cmp.Compare(a.Node, b.Node) })
		} else {
			rows = append(rows, Row{Series: c.cat.Plain(id), Region: region, Value: filled(v)})
		}
	}
	return rows, nil
}

// filled gives a bottom value of a kind with a state that state, so that readers need not ask.
func filled(v crdt.Value) crdt.Value {
	if v.X == nil {
		v.X = crdt.NewState(v.Kind)
	}
	return v
}

// regions returns the regions that this node knows of, in order.
func (c *Core) regions() []string {
	out := []string{c.cfg.Region}
	if c.hub != nil {
		out = append(out, c.hub.entries.Regions()...)
	} else {
		out = append(out, c.views.Regions()...)
	}
	for r := range c.stated {
		out = append(out, r)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// answer returns the total of series id in a region as far as it is known here, if it is of the version that counts; the value
// is the caller's.
func (c *Core) answer(id reconcile.SeriesID, region string) (crdt.Value, bool, error) {
	v, own, ok, err := c.look(id, region)
	if !own {
		v = v.Clone()
	}
	return v, ok, err
}

// look is answer without a copy: what is not the caller's own must not be modified, and changes with the next event.
func (c *Core) look(id reconcile.SeriesID, region string) (v crdt.Value, own, ok bool, err error) {
	if !c.cat.AnySides() {
		return c.uncorrected(id, region)
	}
	if c.cat.IsSide(id) && !mutant.On("sides are seen") {
		return crdt.Value{}, true, false, nil
	}
	if v, own, ok, err = c.uncorrected(id, region); err != nil || len(c.cat.Sides(id)) == 0 {
		return v, own, ok, err
	}
	return c.corrected(id, region, v, own, ok)
}

// uncorrected is look at the cells of a series alone.
func (c *Core) uncorrected(id reconcile.SeriesID, region string) (v crdt.Value, own, ok bool, err error) {
	choice := c.scopes.choices[region]
	if choice != nil && !choice.Counts(id) || region != c.cfg.Region && c.stays(id) {
		return crdt.Value{}, true, false, nil
	}
	if choice != nil {
		if v := choice.Together(id); v != nil {
			return *v, false, true, nil
		}
	}
	return c.known(id, region)
}

// known returns what is known here of series id in a region, whatever version of its metric it is. It is the caller's own or
// as look says.
func (c *Core) known(id reconcile.SeriesID, region string) (v crdt.Value, own, ok bool, err error) {
	switch {
	case c.hub != nil && region == c.cfg.Region:
		return c.knownInside(id)
	case c.hub != nil:
		v, ok = cellOf(c.hub.entries.View(region), id)
		return v, false, ok, nil
	}
	v, ok = cellOf(c.views.Region(region), id)
	if region != c.cfg.Region {
		if v.Kind == crdt.KindRollup {
			if best := c.views.Rollup(region, id); best != nil {
				v.X = best
			}
		}
		return v, false, ok, nil
	}
	if c.alone(id) {
		v, ok, err = c.ownAlone(id)
		return v, true, ok, err
	}
	sum, has, err := c.slots.Answer(id, c.mine)
	if err != nil || !has {
		return v, false, ok, err
	}
	if ok { // what hubs knew before they lost their disks
		_, err = sum.Join(&v, 0, nil, 0)
	}
	return sum, true, true, err
}

// knownInside is known at a hub for its own region.
func (c *Core) knownInside(id reconcile.SeriesID) (v crdt.Value, own, ok bool, err error) {
	v, ok = cellOf(c.hub.entries.View(c.cfg.Region), id)
	t, has := cellOf(c.hub.region.Total, id)
	switch {
	case !has:
		return v, false, ok, nil
	case !ok:
		return t, false, true, nil
	case v.Kind == crdt.KindRollup:
		return c.ownGauge(id, &t), true, true, nil
	}
	if mutant.On("P and N of one entry") && v.Kind == crdt.KindUpDown {
		return reconcile.Greater(t, v), false, true, nil
	}
	t = t.Clone()
	_, err = t.Join(&v, 0, nil, 0)
	return t, true, true, err
}

// cellOf returns a cell, whose value is shared.
func cellOf(d *reconcile.Derived, id reconcile.SeriesID) (crdt.Value, bool) {
	if d == nil {
		return crdt.Value{}, false
	}
	v, _ := d.Cell(id)
	if v == nil {
		return crdt.Value{}, false
	}
	return *v, true
}

// raws returns the copies of single origins of the own region that hold series id, in order.
func (c *Core) raws() []*reconcile.Replica {
	if c.hub == nil {
		return c.mine
	}
	return slices.Clone(c.hub.region.Replicas())
}

// byNode splits the region's total by node, as far as single origins are held here. What they do not add up to, such
// as cold incarnations, keeps a row without a node: the rows always add up to the total.
func (c *Core) byNode(rows []Row, id reconcile.SeriesID, total crdt.Value) ([]Row, error) {
	s := c.cat.Plain(id)
	held := map[string]*crdt.Value{}
	for _, r := range c.raws() {
		v, _ := r.Cell(id)
		if v == nil {
			continue
		}
		part := *v
		if g, ok := v.X.(*crdt.Gauge); ok {
			if !c.countsGauges(r.Origin) {
				continue
			}
			part = crdt.Value{Kind: crdt.KindRollup, X: crdt.RollupOf([]*crdt.Gauge{g})}
		}
		node := held[r.Origin.Node]
		switch {
		case node == nil:
			n := part.Clone()
			held[r.Origin.Node] = &n
		case part.Kind == crdt.KindRollup:
			if part.X.(*crdt.Rollup).Last > node.X.(*crdt.Rollup).Last {
				node.X = part.X
			}
		default:
			if err := node.Combine(&part); err != nil {
				return rows, err
			}
		}
	}
	if err := c.correctNodes(id, held); err != nil {
		return rows, err
	}
	sum := crdt.Bottom(total.Kind)
	for node, v := range held {
		if err := sum.Combine(v); err != nil {
			return rows, err
		}
		rows = append(rows, Row{Series: s, Region: c.cfg.Region, Node: node, Value: filled(*v)})
	}
	switch total.Kind {
	case crdt.KindCounter, crdt.KindUpDown, crdt.KindDistribution:
		rest := crdt.Bottom(total.Kind)
		if err := rest.AddExcess(&total, &sum); err != nil {
			return rows, err
		}
		if !rest.IsNothing() {
			rows = append(rows, Row{Series: s, Region: c.cfg.Region, Value: filled(rest)})
		}
	default:
		if len(held) == 0 {
			rows = append(rows, Row{Series: s, Region: c.cfg.Region, Value: filled(total)})
		}
	}
	return rows, nil
}
