package node

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"

	"meshd/crdt"
	"meshd/internal/wire"
)

// Difference is by how much something was counted wrong: of one series, what one node counted in one fine window.
type Difference struct {
	Node   string       // that counted it
	Minus  bool         // it is too much; otherwise too little
	Series *crdt.Series // what it was counted as, or should have been
	Start  int64        // of the window, milliseconds since the Unix epoch
	Value  crdt.Value   // above nothing, of a kind that Corrects
}

// Correction is a record of what was corrected: from when a node knows that it holds all of it, it answers with it.
type Correction struct {
	ID       string            `json:"id"`     // see crdt.CheckCorrectionID
	Metric   string            `json:"metric"` // pattern of the metrics that it is about
	From     int64             `json:"from"`   // of the events that it was made of, milliseconds since the Unix epoch: [from, to)
	To       int64             `json:"to"`
	Events   uint64            `json:"events"` // how many these were
	Regions  []CorrectedRegion `json:"regions,omitempty"`
	Replaces []string          `json:"replaces,omitempty"` // that do not count any more where this one does

	Counts   bool `json:"counts"`   // all of it is held by the node that is asked
	Answered bool `json:"answered"` // and it answers with it: no other one that counts replaces or overlaps it
}

// CorrectedRegion says where the differences of a correction for one region are.
type CorrectedRegion struct {
	Region string   `json:"region"`
	Hub    string   `json:"hub"`     // that has written them
	Inc    string   `json:"process"` // its process, in hexadecimal digits
	Cursor uint64   `json:"cursor"`  // of its windows of the region: all that is corrected is before
	Nodes  []string `json:"nodes,omitempty"`
}

// differencesAtOnce is how many differences one commit takes.
const differencesAtOnce = 2000

// WriteDifferences counts differences of a correction beside the series that they are about, and returns when all are on disk. They change nothing
// before MakeCorrection. After an error nobody knows how many are written: the next try takes another id. Refusals wrap ErrCorrection.
func (n *Node) WriteDifferences(ctx context.Context, id string, ds []Difference) error {
	if err := crdt.CheckCorrectionID(id); err != nil {
		return fmt.Errorf("%w: %w", ErrCorrection, err)
	}
	for len(ds) > 0 {
		some := ds[:min(len(ds), differencesAtOnce)]
		b := &Batch{Corrects: true, Items: make([]Item, len(some))}
		for i, d := range some {
			side := crdt.Side{ID: id, Minus: d.Minus, Node: d.Node}
			b.Items[i] = Item{Series: d.Series.Beside(side), Inc: d.Value.Clone(), At: d.Start}
		}
		switch res := n.Submit(ctx, b); {
		case res.Err != nil:
			return res.Err
		case len(res.Rejected) > 0:
			r := res.Rejected[0]
			return fmt.Errorf("%w: %d differences are refused, the first of %s: %w", ErrCorrection, len(res.Rejected), some[r.Index].Series, r.Err)
		}
		ds = ds[len(some):]
	}
	return nil
}

// SettleDifferences returns where the differences of a correction are that this hub has written, once their windows are in those of its region too,
// and false before.
func (n *Node) SettleDifferences(ctx context.Context, id string) (r CorrectedRegion, settled bool, err error) {
	e := n.ask(ctx, func(Time) { r, settled, err = n.core.settledDifferences(id) })
	return r, settled, errors.Join(e, err)
}

func (c *Core) settledDifferences(id string) (CorrectedRegion, bool, error) {
	if c.hub == nil {
		return CorrectedRegion{}, false, fmt.Errorf("%w: this node is an edge: ask a hub", ErrCorrection)
	}
	total := c.totalOrigin()
	r := CorrectedRegion{Region: c.cfg.Region, Hub: c.cfg.Node, Inc: hex.EncodeToString(total.Inc[:])}
	if c.win == nil {
		return r, true, nil
	}
	sides := c.cat.SidesOf(id)
	for _, t := range append(slices.Clone(c.win.left), c.win.live) {
		for win, w := range t.windows {
			if win.End()+c.win.grace > c.wall { // nobody has published it: neither what is corrected in it
				continue
			}
			for sid := range sides {
				if cell := w.get(sid); cell != nil && cell.dirty {
					return r, false, nil
				}
			}
		}
	}
	for k := range c.win.totals.touched {
		if sides[k.id] {
			return r, false, nil
		}
	}
	if round := c.win.totals.round; round != nil && slices.ContainsFunc(round.keys, func(k openKey) bool { return sides[k.id] }) {
		return r, false, nil
	}
	r.Cursor = c.win.origin(total).cursor
	return r, true, nil
}

// MakeCorrection lets a correction count, everywhere, and returns when its record is on disk here; from here it spreads to all nodes. Refusals
// wrap ErrCorrection. If ctx ends first the outcome is unknown.
func (n *Node) MakeCorrection(ctx context.Context, r Correction) error {
	out, err := r.record()
	if err != nil {
		return err
	}
	return n.request(ctx, func(id uint64) Event { return MakeCorrection{ID: id, Correction: out} }).Err
}

// record returns r as it is told.
func (r *Correction) record() (wire.Correction, error) {
	out := wire.Correction{ID: r.ID, Metric: r.Metric, From: r.From, To: r.To, Events: r.Events, Replaces: slices.Sorted(slices.Values(r.Replaces))}
	named := 0
	for _, p := range r.Regions {
		o := crdt.Origin{Class: crdt.ClassRegion, Region: p.Region, Node: p.Hub}
		inc, err := hex.DecodeString(p.Inc)
		if err != nil || len(inc) != len(o.Inc) {
			return out, fmt.Errorf("%w: %q is no process", ErrCorrection, p.Inc)
		}
		copy(o.Inc[:], inc)
		nodes := slices.Compact(slices.Sorted(slices.Values(p.Nodes)))
		if named += len(nodes); named > wire.MaxCorrectedNodes { // of all regions together
			named, nodes = named-len(nodes), nil // any of the region
		}
		out.Regions = append(out.Regions, wire.CorrectedRegion{Totals: wire.WindowMark{Origin: o, Cursor: p.Cursor}, Nodes: nodes})
	}
	slices.SortFunc(out.Regions, func(a, b wire.CorrectedRegion) int { return a.Totals.Origin.Compare(b.Totals.Origin) })
	return out, nil
}

// CorrectionList is what a node knows of corrections.
type CorrectionList struct {
	All      []Correction      // the newest first
	Counts   *crdt.Corrections // those that are answered with
	WindowMs int64             // width of the finest windows that the node keeps; 0: none
}

// Corrections returns what is known here of corrections.
func (n *Node) Corrections(ctx context.Context) (l CorrectionList, err error) {
	err = n.ask(ctx, func(Time) { l = CorrectionList{n.core.listCorrections(), n.core.Corrections(), n.core.cfg.Window} })
	return l, err
}

func (c *Core) listCorrections() (out []Correction) {
	k := &c.corrections
	for _, r := range slices.SortedFunc(maps.Values(k.all), newestCorrection) {
		l := Correction{ID: r.ID, Metric: r.Metric, From: r.From, To: r.To, Events: r.Events, Replaces: r.Replaces, Answered: k.counts.Counts(r.ID)}
		_, l.Counts = k.on[r.ID]
		for _, p := range r.Regions {
			o := p.Totals.Origin
			l.Regions = append(l.Regions, CorrectedRegion{o.Region, o.Node, hex.EncodeToString(o.Inc[:]), p.Totals.Cursor, p.Nodes})
		}
		out = append(out, l)
	}
	return out
}
