package ask

import (
	"context"
	"errors"
	"slices"
	"sync"

	"meshd/crdt"
	"meshd/history"
	"meshd/internal/mutant"
	"meshd/internal/wire"
	"meshd/node"
)

// Past is the past of the mesh as one request reads it. All of a request is read from one hub; if that stops answering, the methods
// return history.ErrAgain, and the request is to be read again from the beginning: from the next hub, in the end from own windows. It is
// safe for concurrent use.
type Past struct {
	asker *Asker
	own   history.Source

	mu    sync.Mutex
	hubs  []Hub // that may answer; once known, the first is the one that does
	known bool
	of    []node.Coverage
	since int64  // that hub may lack windows before, ms; 0: it lacks none
	alone string // why only own windows are read; "" if a hub answers
}

var _ history.Source = (*Past)(nil)

// Alone is what is said of answers from own windows only.
const Alone = "no hub answers, these are windows of this edge only"

// Coverage returns what the hub that is read from knows of the regions. If none answers, alone says so, and the node's own coverage
// counts. An error is that of ctx.
func (p *Past) Coverage(ctx context.Context) (of []node.Coverage, alone string, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.known {
		return p.of, p.alone, nil
	}
	first, err := p.asker.first(ctx, p.hubs)
	p.since = first.since
	switch {
	case err == nil:
		p.hubs[0], p.hubs[first.hub] = p.hubs[first.hub], p.hubs[0]
		p.of = first.of
	case ctx.Err() != nil:
		return nil, "", ctx.Err()
	default:
		p.asker.cfg.Metrics.asked.WithLabelValues(outcomeAlone).Inc()
		p.hubs, p.of = nil, nil
		if p.alone = Alone; mutant.On("cut off without a word") {
			p.alone = " "
		}
	}
	p.known = true
	return p.of, p.alone, nil
}

// Since returns before when windows may be missing in what is read, as Coverage found it, in ms; 0 if none are.
func (p *Past) Since() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.since
}

// hub returns the hub to read from, false if there is none.
func (p *Past) hub(ctx context.Context) (Hub, []node.Coverage, bool, error) {
	of, alone, err := p.Coverage(ctx)
	if err != nil || alone != "" {
		return Hub{}, nil, false, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.known { // another reader of this request gave the hub up meanwhile
		return Hub{}, nil, false, history.ErrAgain
	}
	return p.hubs[0], of, true, nil
}

// settle turns what is wrong with a hub into ErrAgain, and gives the hub up.
func (p *Past) settle(h Hub, err error) error {
	if !errors.Is(err, errNoAnswer) {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if n := len(p.hubs); n > 0 {
		p.hubs = slices.DeleteFunc(slices.Clone(p.hubs), func(o Hub) bool { return o.Session == h.Session })
		p.known = p.known && len(p.hubs) == n
	}
	return history.ErrAgain
}

// Curves implements history.Source.
func (p *Past) Curves(ctx context.Context, sel history.Selection, yield func(*history.Curve) error) error {
	h, of, some, err := p.hub(ctx)
	if err != nil {
		return err
	}
	if !some {
		return p.own.Curves(ctx, sel, yield)
	}
	add, err := p.unsent(ctx, sel, of)
	if err != nil {
		return err
	}
	var r history.CurveReader
	err = p.asker.ask(ctx, h, queryOf(wire.AskCurves, &sel), func(part *wire.Answer) error {
		var own error
		bad := r.Read(part.Body, func(c *history.Curve) error {
			if !sel.Wants(c.Series) || sel.Regions != nil && !slices.Contains(sel.Regions, c.Owner.Region) {
				return nil
			}
			if own = add.to(c); own == nil {
				own = yield(c)
			}
			return own
		})
		if own == nil && bad != nil {
			bad = errors.Join(errNoAnswer, bad)
		}
		return bad
	})
	if err == nil && !r.Done() {
		err = errNoAnswer
	}
	if err != nil {
		return p.settle(h, err)
	}
	return add.rest(yield)
}

// Series implements history.Source.
func (p *Past) Series(ctx context.Context, sel history.Selection, yield func(*crdt.Series) error) error {
	h, _, some, err := p.hub(ctx)
	if err != nil {
		return err
	}
	if !some {
		return p.own.Series(ctx, sel, yield)
	}
	seen := map[string]bool{} // those of this node, which the hub may not have yet
	var own []*crdt.Series
	if err := p.own.Series(ctx, sel, func(s *crdt.Series) error {
		own = append(own, s)
		return nil
	}); err != nil {
		return err
	}
	for _, s := range own {
		seen[string(s.AppendKey(nil))] = false
	}
	err = p.asker.ask(ctx, h, queryOf(wire.AskSeries, &sel), func(part *wire.Answer) error {
		var failed error
		bad := history.ReadSeries(part.Body, func(s *crdt.Series) error {
			if !sel.Wants(s) {
				return nil
			}
			if key := string(s.AppendKey(nil)); len(own) > 0 {
				if _, ok := seen[key]; ok {
					seen[key] = true
				}
			}
			failed = yield(s)
			return failed
		})
		if failed == nil && bad != nil {
			bad = errors.Join(errNoAnswer, bad)
		}
		return bad
	})
	if err != nil {
		return p.settle(h, err)
	}
	for _, s := range own {
		if !seen[string(s.AppendKey(nil))] {
			if err := yield(s); err != nil {
				return err
			}
		}
	}
	return nil
}
