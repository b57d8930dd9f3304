package crdt

import "meshd/internal/mutant"

// MaxAheadMillis is how far ahead of a reader's clock a stamp may be before a comparison of origins stops
// believing it.
const MaxAheadMillis = 500

const (
	logicalBits = 16
	maxMillis   = 1<<(64-logicalBits) - 1 // the year 10889
)

// HLC is a hybrid logical clock reading (Kulkarni et al., OPODIS 2014): 48 bits of milliseconds since the Unix
// epoch, then 16 bits that tell events of one millisecond apart. Readings order as integers do. 0 is before all.
type HLC uint64

// HLCFrom returns the reading of ms and logical; ms is held within 0 and 2^48-1.
func HLCFrom(ms int64, logical uint16) HLC {
	return HLC(min(max(ms, 0), maxMillis))<<logicalBits | HLC(logical)
}

// Millis returns the milliseconds since the Unix epoch.
func (h HLC) Millis() int64 { return int64(h >> logicalBits) }

// Logical returns the part that orders events of one millisecond.
func (h HLC) Logical() uint16 { return uint16(h) }

// Clamp returns h, or the latest reading that a reader whose clock shows nowMs believes if h is beyond it. Readers
// use it when they compare origins or compute ages; what is stored and sent is never changed.
func (h HLC) Clamp(nowMs int64) HLC {
	if mutant.On("stamps ahead are believed") {
		return h
	}
	return min(h, HLCFrom(nowMs+MaxAheadMillis, 1<<logicalBits-1))
}

// HLClock gives the readings of one writer. The zero HLClock is ready.
//
// There is no Receive: unlike in the paper a clock never moves on another node's reading. Writers share no cells, so
// nothing needs to be ordered after what was received, and one node with a wrong clock cannot drag the mesh into
// the future.
type HLClock struct{ last HLC }

// Tick returns a reading greater than all before it: nowMs, or just after the last reading if the wall clock stands
// or went back.
func (c *HLClock) Tick(nowMs int64) HLC {
	c.last = max(HLCFrom(nowMs, 0), c.last.next())
	return c.last
}

// Moved is a mutant: a clock that follows what others stamped, as the paper's does.
func (c *HLClock) Moved(to HLC) {
	if mutant.On("clocks follow stamps") {
		c.last = max(c.last, to)
	}
}

// next returns the reading just after h; the last one of all stays.
func (h HLC) next() HLC { return max(h, h+1) }
