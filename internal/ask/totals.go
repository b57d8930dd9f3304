package ask

import (
	"context"
	"errors"
	"slices"

	"meshd/crdt"
	"meshd/history"
	"meshd/internal/mutant"
	"meshd/internal/wire"
	"meshd/node"
)

// Lifetimes travel as curves with one window.
var allTime = crdt.Window{Width: crdt.HourMillis}

// standing reports whether a kind has a lifetime that curves stand on.
func standing(k crdt.Kind) bool {
	return k == crdt.KindCounter || k == crdt.KindUpDown || k == crdt.KindDistribution
}

// totals answers with lifetimes.
func (a *Answerer) totals(ctx context.Context, q *wire.Query, w *wanted, out *reply) error {
	sel := w.selection(q)
	t, err := a.cfg.Totals(ctx, node.Select{
		Match: func(s *crdt.Series) bool { return standing(s.Kind) && sel.Wants(s) }, ByNode: q.ByNode, Limit: maxCurves,
	})
	if errors.Is(err, node.ErrTooMany) {
		return errTooBig
	}
	if err != nil {
		return err
	}
	var cw history.CurveWriter
	for i := range t.Rows {
		r := &t.Rows[i]
		if !w.owner(history.Owner{Region: r.Region, Node: r.Node}) || q.Regions != nil && !slices.Contains(q.Regions, r.Region) {
			continue
		}
		if err := out.count(); err != nil {
			return err
		}
		c := history.Curve{Owner: history.Owner{Region: r.Region, Node: r.Node}, Series: r.Series, Points: []history.Point{{Window: allTime, Value: r.Value}}}
		if out.body, err = cw.Append(out.body, &c, partBytes, out.flush); err != nil {
			return err
		}
	}
	return nil
}

// Totals returns lifetimes: own says what this node holds, which is all of regions, and of single nodes its own cells. Those of the
// other nodes of the region the hub tells; its own ones are joined with what the hub has of it. Tests narrow what travels, as those of
// a history.Selection do.
func (p *Past) Totals(ctx context.Context, sel node.Select, tests []history.Test, own func(context.Context, node.Select) (*node.Totals, error)) (*node.Totals, error) {
	t, err := own(ctx, sel)
	if err != nil || !sel.ByNode || mutant.On("curves of others stand on nothing") {
		return t, err
	}
	h, _, some, err := p.hub(ctx)
	if err != nil || !some {
		return t, err
	}
	self := p.asker.cfg.Self
	mine := map[string]int{} // places of this node's rows
	rows := make([]node.Row, 0, len(t.Rows))
	for _, r := range t.Rows {
		if r.Region == self.Region && standing(r.Series.Kind) {
			if r.Node == self.Node {
				mine[string(r.Series.AppendKey(nil))] = len(rows)
				rows = append(rows, r)
			}
			continue // the rest of the region, of which the hub tells the parts
		}
		rows = append(rows, r)
	}
	q := queryOf(wire.AskTotals, &history.Selection{ByNode: true, Regions: []string{self.Region}, Tests: tests})
	var reader history.CurveReader
	err = p.asker.ask(ctx, h, q, func(part *wire.Answer) error {
		bad := reader.Read(part.Body, func(c *history.Curve) error {
			if c.Owner.Region != self.Region || sel.Match != nil && !sel.Match(c.Series) || !standing(c.Series.Kind) {
				return nil
			}
			v := c.Points[0].Value.Clone()
			if c.Owner.Node == self.Node {
				if i, has := mine[string(c.Series.AppendKey(nil))]; has {
					return join(&rows[i].Value, &v)
				}
			}
			rows = append(rows, node.Row{Series: c.Series, Region: c.Owner.Region, Node: c.Owner.Node, Value: v})
			return nil
		})
		if bad != nil {
			return errors.Join(errNoAnswer, bad)
		}
		return nil
	})
	if err == nil && !reader.Done() {
		err = errNoAnswer
	}
	if err != nil {
		return nil, p.settle(h, err)
	}
	out := *t
	out.Rows = rows
	return &out, nil
}
