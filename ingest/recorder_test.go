package ingest

import (
	"context"
	"testing"

	"meshd/crdt"
	"meshd/node"
)

// taker remembers the last batch.
type taker struct{ last *node.Batch }

func (s *taker) Submit(_ context.Context, b *node.Batch) node.Result {
	s.last = b
	return node.Result{Accepted: len(b.Items)}
}

// TestEventsAreKeptAsTheyCame: before the rules for labels, also those that they drop.
func TestEventsAreKeptAsTheyCame(t *testing.T) {
	to := &taker{}
	labels, _, _, ignored := newTestLabeller(t, `
labels: {dc: one}
metric_relabel_configs:
  - source_labels: [kind]
    regex: noise
    action: drop
`, nil)
	labels.to = to
	rec, err := NewRecorder([]string{"click*", "view"}, labels)
	if err != nil {
		t.Fatal(err)
	}
	item := func(name, kind string) node.Item {
		s := &crdt.Series{Name: name, Kind: crdt.KindCounter, Labels: []crdt.Label{{Name: "kind", Value: kind}}}
		return node.Item{Series: s, Inc: crdt.Value{Kind: crdt.KindCounter, P: crdt.FixedFromUint(1)}}
	}
	for range 2 { // the second time from memory
		res := rec.Submit(t.Context(), &node.Batch{Items: []node.Item{item("clicks", "x"), item("clicks", "noise"), item("other", "noise"), item("other", "x")}})
		if res.Err != nil || res.Accepted != 4 {
			t.Fatalf("%+v", res)
		}
		items := to.last.Items
		if len(items) != 3 {
			t.Fatalf("%d items went on, want 3", len(items))
		}
		if it := items[0]; it.Series.Get("dc") != "one" || it.Raw == nil || it.Raw.Get("dc") != "" {
			t.Errorf("%v is kept as %v", it.Series, it.Raw)
		}
		if it := items[1]; it.Series != nil || it.Raw.Get("kind") != "noise" {
			t.Errorf("what is dropped goes on as %v, kept as %v", it.Series, it.Raw)
		}
		if it := items[2]; it.Series.Name != "other" || it.Raw != nil {
			t.Errorf("%v is kept as %v, want not at all", it.Series, it.Raw)
		}
	}
	if n := ignored("ignored_total"); n != 4 {
		t.Errorf("%v are counted as ignored, want 4", n)
	}
	if _, err := NewRecorder([]string{"{"}, to); err == nil {
		t.Error("a pattern that is none passes")
	}
}
