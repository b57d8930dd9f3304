package query

import (
	"context"
	"slices"

	"meshd/crdt"
	"meshd/history"
	"meshd/internal/mutant"
	"meshd/node"
)

// ownOnly is the history of an edge, which holds its own windows: they stand for its region as far as it knows. Every answer
// says so, see onlyOwn.
type ownOnly struct {
	history.Source
	owner history.Owner
}

// onlyOwn is what answers of an edge that asks nobody say of their windows.
const onlyOwn = "this edge has windows of its own only: ask a hub for those of the mesh"

// Past is the past of the mesh as one request reads it, at a node that asks others for what it does not hold. When it fails with
// history.ErrAgain, the request is read again from the beginning, its Coverage first.
type Past interface {
	history.Source
	// Coverage returns what is known of the regions where the windows come from. If no other node answers, alone says so: then own
	// windows are read, and the node's own coverage counts.
	Coverage(ctx context.Context) (of []node.Coverage, alone string, err error)
	// Since returns, once Coverage returned, before when windows may be missing in what is read, in ms; 0 if none are.
	Since() int64
	// Totals returns lifetimes as own does, and beside those of this node those of the others. Tests are those of history.Selection.
	Totals(ctx context.Context, sel node.Select, tests []history.Test, own func(context.Context, node.Select) (*node.Totals, error)) (*node.Totals, error)
}

// past is what one request reads.
type past struct {
	history.Source
	asked Past   // nil: nobody is asked
	alone string // what is said of that
	whole func() int64
	cache *cache       // what was read of Source before; nil: nothing
	known *node.Totals // what this node says of itself, without rows
}

// open returns what one request reads. What sel selects says what the request lacks by rollup rules.
func (s *Server) open(ctx context.Context, sel *node.Select) (past, error) {
	bare := *sel
	bare.Windows, bare.Bare = true, true
	known, err := s.cfg.Source.Totals(ctx, bare)
	if err != nil {
		return past{}, err
	}
	p := past{Source: s.cfg.History, known: known}
	switch {
	case s.cfg.Ask != nil:
		p.asked = s.cfg.Ask(s.cfg.History)
		p.Source = p.asked
	case s.cfg.OwnWindows != (history.Owner{}):
		p.alone = onlyOwn
	default:
		p.Source = history.Correct(p.Source, known.Corrections)
		p.cache, p.whole = s.cache, s.cfg.WindowsSince
	}
	if known.Rollup != nil {
		p.Source = &scope{Source: p.Source, own: s.cfg.History, rules: known.Rollup, others: p.regions}
	}
	return p, nil
}

// regions returns all that are known here or where the windows come from.
func (p past) regions(ctx context.Context) (out []string, err error) {
	of, _, err := p.coverage(ctx)
	for _, c := range slices.Concat(of, p.known.Coverage) {
		if !slices.Contains(out, c.Region) {
			out = append(out, c.Region)
		}
	}
	return out, err
}

// rolled says by which rollup rules the past is read.
func (p past) rolled() uint64 {
	if p.known.Rollup == nil || mutant.On("answers kept under other rules") {
		return 0
	}
	return p.known.Rollup.Number
}

// corrected says with which corrections the past is read.
func (p past) corrected() uint64 {
	if p.known.Corrections == nil || mutant.On("answers kept under other corrections") {
		return 0
	}
	return p.known.Corrections.Number
}

// since returns before when windows may be missing, once the coverage is known, in ms; 0 if none are.
func (p past) since() int64 {
	switch {
	case p.asked != nil:
		return p.asked.Since()
	case p.whole != nil:
		return p.whole()
	}
	return 0
}

// coverage returns that of the nodes that are asked, nil if this one's counts, and why only own windows are read.
func (p past) coverage(ctx context.Context) (of []node.Coverage, alone string, err error) {
	if p.asked == nil {
		return nil, p.alone, nil
	}
	return p.asked.Coverage(ctx)
}

// Curves implements history.Source.
func (o ownOnly) Curves(ctx context.Context, sel history.Selection, yield func(*history.Curve) error) error {
	byNode := sel.ByNode
	sel.ByNode = true
	return o.Source.Curves(ctx, sel, func(c *history.Curve) error {
		if c.Owner != o.owner {
			return nil
		}
		if byNode {
			return yield(c)
		}
		return yield(&history.Curve{Owner: history.Owner{Region: o.owner.Region}, Series: c.Series, Points: c.Points})
	})
}

// Series implements history.Source.
func (o ownOnly) Series(ctx context.Context, sel history.Selection, yield func(*crdt.Series) error) error {
	sel.ByNode = true
	return o.Source.Series(ctx, sel, yield)
}
