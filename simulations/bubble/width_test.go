package bubble

import (
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

// A node is started again with another --window. What it counted before stays in windows of the old width, what it left open is
// published in them, and what it counts from then on is in new ones: for the node and for its region every sample is in one.
func TestAnotherWidthAfterARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir, total := t.TempDir(), uint64(0)
		began := time.Now()
		clicks := &crdt.Series{Name: "clicks", Kind: crdt.KindCounter}
		for i, width := range []int64{10_000, 5_000, 30_000} {
			disk, err := buffer.Open(buffer.Config{Dir: dir, Mesh: "m", Region: "r", Node: "n", MemoryBytes: 256 << 20})
			if err != nil {
				t.Fatal(err)
			}
			past, err := history.Open(history.Config{KV: bridge.Windows{Store: disk}, Now: time.Now})
			if err != nil {
				t.Fatal(err)
			}
			n, stop := nodetest.Start(t, node.Config{
				Mesh: "m", Core: node.CoreConfig{Region: "r", Node: "n", Role: node.RoleHub, Inc: crdt.Incarnation{byte(i + 1)}, Window: width},
				Store: bridge.Disk{Store: disk}, History: bridge.History{Store: past},
			})
			for second := range uint64(47) {
				b := node.Batch{Items: []node.Item{{Series: clicks, Inc: crdt.Value{Kind: crdt.KindCounter, P: crdt.FixedFromUint(second + 1)}}}}
				if r := n.Submit(t.Context(), &b); r.Err != nil {
					t.Fatal(r.Err)
				}
				total += second + 1
				time.Sleep(time.Second)
			}
			if i == 2 {
				time.Sleep(2 * time.Minute)
				for _, byNode := range []bool{false, true} {
					var sum crdt.Fixed
					widths := map[int64]bool{}
					if err := past.Curves(t.Context(), history.Selection{ByNode: byNode, From: began.Add(-time.Hour).UnixMilli(), To: time.Now().UnixMilli()}, func(c *history.Curve) error {
						for _, p := range c.Points {
							sum, _ = sum.Add(p.Value.P)
							widths[p.Window.Width] = true
						}
						return nil
					}); err != nil {
						t.Fatal(err)
					}
					if sum != crdt.FixedFromUint(total) || len(widths) != 3 {
						t.Errorf("by node %t: %s, want %d; widths %v", byNode, sum, total, widths)
					}
				}
			}
			stop()
			past.Close()
			if err := disk.Close(); err != nil {
				t.Fatal(err)
			}
		}
	})
}
