package node_test

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"meshd/crdt"
	"meshd/internal/nodetest"
	"meshd/node"
)

// lines collects what is logged.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func TestAStuckCoreIsReported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, registry := &lines{}, prometheus.NewRegistry()
		core := node.CoreConfig{Region: "eu", Node: "eu-1", Role: node.RoleHub, Inc: node.NewIncarnation(), Nonce: [16]byte{1}}
		n, stop := nodetest.Start(t, node.Config{Core: core, Registerer: registry, Logger: slog.New(slog.NewTextHandler(log, nil))})
		defer stop()
		one := node.Item{
			Series: &crdt.Series{Name: "clicks", Kind: crdt.KindCounter}, Inc: crdt.Value{Kind: crdt.KindCounter, P: crdt.FixedFromUint(1)},
		}
		if r := n.Submit(t.Context(), &node.Batch{Items: []node.Item{one}}); r.Err != nil {
			t.Fatal(r.Err)
		}
		var reading sync.WaitGroup
		stuck := make(chan struct{})
		reading.Go(func() { // a step that does not end
			_, _ = n.Totals(context.Background(), node.Select{Match: func(*crdt.Series) bool { <-stuck; return true }})
		})
		time.Sleep(5 * time.Second)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := n.Status(ctx); err == nil {
			t.Error("the status, which /healthz asks for, is answered by a stuck core")
		}
		if got := metricOf(t, registry, "meshd_core_slow_steps_total"); got != 1 {
			t.Errorf("%g slow steps, want 1", got)
		}
		if got := metricOf(t, registry, "meshd_core_step_seconds"); got < 5 {
			t.Errorf("the step has run for %g s, want 5 and more", got)
		}
		if !strings.Contains(log.String(), "(*Node).loop") {
			t.Error("the log shows no stack of the step")
		}
		close(stuck)
		reading.Wait()
		time.Sleep(2 * time.Second)
		if !strings.Contains(log.String(), "is over") {
			t.Error("the log does not say that it is over")
		}
		if _, err := n.Status(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// metricOf gathers a registry, as far as a stuck core lets it, and returns a value without labels.
func metricOf(t *testing.T, r *prometheus.Registry, name string) float64 {
	t.Helper()
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			m := f.GetMetric()[0]
			return m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	t.Fatalf("no metric %s", name)
	return 0
}
