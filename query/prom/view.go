package prom

import (
	"context"
	"fmt"
	"slices"

	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/util/annotations"

	"meshd/crdt"
	"meshd/history"
	"meshd/internal/mutant"
	"meshd/node"
)

// view is one selector on its way to series.
type view struct {
	*queryable
	hints      *storage.SelectHints
	conditions *conditions
	facts      selector
	evals      evals
	reach      int64 // how far back an evaluation looks, ms
	instants   []instant
	style      style
	tails      map[string]crdt.Value // what was counted after the range, of anchored series
	lifetimes  []node.Row
	anchors    map[string]*node.Row // by key
	handled    map[string]bool      // anchored series that had a curve
	out        []*found
	notes      annotations.Annotations
}

// found is a series before its labels are final.
type found struct {
	key    *crdt.Series
	owner  history.Owner
	series *series
}

// style is how cumulative curves are sampled for a function.
type style int

const (
	atMoments style = iota // at the times of evaluation: no range
	atEdges                // rate, increase
	atBounds               // delta
	atLastTwo              // irate, idelta
	onGrid                 // the rest
	asIs                   // at the ends of windows that exist: exact=0
)

func (v *view) chooseStyle() style {
	switch {
	case v.plain:
		return asIs
	case v.hints.Range == 0:
		return atMoments
	}
	switch v.hints.Func {
	case "rate", "increase":
		return atEdges
	case "delta":
		return atBounds
	case "irate", "idelta":
		return atLastTwo
	}
	return onGrid
}

// anchored reports whether a curve's height matters, and not only its rises.
func (s style) anchored() bool { return s == atMoments || s == onGrid || s == asIs }

// prepare finds what is the same for all curves.
func (v *view) prepare(ctx context.Context) error {
	v.style = v.chooseStyle()
	switch v.style {
	case atEdges:
		v.instants = edges(v.evals, v.hints.Range)
	case atBounds:
		v.instants = bounds(v.evals, v.hints.Range)
	case atMoments:
		v.instants = moments(v.evals)
	case atLastTwo, onGrid, asIs:
	}
	if v.style.anchored() {
		return v.anchor(ctx)
	}
	return nil
}

// anchor reads the lifetimes of the series that are cumulative.
func (v *view) anchor(ctx context.Context) error {
	if v.cfg.Totals == nil {
		return nil
	}
	sel := node.Select{
		Match:  func(s *crdt.Series) bool { return cumulative(s.Kind) && v.conditions.series(s) },
		ByNode: v.byNode(),
		Names:  v.conditions.named(),
	}
	var t *node.Totals
	var err error
	if v.totals != nil {
		t, err = v.totals(ctx, sel, v.conditions.tests())
	} else {
		t, err = v.cfg.Totals(ctx, sel)
	}
	if err != nil {
		return fmt.Errorf("prom: read totals: %w", err)
	}
	v.lifetimes = t.Rows
	v.anchors = make(map[string]*node.Row, len(t.Rows))
	for i := range t.Rows {
		r := &t.Rows[i]
		v.anchors[keyOf(r.Series, history.Owner{Region: r.Region, Node: r.Node})] = r
	}
	v.tails = map[string]crdt.Value{}
	return nil
}

// The kinds that cumulative tells apart, of those that have windows.
var (
	additiveKinds = []crdt.Kind{crdt.KindCounter, crdt.KindUpDown, crdt.KindDistribution}
	otherKinds    = []crdt.Kind{crdt.KindGauge, crdt.KindUnique, crdt.KindObserved, crdt.KindHistogram, crdt.KindSet}
)

func cumulative(k crdt.Kind) bool {
	return k == crdt.KindCounter || k == crdt.KindUpDown || k == crdt.KindDistribution
}

// keyOf names a curve and the lifetime that it stands on. Generations are left out: sums without labels may have another one than what
// they were made of, and of a series one generation lives.
func keyOf(s *crdt.Series, o history.Owner) string {
	if s.Gen != 0 {
		plain := *s
		plain.Gen = 0
		s = &plain
	}
	b := append(append([]byte(o.Region), 0), o.Node...)
	return string(s.AppendKey(append(b, 0)))
}

func (v *view) byNode() bool { return v.facts.byNode || v.conditions.byNode() }

// horizon is up to when the windows of a region are complete. What nothing is known of is complete as far as it goes.
func (v *view) horizon(region string) int64 {
	if r, ok := v.regions[region]; ok && !mutant.On("rates of what is cut off are 0") {
		return r.Until
	}
	return v.now
}

// curves reads the windows that the evaluations look at, and those behind them that the height of curves depends on.
func (v *view) curves(ctx context.Context) error {
	base := v.conditions.selection()
	base.ByNode = v.byNode()
	rest := base.Match
	only := func(want bool) func(*crdt.Series) bool {
		return func(s *crdt.Series) bool { return cumulative(s.Kind) == want && (rest == nil || rest(s)) }
	}
	from, to := v.hints.Start-1, v.evals.last
	wide := v.evals.alignedTo(v.hints.Range, widths)
	additive := base
	additive.Match, additive.Width, additive.Kinds = only(true), wide, additiveKinds
	if v.style == atLastTwo || v.style == onGrid || v.style == asIs {
		additive.Width = 0
	}
	if v.style == atEdges || v.style == atBounds || v.style == atLastTwo { // the newest rates repeat the last whole range
		from -= v.lookback
	}
	additive.From, additive.To = floorTo(from, max(additive.Width, 1)), to
	if err := v.readTails(ctx, additive); err != nil {
		return err
	}
	if err := v.cfg.History.Curves(ctx, additive, v.addCumulative); err != nil {
		return err
	}
	others := base
	others.Newest, others.Kinds = v.newest(), otherKinds
	for _, wider := range []bool{true, false} {
		others.Width, others.To = 0, to+1 // a sample of the very time of an evaluation counts
		if wider {
			others.Width, others.To = wide, to
		}
		others.From = floorTo(v.hints.Start-1-finest, max(others.Width, 1))
		others.Match = func(s *crdt.Series) bool {
			return !cumulative(s.Kind) && (wide > 0 && v.wideEnough(s.Kind)) == wider && (rest == nil || rest(s))
		}
		if wider && wide == 0 {
			continue
		}
		if err := v.cfg.History.Curves(ctx, others, v.addOther); err != nil {
			return err
		}
	}
	return nil
}

// newest reports whether of gauges only the newest samples matter.
func (v *view) newest() bool {
	if v.plain || v.hints.Range == 0 {
		return true
	}
	return !slices.Contains([]string{"avg_over_time", "min_over_time", "max_over_time"}, v.hints.Func)
}

// wideEnough reports whether wide windows that end where ranges do tell as much as narrow ones: the newest sample of a range is
// also that of its last window, whatever its width.
func (v *view) wideEnough(k crdt.Kind) bool {
	if v.plain {
		return false
	}
	newest := v.hints.Range == 0 || v.hints.Func == "last_over_time"
	switch k {
	case crdt.KindGauge:
		return newest || v.hints.Func == "min_over_time" || v.hints.Func == "max_over_time" || v.hints.Func == "avg_over_time" && v.apart()
	case crdt.KindObserved, crdt.KindHistogram:
		return newest
	case crdt.KindUnique:
		return v.hints.Func == "last_over_time"
	default:
		return false
	}
}

// apart reports whether the evaluated ranges do not overlap.
func (v *view) apart() bool { return v.evals.step == 0 || v.evals.step >= v.hints.Range }

// readTails reads what was counted after the range: up to the next minute in the finest windows, up to the next hour in those of a
// minute, then in those of an hour.
func (v *view) readTails(ctx context.Context, sel history.Selection) error {
	if v.anchors == nil {
		return nil
	}
	sel.From, sel.Width = sel.To, 0
	for _, w := range append(slices.Clone(widths), maxTime) {
		if sel.To = ceilTo(sel.From, w); sel.To > sel.From {
			if err := v.cfg.History.Curves(ctx, sel, v.addTail); err != nil {
				return err
			}
		}
		sel.From, sel.Width = sel.To, w
	}
	return nil
}

// maxTime is after all windows.
const maxTime = int64(1) << 60

// addTail takes what was counted after the range.
func (v *view) addTail(c *history.Curve) error {
	if !v.conditions.owner(c.Owner) {
		return nil
	}
	key := keyOf(c.Series, c.Owner)
	sum, ok := v.tails[key]
	if !ok {
		sum = crdt.Bottom(c.Series.Kind)
	}
	for i := range c.Points {
		if err := sum.Combine(&c.Points[i].Value); err != nil {
			return fmt.Errorf("prom: add windows: %w", err)
		}
	}
	v.tails[key] = sum
	return nil
}
