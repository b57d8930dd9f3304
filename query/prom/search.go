package prom

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/util/annotations"

	"meshd/crdt"
	"meshd/history"
)

// maxFound bounds the distinct names, values or series of one search: 1 M of some 100 bytes.
const maxFound = 1_000_000

// span is a range of time: [from, to], ms.
type span struct{ from, to int64 }

// each calls f for every series that the conditions match and that may have a window in the span, with where it was counted if the
// conditions or the caller ask for that, which takes longer.
func (q *queryable) each(ctx context.Context, c *conditions, in span, owners bool, f func(*crdt.Series, history.Owner) error) error {
	sel := c.selection()
	sel.From, sel.To, sel.Width = floorTo(in.from, widths[len(widths)-1]), in.to+1, widths[len(widths)-1]
	if !owners && len(c.region)+len(c.node) == 0 {
		return q.cfg.History.Series(ctx, sel, func(s *crdt.Series) error { return f(s, history.Owner{}) })
	}
	sel.ByNode = c.byNode()
	return q.cfg.History.Curves(ctx, sel, func(x *history.Curve) error {
		if !c.owner(x.Owner) {
			return nil
		}
		return f(x.Series, x.Owner)
	})
}

// names returns the names of the labels of the series, sorted.
func (q *queryable) names(ctx context.Context, c *conditions, in span) ([]string, error) {
	found := set{}
	if index, ok := q.cfg.History.(history.Searcher); ok && c.none() {
		some := false
		err := index.Values(ctx, "", func(string) error { some = true; return errEnough })
		if err = errors.Join(notEnough(err), index.Labels(ctx, found.add)); some {
			found[model.MetricNameLabel], found[labelRegion], found[labelNode] = struct{}{}, struct{}{}, struct{}{}
		}
		return found.sorted(), err
	}
	err := q.each(ctx, c, in, false, func(s *crdt.Series, _ history.Owner) error {
		if len(found) == 0 {
			found[model.MetricNameLabel], found[labelRegion], found[labelNode] = struct{}{}, struct{}{}, struct{}{}
		}
		for _, l := range s.Labels {
			if err := found.add(l.Name); err != nil {
				return err
			}
		}
		return nil
	})
	return found.sorted(), err
}

// values returns the values of one label, sorted.
func (q *queryable) values(ctx context.Context, name string, c *conditions, in span) ([]string, error) {
	found := set{}
	err := error(nil)
	index, indexed := q.cfg.History.(history.Searcher)
	indexed = indexed && c.none()
	switch name {
	case labelRegion, labelNode:
		err = q.places(ctx, name, c, in, found)
	case model.MetricNameLabel:
		if indexed {
			err = index.Values(ctx, "", found.add)
			break
		}
		err = q.each(ctx, c, in, false, func(s *crdt.Series, _ history.Owner) error { return found.add(s.Name) })
	default:
		if indexed {
			err = index.Values(ctx, name, func(v string) error {
				if v == "" {
					return nil
				}
				return found.add(v)
			})
			break
		}
		err = q.each(ctx, c, in, false, func(s *crdt.Series, _ history.Owner) error {
			if v := s.Get(name); v != "" {
				return found.add(v)
			}
			return nil
		})
	}
	return found.sorted(), err
}

// places finds regions and nodes: without conditions those of the mesh, otherwise those with a window of the series.
func (q *queryable) places(ctx context.Context, name string, c *conditions, in span, found set) error {
	add := func(o history.Owner) error {
		v := o.Region
		if name == labelNode {
			v = o.Node
		}
		if v == "" {
			return nil
		}
		return found.add(v)
	}
	if len(c.names)+len(c.equal)+len(c.where)+len(c.labels)+len(c.kind) > 0 {
		sel := c.selection()
		sel.From, sel.To, sel.Width = floorTo(in.from, widths[len(widths)-1]), in.to+1, widths[len(widths)-1]
		sel.ByNode = name == labelNode || c.byNode()
		return q.cfg.History.Curves(ctx, sel, func(x *history.Curve) error {
			if !c.owner(x.Owner) {
				return nil
			}
			return add(x.Owner)
		})
	}
	var all []history.Owner
	for name := range q.regions {
		all = append(all, history.Owner{Region: name})
	}
	if q.cfg.Nodes != nil {
		nodes, err := q.cfg.Nodes(ctx)
		if err != nil {
			return err
		}
		all = append(all, nodes...)
	}
	for _, o := range all {
		if c.owner(o) {
			if err := add(o); err != nil {
				return err
			}
		}
	}
	return nil
}

// list returns the labels of the series themselves, at most limit and one more if limit is not 0, so that the caller sees that
// there are more.
func (q *queryable) list(ctx context.Context, c *conditions, in span, limit int) ([]labels.Labels, error) {
	var all []*found
	err := q.each(ctx, c, in, true, func(s *crdt.Series, o history.Owner) error {
		if len(all) == maxFound {
			return errTooManyFound
		}
		all = append(all, &found{key: s, owner: o, series: new(series)})
		if limit > 0 && len(all) > limit {
			return errEnough
		}
		return nil
	})
	if err != nil && !errors.Is(err, errEnough) {
		return nil, err
	}
	out := make([]labels.Labels, 0, len(all))
	for _, s := range distinct(all) {
		out = append(out, s.labels)
	}
	return out, nil
}

var (
	errEnough       = errors.New("prom: enough")
	errTooManyFound = fmt.Errorf("more than %d results: narrow match[], start and end, or set limit", maxFound)
)

// notEnough is err unless it ended a search on purpose.
func notEnough(err error) error {
	if errors.Is(err, errEnough) {
		return nil
	}
	return err
}

// set holds what a search found.
type set map[string]struct{}

func (s set) add(v string) error {
	if _, has := s[v]; !has && len(s) == maxFound {
		return errTooManyFound
	}
	s[v] = struct{}{}
	return nil
}

func (s set) sorted() []string { return slices.Sorted(maps.Keys(s)) }

// LabelValues implements storage.Querier.
func (q *queryable) LabelValues(ctx context.Context, name string, _ *storage.LabelHints, ms ...*matcher) ([]string, annotations.Annotations, error) {
	out, err := q.values(ctx, name, conditionsOf(ms), span{0, maxTime})
	return out, nil, err
}

// LabelNames implements storage.Querier.
func (q *queryable) LabelNames(ctx context.Context, _ *storage.LabelHints, ms ...*matcher) ([]string, annotations.Annotations, error) {
	out, err := q.names(ctx, conditionsOf(ms), span{0, maxTime})
	return out, nil, err
}
