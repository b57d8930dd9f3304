package query

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"meshd/crdt"
	"meshd/history"
	"meshd/node"
)

// maxKept bounds the rows that are kept until all are here: 100 MB at the largest labels.
const maxKept = 100_000

// lifetimeSums takes in rows as the node hands them on, a million of them if need be, and keeps groups only.
//
// Amounts, buckets and registers add up to the same in any order. Floats do not, and parts of sets, observed series and histograms
// have names that are told apart series by series: rows of these are kept and added in order.
type lifetimeSums struct {
	q      *totalQuery
	groups *overTime // with one slot: all of time
	kept   []node.Row
	from   history.Curve // of the row at hand: nothing but whose it is
}

// allTime is the slot of lifetimes.
var allTime = period{0, 1}

func newLifetimeSums(q *totalQuery) *lifetimeSums {
	return &lifetimeSums{q: q, groups: newOverTime(q, newTimeline([]period{allTime}, false))}
}

// add takes one row; those of one series come one after the other. It may keep the value.
func (l *lifetimeSums) add(row *node.Row) error {
	if !all(l.q.sel.region, row.Region) || !all(l.q.sel.node, row.Node) {
		return nil
	}
	switch row.Value.Kind {
	case crdt.KindCounter, crdt.KindUpDown, crdt.KindDistribution, crdt.KindUnique:
	default:
		if len(l.kept) == maxKept {
			return node.ErrTooMany
		}
		kept := *row
		kept.Value = row.Value.Clone()
		l.kept = append(l.kept, kept)
		return nil
	}
	l.from.Series, l.from.Owner = row.Series, history.Owner{Region: row.Region, Node: row.Node}
	g, err := l.groups.group(&l.from, row.Value.Kind)
	if err == nil {
		err = l.groups.put(g, 0, &row.Value)
	}
	if errors.Is(err, errTooWide) {
		err = badRequest{errors.New("the question needs more memory than it may take: narrow metric and match, or keep fewer labels with by")}
	}
	return err
}

// results returns what all rows come to. nowMs is the reader's clock, see evaluate.
func (l *lifetimeSums) results(ctx context.Context, nowMs int64) ([]Result, error) {
	if n := l.groups.count; l.q.top == 0 && n > maxResults {
		return nil, tooManyResults(n)
	}
	sums, err := l.groups.results(ctx, allTime)
	if err != nil {
		return nil, err
	}
	key := func(r *node.Row) string { return string(r.Series.AppendKey(nil)) }
	keys := make(map[*crdt.Series]string)
	for i := range l.kept {
		if s := l.kept[i].Series; keys[s] == "" {
			keys[s] = key(&l.kept[i])
		}
	}
	slices.SortStableFunc(l.kept, func(a, b node.Row) int {
		return cmp.Or(strings.Compare(keys[a.Series], keys[b.Series]), strings.Compare(a.Region, b.Region), strings.Compare(a.Node, b.Node))
	})
	others, err := l.q.evaluate(l.kept, nowMs)
	if err != nil {
		return nil, err
	}
	return l.q.merge(sums, others)
}

// merge puts two answers to one question into one.
func (q *totalQuery) merge(a, b []Result) ([]Result, error) {
	if len(a) == 0 {
		return b, nil
	}
	if len(b) == 0 {
		return a, nil
	}
	type named struct {
		result Result
		labels []crdt.Label
	}
	both := make([]named, 0, len(a)+len(b))
	for _, r := range slices.Concat(a, b) {
		n := named{result: r}
		for name, value := range r.Labels {
			n.labels = append(n.labels, crdt.Label{Name: name, Value: value})
		}
		n.labels = crdt.SortLabels(n.labels)
		both = append(both, n)
	}
	slices.SortFunc(both, func(a, b named) int {
		if q.top > 0 && a.result.Value != b.result.Value {
			return cmp.Compare(b.result.Value, a.result.Value)
		}
		return cmp.Or(strings.Compare(a.result.Metric, b.result.Metric), strings.Compare(a.result.Kind, b.result.Kind), slices.CompareFunc(a.labels, b.labels, compareLabels))
	})
	if q.top > 0 {
		both = both[:min(q.top, len(both))]
	}
	if len(both) > maxResults {
		return nil, tooManyResults(len(both))
	}
	out := make([]Result, len(both))
	for i := range both {
		out[i] = both[i].result
	}
	return out, nil
}

func compareLabels(a, b crdt.Label) int {
	return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.Value, b.Value))
}

func tooManyResults(n int) error {
	return badRequest{fmt.Errorf("%d results, at most %d are answered: narrow metric and match, keep fewer labels with by, or ask for the top ones", n, maxResults)}
}
