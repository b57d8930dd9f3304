package bench

import (
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/util/annotations"

	"meshd/crdt"
	"meshd/history"
	"meshd/query/prom"
)

// promRatio compares one expression over chunks with the same engine over slices in memory, asked in turns.
type promRatio struct {
	Expr   string  `json:"expr"`
	Step   string  `json:"step"`
	Ours   float64 `json:"ours_ms"`   // the least of all times: others share the machine
	Slices float64 `json:"slices_ms"` // the same
	Ratio  float64 `json:"ratio"`
	AtMost float64 `json:"at_most"`
	Met    bool    `json:"met"`
	// Differ counts the values that are not equal. Rates are not compared: over slices they are not exact.
	Differ int `json:"differ"`
}

// compare asks PromQL.
func (q *queries) compare(ctx context.Context, r *run, store history.Source, from time.Time, d *queryDetail) error {
	end := from.Add(q.length)
	api, err := prom.New(prom.Config{History: store, Now: func() time.Time { return end }, MaxSamples: 100_000_000, Timeout: 10 * time.Minute})
	if err != nil {
		return err
	}
	inMemory, err := sliced(ctx, store, from, end)
	if err != nil {
		return err
	}
	for _, x := range []struct {
		expr  string
		step  time.Duration
		equal bool
	}{
		{"avg by (cpu) (cpu_usage_user)", time.Minute, true},
		{"max by (host) (max_over_time(cpu_usage_user[5m]))", 5 * time.Minute, true},
		{"sum by (cpu) (rate(requests[5m]))", time.Minute, false},
		{"sum by (cpu) (increase(requests[1h]))", time.Hour, false},
	} {
		p := promRatio{Expr: x.expr, Step: x.step.String(), AtMost: 1.5, Ours: math.Inf(1), Slices: math.Inf(1)}
		start := from.Add(time.Hour)
		for range q.repeats {
			began := time.Now()
			ours, err := api.Range(ctx, nil, x.expr, start, end, x.step)
			if err != nil {
				return fmt.Errorf("%s: %w", x.expr, err)
			}
			p.Ours = min(p.Ours, ms(time.Since(began)))
			began = time.Now()
			theirs, err := api.Range(ctx, inMemory, x.expr, start, end, x.step)
			if err != nil {
				return fmt.Errorf("%s over slices: %w", x.expr, err)
			}
			p.Slices = min(p.Slices, ms(time.Since(began)))
			if x.equal {
				p.Differ = differing(ours, theirs)
			}
		}
		p.Ratio = round(p.Ours/p.Slices, 2)
		p.Met = p.Ratio <= p.AtMost
		r.say("%s: %.4g ms, over slices %.4g ms", x.expr, p.Ours, p.Slices)
		d.PromQL = append(d.PromQL, p)
	}
	return nil
}

// differing counts the values that two matrices do not agree on.
func differing(a, b parser.Value) int {
	x, ok1 := a.(promql.Matrix)
	y, ok2 := b.(promql.Matrix)
	if !ok1 || !ok2 || len(x) != len(y) {
		return max(len(x), len(y), 1)
	}
	n := 0
	for i := range x {
		if labels.Compare(x[i].Metric, y[i].Metric) != 0 || !slices.EqualFunc(x[i].Floats, y[i].Floats, func(p, q promql.FPoint) bool {
			return p.T == q.T && math.Abs(p.F-q.F) <= 1e-9*math.Abs(q.F)
		}) {
			n++
		}
	}
	return n
}

// sliced reads everything into slices: gauges as they are, counters as what had been counted by the end of each window.
func sliced(ctx context.Context, store history.Source, from, end time.Time) (*sliceStore, error) {
	m := new(sliceStore)
	sel := history.Selection{From: from.UnixMilli(), To: end.UnixMilli(), Names: func(n string) bool { return n == "cpu_usage_user" || n == "requests" }}
	err := store.Curves(ctx, sel, func(c *history.Curve) error {
		b := labels.NewScratchBuilder(4)
		b.Add("__name__", c.Series.Name)
		for _, l := range c.Series.Labels {
			b.Add(l.Name, l.Value)
		}
		b.Add("region", c.Owner.Region)
		b.Sort()
		s := &sliceSeries{labels: b.Labels()}
		sum := 0.0
		for i := range c.Points {
			p := &c.Points[i]
			if g, ok := p.Value.X.(*crdt.Rollup); ok {
				s.points = append(s.points, promql.FPoint{T: max(g.Last.Millis(), p.Window.Start+1), F: g.LastValue})
				continue
			}
			sum += p.Value.P.Float64()
			s.points = append(s.points, promql.FPoint{T: p.Window.Start + p.Window.Width, F: sum})
		}
		m.series = append(m.series, s)
		return nil
	})
	slices.SortFunc(m.series, func(a, b *sliceSeries) int { return labels.Compare(a.labels, b.labels) })
	return m, err
}

// sliceStore is a storage of slices: as little as the engine can be given.
type sliceStore struct {
	storage.LabelQuerier
	series []*sliceSeries
}

type sliceSeries struct {
	labels labels.Labels
	points []promql.FPoint
}

func (m *sliceStore) Querier(_, _ int64) (storage.Querier, error) { return m, nil }

func (m *sliceStore) Close() error { return nil }

func (m *sliceStore) Select(_ context.Context, _ bool, h *storage.SelectHints, ms ...*labels.Matcher) storage.SeriesSet {
	out := &sliceSet{at: -1}
	for _, s := range m.series {
		if slices.ContainsFunc(ms, func(x *labels.Matcher) bool { return !x.Matches(s.labels.Get(x.Name)) }) {
			continue
		}
		find := func(t int64) int {
			i, _ := slices.BinarySearchFunc(s.points, t, func(p promql.FPoint, t int64) int { return int(p.T - t) })
			return i
		}
		out.list = append(out.list, &sliceSeries{s.labels, s.points[find(h.Start):find(h.End+1)]})
	}
	return out
}

type sliceSet struct {
	list []*sliceSeries
	at   int
}

func (s *sliceSet) Next() bool                        { s.at++; return s.at < len(s.list) }
func (s *sliceSet) At() storage.Series                { return s.list[s.at] }
func (s *sliceSet) Err() error                        { return nil }
func (s *sliceSet) Warnings() annotations.Annotations { return nil }

func (s *sliceSeries) Labels() labels.Labels { return s.labels }

func (s *sliceSeries) Iterator(chunkenc.Iterator) chunkenc.Iterator {
	return &sliceIterator{points: s.points, at: -1}
}

type sliceIterator struct {
	points []promql.FPoint
	at     int
}

// millis is a time in ms. (It has a name so that Seek is not taken for that of io.Seeker.)
type millis = int64

func (i *sliceIterator) Next() chunkenc.ValueType {
	i.at++
	return i.kind()
}

func (i *sliceIterator) Seek(t millis) chunkenc.ValueType {
	for i.at = max(i.at, 0); i.at < len(i.points) && i.points[i.at].T < t; i.at++ {
	}
	return i.kind()
}

func (i *sliceIterator) kind() chunkenc.ValueType {
	if i.at >= len(i.points) {
		return chunkenc.ValNone
	}
	return chunkenc.ValFloat
}

func (i *sliceIterator) At() (int64, float64) { return i.points[i.at].T, i.points[i.at].F }
func (i *sliceIterator) AtT() int64           { return i.points[i.at].T }
func (i *sliceIterator) AtST() int64          { return 0 }
func (i *sliceIterator) Err() error           { return nil }

func (i *sliceIterator) AtHistogram(*histogram.Histogram) (int64, *histogram.Histogram) {
	return 0, nil
}

func (i *sliceIterator) AtFloatHistogram(*histogram.FloatHistogram) (int64, *histogram.FloatHistogram) {
	return 0, nil
}
