package history

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"meshd/crdt"
	"meshd/internal/mutant"
)

// maxCorrected bounds the windows of sides that a question holds: 200 bytes each, 100 MB.
const maxCorrected = 500_000

// Correct returns src as it is answered with: what corrections that count say is added to and taken from the windows of the series beside which
// it stands, and nobody sees the series that say it (crdt.Side). With nil, src has no such series, and is returned.
func Correct(src Source, counts *crdt.Corrections) Source {
	if counts == nil {
		return src
	}
	c := corrected{Source: src, counts: counts}
	if index, ok := src.(Searcher); ok {
		return &correctedIndex{c, index}
	}
	return &c
}

// Uncovered returns how many windows of src have less than a correction of events in [from, to) takes off: what it corrects is not there yet.
func Uncovered(ctx context.Context, src Source, correction string, from, to int64) (n int, err error) {
	from = crdt.WindowAt(from, crdt.HourMillis).Start // the first window began before the first event, be it as wide as it may
	c := corrected{Source: src, counts: &crdt.Corrections{IDs: []string{correction}}}
	all, err := c.sides(ctx, &Selection{From: from, To: to})
	if err != nil {
		return 0, err
	}
	beside := func(*Curve) error { return nil }
	n, err = c.beside(ctx, Selection{From: from, To: to, Match: func(s *crdt.Series) bool { return all.has[string(s.AppendKey(nil))] }}, all, beside)
	return n, err
}

// corrected is a Source with corrections.
type corrected struct {
	Source
	counts *crdt.Corrections
}

// sideCurves are sums of sides, by whose they are and the series beside which they stand.
type sideCurves struct {
	curves map[sideKey]*sideCurve
	has    map[string]bool // series
	cells  int
}

type sideKey struct {
	owner  Owner
	series string
}

type sideCurve struct {
	owner       Owner
	series      *crdt.Series
	plus, minus map[crdt.Window]*crdt.Value
}

// Curves implements Source.
func (c *corrected) Curves(ctx context.Context, sel Selection, yield func(*Curve) error) error {
	all, err := c.sides(ctx, &sel)
	if err != nil {
		return err
	}
	_, err = c.beside(ctx, sel, all, yield)
	return err
}

// sides reads what stands beside the series of a selection.
func (c *corrected) sides(ctx context.Context, sel *Selection) (*sideCurves, error) {
	all := &sideCurves{curves: map[sideKey]*sideCurve{}, has: map[string]bool{}}
	if len(c.counts.IDs) == 0 {
		return all, nil
	}
	of := c.only(sel, func(crdt.Side) bool { return true })
	err := c.Source.Curves(ctx, of, func(x *Curve) error {
		base, side, _ := x.Series.Side()
		owner := Owner{Region: x.Owner.Region}
		if sel.ByNode {
			owner.Node = side.Node
		}
		return all.add(owner, base, side.Minus, x.Points)
	})
	return all, err
}

// only selects sides of what sel selects. They are found by their label.
func (c *corrected) only(sel *Selection, want func(crdt.Side) bool) Selection {
	of := *sel
	of.Where = append(slices.Clone(sel.Where), LabelTest{Name: crdt.CorrectionLabel, Test: func(text string) bool {
		return c.counts.Counts(strings.TrimRight(text, "+-"))
	}})
	of.Match = func(s *crdt.Series) bool {
		base, side, ok := s.Side()
		return ok && c.counts.Counts(side.ID) && want(side) && (sel.Match == nil || sel.Match(base))
	}
	return of
}

// add takes in the windows of a side.
func (a *sideCurves) add(owner Owner, base *crdt.Series, minus bool, points []Point) error {
	key := sideKey{owner, string(base.AppendKey(nil))}
	to := a.curves[key]
	if to == nil {
		to = &sideCurve{owner, base, map[crdt.Window]*crdt.Value{}, map[crdt.Window]*crdt.Value{}}
		a.curves[key], a.has[key.series] = to, true
	}
	sum := to.plus
	if minus {
		sum = to.minus
	}
	for i := range points {
		p := &points[i]
		v := sum[p.Window]
		if v == nil {
			if a.cells++; a.cells > maxCorrected {
				return fmt.Errorf("%w: corrections of more than %d windows", ErrTooMuch, maxCorrected)
			}
			bottom := crdt.Bottom(p.Value.Kind)
			v = &bottom
			sum[p.Window] = v
		}
		if err := v.Combine(&p.Value); err != nil {
			return err
		}
	}
	return nil
}

// beside yields the curves of a selection as they are corrected, and returns how many windows had less than is taken off.
func (c *corrected) beside(ctx context.Context, sel Selection, all *sideCurves, yield func(*Curve) error) (short int, err error) {
	of, seen := sel, mutant.On("sides in curves")
	of.Match = func(s *crdt.Series) bool { return (seen || !s.IsSide()) && (sel.Match == nil || sel.Match(s)) }
	var key []byte
	err = c.Source.Curves(ctx, of, func(x *Curve) error {
		if len(all.curves) == 0 {
			return yield(x)
		}
		key = x.Series.AppendKey(key[:0])
		if !all.has[string(key)] {
			return yield(x)
		}
		k := sideKey{x.Owner, string(key)}
		side := all.curves[k]
		if side == nil {
			return yield(x)
		}
		delete(all.curves, k)
		out := &Curve{Owner: x.Owner, Series: x.Series}
		n, err := side.apply(out, x.Points)
		short += n
		if err != nil || len(out.Points) == 0 {
			return err
		}
		return yield(out)
	})
	if err != nil {
		return short, err
	}
	for _, side := range slices.SortedFunc(maps.Values(all.curves), (*sideCurve).compare) { // of what nobody counted
		out := &Curve{Owner: side.owner, Series: side.series}
		n, err := side.apply(out, nil)
		if short += n; err == nil && len(out.Points) > 0 {
			err = yield(out)
		}
		if err != nil {
			return short, err
		}
	}
	return short, nil
}

func (s *sideCurve) compare(o *sideCurve) int {
	return cmp.Or(cmp.Compare(s.owner.Region, o.owner.Region), cmp.Compare(s.owner.Node, o.owner.Node),
		slices.Compare(s.series.AppendKey(nil), o.series.AppendKey(nil)))
}

// apply sets the points of out to given ones, which it leaves as they are, as they are corrected.
func (s *sideCurve) apply(out *Curve, given []Point) (short int, err error) {
	out.Points = slices.Clone(given)
	for i := range out.Points {
		out.Points[i].Value = out.Points[i].Value.Clone()
	}
	for _, w := range slices.SortedFunc(maps.Keys(s.plus), compareWindows) {
		p, err := out.at(w, s.plus[w].Kind)
		if err == nil {
			_, err = p.Value.Correct(s.plus[w], nil)
		}
		if err != nil {
			return short, err
		}
	}
	for _, w := range slices.SortedFunc(maps.Keys(s.minus), compareWindows) {
		p, err := out.at(w, s.minus[w].Kind)
		if err != nil {
			return short, err
		}
		whole, err := p.Value.Correct(nil, s.minus[w])
		if err != nil {
			return short, err
		}
		if !whole {
			short++
		}
	}
	out.Points = slices.DeleteFunc(out.Points, func(p Point) bool { return p.Value.IsNothing() })
	return short, nil
}

// at returns the point that a window is in. Narrower ones in it become one, and if there is none it is an empty one.
func (c *Curve) at(w crdt.Window, k crdt.Kind) (*Point, error) {
	first, _ := slices.BinarySearchFunc(c.Points, w.Start, func(p Point, start int64) int { return cmp.Compare(p.Window.End()-1, start) })
	if first < len(c.Points) && c.Points[first].Window.Start <= w.Start && c.Points[first].Window.End() >= w.End() {
		return &c.Points[first], nil
	}
	behind := first
	sum := Point{Window: w, Value: crdt.Bottom(k)}
	for ; behind < len(c.Points) && c.Points[behind].Window.Start < w.End(); behind++ {
		if err := sum.Value.Combine(&c.Points[behind].Value); err != nil {
			return nil, err
		}
	}
	c.Points = slices.Replace(c.Points, first, behind, sum)
	return &c.Points[first], nil
}

// compareWindows orders windows by start, wide ones first.
func compareWindows(a, b crdt.Window) int {
	return cmp.Or(cmp.Compare(a.Start, b.Start), cmp.Compare(b.Width, a.Width))
}

// Series implements Source.
func (c *corrected) Series(ctx context.Context, sel Selection, yield func(*crdt.Series) error) error {
	added := map[string]*crdt.Series{}
	if len(c.counts.IDs) > 0 {
		of := c.only(&sel, func(s crdt.Side) bool { return !s.Minus })
		if err := c.Source.Series(ctx, of, func(s *crdt.Series) error {
			base, _, _ := s.Side()
			added[string(base.AppendKey(nil))] = base
			return nil
		}); err != nil {
			return err
		}
	}
	of := sel
	of.Match = func(s *crdt.Series) bool { return !s.IsSide() && (sel.Match == nil || sel.Match(s)) }
	if err := c.Source.Series(ctx, of, func(s *crdt.Series) error {
		if len(added) > 0 {
			delete(added, string(s.AppendKey(nil)))
		}
		return yield(s)
	}); err != nil {
		return err
	}
	for _, key := range slices.Sorted(maps.Keys(added)) {
		if err := yield(added[key]); err != nil {
			return err
		}
	}
	return nil
}

// correctedIndex is a corrected Searcher.
type correctedIndex struct {
	corrected
	index Searcher
}

var _ Searcher = (*correctedIndex)(nil)

// Values implements Searcher. What values of other labels sides have, series have that they stand beside, or would have.
func (c *correctedIndex) Values(ctx context.Context, label string, f func(string) error) error {
	if reserved(label) {
		return nil
	}
	return c.index.Values(ctx, label, f)
}

// Labels implements Searcher.
func (c *correctedIndex) Labels(ctx context.Context, f func(string) error) error {
	return c.index.Labels(ctx, func(name string) error {
		if reserved(name) {
			return nil
		}
		return f(name)
	})
}

func reserved(label string) bool {
	return label == crdt.CorrectionLabel || label == crdt.CorrectionNodeLabel
}
