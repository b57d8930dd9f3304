package history

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"meshd/crdt"

	"github.com/google/go-cmp/cmp"
)

func never() error { return nil }

func TestExpiredChunksAreDropped(t *testing.T) {
	kv := newFakeKV()
	at := now
	s, err := Open(Config{KV: kv, Now: func() time.Time { return at }, Rules: []Rule{{Match: "kept", Retention: Retention{Fine: 30 * day}}}})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"kept", "lost"} {
		series := &crdt.Series{Name: name, Kind: crdt.KindCounter}
		apply(t, s, nodeB, counts(series, ten, base-3*hour, base+3*hour), counts(series, minute, base, base+hour))
	}
	apply(t, s, nodeA1, counts(&crdt.Series{Name: "gone", Kind: crdt.KindCounter}, ten, base, base+minute))
	if err := s.Fold(t.Context()); err != nil {
		t.Fatal(err)
	}
	chunks := func() (n int) {
		for key := range kv.restarted().rows {
			if strings.HasPrefix(key, string(prefixChunk)) {
				n++
			}
		}
		return n
	}
	before := chunks()
	for _, row := range []struct {
		after  time.Duration
		chunks int
		series []string
	}{
		{6 * day, before, []string{"gone", "kept", "lost"}},
		{7*day + 6*time.Hour, before - 3, []string{"kept", "lost"}}, // the second span ends now, of lost and gone
		{31 * day, 0, nil},
	} {
		at = now.Add(row.after)
		if err := s.Expire(t.Context(), never); err != nil {
			t.Fatal(err)
		}
		if got := chunks(); got != row.chunks {
			t.Errorf("after %v: %d chunks, want %d", row.after, got, row.chunks)
		}
		for _, store := range []*Store{s, open(t, kv)} {
			var names []string
			if err := store.Series(t.Context(), Selection{ByNode: true}, func(s *crdt.Series) error {
				names = append(names, s.Name)
				return nil
			}); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(row.series, sorted(names)); diff != "" {
				t.Errorf("after %v: %s", row.after, diff)
			}
		}
	}
	if rows := kv.restarted().rows; len(rows) > 1 { // the mark
		t.Errorf("%d keys are left: %q", len(rows), rows)
	}
}

func TestExpiryPausesBetweenCommits(t *testing.T) {
	kv := newFakeKV()
	at := now
	s, err := Open(Config{KV: kv, Now: func() time.Time { return at }})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 2*expireBatch + 1 {
		apply(t, s, nodeB, counts(&crdt.Series{Name: fmt.Sprint(i), Kind: crdt.KindCounter}, ten, base, base+ten))
	}
	if err := s.Fold(t.Context()); err != nil {
		t.Fatal(err)
	}
	at = now.Add(8 * day)
	pauses := 0
	if err := s.Expire(t.Context(), func() error { pauses++; return nil }); err != nil {
		t.Fatal(err)
	}
	if pauses != 2+4 || s.SeriesCount() != 0 { // three commits of chunks, five of what names them
		t.Errorf("%d pauses, %d series left, want 6 and none", pauses, s.SeriesCount())
	}
	if n := len(s.tables.index.names.values); n != 0 {
		t.Errorf("the index still has %d names", n)
	}
}

// Large windows go into parts, and a part that grows is cut: every write stays small, nothing is lost.
func TestLargeWindowsAreCutIntoParts(t *testing.T) {
	kv := newFakeKV()
	s := open(t, kv)
	series := &crdt.Series{Name: "visitors", Kind: crdt.KindUnique}
	cell := func(i int64, n uint64) Cell {
		u := new(crdt.Unique)
		for j := range n {
			u.InsertHash((j*0x9e3779b97f4a7c15 + uint64(i)) * 0xbf58476d1ce4e5b9)
		}
		return Cell{Series: series, Window: crdt.Window{Start: base + i*ten, Width: ten}, Value: crdt.Value{Kind: crdt.KindUnique, X: u}}
	}
	want := make(map[int64]crdt.Value)
	for round, n := range []uint64{50, 20_000, 21_000} {
		var cells []Cell
		for i := int64(round); i < 150; i++ {
			c := cell(i, n)
			cells = append(cells, c)
			v, held := want[i]
			if !held {
				v = crdt.Bottom(crdt.KindUnique)
			}
			if _, err := v.Join(&c.Value, 0, nil, 0); err != nil {
				t.Fatal(err)
			}
			want[i] = v
		}
		apply(t, s, nodeB, cells)
		if err := s.Fold(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	parts := 0
	for key := range kv.rows {
		if strings.HasPrefix(key, string(prefixChunk)) && len(key) == len(prefixChunk)+18 {
			parts++
		}
	}
	if parts < 2 {
		t.Errorf("%d later parts, want some", parts)
	}
	n := 0
	if err := open(t, kv).Curves(t.Context(), Selection{ByNode: true, From: base, To: base + hour}, func(c *Curve) error {
		for _, p := range c.Points {
			v := want[(p.Window.Start-base)/ten]
			if string(v.AppendBinary(nil)) != string(p.Value.AppendBinary(nil)) {
				t.Errorf("window %d differs", (p.Window.Start-base)/ten)
			}
			n++
		}
		return nil
	}); err != nil || n != 150 {
		t.Errorf("%d windows, %v", n, err)
	}
}

func sorted(names []string) []string {
	slices.Sort(names)
	return names
}
