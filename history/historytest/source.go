// Package historytest holds windows in memory, for tests of what reads history.
package historytest

import (
	"context"
	"slices"
	"sync"

	"meshd/crdt"
	"meshd/history"
)

// Source is a history.Source that holds what Add gave it. The zero Source is empty.
type Source struct {
	mu     sync.Mutex
	curves []*history.Curve
}

var _ history.Source = (*Source)(nil)

// Add puts points into the curve of owner and series, after those of earlier calls. A point whose window is there already is
// combined with it. Tiers are the caller's: nothing is folded into wider windows.
func (s *Source) Add(owner history.Owner, series *crdt.Series, points ...history.Point) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.curve(owner, series)
	for _, p := range points {
		i, held := slices.BinarySearchFunc(c.Points, p.Window, func(q history.Point, w crdt.Window) int {
			return compareWindows(q.Window, w)
		})
		if !held {
			c.Points = slices.Insert(c.Points, i, history.Point{Window: p.Window, Value: p.Value.Clone()})
			continue
		}
		if err := c.Points[i].Value.Combine(&p.Value); err != nil {
			panic(err) // a test that adds what does not fit is wrong
		}
	}
}

func (s *Source) curve(owner history.Owner, series *crdt.Series) *history.Curve {
	for _, c := range s.curves {
		if c.Owner == owner && string(c.Series.AppendKey(nil)) == string(series.AppendKey(nil)) {
			return c
		}
	}
	c := &history.Curve{Owner: owner, Series: series}
	s.curves = append(s.curves, c)
	return c
}

func compareWindows(a, b crdt.Window) int {
	if a.Width != b.Width {
		return int(a.Width - b.Width)
	}
	return int(a.Start - b.Start)
}

// Curves implements history.Source. Of the widths held it takes the widest that is not above the wanted one, for the whole
// range, or the narrowest if all are wider.
func (s *Source) Curves(ctx context.Context, sel history.Selection, yield func(*history.Curve) error) error {
	s.mu.Lock()
	curves := slices.Clone(s.curves)
	s.mu.Unlock()
	for _, c := range curves {
		if err := ctx.Err(); err != nil {
			return err
		}
		if !wanted(&sel, c) {
			continue
		}
		out := history.Curve{Owner: c.Owner, Series: c.Series}
		width := chooseWidth(c.Points, sel.Width)
		for _, p := range c.Points {
			if p.Window.Width == width && p.Window.Start >= sel.From && p.Window.Start < sel.To {
				out.Points = append(out.Points, p)
			}
		}
		if len(out.Points) == 0 {
			continue
		}
		if err := yield(&out); err != nil {
			return err
		}
	}
	return nil
}

func wanted(sel *history.Selection, c *history.Curve) bool {
	return sel.ByNode == (c.Owner.Node != "") && (sel.Regions == nil || slices.Contains(sel.Regions, c.Owner.Region)) && sel.Wants(c.Series)
}

// chooseWidth takes points that are sorted by width.
func chooseWidth(points []history.Point, wanted int64) int64 {
	best := int64(0)
	for _, p := range points {
		if best == 0 || p.Window.Width <= wanted {
			best = p.Window.Width
		}
	}
	return best
}

// Series implements history.Source.
func (s *Source) Series(ctx context.Context, sel history.Selection, yield func(*crdt.Series) error) error {
	s.mu.Lock()
	curves := slices.Clone(s.curves)
	s.mu.Unlock()
	seen := make(map[string]bool)
	for _, c := range curves {
		if err := ctx.Err(); err != nil {
			return err
		}
		if key := string(c.Series.AppendKey(nil)); wanted(&sel, c) && !seen[key] {
			seen[key] = true
			if err := yield(c.Series); err != nil {
				return err
			}
		}
	}
	return nil
}
