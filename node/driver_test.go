package node_test

import (
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"meshd/internal/nodetest"
	"meshd/node"
)

// lone starts a node without peers.
func lone(t *testing.T, role node.Role, registry prometheus.Registerer) (n *node.Node, stop func()) {
	t.Helper()
	core := node.CoreConfig{Region: "eu", Node: "eu-1", Role: role, Inc: node.NewIncarnation(), Nonce: [16]byte{1}}
	return nodetest.Start(t, node.Config{Core: core, Registerer: registry})
}

// The virtual clock moves only while every goroutine waits: a loop that spins would hang the test.
func TestIdleNodeSleeps(t *testing.T) {
	for _, role := range []node.Role{node.RoleHub, node.RoleEdge} {
		t.Run(string(role), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n, stop := lone(t, role, nil)
				defer stop()
				time.Sleep(time.Minute)
				if _, err := n.Totals(t.Context(), node.Select{}); err != nil {
					t.Error(err)
				}
				time.Sleep(time.Minute)
			})
		})
	}
}

func TestCallsAfterTheEndSayClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, stop := lone(t, node.RoleHub, nil)
		stop()
		for range 1000 { // the first find room in the queue that nobody reads any more
			if r := n.Submit(t.Context(), &node.Batch{}); !errors.Is(r.Err, node.ErrClosed) {
				t.Fatalf("submit: %v", r.Err)
			}
			if _, err := n.Totals(t.Context(), node.Select{}); !errors.Is(err, node.ErrClosed) {
				t.Fatalf("totals: %v", err)
			}
		}
		n.PeerUp(1, node.PeerInfo{Region: "eu", Node: "x", Role: node.RoleEdge})
		n.PeerDown(1)
	})
}

// With the race detector: metrics are gathered by other goroutines than the core's.
func TestMetricsAreReadOnTheCoresGoroutine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		registry := prometheus.NewPedanticRegistry()
		n, stop := lone(t, node.RoleHub, registry)
		defer stop()
		var wg sync.WaitGroup
		wg.Go(func() {
			for i := range uint64(100) {
				n.PeerUp(i, node.PeerInfo{Region: "eu", Node: "x", Role: node.RoleEdge})
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
