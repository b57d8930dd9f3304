package query

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"meshd/crdt"
	"meshd/node"
)

// maxResults bounds an answer: 10,000 results of about 500 bytes are 5 MB. With top the bound is on what is left.
const maxResults = 10_000

// group is the set of rows that become one result.
type group struct {
	series crdt.Series // name, kind and the labels that by keeps
	agg    string      // which aggregate stands for the total; "" is the kind's default
	tally  tally
}

// evaluate sums rows, which are sorted by series, into results. nowMs is the reader's clock in milliseconds since the
// Unix epoch: stamps of gauges far ahead of it are not believed. It takes over the rows' values.
func (q *totalQuery) evaluate(rows []node.Row, nowMs int64) ([]Result, error) {
	groups := map[string]*group{}
	var key []byte
	for i := range rows {
		row := &rows[i]
		if !all(q.sel.region, row.Region) || !all(q.sel.node, row.Node) {
			continue
		}
		s, agg := crdt.Series{Name: row.Series.Name, Kind: row.Series.Kind, Labels: q.labelsOf(row.Series, row.Region, row.Node)}, q.agg
		if q.sel.aggregate(row.Series) && !q.sel.name(s.Name) {
			s.Name, agg = s.Name+":"+q.sel.agg, q.sel.agg
		}
		key = s.AppendKey(key[:0])
		g := groups[string(key)]
		if g == nil {
			g = &group{series: s, agg: agg}
			groups[string(key)] = g
		}
		if err := g.tally.add(row, nowMs); err != nil {
			return nil, fmt.Errorf("query: add %s of region %s: %w", row.Series, row.Region, err)
		}
	}
	results := make([]Result, 0, len(groups))
	for _, g := range slices.SortedFunc(maps.Values(groups), (*group).compare) {
		r, err := q.result(g)
		if err != nil {
			return nil, err
		}
		results = append(results, r)
	}
	if q.top > 0 {
		slices.SortStableFunc(results, func(a, b Result) int { return cmp.Compare(b.Value, a.Value) })
		results = slices.Clip(results[:min(q.top, len(results))])
	}
	if len(results) > maxResults {
		return nil, tooManyResults(len(results))
	}
	return results, nil
}

// labelsOf returns the labels that by keeps of a series and where it was counted, sorted. Absent and empty labels are the same, and left out.
func (q *totalQuery) labelsOf(s *crdt.Series, region, nodeName string) []crdt.Label {
	var out []crdt.Label
	keep := func(name, value string) {
		if value != "" {
			out = append(out, crdt.Label{Name: name, Value: value})
		}
	}
	if q.byAll {
		for _, l := range s.Labels {
			keep(l.Name, l.Value)
		}
		keep(labelRegion, region)
	}
	for _, name := range q.by {
		switch {
		case name == labelNode:
			keep(name, nodeName)
		case q.byAll: // kept already
		case name == labelRegion:
			keep(name, region)
		default:
			keep(name, s.Get(name))
		}
	}
	return crdt.SortLabels(out)
}

func (q *totalQuery) result(g *group) (Result, error) {
	of := *q
	of.agg = g.agg
	amount, err := g.tally.amount(&of)
	if err != nil {
		return Result{}, fmt.Errorf("query: total of %s: %w", &g.series, err)
	}
	return Result{
		Metric: g.series.Name,
		Kind:   g.series.Kind.String(),
		Labels: labelMap(g.series.Labels),
		Amount: amount,
	}, nil
}

func labelMap(ls []crdt.Label) map[string]string {
	out := make(map[string]string, len(ls))
	for _, l := range ls {
		out[l.Name] = l.Value
	}
	return out
}

// compare orders groups by name, kind and labels.
func (g *group) compare(h *group) int {
	a, b := &g.series, &h.series
	return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.Kind.String(), b.Kind.String()),
		slices.CompareFunc(a.Labels, b.Labels, compareLabels))
}
