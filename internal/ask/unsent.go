package ask

import (
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"meshd/crdt"
	"meshd/history"
	"meshd/internal/mutant"
	"meshd/node"
)

// unsent are windows of this node that the hub may not have yet, by series. What of a hub's window is this node's nobody knows, so
// that the two are joined and not added: each is a lower bound of the truth, of each monotone part, and so is the greater one. Own
// windows of a node are contained in its windows at a hub once they are there; own windows of a region are one candidate for its
// total, as own cells are for a lifetime.
type unsent struct {
	curves map[string]*history.Curve
	keys   []string // of curves, in the order in which they were read
}

// slack is by how much a hub may be behind what it says of a node: a window is told some seconds after its end.
const slack = time.Minute

// since returns from when on windows of this node may not be at a hub, which says what it knows of the regions: what ends before is
// there.
func since(of []node.Coverage, self history.Owner) int64 {
	for i := range of {
		c := &of[i]
		if c.Region != self.Region {
			continue
		}
		at := c.CompleteUntil
		if len(c.Missing) > 0 || c.NodesHeard < c.NodesExpected { // this one, maybe, of whose backlog CompleteUntil says nothing
			if c.OldestMissing.Before(at) {
				at = c.OldestMissing
			}
		}
		if at.IsZero() {
			return 0
		}
		return at.Add(-slack).UnixMilli()
	}
	return 0
}

// unsent reads own windows that end after the hub's word of this region.
func (p *Past) unsent(ctx context.Context, sel history.Selection, of []node.Coverage) (*unsent, error) {
	u := &unsent{curves: map[string]*history.Curve{}}
	self := p.asker.cfg.Self
	from := since(of, self)
	sel.From = max(sel.From, from-max(sel.Width, crdt.HourMillis)) // what begins before and is as wide
	if sel.From >= sel.To || sel.Regions != nil && !slices.Contains(sel.Regions, self.Region) {
		return u, nil
	}
	err := p.own.Curves(ctx, sel, func(c *history.Curve) error {
		mine := &history.Curve{Owner: c.Owner, Series: c.Series}
		for i := range c.Points {
			if q := &c.Points[i]; q.Window.End() > from {
				mine.Points = append(mine.Points, history.Point{Window: q.Window, Value: q.Value.Clone()})
			}
		}
		if len(mine.Points) > 0 {
			key := keyOf(mine)
			u.curves[key] = mine
			u.keys = append(u.keys, key)
		}
		return nil
	})
	return u, err
}

func keyOf(c *history.Curve) string {
	return string(c.Series.AppendKey(append([]byte(c.Owner.Region+"/"+c.Owner.Node), 0)))
}

// to joins own windows into a hub's curve.
func (u *unsent) to(c *history.Curve) error {
	if len(u.curves) == 0 {
		return nil
	}
	key := keyOf(c)
	mine := u.curves[key]
	if mine == nil {
		return nil
	}
	delete(u.curves, key)
	points, err := joined(c.Points, mine.Points)
	if err != nil {
		return fmt.Errorf("ask: join windows of %s: %w", c.Series, err)
	}
	c.Points = points
	return nil
}

// rest yields what the hub has no curve for.
func (u *unsent) rest(yield func(*history.Curve) error) error {
	for _, key := range u.keys {
		if c := u.curves[key]; c != nil {
			if err := yield(c); err != nil {
				return err
			}
		}
	}
	return nil
}

// joined joins own windows into those of a hub. Where the hub has windows of another width the own ones are left out: they are
// contained in wider ones or will be, and do not add up with narrower ones.
func joined(hub, own []history.Point) ([]history.Point, error) {
	out := make([]history.Point, 0, len(hub)+len(own))
	behind := int64(math.MinInt64) // the end of the last of out
	for len(hub) > 0 || len(own) > 0 {
		switch {
		case len(own) == 0 || len(hub) > 0 && hub[0].Window.Start < own[0].Window.Start:
			out, hub = append(out, hub[0]), hub[1:]
		case len(hub) > 0 && hub[0].Window == own[0].Window:
			p := hub[0]
			p.Value = p.Value.Clone()
			if err := join(&p.Value, &own[0].Value); err != nil {
				return nil, err
			}
			out, hub, own = append(out, p), hub[1:], own[1:]
		case own[0].Window.Start < behind || len(hub) > 0 && own[0].Window.End() > hub[0].Window.Start:
			own = own[1:]
			continue
		default:
			out, own = append(out, own[0]), own[1:]
		}
		behind = max(behind, out[len(out)-1].Window.End())
	}
	return out, nil
}

func join(v, own *crdt.Value) error {
	if mutant.On("own windows added to a hub's") {
		return v.Combine(own)
	}
	if r, ok := v.X.(*crdt.Rollup); ok { // of a window: who has more samples knows more, whatever the stamps of what was combined
		if mine, ok := own.X.(*crdt.Rollup); ok && mine.Count > r.Count {
			v.X = mine.Clone()
		}
		return nil
	}
	_, err := v.Join(own, 0, nil, 0)
	return err
}
