package archive

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"pgregory.net/rapid"

	"meshd/crdt"
	"meshd/internal/eventlog"
	"meshd/internal/nodetest"
	"meshd/node"
	"meshd/replay"
)

// forgetful is a log whose first two answers are lost, one of them after it did what it was told.
type forgetful struct {
	replay.Log
	calls int
}

func (f *forgetful) Append(ctx context.Context, records []replay.Record) (replay.Position, error) {
	if f.calls++; f.calls == 1 {
		return nil, errAway
	}
	at, err := f.Log.Append(ctx, records)
	if f.calls == 2 {
		return nil, errAway
	}
	return at, err
}

// TestEventsReachTheirLogOnce lets the log fail and the process end again and again.
func TestEventsReachTheirLogOnce(t *testing.T) {
	t.Run("embedded", func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "events")
		eventsReach(t, func(_ context.Context, readOnly bool) (replay.Log, error) { return embedded(t, dir, readOnly), nil })
	})
	t.Run("kafka", func(t *testing.T) {
		c, err := kfake.NewCluster(kfake.NumBrokers(1))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(c.Close)
		eventsReach(t, func(ctx context.Context, _ bool) (replay.Log, error) {
			return replay.OpenKafka(ctx, replay.KafkaConfig{Brokers: c.ListenAddrs(), Topic: "events", Mesh: "m", Partitions: 3})
		})
	})
}

func eventsReach(t *testing.T, open func(ctx context.Context, readOnly bool) (replay.Log, error)) {
	t.Helper()
	disk := &nodetest.Disk{}
	want := map[string]int{}
	for process := range 4 {
		n, stop := nodetest.Start(t, node.Config{
			Core:  node.CoreConfig{Region: "eu", Node: "h", Role: node.RoleHub, Inc: node.NewIncarnation(), Nonce: node.NewIncarnation(), EventBytes: 1 << 20},
			Store: disk, Logger: slog.New(slog.DiscardHandler),
		})
		w, err := NewEventWriter(EventsConfig{
			Open: func(ctx context.Context) (replay.Log, error) {
				log, err := open(ctx, false)
				if err != nil {
					return nil, err
				}
				return &forgetful{Log: log}, nil
			},
			Name: "events", Disk: disk, Node: n, Poll: time.Millisecond, Logger: slog.New(slog.DiscardHandler),
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
		for i := range 100 {
			s := &crdt.Series{Name: "clicks", Kind: crdt.KindCounter, Labels: []crdt.Label{{Name: "n", Value: fmt.Sprint(process, i)}}}
			res := n.Submit(t.Context(), &node.Batch{Items: []node.Item{{Series: s, Raw: s, Inc: crdt.Value{Kind: crdt.KindCounter, P: crdt.FixedFromUint(1)}}}})
			if res.Err != nil {
				t.Fatal(res.Err)
			}
			want[s.String()]++
		}
		for process%2 == 1 { // others end with events that wait, as a rule
			st, err := n.Status(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if st.Events.Bytes == 0 {
				break
			}
		}
		cancel()
		wg.Wait()
		stop()
	}
	log, err := open(t.Context(), true)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = log.Close() }() // it was read only
	got := map[string]int{}
	st, err := ReadEvents(t.Context(), log, nil, func(o crdt.Origin, ev *eventlog.Event) error {
		if o.Node != "h" || o.Region != "eu" {
			t.Errorf("an event of %v", o)
		}
		got[ev.Series.String()]++
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if !maps.Equal(want, got) || st.Events != 400 || st.Missing != 0 {
		t.Errorf("%d series, want %d; %+v", len(got), len(want), st)
	}
	if st.Repeated == 0 {
		t.Error("nothing was appended twice, although the log failed after appends")
	}
}

// TestNumbersAreASet against a map.
func TestNumbersAreASet(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var n numbers
		want := map[uint64]bool{}
		for _, v := range rapid.SliceOfN(rapid.Uint64Range(1, 30), 1, 60).Draw(t, "numbers") {
			if fresh := n.add(v); fresh == want[v] {
				t.Fatalf("%d: new %t", v, fresh)
			}
			want[v] = true
		}
		all := slices.Sorted(maps.Keys(want))
		if missing := all[len(all)-1] - all[0] + 1 - uint64(len(all)); n.missing() != int64(missing) {
			t.Fatalf("%d missing, want %d", n.missing(), missing)
		}
	})
}
