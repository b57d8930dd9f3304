package bubble

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"meshd/crdt"
	"meshd/node"
)

// patience is how long a client waits for an answer.
const patience = 5 * time.Second

// everyKind is the nth batch, with one increment of each kind. Amounts are distinct, so that a wrong total tells which
// one is missing.
func (p *process) everyKind(n uint64) []node.Item {
	amount := crdt.FixedFromUint(1_000_000 + n*n)
	d := &crdt.Distribution{}
	must(d.Observe(float64(n%97)+0.5, 1))
	u := &crdt.Unique{}
	u.InsertHash(n * 0x9e3779b97f4a7c15)
	o := &crdt.Observed{}
	must(o.Put(crdt.Sample{Source: "meter of " + p.h.id(), Start: 1, Time: int64(n), Value: amount}))
	item := func(name string, v crdt.Value) node.Item {
		return node.Item{Series: &crdt.Series{Name: name, Kind: v.Kind, Labels: []crdt.Label{{Name: "shop", Value: "a"}}}, Inc: v}
	}
	return []node.Item{
		item("orders", crdt.Value{Kind: crdt.KindCounter, P: amount}),
		item("stock", crdt.Value{Kind: crdt.KindUpDown, P: amount, N: crdt.FixedFromUint(3 * n)}),
		item("latency", crdt.Value{Kind: crdt.KindDistribution, X: d}),
		item("visitors", crdt.Value{Kind: crdt.KindUnique, X: u}),
		item("energy", crdt.Value{Kind: crdt.KindObserved, X: o}),
		item("temperature", crdt.Value{Kind: crdt.KindGauge, X: &crdt.Gauge{Time: crdt.HLCFrom(time.Now().UnixMilli(), 0), Value: float64(n)}}),
		item("articles", crdt.Value{Kind: crdt.KindSet, X: &crdt.Set{Inc: p.inc, Adds: []string{p.h.id(), fmt.Sprint("article ", n%5)}}}),
	}
}

// count submits one increment of each kind.
func (p *process) count() error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return p.submit(ctx, p.everyKind)
}

// submit sends a batch and books what became of it.
func (p *process) submit(ctx context.Context, batch func(n uint64) []node.Item) error {
	l := p.h.m.ledger
	n, items := l.begin(batch)
	r := p.node.Submit(ctx, &node.Batch{Items: items})
	if r.Err == nil && r.Accepted != len(items) {
		p.h.m.t.Errorf("%s accepted %d of %d: %v", p.h.name, r.Accepted, len(items), r.Rejected)
	}
	l.end(p.h.id(), n, r.Err)
	return r.Err
}

// id is whom the ledger books a machine's answers under.
func (h *machine) id() string { return cmp.Or(h.client, h.name) }

func (h *machine) tryCount() {
	if p := h.proc.Load(); p != nil {
		_ = p.count() // the ledger knows
	}
}

func (h *machine) mustCount() {
	h.m.t.Helper()
	if err := h.proc.Load().count(); err != nil {
		h.m.t.Fatalf("count at %s: %v", h.name, err)
	}
}

// read asks for all monotone totals and judges the answer.
func (p *process) read() (view, error) {
	p.reading.Lock()
	defer p.reading.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	l := p.h.m.ledger
	floor := l.ackedAt(p.h.id())
	t, err := p.node.Totals(ctx, node.Select{})
	if err != nil {
		return nil, err
	}
	v := view{}
	for _, r := range t.Rows {
		if k := r.Series.Kind; k != crdt.KindGauge && k != crdt.KindSet {
			v[cell{r.Series.Name, r.Region}] = r.Value
		}
	}
	for _, violation := range l.judge(v, p.seen, floor) {
		p.h.m.t.Errorf("at %v, %s: %s", time.Now().Format("04:05.000"), p.h.name, violation)
	}
	p.seen = v
	return v, nil
}

func (h *machine) tryRead() {
	if p := h.proc.Load(); p != nil {
		_, _ = p.read() // of a process that is being ended: nothing to judge
	}
}

func (h *machine) read() view {
	h.m.t.Helper()
	v, err := h.proc.Load().read()
	if err != nil {
		h.m.t.Fatalf("read %s: %v", h.name, err)
	}
	return v
}

// rows returns the rows of one metric, which need not be monotone.
func (h *machine) rows(metric string) []node.Row {
	h.m.t.Helper()
	t, err := h.proc.Load().node.Totals(context.Background(), node.Select{Match: func(s *crdt.Series) bool { return s.Name == metric }})
	if err != nil {
		h.m.t.Fatalf("read %s: %v", h.name, err)
	}
	return t.Rows
}

// elements returns the elements of a set over all regions, sorted.
func (h *machine) elements(metric string) (all []string) {
	h.m.t.Helper()
	for _, r := range h.rows(metric) {
		all = append(all, r.Value.X.(*crdt.Set).Elements()...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// gauges returns over how many nodes a gauge is, and its sum.
func (h *machine) gauges(metric string) (count int, sum float64) {
	h.m.t.Helper()
	for _, r := range h.rows(metric) {
		x := r.Value.X.(*crdt.Rollup)
		count, sum = count+int(x.Count), sum+x.Sum
	}
	return count, sum
}

// bytes is the canonical form of everything the node answers, but for when hubs wrote what gauges add up to.
func (h *machine) bytes() (b []byte) {
	h.m.t.Helper()
	t, err := h.proc.Load().node.Totals(context.Background(), node.Select{})
	if err != nil {
		h.m.t.Fatalf("read %s: %v", h.name, err)
	}
	for _, r := range t.Rows {
		if x, ok := r.Value.X.(*crdt.Rollup); ok {
			x.Stamp = 0
		}
		b = append(append(r.Series.AppendKey(b), r.Region...), 0)
		b = r.Value.AppendBinary(b)
	}
	return b
}

// metric sums a counter over its labels.
func (h *machine) metric(name string) (sum float64) {
	h.m.t.Helper()
	families, err := h.proc.Load().registry.Gather()
	if err != nil {
		h.m.t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == name {
				sum += m.GetCounter().GetValue()
			}
		}
	}
	return sum
}
