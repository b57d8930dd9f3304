package archive

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"

	"meshd/buffer"
	"meshd/crdt"
	"meshd/history"
	"meshd/internal/bridge"
	"meshd/internal/nodetest"
	"meshd/node"
	"meshd/replay"
)

// hub is a hub on real stores.
type hub struct {
	t     testing.TB
	dir   string
	store *buffer.Store
	past  *history.Store
	node  *node.Node
	stop  func()
	old   map[crdt.Window]crdt.Fixed // what was counted some time ago, by fine window
}

func openHub(t testing.TB, dir string) *hub {
	t.Helper()
	h := &hub{t: t, dir: dir, old: map[crdt.Window]crdt.Fixed{}}
	var err error
	if h.store, err = buffer.Open(buffer.Config{Dir: dir, Mesh: "m", Region: "eu", Node: "h", MemoryBytes: 64 << 20}); err != nil {
		t.Fatal(err)
	}
	if h.past, err = history.Open(history.Config{KV: bridge.Windows{Store: h.store}, Now: time.Now}); err != nil {
		t.Fatal(err)
	}
	h.node, h.stop = nodetest.Start(t, node.Config{
		Core: node.CoreConfig{
			Region: "eu", Node: "h", Role: node.RoleHub, Inc: node.NewIncarnation(), Nonce: node.NewIncarnation(), ArchiveBytes: 64 << 20, LogBytes: 4_000,
		},
		Store: bridge.Disk{Store: h.store}, History: bridge.History{Store: h.past}, Logger: slog.New(slog.DiscardHandler),
	})
	return h
}

func (h *hub) close() {
	h.t.Helper()
	h.stop()
	h.past.Close()
	if err := h.store.Close(); err != nil {
		h.t.Fatal(err)
	}
}

// count counts something of every kind that is additive, some of it long ago.
func (h *hub) count(rng *rand.Rand, n int) {
	h.t.Helper()
	b := &node.Batch{}
	for range n {
		it := node.Item{
			Series: &crdt.Series{Name: fmt.Sprintf("m%d", rng.IntN(40)), Kind: crdt.KindCounter},
			Inc:    crdt.Value{Kind: crdt.KindCounter, P: crdt.FixedFromUint(1 + rng.Uint64N(1000))},
		}
		if rng.IntN(2) == 0 {
			it.At = time.Now().Add(-time.Duration(100+rng.IntN(7200)) * time.Second).UnixMilli()
			win := crdt.WindowAt(it.At, crdt.FineMillis)
			h.old[win], _ = h.old[win].Add(it.Inc.P)
		}
		b.Items = append(b.Items, it)
	}
	if res := h.node.Submit(h.t.Context(), b); res.Err != nil || len(res.Rejected) > 0 {
		h.t.Fatal(res.Err, res.Rejected)
	}
}

// totals returns what the hub answers, in canonical form.
func (h *hub) totals() map[string]string {
	h.t.Helper()
	out := map[string]string{}
	t, err := h.node.Totals(h.t.Context(), node.Select{})
	if err != nil {
		h.t.Fatal(err)
	}
	for _, r := range t.Rows {
		out[fmt.Sprintf("%s %s", r.Series, r.Region)] = string(r.Value.AppendBinary(nil))
	}
	return out
}

// windows returns what the history has of windows that ended before a time, in canonical form.
func (h *hub) windows(to int64) map[string]string {
	h.t.Helper()
	out := map[string]string{}
	for _, width := range []int64{crdt.FineMillis, crdt.MinuteMillis, crdt.HourMillis} {
		err := h.past.Curves(h.t.Context(), history.Selection{Width: width, From: to - 3*crdt.HourMillis, To: to}, func(c *history.Curve) error {
			for _, p := range c.Points {
				if p.Window.End() <= to {
					out[fmt.Sprintf("%s %v %v", c.Series, c.Owner, p.Window)] = string(p.Value.AppendBinary(nil))
				}
			}
			return nil
		})
		if err != nil {
			h.t.Fatal(err)
		}
	}
	return out
}

// published waits until the history has what was counted some time ago where it belongs.
func (h *hub) published(want map[crdt.Window]crdt.Fixed) {
	h.t.Helper()
	for {
		if err := h.node.Settle(h.t.Context()); err != nil {
			h.t.Fatal(err)
		}
		got := map[crdt.Window]crdt.Fixed{}
		to := time.Now().UnixMilli()
		err := h.past.Curves(h.t.Context(), history.Selection{Width: crdt.FineMillis, From: to - 3*crdt.HourMillis, To: to - 100_000}, func(c *history.Curve) error {
			for _, p := range c.Points {
				got[p.Window], _ = got[p.Window].Add(p.Value.P)
			}
			return nil
		})
		if err != nil {
			h.t.Fatal(err)
		}
		if maps.Equal(got, want) {
			return
		}
	}
}

func mustEqual(t testing.TB, what string, want, got map[string]string) {
	t.Helper()
	if len(want) == 0 {
		t.Fatalf("%s: nothing to compare", what)
	}
	for _, k := range slices.Sorted(maps.Keys(want)) {
		if want[k] != got[k] {
			t.Fatalf("%s: %s is %x, want %x", what, k, got[k], want[k])
		}
	}
	if len(want) != len(got) {
		t.Fatalf("%s: %d values, want %d", what, len(got), len(want))
	}
}

// writing runs a Writer beside a hub until the returned function is called.
func writing(t testing.TB, h *hub, open func(context.Context) (replay.Log, error)) (stop func()) {
	t.Helper()
	w, err := NewWriter(Config{
		Open: open, Name: "log", Disk: bridge.Disk{Store: h.store}, Node: h.node, Region: "eu", Dir: h.dir,
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
	return func() { cancel(); wg.Wait() }
}

// whole waits until the log has everything, publications too.
func (h *hub) whole() {
	h.t.Helper()
	for {
		if err := h.node.Settle(h.t.Context()); err != nil {
			h.t.Fatal(err)
		}
		st, err := h.node.Status(h.t.Context())
		if err != nil {
			h.t.Fatal(err)
		}
		if st.Archive.Records == 0 {
			return
		}
	}
}

func embedded(t testing.TB, dir string, readOnly bool) *replay.Embedded {
	t.Helper()
	l, err := replay.OpenEmbedded(replay.EmbeddedConfig{Dir: dir, Mesh: "m", SegmentBytes: 200_000, ReadOnly: readOnly, KeepFor: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// TestAHubComesBackFromItsLog deletes the disk of a hub, rebuilds it from the log, and again over what is there.
func TestAHubComesBackFromItsLog(t *testing.T) {
	t.Run("embedded", func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "log")
		comesBack(t, func(_ context.Context, readOnly bool) (replay.Log, error) { return embedded(t, dir, readOnly), nil })
	})
	t.Run("kafka", func(t *testing.T) {
		c, err := kfake.NewCluster(kfake.NumBrokers(1))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(c.Close)
		comesBack(t, func(ctx context.Context, _ bool) (replay.Log, error) {
			return replay.OpenKafka(ctx, replay.KafkaConfig{Brokers: c.ListenAddrs(), Topic: "log", Mesh: "m", Partitions: 3, KeepFor: time.Hour})
		})
	})
}

// comesBack is that for one engine.
func comesBack(t *testing.T, open func(ctx context.Context, readOnly bool) (replay.Log, error)) {
	t.Helper()
	rng := rand.New(rand.NewPCG(7, 7))
	dir := t.TempDir()
	var want, wantWindows map[string]string
	var to int64
	old := map[crdt.Window]crdt.Fixed{}
	for process := range 3 { // each begins with a snapshot
		h := openHub(t, dir)
		h.old = old
		stop := writing(t, h, func(ctx context.Context) (replay.Log, error) { return open(ctx, false) })
		for range 30 {
			h.count(rng, 50)
		}
		h.whole()
		if process == 2 {
			h.published(old)
			h.whole()
			to = time.Now().Add(-30 * time.Second).UnixMilli()
			want, wantWindows = h.totals(), h.windows(to)
		}
		stop()
		h.close()
	}
	fresh := openHub(t, t.TempDir())
	defer fresh.close()
	log, err := open(t.Context(), true)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = log.Close() }() // it was read only
	for _, how := range []string{"once", "twice"} {
		moved, err := (&Rebuild{Log: log, Into: fresh.node}).Run(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if moved.Skipped == 0 || moved.Frames == 0 {
			t.Errorf("%s: %+v: nothing was left to snapshots, or nothing was joined", how, moved)
		}
		mustEqual(t, how+": totals", want, fresh.totals())
		mustEqual(t, how+": windows", wantWindows, fresh.windows(to))
	}
}

// flaky is a log that fails now and then, after an append that it did, too.
type flaky struct {
	replay.Log
	rng *rand.Rand
}

var errAway = errors.New("the log is away")

func (f *flaky) Append(ctx context.Context, records []replay.Record) (replay.Position, error) {
	switch f.rng.IntN(4) {
	case 0:
		return nil, errAway
	case 1:
		_, err := f.Log.Append(ctx, records)
		return nil, errors.Join(err, errAway)
	}
	return f.Log.Append(ctx, records)
}

// TestALogThatFailsLacksNothingInTheEnd: a batch whose answer is lost comes again, and what failed stays on disk.
func TestALogThatFailsLacksNothingInTheEnd(t *testing.T) {
	rng := rand.New(rand.NewPCG(8, 8))
	logDir := filepath.Join(t.TempDir(), "log")
	h := openHub(t, t.TempDir())
	stop := writing(t, h, func(context.Context) (replay.Log, error) {
		return &flaky{Log: embedded(t, logDir, false), rng: rand.New(rand.NewPCG(9, 9))}, nil
	})
	for range 60 {
		h.count(rng, 20)
	}
	h.whole()
	want := h.totals()
	stop()
	h.close()
	fresh := openHub(t, t.TempDir())
	defer fresh.close()
	log := embedded(t, logDir, true)
	defer func() { _ = log.Close() }() // it was read only
	if _, err := (&Rebuild{Log: log, Into: fresh.node}).Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	mustEqual(t, "totals", want, fresh.totals())
}

// breaking is a log that breaks at the first append after it was told to, and takes nothing more until it is opened again.
type breaking struct {
	replay.Log
	next   *atomic.Bool
	broken bool
}

func (b *breaking) Append(ctx context.Context, records []replay.Record) (replay.Position, error) {
	if b.next.CompareAndSwap(true, false) {
		b.broken = true
	}
	if b.broken {
		return nil, replay.ErrBroken
	}
	return b.Log.Append(ctx, records)
}

// TestALogThatBreaksIsOpenedAgain: also when what broke it is what an operator decided.
func TestALogThatBreaksIsOpenedAgain(t *testing.T) {
	rng := rand.New(rand.NewPCG(6, 6))
	logDir := filepath.Join(t.TempDir(), "log")
	h := openHub(t, t.TempDir())
	var next atomic.Bool
	stop := writing(t, h, func(context.Context) (replay.Log, error) {
		return &breaking{Log: embedded(t, logDir, false), next: &next}, nil
	})
	for round := range 4 {
		h.count(rng, 20)
		h.whole()
		next.Store(true)
		if round%2 == 0 { // the next that is appended is this
			if err := h.node.DropSeries(t.Context(), "m3", nil); err != nil {
				t.Fatal(err)
			}
		}
		h.count(rng, 20)
		h.whole()
		if next.Load() {
			t.Fatal("nothing was appended")
		}
	}
	want := h.totals()
	stop()
	h.close()
	fresh := openHub(t, t.TempDir())
	defer fresh.close()
	log := embedded(t, logDir, true)
	defer func() { _ = log.Close() }() // it was read only
	if _, err := (&Rebuild{Log: log, Into: fresh.node}).Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	mustEqual(t, "totals", want, fresh.totals())
}
