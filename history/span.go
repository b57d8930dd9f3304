package history

import (
	"fmt"
	"math"
	"time"

	"meshd/crdt"
)

// A chunk covers one span of time, aligned to the epoch: long enough that a table of codes pays for itself, short enough that a
// fold does not write much again and an hour is read without a day. 6 h of 10 s windows and a day of minutes are 2,160 and
// 1,440; 32 days of hours are 768.
const maxSpanWindows = 2160

var spans = [...]time.Duration{
	32 * day, 16 * day, 8 * day, 4 * day, 2 * day, day, 12 * time.Hour, 6 * time.Hour, 3 * time.Hour, time.Hour, 30 * time.Minute,
}

const day = 24 * time.Hour

const (
	minWidth = int64(time.Second / time.Millisecond)
	maxWidth = int64(day / time.Millisecond)
	// maxStart keeps spans in 32 bits of seconds.
	maxStart = int64(math.MaxUint32) * 1000
)

// checkWindow refuses what has no place in a chunk.
func checkWindow(w crdt.Window) error {
	if w.Width < minWidth || w.Width > maxWidth || maxWidth%w.Width != 0 || w.Width%minWidth != 0 ||
		w.Start < 0 || w.Start >= maxStart || w.Start%w.Width != 0 {
		return fmt.Errorf("%w: %d+%d ms", ErrWindow, w.Start, w.Width)
	}
	return nil
}

// spanMillis returns the length of the spans of windows of that width.
func spanMillis(width int64) int64 {
	for _, s := range spans {
		if ms := s.Milliseconds(); ms/width <= maxSpanWindows {
			return ms
		}
	}
	return spans[len(spans)-1].Milliseconds() // 1,800 windows of a second
}

// floor returns the greatest multiple of unit that is not above t.
func floor(t, unit int64) int64 {
	if t < 0 {
		return -ceil(-t, unit)
	}
	return t - t%unit
}

// ceil returns the least multiple of unit that is not below t. Times beyond any window stay.
func ceil(t, unit int64) int64 {
	if t > math.MaxInt64-unit {
		return math.MaxInt64
	}
	return floor(t+unit-1, unit)
}
