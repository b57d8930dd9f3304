package query

import (
	"context"
	"errors"
	"math"
	"strings"
	"time"

	"meshd/crdt"
	"meshd/history"
	"meshd/internal/mutant"
	"meshd/node"
	"meshd/query/prom"
)

// publishDelay is how long after its end a window may take to be told by its writer, and a little for the way: a
// region's windows are complete up to that long before its lifetimes are. (Writers wait for at most 2 s.)
const publishDelay = 5 * time.Second

// finestWindow is the usual width of the finest windows.
const finestWindow = 10 * time.Second

// mountPrometheus mounts the Prometheus API if there is a history to answer from.
func (s *Server) mountPrometheus() error {
	if s.cfg.History == nil {
		return nil
	}
	api, err := prom.New(prom.Config{
		History: s.cfg.History,
		Totals:  s.cfg.Source.Totals,
		Open:    s.openPrometheus,
		Nodes:   s.nodes,
		Admit:   s.admit,
		Busy:    func(err error) bool { return errors.Is(err, errBusy) || errors.Is(err, node.ErrClosed) },
		Version: s.cfg.Version,
	})
	if err != nil {
		return err
	}
	api.Mount(s.mux.Handle)
	return nil
}

// openPrometheus returns what one request of the Prometheus API reads.
func (s *Server) openPrometheus(ctx context.Context) (prom.Past, error) {
	p, err := s.open(ctx, &node.Select{Match: func(*crdt.Series) bool { return false }})
	if err != nil {
		return prom.Past{}, err
	}
	p.known.Shortfalls = nil // prom asks what each selector lacks
	return prom.Past{
		History: p.Source,
		Regions: func(ctx context.Context) ([]prom.Region, error) {
			regions, _, err := s.extents(ctx, p, &selection{})
			return regions, err
		},
		Totals: func(ctx context.Context, sel node.Select, tests []history.Test) (t *node.Totals, err error) {
			sel.Windows = true
			if p.asked != nil {
				t, err = p.asked.Totals(ctx, sel, tests, s.cfg.Source.Totals)
			} else {
				t, err = s.cfg.Source.Totals(ctx, sel)
			}
			if err == nil && (t.Rollup != p.known.Rollup || p.asked == nil && t.Corrections != p.known.Corrections) && !mutant.On("curves stand on totals of other rules") {
				return nil, prom.ErrMoved
			}
			return t, err
		},
		Shortfalls: func(ctx context.Context, sel node.Select) ([]node.Shortfall, error) {
			if p.known.Rollup == nil {
				return nil, nil
			}
			sel.Windows, sel.Bare = true, true
			t, err := s.cfg.Source.Totals(ctx, sel)
			if err != nil {
				return nil, err
			}
			return t.Shortfalls, nil
		},
	}, nil
}

// coverage asks what is known of every region, and nothing else.
func (s *Server) coverage(ctx context.Context) (*node.Totals, error) {
	return s.cfg.Source.Totals(ctx, node.Select{Match: func(*crdt.Series) bool { return false }})
}

// known returns the coverage of the regions that a question is about, and up to when the windows of all of them are here, ms.
func (s *Server) known(ctx context.Context, p past, sel *selection) (cov Coverage, until int64, err error) {
	regions, cov, err := s.extents(ctx, p, sel)
	until = math.MaxInt64
	for _, r := range regions {
		until = min(until, r.Until)
	}
	return cov, until, err
}

// extents tells how far each region is known in p.
func (s *Server) extents(ctx context.Context, p past, sel *selection) ([]prom.Region, Coverage, error) {
	from := *p.known
	of, alone, err := p.coverage(ctx)
	if err != nil {
		return nil, Coverage{}, err
	}
	if of != nil { // what is read from a hub is as complete as that hub says
		from.Coverage = of
	}
	st, err := s.cfg.Source.Status(ctx)
	if err != nil {
		return nil, Coverage{}, err
	}
	now := time.Now().UnixMilli()
	cov := newCoverage(from.Coverage, from.Withheld, sel)
	cov.lack(from.Shortfalls)
	if alone != "" {
		cov.Complete, cov.Withheld = false, alone
	}
	out := make([]prom.Region, 0, len(cov.Regions))
	for i := range cov.Regions {
		r := &cov.Regions[i]
		region := prom.Region{Name: r.Region, Since: p.since(), Until: completeWindows(r, r.Region == st.Region, now)}
		switch {
		case alone != "" && r.Region == st.Region:
			region.Gap = "incomplete: " + alone
		case !r.complete():
			region.Gap = "incomplete: region " + strings.TrimSpace(regionText(r))
		case cov.Withheld != "" && alone == "":
			region.Gap = "incomplete: " + cov.Withheld
		}
		out = append(out, region)
	}
	return out, cov, nil
}

// completeWindows returns up to when all windows of a region are here, ms. A node that is cut off goes on with its own region, from
// what it has, and so does one that does not know how old another one is: the gap is told beside it.
func completeWindows(r *RegionCoverage, own bool, nowMs int64) int64 {
	const silence = time.Minute
	until := r.CompleteUntil.UnixMilli()
	if r.CompleteUntil.IsZero() || own && until < nowMs-silence.Milliseconds() {
		until = nowMs
	}
	until -= publishDelay.Milliseconds()
	return until - until%finestWindow.Milliseconds()
}

// nodes lists the nodes of the mesh for searches of label values.
func (s *Server) nodes(ctx context.Context) ([]history.Owner, error) {
	members, err := s.cfg.Members(ctx)
	if err != nil {
		return nil, err
	}
	out := make([]history.Owner, len(members))
	for i, m := range members {
		out[i] = history.Owner{Region: m.Region, Node: m.Node}
	}
	return out, nil
}
