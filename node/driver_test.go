package node

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// memory is a disk that is never full.
type memory struct {
	mu   sync.Mutex
	rows map[string][]byte
}

func (m *memory) Commit(ops []Op) error {
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

// alone is the transport of a node without peers; it counts what it is asked.
type alone struct{ sends, disconnects int }

func (a *alone) Send(uint64, bool, []byte) bool                     { a.sends++; return false }
func (a *alone) Room(uint64, bool) Room                             { return unbounded }
func (a *alone) Disconnect(uint64, string)                          { a.disconnects++ }
func (a *alone) Link(uint64) (rtt, offset time.Duration, at string) { return 0, 0, "" }

// running starts a node alone in the bubble; stop ends it and waits.
func running(t *testing.T, role Role, to Transport) (n *Node, stop func()) {
	t.Helper()
	cfg := CoreConfig{Region: "eu", Node: "eu-1", Role: role, Inc: NewIncarnation(), Nonce: [16]byte{1}}
	n, err := New(Config{Core: cfg, Store: &memory{rows: map[string][]byte{}}, Transport: to})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := n.Run(ctx); err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return n, func() { cancel(); wg.Wait() }
}

// The virtual clock moves only while every goroutine waits: a loop that spins would hang the test.
func TestIdleNodeSleeps(t *testing.T) {
	for _, role := range []Role{RoleHub, RoleEdge} {
		t.Run(string(role), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n, stop := running(t, role, &alone{})
				defer stop()
				time.Sleep(time.Minute)
				if _, err := n.Totals(t.Context(), Select{}); err != nil {
					t.Error(err)
				}
				time.Sleep(time.Minute)
			})
		})
	}
}

func TestCallsAfterTheEndSayClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, stop := running(t, RoleHub, &alone{})
		stop()
		for range 2 * waitingCalls { // some find room in the queue that nobody reads any more
			if r := n.Submit(t.Context(), &Batch{}); !errors.Is(r.Err, ErrClosed) {
				t.Fatalf("submit: %v", r.Err)
			}
			if _, err := n.Totals(t.Context(), Select{}); !errors.Is(err, ErrClosed) {
				t.Fatalf("totals: %v", err)
			}
		}
		n.PeerUp(1, PeerInfo{Region: "eu", Node: "x", Role: RoleEdge})
		n.PeerDown(1)
	})
}

// With the race detector: metrics are gathered by other goroutines than the core's.
func TestMetricsAreReadOnTheCoresGoroutine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, stop := running(t, RoleHub, &alone{})
		defer stop()
		registry := prometheus.NewPedanticRegistry()
		registry.MustRegister(&collector{n})
		var wg sync.WaitGroup
		wg.Go(func() {
			for i := range uint64(100) {
				n.PeerUp(i, PeerInfo{Region: "eu", Node: "x", Role: RoleEdge})
				n.PeerDown(i)
			}
		})
		for range 20 {
			if families, err := registry.Gather(); err != nil || len(families) == 0 {
				t.Fatalf("%d families, %v", len(families), err)
			}
		}
		wg.Wait()
	})
}
