package bubble

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"meshd/buffer"
	"meshd/crdt"
	"meshd/history"
	"meshd/internal/bridge"
	"meshd/internal/nodetest"
	"meshd/node"
)

func openHistory(t *testing.T) (*history.Store, *buffer.Store) {
	t.Helper()
	disk, err := buffer.Open(buffer.Config{Dir: t.TempDir(), Mesh: "m", Region: "r", Node: "n", MemoryBytes: 64 << 20})
	if err != nil {
		t.Fatal(err)
	}
	h, err := history.Open(history.Config{KV: bridge.Windows{Store: disk}, Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		h.Close()
		if err := disk.Close(); err != nil {
			t.Error(err)
		}
	})
	return h, disk
}

// late is a counter that grew by n an hour ago, or two.
func late(s *crdt.Series, hours int64, n uint64) node.Item {
	at := time.Now().UnixMilli() - hours*crdt.HourMillis
	return node.Item{Series: s, Inc: crdt.Value{Kind: crdt.KindCounter, P: crdt.FixedFromUint(n)}, At: at}
}

func submit(t *testing.T, n *node.Node, items ...node.Item) {
	t.Helper()
	if r := n.Submit(t.Context(), &node.Batch{Items: items}); r.Err != nil || r.Accepted != len(items) {
		t.Fatalf("submit: %+v", r)
	}
}

// Late events change windows that were published, before and after a fold, and a process publishes what the one before it
// left open: the history of a hub on real disks says what was counted.
func TestTheHistoryOfALateEvent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, disk := openHistory(t)
		s := &crdt.Series{Name: "clicks", Kind: crdt.KindCounter}
		start := func() (*node.Node, func()) {
			return nodetest.Start(t, node.Config{
				Core:  node.CoreConfig{Region: "r", Node: "n", Role: node.RoleHub, Inc: node.NewIncarnation()},
				Store: bridge.Disk{Store: disk}, History: bridge.History{Store: h},
			})
		}
		want := func(hours int64, total uint64) {
			t.Helper()
			at := late(s, hours, 0).At
			for _, byNode := range []bool{true, false} {
				var got crdt.Fixed
				w := crdt.WindowAt(at, crdt.HourMillis)
				sel := history.Selection{ByNode: byNode, From: w.Start, To: w.End(), Width: crdt.HourMillis}
				if err := h.Curves(context.Background(), sel, func(c *history.Curve) error {
					for _, p := range c.Points {
						got, _ = got.Add(p.Value.P)
					}
					return nil
				}); err != nil {
					t.Fatal(err)
				}
				if got != crdt.FixedFromUint(total) {
					t.Errorf("%d h ago %s were counted (by node %v), want %d", hours, got, byNode, total)
				}
			}
		}
		n, stop := start()
		submit(t, n, late(s, 1, 5), late(s, 3, 1), late(s, 0, 7))
		time.Sleep(10 * time.Second)
		want(1, 5)
		submit(t, n, late(s, 1, 2))
		time.Sleep(10 * time.Second)
		want(1, 7)
		if err := h.Fold(t.Context()); err != nil {
			t.Fatal(err)
		}
		submit(t, n, late(s, 1, 10), late(s, 3, 10))
		stop()
		n, stop = start() // publishes what was left: the hour that is not over, too
		time.Sleep(10 * time.Second)
		want(1, 17)
		want(3, 11)
		want(0, 7)
		submit(t, n, late(s, 3, 100))
		time.Sleep(10 * time.Second)
		want(3, 111)
		stop()
	})
}
