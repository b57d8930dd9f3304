package ingest

import (
	"context"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"meshd/crdt"
	"meshd/node"
)

// fakeNode adds up what it is given, as the cells of a node would.
type fakeNode struct {
	// answer, if set, decides about a batch: a Result with Err counts nothing, otherwise rejected items do not count.
	answer func(b *node.Batch) node.Result
	// taken gets a value for every batch that counted, if somebody waits.
	taken chan struct{}

	mu     sync.Mutex
	totals map[string]*crdt.Value // by Series.String()
	series map[string]*crdt.Series
	items  []node.Item
	lost   uint64
	calls  int
}

func newFakeNode() *fakeNode {
	return &fakeNode{
		taken: make(chan struct{}, 1), totals: make(map[string]*crdt.Value), series: make(map[string]*crdt.Series),
	}
}

// lostSoFar returns how many samples were reported lost.
func (f *fakeNode) lostSoFar() uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.lost
}

func (f *fakeNode) Submit(_ context.Context, b *node.Batch) node.Result {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls++
	res := node.Result{Accepted: len(b.Items)}
	if f.answer != nil {
		res = f.answer(b)
	}
	if res.Err != nil {
		return res
	}
	rejected := make(map[int]bool)
	for _, r := range res.Rejected {
		rejected[r.Index] = true
	}
	for i, it := range b.Items {
		if rejected[i] {
			continue
		}
		key := it.Series.String()
		if f.totals[key] == nil {
			v := crdt.Bottom(it.Series.Kind)
			f.totals[key], f.series[key] = &v, it.Series
		}
		if err := f.totals[key].Grow(&it.Inc); err != nil {
			panic(err)
		}
		f.items = append(f.items, it)
	}
	f.lost += b.Lost
	select {
	case f.taken <- struct{}{}:
	default:
	}
	return res
}

// value returns the total of a series, named as Series.String does; bottom if there is none.
func (f *fakeNode) value(series string) crdt.Value {
	f.mu.Lock()
	defer f.mu.Unlock()
	if v := f.totals[series]; v != nil {
		return v.Clone()
	}
	return crdt.Value{}
}

func (f *fakeNode) counter(series string) string { return f.value(series).P.String() }

func newTestMetrics(t testing.TB) (*Metrics, *prometheus.Registry) {
	t.Helper()
	reg := prometheus.NewPedanticRegistry()
	m, err := NewMetrics(reg)
	if err != nil {
		t.Fatal(err)
	}
	return m, reg
}

func newTestDoor(t testing.TB, s Submitter, m *Metrics) *Door {
	t.Helper()
	d, err := NewDoor(s, m)
	if err != nil {
		t.Fatal(err)
	}
	d.now = func() time.Time { return testNow }
	return d
}

// metric returns the value of the one metric with the name whose labels include all of those given.
func metric(t testing.TB, reg *prometheus.Registry, name string, labels ...string) float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	sum := 0.0
	for _, fam := range families {
		if fam.GetName() != "meshd_ingest_"+name {
			continue
		}
		for _, m := range fam.GetMetric() {
			if hasLabels(m, labels) {
				sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	return sum
}

func hasLabels(m *dto.Metric, labels []string) bool {
	for i := 0; i < len(labels); i += 2 {
		found := false
		for _, l := range m.GetLabel() {
			found = found || l.GetName() == labels[i] && l.GetValue() == labels[i+1]
		}
		if !found {
			return false
		}
	}
	return true
}

func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }

// door is a StatsD without a socket: packets go to its parser by hand, batches leave when told.
type door struct {
	parser packetParser
	flush  *flusher
	node   *fakeNode
	reg    *prometheus.Registry
}

func newDoor(t testing.TB, limit int, updown ...string) *door {
	m, reg := newTestMetrics(t)
	n := newFakeNode()
	f := &flusher{acc: newAccumulators(limit), to: n, meter: m.meter("statsd"), log: discard()}
	f.own = []*counts{newCounts(f.acc)}
	return &door{parser: packetParser{acc: f.acc, own: f.own[0], updown: updown}, flush: f, node: n, reg: reg}
}

// send takes a packet in and flushes. It returns the reasons of refused lines.
func (d *door) send(t testing.TB, packet string) (refused []reason) {
	d.parser.packet([]byte(packet), crdt.HLCFrom(1000, 0))
	for r, n := range d.parser.tally.rejected {
		for range n {
			refused = append(refused, reason(r))
		}
	}
	d.flush.lost.Add(d.parser.tally.publish(d.flush.meter))
	d.flush.flush(t.Context())
	return refused
}

// acceptAll is a node that costs nothing.
type acceptAll struct{}

func (acceptAll) Submit(_ context.Context, b *node.Batch) node.Result {
	return node.Result{Accepted: len(b.Items)}
}

// observedTotal returns the sum over all sources and runs of a series.
func (f *fakeNode) observedTotal(series string) string {
	o, ok := f.value(series).X.(*crdt.Observed)
	if !ok {
		return "none"
	}
	return o.Total().String()
}

// checkItems fails if a door submitted what a node must refuse.
func (f *fakeNode) checkItems(t testing.TB) {
	t.Helper()
	for _, it := range f.items {
		if err := it.Series.Check(); err != nil || it.Inc.Kind != it.Series.Kind {
			t.Errorf("submitted %s of %s: %v", it.Inc.Kind, it.Series, err)
		}
	}
}
