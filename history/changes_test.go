package history

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"meshd/crdt"
)

// No change is ever overlooked, however many there were since.
func TestNoChangeIsOverlooked(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var c changes
		type change struct {
			bucket uint16
			start  int64
			at     uint64
		}
		var all []change
		for range rapid.IntRange(1, 40).Draw(t, "changes") {
			c.begin()
			for range rapid.IntRange(1, 4).Draw(t, "windows") {
				x := change{uint16(rapid.IntRange(0, 3).Draw(t, "name")), 10_000 * rapid.Int64Range(0, 1000).Draw(t, "start"), c.now}
				c.mark(x.bucket, x.start)
				all = append(all, x)
			}
		}
		from := 10_000 * rapid.Int64Range(0, 1000).Draw(t, "from")
		to := from + 10_000*rapid.Int64Range(1, 1000).Draw(t, "windows")
		after := rapid.Uint64Range(0, c.now).Draw(t, "after")
		bucket := uint16(rapid.IntRange(0, 3).Draw(t, "of"))
		changed, some, near := false, false, false
		for _, x := range all {
			in := x.at > after && x.start >= from && x.start < to
			changed = changed || in && x.bucket == bucket
			some = some || in
			near = near || x.at > after && x.start >= floor(from, changeMinute) && x.start < ceil(to, changeMinute)
		}
		if changed && !c.since(bucket, from, to, after) || some && !c.since(anyName, from, to, after) {
			t.Fatalf("a change in [%d, %d) after %d was overlooked", from, to, after)
		}
		if !near && c.since(anyName, from, to, after) {
			t.Fatalf("a change in [%d, %d) after %d was made up", from, to, after)
		}
	})
}

// What is forgotten counts as changed, and two maps are all that is held.
func TestForgottenChangesCountAsChanges(t *testing.T) {
	var c changes
	c.begin()
	c.mark(7, 0)
	first := c.now
	for i := range int64(4 * maxChanges) {
		c.begin()
		c.mark(uint16(i%nameBuckets), (i+100)*changeMinute)
		if !c.since(7, 0, changeMinute, first-1) {
			t.Fatalf("overlooked after %d others", i)
		}
		if len(c.recent) > maxChanges+4 || len(c.older) > maxChanges+4 {
			t.Fatalf("%d and %d are held", len(c.recent), len(c.older))
		}
	}
	if c.floor == 0 || c.since(7, 0, changeMinute, c.now) {
		t.Errorf("floor %d: what is as of now counts as changed", c.floor)
	}
}

func TestAnswersHoldUntilTheirWindowsChange(t *testing.T) {
	at := now
	s, err := Open(Config{KV: newFakeKV(), Now: func() time.Time { return at }})
	if err != nil {
		t.Fatal(err)
	}
	one := func(name string, from int64) {
		apply(t, s, hub1, counts(&crdt.Series{Name: name, Kind: crdt.KindCounter}, ten, from, from+ten))
	}
	one("clicks", base)
	mark := s.Mark()
	holds := func(want bool, metric string, from, to int64) {
		t.Helper()
		if got := s.Unchanged(metric, from, to, mark); got != want {
			t.Errorf("%q in %d to %d: holds %v", metric, (from-base)/1000, (to-base)/1000, got)
		}
	}
	holds(true, "clicks", base, base+hour)
	one("clicks", base+2*minute)
	holds(false, "clicks", base, base+hour)
	holds(false, "", base, base+hour)
	holds(true, "clicks", base, base+2*minute)
	holds(true, "clicks", base+3*minute, base+hour)
	other := ""
	for i := 0; other == ""; i++ { // names share buckets
		if n := fmt.Sprint("m", i); nameBucket(n) != nameBucket("clicks") {
			other = n
		}
	}
	holds(true, other, base, base+hour)
	if err := s.SetRetention(Retention{}, nil); err != nil {
		t.Fatal(err)
	}
	holds(false, "clicks", base, base+2*minute)
	mark = s.Mark()
	holds(true, "clicks", base, base+2*minute)
	at = now.Add(8 * day) // the narrow windows are gone
	holds(false, "clicks", base, base+2*minute)
}
