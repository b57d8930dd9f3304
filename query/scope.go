package query

import (
	"context"
	"fmt"
	"math"
	"slices"
	"sync"

	"meshd/crdt"
	"meshd/history"
	"meshd/internal/mutant"
	"meshd/node"
)

// scope is the past as rollup rules leave it, for one request. Windows lie there with all labels, those of other regions too. A
// question about time gets what the totals beside it have: nothing that was dropped, of other regions nothing of what stays there, and sums where
// totals are sums; at an edge of what is of scope node what this edge counted.
type scope struct {
	history.Source                // what is asked
	own            history.Source // windows of this node as those of its region, at an edge
	rules          *node.Rollup
	others         func(context.Context) ([]string, error) // regions beside the own one

	mu   sync.Mutex
	ways map[metricKey]way
}

type metricKey struct {
	name string
	kind crdt.Kind
}

// way is what becomes of the series of one metric.
type way struct {
	travels bool
	lacks   [][]string // what regions may lack; nil is all labels
}

// Curves implements history.Source.
func (s *scope) Curves(ctx context.Context, sel history.Selection, yield func(*history.Curve) error) error {
	for _, part := range s.home(&sel) {
		if err := part.from.Curves(ctx, part.sel, yield); err != nil {
			return err
		}
	}
	away, err := s.away(ctx, &sel)
	if err != nil || len(away.Regions) == 0 {
		return err
	}
	sums := newRolledCurves()
	if err := s.Source.Curves(ctx, away, func(c *history.Curve) error {
		lacks := s.rules.Lacks(c.Owner.Region, c.Series.Name, c.Series.Kind)
		if len(lacks) == 0 {
			if !sel.Wants(c.Series) {
				return nil
			}
			return yield(c)
		}
		plain := without(c.Series, lacks)
		if !sel.Wants(plain) {
			return nil
		}
		if mutant.On("curves of a sum one by one") {
			return yield(&history.Curve{Owner: c.Owner, Series: plain, Points: c.Points})
		}
		return sums.add(plain, c)
	}); err != nil {
		return err
	}
	return sums.each(yield)
}

// Series implements history.Source. Nobody says of a series in which regions it is, so that it is yielded in every form that some
// region's has.
func (s *scope) Series(ctx context.Context, sel history.Selection, yield func(*crdt.Series) error) error {
	seen := map[string]bool{}
	once := func(x *crdt.Series) error {
		key := string(x.AppendKey(nil))
		if seen[key] {
			return nil
		}
		seen[key] = true
		return yield(x)
	}
	for _, part := range s.home(&sel) {
		if err := part.from.Series(ctx, part.sel, once); err != nil {
			return err
		}
	}
	away, err := s.away(ctx, &sel)
	if err != nil || len(away.Regions) == 0 {
		return err
	}
	return s.Source.Series(ctx, away, func(x *crdt.Series) error {
		for _, lacks := range s.way(x.Name, x.Kind, away.Regions).lacks {
			if form := without(x, lacks); sel.Wants(form) {
				if err := once(form); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// part is what one source is asked for.
type part struct {
	from history.Source
	sel  history.Selection
}

// home is what is asked of the own region, which has all its labels.
func (s *scope) home(sel *history.Selection) []part {
	if sel.Regions != nil && !slices.Contains(sel.Regions, s.rules.Region) {
		return nil
	}
	all := *sel
	all.Regions = []string{s.rules.Region}
	all.Match = func(x *crdt.Series) bool { return (sel.Match == nil || sel.Match(x)) && !s.rules.Dropped(x) }
	if sel.ByNode || !s.rules.AnyAlone() || s.own == nil || mutant.On("windows of scope node from the region") {
		return []part{{s.Source, all}}
	}
	mine := all
	mine.Names = func(name string) bool { return (sel.Names == nil || sel.Names(name)) && s.rules.Alone(name) }
	all.Names = func(name string) bool { return (sel.Names == nil || sel.Names(name)) && !s.rules.Alone(name) }
	return []part{{s.Source, all}, {s.own, mine}}
}

// away is what is asked of other regions: all series that come to what is wanted. Conditions on labels that some region lacks are left
// to Curves, for what they say of sums.
func (s *scope) away(ctx context.Context, sel *history.Selection) (history.Selection, error) {
	regions, err := s.others(ctx)
	if err != nil {
		return *sel, err
	}
	out := *sel
	out.Regions = slices.DeleteFunc(slices.Clone(regions), func(r string) bool {
		return r == s.rules.Region || sel.Regions != nil && !slices.Contains(sel.Regions, r)
	})
	lacked := s.rules.Lacked()
	out.Equal = slices.DeleteFunc(slices.Clone(sel.Equal), func(l crdt.Label) bool { return lacked[l.Name] })
	out.Where = slices.DeleteFunc(slices.Clone(sel.Where), func(l history.LabelTest) bool { return lacked[l.Name] })
	out.Tests = slices.DeleteFunc(slices.Clone(sel.Tests), func(t history.Test) bool { return lacked[t.Label] })
	out.Match = func(x *crdt.Series) bool {
		w := s.way(x.Name, x.Kind, out.Regions)
		return w.travels && !s.rules.Dropped(x) && slices.ContainsFunc(w.lacks, func(l []string) bool { return sel.Wants(without(x, l)) })
	}
	return out, nil
}

// way returns what becomes of a metric.
func (s *scope) way(name string, k crdt.Kind, regions []string) way {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := metricKey{name, k}
	w, known := s.ways[key]
	if known {
		return w
	}
	w.travels = s.rules.Travels(name, k) || mutant.On("windows of what stays")
	for _, r := range regions {
		lacks := s.rules.Lacks(r, name, k)
		if !slices.ContainsFunc(w.lacks, func(l []string) bool { return slices.Equal(l, lacks) }) {
			w.lacks = append(w.lacks, lacks)
		}
	}
	if s.ways == nil {
		s.ways = map[metricKey]way{}
	}
	s.ways[key] = w
	return w
}

// without returns a series without some labels.
func without(x *crdt.Series, names []string) *crdt.Series {
	if !slices.ContainsFunc(x.Labels, func(l crdt.Label) bool { return slices.Contains(names, l.Name) }) {
		return x
	}
	out := *x
	out.Gen = 0
	out.Labels = slices.DeleteFunc(slices.Clone(x.Labels), func(l crdt.Label) bool { return slices.Contains(names, l.Name) })
	return &out
}

// rolledCurves adds curves up that are one without some labels.
type rolledCurves struct {
	curves map[string]*rolledCurve
	order  []*rolledCurve
	cells  int
	most   int // of them
	states int // bytes
}

type rolledCurve struct {
	owner  history.Owner
	series *crdt.Series
	points map[crdt.Window]*rolledPoint
}

type rolledPoint struct {
	window crdt.Window
	value  crdt.Value
	sum    floatSum // of a gauge's samples
}

// maxRolled bounds the windows of sums without labels that a question holds: 150 bytes each, 75 MB, as a question over time has for its
// counters. Their states are bounded as its are.
const maxRolled = 500_000

var errRolled = fmt.Errorf("%w: sums without labels that rollup rules drop take too much memory", history.ErrTooMuch)

func newRolledCurves() *rolledCurves {
	return &rolledCurves{curves: map[string]*rolledCurve{}, most: maxRolled}
}

// add takes a curve in under the series that it becomes. It keeps nothing of the curve.
func (r *rolledCurves) add(as *crdt.Series, c *history.Curve) error {
	key := string(as.AppendKey(append([]byte(c.Owner.Region+"/"+c.Owner.Node), 0)))
	to := r.curves[key]
	if to == nil {
		to = &rolledCurve{owner: c.Owner, series: as, points: map[crdt.Window]*rolledPoint{}}
		r.curves[key] = to
		r.order = append(r.order, to)
	}
	for i := range c.Points {
		p := &c.Points[i]
		at := to.points[p.Window]
		if at == nil {
			at = &rolledPoint{window: p.Window, value: crdt.Bottom(p.Value.Kind)}
			to.points[p.Window] = at
			r.cells++
		}
		before := sizeOf(&at.value)
		if err := at.add(&p.Value, nil); err != nil {
			return err
		}
		r.states += sizeOf(&at.value) - before
	}
	if r.cells > r.most || r.states > maxStateBytes {
		return errRolled
	}
	return nil
}

func sizeOf(v *crdt.Value) int {
	if v.X == nil {
		return 0
	}
	return v.X.Size()
}

// add adds a value; sum is that of its samples if it is known in more digits than the value's.
func (p *rolledPoint) add(v *crdt.Value, sum *floatSum) error {
	if err := p.value.Combine(v); err != nil {
		return tooLarge(fmt.Errorf("query: add windows without labels: %w", err))
	}
	switch r, ok := v.X.(*crdt.Rollup); {
	case ok && sum == nil:
		p.sum.add(r.Sum)
	case ok:
		p.sum.merge(*sum)
	}
	return nil
}

// each yields the sums. Some curves may have wide windows where others have narrow ones in them: those are added up.
func (r *rolledCurves) each(yield func(*history.Curve) error) error {
	for _, c := range r.order {
		points := make([]*rolledPoint, 0, len(c.points))
		for _, p := range c.points {
			points = append(points, p)
		}
		slices.SortFunc(points, func(a, b *rolledPoint) int {
			if a.window.Start != b.window.Start {
				return int(max(-1, min(1, a.window.Start-b.window.Start)))
			}
			return int(max(-1, min(1, b.window.Width-a.window.Width))) // the widest first
		})
		out := &history.Curve{Owner: c.owner, Series: c.series}
		var last *rolledPoint
		behind := int64(math.MinInt64)
		kept := points[:0]
		for _, p := range points {
			if p.window.Start < behind {
				if err := last.add(&p.value, &p.sum); err != nil {
					return err
				}
				continue
			}
			last, behind = p, p.window.End()
			kept = append(kept, p)
		}
		for _, p := range kept {
			if g, ok := p.value.X.(*crdt.Rollup); ok {
				g.Sum = p.sum.value()
			}
			out.Points = append(out.Points, history.Point{Window: p.window, Value: p.value})
		}
		if len(out.Points) > 0 {
			if err := yield(out); err != nil {
				return err
			}
		}
	}
	return nil
}
