package bubble

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"meshd/crdt"
	"meshd/history"
)

// chunks lists what a machine's history holds of its region and of all totals.
func (h *machine) chunks(t *testing.T) (out []string) {
	t.Helper()
	store := h.proc.Load().past.store
	for _, sp := range store.Spans() {
		if err := store.Pieces(t.Context(), sp, true, history.Place{}, func(p *history.Piece) error {
			var w history.PieceWriter
			b, err := w.Append(nil, sp, p, 1<<30, nil)
			out = append(out, fmt.Sprintf("%v %s %s %x", sp, p.Series, p.From, b))
			return err
		}); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

// A hub's disk is exchanged. What it held of days of which no publications are kept it takes from its sibling, while clients count on;
// until then edges are told by the other hub, and by itself that it lacks what was before.
func TestAHubWithANewDiskTakesOverWhatWasBefore(t *testing.T) {
	bubble(t, func(t *testing.T, m *mesh) {
		askingMesh(m)
		old := &crdt.Series{Name: "visits", Kind: crdt.KindCounter, Labels: []crdt.Label{{Name: "shop", Value: "1"}}}
		begin := time.Now().Add(-72 * time.Hour).Truncate(time.Hour)
		for i, from := range []crdt.Origin{
			{Class: crdt.ClassNode, Region: "eu", Node: "eu-e1", Inc: crdt.Incarnation{1}},
			{Class: crdt.ClassNode, Region: "eu", Node: "eu-e2", Inc: crdt.Incarnation{2}},
			{Class: crdt.ClassRegion, Region: "eu"},
			{Class: crdt.ClassRegion, Region: "us"},
		} {
			var cells []history.Cell
			for w := range int64(360) {
				v := crdt.Value{Kind: crdt.KindCounter, P: crdt.FixedFromUint([]uint64{1, 2, 3, 5}[i])}
				cells = append(cells, history.Cell{Series: old, Window: crdt.Window{Start: begin.UnixMilli() + w*10_000, Width: 10_000}, Value: v})
			}
			for _, name := range []string{"eu-h1", "eu-h2"} { // as if their publications were gone
				if err := m.machines[name].proc.Load().past.store.Apply(0, from, cells); err != nil {
					t.Fatal(err)
				}
			}
		}
		m.clicks(t, 30)
		time.Sleep(20 * time.Second)
		h := m.machines["eu-h2"]
		h.stop()
		h.dir = t.TempDir()
		h.start()
		m.clicks(t, 30)
		m.until("the past is whole again", 2*time.Minute, func() bool {
			a, b := m.machines["eu-h1"].chunks(t), h.chunks(t)
			return h.proc.Load().past.takeover.Since() == 0 && strings.Join(a, "\n") == strings.Join(b, "\n")
		})
		ask := "/api/v1/query_range?" + url.Values{
			"query": {"sum by (region) (increase(visits[10m]))"}, "start": {fmt.Sprint(begin.Unix())}, "end": {fmt.Sprint(begin.Add(2 * time.Hour).Unix())}, "step": {"600"},
		}.Encode()
		want := answerOf(m.machines["eu-h1"].get(t.Context(), ask))
		if got := answerOf(h.get(t.Context(), ask)); got != want || !strings.Contains(got, `"180"`) || strings.Contains(got, "warnings") {
			t.Errorf("the new hub: %s\nits sibling: %s", got, want)
		}
	})
}
