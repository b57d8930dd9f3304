package history

import (
	"fmt"
	"testing"

	"meshd/crdt"
)

// TestFullBeforeApplyFolds: who asks before each Apply and waits for a fold when told never waits in Apply.
func TestFullBeforeApplyFolds(t *testing.T) {
	kv := newFakeKV()
	s, err := Open(Config{KV: kv, Now: clock, OverlayBytes: 16 << 10})
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for ; !s.Full(); n++ {
		c := cellAt(&crdt.Series{Name: fmt.Sprint("m", n), Kind: crdt.KindCounter}, crdt.Window{Start: now.UnixMilli() / 10_000 * 10_000, Width: 10_000}, 1)
		if err := s.Apply(uint64(n+1), nodeA1, []Cell{c}); err != nil {
			t.Fatal(err)
		}
		if kv.commits > 0 {
			t.Fatalf("Apply wrote with %d windows in memory, which was not full before", n)
		}
	}
	if n < 100 {
		t.Errorf("full with %d windows in 32 KiB", n)
	}
	if err := s.Fold(t.Context()); err != nil || s.Full() {
		t.Errorf("full after a fold: %v", err)
	}
}
