package simulations

import "meshd/node"

// epochMs is the true time at which every run begins: 14 November 2023.
const epochMs = 1_700_000_000_000

// clock is what a machine believes of time: a monotonic clock that drifts and a wall clock that also jumps.
type clock struct {
	ppm    int64 // drift of both
	offset int64 // wall minus true time in microseconds, at the start and by jumps
}

// mono turns true microseconds into the machine's monotonic milliseconds.
func (c *clock) mono(us int64) int64 { return epochMs + (us+us*c.ppm/1_000_000)/1000 }

func (c *clock) at(us int64) node.Time {
	return node.Time{Mono: c.mono(us), Wall: epochMs + (us+us*c.ppm/1_000_000+c.offset)/1000}
}

// when returns the first true time, at least after, at which the monotonic clock shows ms.
func (c *clock) when(ms, after int64) int64 {
	us := (ms - epochMs) * 1000
	us -= us * c.ppm / 1_000_000
	for us < after || c.mono(us) < ms {
		us = max(us+200, after)
		if c.mono(us) >= ms {
			break
		}
	}
	return us
}
