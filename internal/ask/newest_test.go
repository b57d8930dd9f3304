package ask

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"meshd/crdt"
	"meshd/history"
	"meshd/history/historytest"
)

// Who wants the newest samples of gauges alone is told these as if it wanted all, in fewer bytes: the hub reads half of its columns.
func TestOnlyTheNewestOfGaugesTravels(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHub(t, "eu-1", fresh())
		begin := time.Now().Add(-time.Hour).Truncate(time.Hour).UnixMilli()
		load := &crdt.Series{Name: "load", Kind: crdt.KindGauge}
		rnd := rand.New(rand.NewPCG(1, 2))
		var cells []history.Cell
		for w := range int64(300) {
			r := new(crdt.Rollup)
			for i := range int64(5) {
				r.AddGauge(&crdt.Gauge{Time: crdt.HLCFrom(begin+w*10_000+i, 0), Value: float64(rnd.IntN(1e6)) / 100})
			}
			r.StampCount()
			cells = append(cells, history.Cell{Series: load, Window: crdt.Window{Start: begin + w*10_000, Width: 10_000}, Value: crdt.Value{Kind: crdt.KindRollup, X: r}})
		}
		if err := h.past.Apply(1, crdt.Origin{Class: crdt.ClassRegion, Region: "eu"}, cells); err != nil {
			t.Fatal(err)
		}
		if err := h.past.Fold(t.Context()); err != nil {
			t.Fatal(err)
		}
		edge := newHub(t, "eu-9", fresh())
		edge.peers.meet(h)
		asker := NewAsker(AskerConfig{Self: edge.peers.self, Peers: edge.peers, Metrics: edge.m})
		read := func(newest bool) (points []string, bytes float64) {
			before := counted(t, edge.m.bytes, directionIn)
			err := asker.Open(new(historytest.Source)).Curves(t.Context(), history.Selection{To: begin + 86_400_000, Newest: newest}, func(c *history.Curve) error {
				for i := range c.Points {
					r := c.Points[i].Value.X.(*crdt.Rollup)
					points = append(points, fmt.Sprint(c.Points[i].Window, r.Count, r.Last, r.LastValue))
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			return points, counted(t, edge.m.bytes, directionIn) - before
		}
		all, most := read(false)
		some, few := read(true)
		if diff := cmp.Diff(all, some); diff != "" || len(all) != 300 || slices.Contains(all, "") {
			t.Error(diff)
		}
		if few > most*2/3 {
			t.Errorf("%v bytes for the newest, %v for all", few, most)
		}
	})
}
