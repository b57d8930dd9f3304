package node

import (
	"fmt"
	"testing"

	"meshd/crdt"
)

// TestManyWindowsArePublishedInPartsAndNobodyWaitsForAll: a persist publishes as many windows as it may, and what waits to be counted goes
// before the next one.
func TestManyWindowsArePublishedInPartsAndNobodyWaitsForAll(t *testing.T) {
	const series, most = 10, 3
	c, err := NewCore(CoreConfig{
		Region: "east", Node: "hub", Role: RoleEdge, Inc: crdt.Incarnation{1}, Window: crdt.FineMillis, Publish: most, AntiEntropy: 1 << 40,
	})
	if err != nil {
		t.Fatal(err)
	}
	now, waits := int64(crdt.HourMillis), false
	var answered []uint64
	parts, published := 0, map[string]int{}
	step := func(in Event) {
		var out Output
		c.Step(Time{Mono: now, Wall: now}, in, &out)
		fine := 0
		for _, p := range out.Published {
			for _, cell := range p.Cells {
				if published[cell.Series.Name]++; cell.Window.Width == crdt.FineMillis {
					fine++
				}
			}
		}
		if parts += min(fine, 1); fine > most {
			t.Errorf("one persist published %d windows, want at most %d", fine, most)
		}
		for _, r := range out.Replies {
			answered = append(answered, r.ID)
		}
		waits = waits || out.Persist != nil
	}
	written := func() {
		t.Helper()
		if !waits {
			t.Fatal("nothing is to be written")
		}
		waits = false
		step(Persisted{Token: c.pending.token})
	}
	count := func(id uint64) {
		b := &Batch{}
		for i := range series {
			b.Items = append(b.Items, Item{Series: &crdt.Series{Name: fmt.Sprint("m", i), Kind: crdt.KindCounter}, Inc: crdt.Value{Kind: crdt.KindCounter, P: crdt.FixedFromUint(1)}})
		}
		step(Submit{ID: id, Batch: b})
	}
	count(1)
	written()
	now += 2*crdt.FineMillis + 2*graceMs
	step(Tick{})
	count(2) // while the first part is written
	written()
	if parts != 1 || len(answered) != 1 {
		t.Fatalf("%d parts and answers %v after the first write of windows", parts, answered)
	}
	written()
	if len(answered) != 2 {
		t.Fatal("what waited is not written before the next part of the windows")
	}
	for waits {
		written()
	}
	if want := (series + most - 1) / most; parts != want || len(published) != series {
		t.Errorf("%d series in %d parts are published, want %d in %d", len(published), parts, series, want)
	}
}

// TestWindowsWaitForAFullHistory: while it writes, what is over stays open and counting goes on; then all of it is published.
func TestWindowsWaitForAFullHistory(t *testing.T) {
	c, err := NewCore(CoreConfig{Region: "east", Node: "hub", Role: RoleHub, Inc: crdt.Incarnation{1}, Window: crdt.FineMillis, AntiEntropy: 1 << 40})
	if err != nil {
		t.Fatal(err)
	}
	now, full, published, answers := int64(crdt.HourMillis), true, 0, 0
	step := func(in Event) {
		for in != nil {
			out := Output{Full: func() bool { return full }}
			c.Step(Time{Mono: now, Wall: now}, in, &out)
			answers += len(out.Replies)
			for _, p := range out.Published {
				published += len(p.Cells)
			}
			if in = nil; out.Persist != nil {
				in = Persisted{Token: out.Persist.Token}
			}
		}
	}
	for i := range 3 {
		item := Item{Series: &crdt.Series{Name: "m", Kind: crdt.KindCounter}, Inc: crdt.Value{Kind: crdt.KindCounter, P: crdt.FixedFromUint(1)}}
		step(Submit{ID: uint64(i), Batch: &Batch{Items: []Item{item}}})
		if now += 2*crdt.FineMillis + 2*graceMs; answers != i+1 {
			t.Fatalf("%d batches are answered of %d", answers, i+1)
		}
	}
	step(Tick{})
	if published != 0 {
		t.Errorf("%d windows are published to a history that is full", published)
	}
	full = false
	step(Tick{})
	if published < 3 {
		t.Errorf("%d windows are published once there is room, want 3", published)
	}
}
