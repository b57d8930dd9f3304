package query

import (
	"context"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"meshd/crdt"
	"meshd/node"
)

// memory is a disk that is never full.
type memory struct {
	mu   sync.Mutex
	rows map[string][]byte
}

func (m *memory) Commit(ops []node.Op) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, op := range ops {
		m.rows[string(op.Key)] = slices.Clone(op.Value)
		if op.Delete {
			delete(m.rows, string(op.Key))
		}
	}
	return nil
}

func (m *memory) Scan(prefix []byte, f func(key, value []byte) error) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, key := range slices.Sorted(maps.Keys(m.rows)) {
		if strings.HasPrefix(key, string(prefix)) {
			if err := f([]byte(key), m.rows[key]); err != nil {
				return err
			}
		}
	}
	return nil
}

func (m *memory) Free() (free, reserve, used uint64) { return 1 << 40, 1 << 30, 0 }

// alone is the transport of a node without peers.
type alone struct{}

func (alone) Send(uint64, bool, []byte) bool                     { return false }
func (alone) Disconnect(uint64, string)                          {}
func (alone) Link(uint64) (rtt, offset time.Duration, at string) { return 0, 0, "" }

// What a real node counted of every kind is what its API answers.
func TestRealNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		registry := prometheus.NewRegistry()
		n, err := node.New(node.Config{
			Mesh:      "default",
			Core:      node.CoreConfig{Region: "eu", Node: "eu-1", Role: node.RoleHub, Inc: crdt.Incarnation{1}, Nonce: [16]byte{2}},
			Store:     &memory{rows: map[string][]byte{}},
			Transport: alone{}, Registerer: registry,
		})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() {
			if err := n.Run(ctx); err != nil {
				t.Errorf("Run: %v", err)
			}
		})
		defer running.Wait()
		defer cancel()

		item := func(s *crdt.Series, inc crdt.Value) node.Item { return node.Item{Series: s, Inc: inc} }
		setting := &crdt.Gauge{Time: crdt.HLCFrom(time.Now().UnixMilli(), 0), Value: 21.5}
		r := n.Submit(ctx, &node.Batch{Items: []node.Item{
			item(series(crdt.KindCounter, "m.counter", "a", "x"), counter("9007199254740993")),
			item(series(crdt.KindCounter, "m.counter", "a", "y"), counter("2")),
			item(series(crdt.KindUpDown, "m.updown"), updown("1", "3")),
			item(series(crdt.KindGauge, "m.gauge"), crdt.Value{Kind: crdt.KindGauge, X: setting}),
			item(series(crdt.KindDistribution, "m.distribution"), distribution(1, 2, 3)),
			item(series(crdt.KindUnique, "m.unique"), unique(0, 5)),
			item(series(crdt.KindSet, "m.set"), crdt.Value{Kind: crdt.KindSet, X: &crdt.Set{Inc: crdt.Incarnation{1}, Adds: []string{"b", "a"}}}),
			item(series(crdt.KindObserved, "m.observed"), observed(crdt.Sample{Source: "s", Start: 1, Time: 2, Value: fixed("4")})),
		}})
		if r.Err != nil || r.Accepted != 8 {
			t.Fatalf("submitted: %+v", r)
		}
		s, err := New(Config{Source: n, Registry: registry})
		if err != nil {
			t.Fatal(err)
		}
		var a TotalAnswer
		decode(t, send(s, "GET", "/v1/total?metric=m.*&by=region").Body.Bytes(), &a)
		want := []string{
			`counter m.counter{region="eu"} 9007199254740995`, `distribution m.distribution{region="eu"} 3`, `gauge m.gauge{region="eu"} 21.5`,
			`observed m.observed{region="eu"} 4`, `set m.set{region="eu"} 2`, `unique m.unique{region="eu"} 5`, `updown m.updown{region="eu"} -2`,
		}
		if d := cmp.Diff(want, lines(a.Results)); d != "" {
			t.Errorf("totals (-want +got):\n%s", d)
		}
		if len(a.Coverage.Regions) != 1 || a.Coverage.Regions[0].Region != "eu" || a.Coverage.Regions[0].NodesExpected != 1 {
			t.Errorf("coverage %+v", a.Coverage)
		}
		var x ExplainAnswer
		decode(t, send(s, "GET", "/v1/explain?metric=m.counter&match=a=x").Body.Bytes(), &x)
		if len(x.Series) != 1 || len(x.Series[0].Answers) != 1 || x.Series[0].Answers[0].ValueExact != "9007199254740993" {
			t.Errorf("explained as %+v", x)
		}
		for _, target := range []string{"/v1/total?metric=m.counter&by=node", "/v1/members", "/v1/status", "/healthz", "/metrics"} {
			if w := send(s, "GET", target); w.Code != 200 || !strings.Contains(w.Body.String(), "eu-1") && strings.HasPrefix(target, "/v1") {
				t.Errorf("%s: %d %.300s", target, w.Code, w.Body)
			}
		}
	})
}
