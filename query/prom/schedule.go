package prom

import (
	"slices"

	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/storage"

	"meshd/crdt"
	"meshd/internal/mutant"
)

// selector is what the expression says about one selector and the hints do not.
type selector struct {
	inSubquery bool  // evaluated at multiples of the step, not from the start of the query
	offset     int64 // ms back from the time of evaluation
	byNode     bool  // something above it groups or matches by node
	// labels are those of the series that the answer depends on, "*" for all.
	labels []string
	except []string // that it does not depend on, though labels are all
}

// selectors finds the facts about every vector selector of an expression, by the first of its matchers: the engine hands
// that very slice to Select.
func selectors(expr parser.Expr) map[*matcher]selector {
	out := make(map[*matcher]selector)
	parser.Inspect(expr, func(n parser.Node, path []parser.Node) error {
		vs, ok := n.(*parser.VectorSelector)
		if !ok || len(vs.LabelMatchers) == 0 {
			return nil
		}
		s := selector{offset: vs.OriginalOffset.Milliseconds()}
		for _, above := range path {
			switch x := above.(type) {
			case *parser.SubqueryExpr:
				s.inSubquery = true
			case *parser.AggregateExpr:
				s.byNode = s.byNode || !x.Without && slices.Contains(x.Grouping, labelNode)
			case *parser.BinaryExpr:
				s.byNode = s.byNode || x.VectorMatching != nil && x.VectorMatching.On && slices.Contains(x.VectorMatching.MatchingLabels, labelNode)
			}
		}
		s.labels, s.except = seen(path)
		out[vs.LabelMatchers[0]] = s
		return nil
	})
	return out
}

// seen returns the labels of a selector's series that what is above it, the outermost first, tells apart: those that the nearest sum
// groups by, all but some if it sums without those, all if something between them looks at more.
func seen(path []parser.Node) (labels, except []string) {
	for _, above := range slices.Backward(path) {
		switch x := above.(type) {
		case *parser.AggregateExpr:
			switch {
			case slices.Contains([]parser.ItemType{parser.TOPK, parser.BOTTOMK, parser.LIMITK, parser.LIMIT_RATIO}, x.Op):
				return []string{"*"}, nil
			case x.Without:
				return []string{"*"}, x.Grouping
			}
			return x.Grouping, nil
		case *parser.BinaryExpr:
			if x.VectorMatching != nil {
				return []string{"*"}, nil
			}
		case *parser.Call:
			if x.Func.Name == "label_replace" || x.Func.Name == "label_join" {
				return []string{"*"}, nil
			}
		}
	}
	return []string{"*"}, nil
}

// evals are the times at which a selector is evaluated, in time of the data: first, first+step, ... up to last.
type evals struct{ first, last, step int64 } // ms; step 0: at first only

// evalsOf finds them from what the engine says of the range of data that it wants. lookback is that of the query.
func evalsOf(h *storage.SelectHints, s selector, lookback int64) evals {
	reach := h.Range
	if reach == 0 {
		reach = lookback
	}
	e := evals{first: h.Start - 1 + reach, last: h.End, step: h.Step}
	if e.first >= e.last || e.step <= 0 {
		return evals{first: e.last, last: e.last}
	}
	if s.inSubquery && !mutant.On("subqueries begin with the query") { // (engine.go, eval of SubqueryExpr)
		e.first = ceilTo(e.first+s.offset, e.step) - s.offset
	}
	e.last -= (e.last - e.first) % e.step
	return e
}

func (e evals) count() int64 {
	if e.step == 0 {
		return 1
	}
	return (e.last-e.first)/e.step + 1
}

// all calls f for every time.
func (e evals) all(f func(t int64)) {
	for t := e.first; ; t += e.step {
		f(t)
		if e.step == 0 || t > e.last-e.step {
			return
		}
	}
}

// alignedTo returns the widest of widths that all edges of the evaluated ranges are multiples of, 0 if none is: windows so wide
// say the same about these ranges as narrow ones.
func (e evals) alignedTo(reach int64, widths []int64) int64 {
	best := int64(0)
	for _, w := range widths {
		if w > best && e.first%w == 0 && e.step%w == 0 && reach%w == 0 {
			best = w
		}
	}
	return best
}

func ceilTo(t, step int64) int64 { return floorTo(t+step-1, step) }

func floorTo(t, step int64) int64 {
	if r := t % step; r < 0 {
		return t - r - step
	}
	return t - t%step
}

// instant is one sample to make of a cumulative curve.
type instant struct {
	t      int64 // when the engine sees it
	upTo   int64 // all windows that end by then are contained
	begins bool  // count from 0 again, as a counter that was reset: what came before is in the sample before
}

// edges are the samples that make rate and increase exact. The engine takes the last minus the first sample of
// (eval-reach, eval], adds what resets hid, and extrapolates to the edges by what is missing there. So it gets one
// at the end of each range and a reset to 0 right behind its start: the first sample is 0, therefore the engine finds nothing to
// extrapolate at the start; the sample before the reset keeps the sum of ranges that overlap. (A window that ends within the
// very millisecond behind a start counts for the range that starts there, and not for one that ends there.)
func edges(e evals, reach int64) []instant {
	out := make([]instant, 0, 3*e.count())
	e.all(func(t int64) {
		out = append(out, instant{t: t - reach, upTo: t - reach}, instant{t: t - reach + 1, upTo: t - reach, begins: true}, instant{t: t, upTo: t})
	})
	return inOrder(out)
}

// bounds are samples at the edges of ranges without resets, for functions that take differences of any curve.
func bounds(e evals, reach int64) []instant {
	out := make([]instant, 0, 2*e.count())
	e.all(func(t int64) {
		out = append(out, instant{t: t - reach + 1, upTo: t - reach}, instant{t: t, upTo: t})
	})
	return inOrder(out)
}

// moments are samples at the times of evaluation themselves.
func moments(e evals) []instant {
	out := make([]instant, 0, e.count())
	e.all(func(t int64) { out = append(out, instant{t: t, upTo: t}) })
	return out
}

// lastTwo are samples at the ends of the last two windows before each evaluation, for functions that look at the last two.
func lastTwo(e evals, width int64) []instant {
	out := make([]instant, 0, 2*e.count())
	e.all(func(t int64) {
		end := floorTo(t, width)
		out = append(out, instant{t: end - width, upTo: end - width}, instant{t: end, upTo: end})
	})
	return inOrder(out)
}

// grid are samples at the end of every window of (from, to], as if the curve had been scraped then.
func grid(from, to, width int64) []instant {
	var out []instant
	for t := floorTo(from, width) + width; t <= to; t += width {
		out = append(out, instant{t: t, upTo: t})
	}
	return out
}

// inOrder sorts by time and keeps one instant a time, a reset before others.
func inOrder(in []instant) []instant {
	slices.SortFunc(in, func(a, b instant) int {
		switch {
		case a.t != b.t && a.t < b.t, a.t == b.t && a.begins && !b.begins:
			return -1
		case a.t != b.t, b.begins && !a.begins:
			return 1
		}
		return 0
	})
	return slices.CompactFunc(in, func(a, b instant) bool { return a.t == b.t })
}

// end returns when a window ends, which is when what it counted is in a curve.
func end(w crdt.Window) int64 { return w.Start + w.Width }
