package audit

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"meshd/buffer"
	"meshd/crdt"
	"meshd/history"
	"meshd/internal/archive"
	"meshd/internal/bridge"
	"meshd/internal/nodetest"
	"meshd/node"
	"meshd/replay"
)

// hub is a hub on real stores that archives into an embedded log.
type hub struct {
	testing.TB
	dir   string
	store *buffer.Store
	past  *history.Store
	node  *node.Node
	stop  func()
	quiet func() // stops archiving
}

func openStores(t testing.TB, dir string) (*buffer.Store, *history.Store) {
	t.Helper()
	store, err := buffer.Open(buffer.Config{Dir: filepath.Join(dir, "data"), Mesh: "m", Region: "eu", Node: "h", MemoryBytes: 64 << 20})
	if err != nil {
		t.Fatal(err)
	}
	past, err := history.Open(history.Config{KV: bridge.Windows{Store: store}, Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	return store, past
}

func openHub(t testing.TB, dir string) *hub {
	t.Helper()
	h := &hub{TB: t, dir: dir}
	h.store, h.past = openStores(t, dir)
	h.node, h.stop = nodetest.Start(t, node.Config{
		Core: node.CoreConfig{
			Region: "eu", Node: "h", Role: node.RoleHub, Inc: node.NewIncarnation(), Nonce: node.NewIncarnation(), ArchiveBytes: 64 << 20, LogBytes: 5_000,
		},
		Store: bridge.Disk{Store: h.store}, History: bridge.History{Store: h.past}, Logger: slog.New(slog.DiscardHandler),
	})
	w, err := archive.NewWriter(archive.Config{
		Open: func(context.Context) (replay.Log, error) { return openLog(t, dir, false), nil },
		Name: "log", Disk: bridge.Disk{Store: h.store}, Node: h.node, Region: "eu", Dir: dir,
		Poll: 5 * time.Millisecond, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := w.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	h.quiet = func() { cancel(); wg.Wait() }
	return h
}

func openLog(t testing.TB, dir string, readOnly bool) *replay.Embedded {
	t.Helper()
	l, err := replay.OpenEmbedded(replay.EmbeddedConfig{Dir: filepath.Join(dir, "log"), Mesh: "m", SegmentBytes: 200_000, ReadOnly: readOnly, KeepFor: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// count counts something of several kinds, half of it long ago.
func (h *hub) count(rng *rand.Rand, n int) {
	h.Helper()
	b := &node.Batch{}
	for range n {
		it := node.Item{
			Series: &crdt.Series{Name: fmt.Sprintf("m%d", rng.IntN(12)), Kind: crdt.KindCounter},
			Inc:    crdt.Value{Kind: crdt.KindCounter, P: crdt.FixedFromUint(1 + rng.Uint64N(1000))},
		}
		if rng.IntN(4) == 0 {
			d := new(crdt.Distribution)
			if err := d.Observe(float64(1+rng.IntN(100)), 1); err != nil {
				h.Fatal(err)
			}
			it.Series, it.Inc = &crdt.Series{Name: "took", Kind: crdt.KindDistribution}, crdt.Value{Kind: crdt.KindDistribution, X: d}
		}
		if rng.IntN(2) == 0 {
			it.At = time.Now().Add(-time.Duration(100+rng.IntN(7200)) * time.Second).UnixMilli()
		}
		b.Items = append(b.Items, it)
	}
	if res := h.node.Submit(h.Context(), b); res.Err != nil || len(res.Rejected) > 0 {
		h.Fatal(res.Err, res.Rejected)
	}
}

// archived waits until the log has everything that is on disk.
func (h *hub) archived() {
	h.Helper()
	for {
		if err := h.node.Settle(h.Context()); err != nil {
			h.Fatal(err)
		}
		st, err := h.node.Status(h.Context())
		if err != nil {
			h.Fatal(err)
		}
		if st.Archive.Records == 0 {
			return
		}
	}
}

func (h *hub) close() {
	h.Helper()
	h.quiet()
	h.stop()
	h.past.Close()
	if err := h.store.Close(); err != nil {
		h.Fatal(err)
	}
}

// rows copies a disk.
func rows(t testing.TB, store *buffer.Store) *nodetest.Disk {
	t.Helper()
	disk := &nodetest.Disk{}
	var ops []node.Op
	if err := (bridge.Disk{Store: store}).View(func(r node.Reader) error {
		return r.Scan(nil, func(key, value []byte) error {
			ops = append(ops, node.Op{Key: append([]byte(nil), key...), Value: append([]byte(nil), value...)})
			return nil
		})
	}); err != nil {
		t.Fatal(err)
	}
	if err := disk.Commit(ops); err != nil {
		t.Fatal(err)
	}
	return disk
}
