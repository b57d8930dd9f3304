package node

import (
	"cmp"
	"slices"

	"meshd/crdt"
	"meshd/reconcile"
)

// Explain shows the cells and rules behind the totals of the selected series.
func (c *Core) Explain(at Time, sel Select) (*Explanation, error) {
	c.tell(at)
	c.rollup()
	c.settleCorrections(true)
	c.settleChoices(c.regions())
	limit := cmp.Or(sel.Limit, defaultRows)
	withheld, err := c.withholds(sel)
	if err != nil {
		return nil, err
	}
	e := &Explanation{Coverage: c.Coverage(), Withheld: withheld, Shortfalls: c.shortfalls(&sel)}
	for id := range reconcile.SeriesID(c.cat.Len()) {
		s := c.cat.Series(id)
		if sel.Match != nil && !sel.Match(s) {
			continue
		}
		x := ExplainedSeries{Series: c.cat.Plain(id)}
		for _, region := range c.regions() {
			v, ok, err := c.answer(id, region)
			if err != nil {
				return nil, err
			}
			if ok {
				rule, in := c.inputs(id, region)
				rule += c.ruleText(id, region) + c.correctionText(id)
				x.Answers = append(x.Answers, RegionAnswer{Region: region, Value: filled(v), Rule: rule, Inputs: in})
				limit -= 1 + len(in)
			}
		}
		if len(x.Answers) > 0 {
			e.Series = append(e.Series, x)
		}
		if limit < 0 {
			return nil, ErrTooMany
		}
	}
	slices.SortFunc(e.Series, func(a, b ExplainedSeries) int {
		return cmp.Compare(string(a.Series.AppendKey(nil)), string(b.Series.AppendKey(nil)))
	})
	return e, nil
}

// inputs returns what the answer for a region was made from.
func (c *Core) inputs(id reconcile.SeriesID, region string) (rule string, in []Input) {
	add := func(r *reconcile.Replica, note string) {
		if v, seq := r.Cell(id); v != nil {
			in = append(in, Input{Origin: r.Origin, Seq: seq, Covered: r.Progress[crdt.StreamLifetime].Covered, Value: filled(v.Clone()), Note: note})
		}
	}
	own := region == c.cfg.Region
	switch {
	case c.hub == nil && own:
		for _, r := range c.mine {
			add(r, c.liveNote(r))
		}
		if c.alone(id) {
			return "own cells alone", in
		}
		if d := c.views.Region(region); d != nil {
			add(&d.Replica, "what hubs had before they lost their disks")
		}
		for _, sl := range c.slots.All() {
			add(&sl.Total, "total of a hub, to which own cells beyond it are added")
		}
		return "maximum over hubs of total + own excess, and of own cells alone", in
	case c.hub == nil:
		if d := c.views.Region(region); d != nil {
			add(&d.Replica, "join of what the home hubs sent")
		}
		return "maximum over the views of home hubs", in
	}
	if own {
		for _, r := range c.raws() {
			add(r, c.liveNote(r))
		}
		if v := c.hub.cold.without(id); v != nil {
			in = append(in, Input{Origin: crdt.Origin{Class: crdt.ClassNode, Region: region}, Value: filled(v.Clone()), Note: "sum over cold incarnations"})
		}
		add(&c.hub.region.Total.Replica, "sum of the cells above")
	}
	for _, r := range c.hub.entries.Replicas() {
		if r.Origin.Region == region {
			add(r, "entry of a hub")
		}
	}
	if own {
		return "maximum over the sum of raw cells and the entries of other hubs", in
	}
	return "maximum over hub entries", in
}

func (c *Core) liveNote(r *reconcile.Replica) string {
	if r == c.live {
		return "live incarnation of this node"
	}
	for _, s := range c.sessions {
		if s.peer.Inc == r.Origin.Inc {
			return "live"
		}
	}
	return "earlier incarnation"
}
