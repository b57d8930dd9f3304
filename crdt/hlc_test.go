package crdt

import (
	"math"
	"testing"

	"pgregory.net/rapid"
)

func TestHLCFrom(t *testing.T) {
	for _, row := range []struct {
		ms      int64
		logical uint16
		wantMs  int64
	}{
		{0, 0, 0},
		{1_700_000_000_000, 7, 1_700_000_000_000},
		{-1, 3, 0},
		{1<<48 - 1, math.MaxUint16, 1<<48 - 1},
		{math.MaxInt64, 0, 1<<48 - 1},
	} {
		h := HLCFrom(row.ms, row.logical)
		if h.Millis() != row.wantMs || h.Logical() != row.logical {
			t.Errorf("HLCFrom(%d, %d) = %d, %d", row.ms, row.logical, h.Millis(), h.Logical())
		}
	}
}

func TestTickIsMonotoneAndFollowsTheClock(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var c HLClock
		var last HLC
		var highest int64
		for i, now := range rapid.SliceOf(rapid.Int64Range(0, 5)).Draw(t, "clock") {
			h := c.Tick(now)
			if i > 0 && h <= last {
				t.Fatalf("tick %d at %d ms = %x after %x", i, now, h, last)
			}
			highest = max(highest, now)
			if h.Millis() != highest { // 2^16 ticks of one millisecond are not reached here
				t.Fatalf("tick %d at %d ms shows %d ms, want %d", i, now, h.Millis(), highest)
			}
			last = h
		}
	})
}

func TestTickBorrowsFromTheNextMillisecond(t *testing.T) {
	c := HLClock{last: HLCFrom(5, math.MaxUint16)}
	if h := c.Tick(5); h != HLCFrom(6, 0) {
		t.Errorf("tick = %d ms, %d", h.Millis(), h.Logical())
	}
	c = HLClock{last: math.MaxUint64}
	if h := c.Tick(5); h != math.MaxUint64 {
		t.Errorf("the last reading of all became %x", h)
	}
}

func TestClampBelievesTheWholeLastMillisecond(t *testing.T) {
	last := HLCFrom(1000+MaxAheadMillis, math.MaxUint16)
	if got := last.Clamp(1000); got != last {
		t.Errorf("%x was clamped to %x", last, got)
	}
	if got := last.next().Clamp(1000); got != last {
		t.Errorf("the reading after %x was clamped to %x", last, got)
	}
}

func TestClampKeepsOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		now := rapid.Int64Range(0, 1<<40).Draw(t, "now")
		near := rapid.Custom(func(t *rapid.T) HLC {
			return HLCFrom(now+rapid.Int64Range(-1000, 1000).Draw(t, "ahead"), rapid.Uint16().Draw(t, "logical"))
		})
		a, b := near.Draw(t, "a"), near.Draw(t, "b")
		if a <= b && a.Clamp(now) > b.Clamp(now) {
			t.Fatalf("clamping reversed %x and %x at %d", a, b, now)
		}
		if ahead := a.Millis() - now; ahead <= MaxAheadMillis && a.Clamp(now) != a {
			t.Fatalf("a stamp %d ms ahead was moved", ahead)
		} else if ahead > MaxAheadMillis && a.Clamp(now).Millis() != now+MaxAheadMillis {
			t.Fatalf("a stamp %d ms ahead was clamped to %d ms ahead", ahead, a.Clamp(now).Millis()-now)
		}
	})
}
