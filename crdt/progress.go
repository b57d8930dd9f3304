package crdt

import "meshd/internal/mutant"

// Stream is one of the two sequences of cells that an origin writes. Each has cursors of its own.
type Stream uint8

// The streams of an origin. The numbers are on the wire and on disk.
const (
	StreamLifetime Stream = 0 // lifetime cells, flushed often
	StreamWindow   Stream = 1 // window cells, flushed when a window closes
	NumStreams            = 2
)

// Window names a window cell by its start and width. The zero value is the lifetime cell.
type Window struct {
	Start int64 // milliseconds since the Unix epoch, a multiple of Width
	Width int64 // milliseconds
}

// Progress is what a receiver knows of how much of one stream of one origin it holds.
//
// A frame (from, to] leaves out cells that changed again after to, so having received up to Cursor is not the same
// as holding a consistent cut. Covered is: everything the origin wrote up to Covered is held.
type Progress struct {
	Cursor  uint64 // resume here: every frame up to Cursor was received
	Owed    uint64 // the highest head of any frame that moved Cursor
	Covered uint64 // Cursor at the last time that Cursor >= Owed
}

// Advance records a received frame (from, to] whose sender's head was head when it was built, and reports whether
// the cursor accepted it. A frame that begins beyond the cursor leaves a gap and moves nothing; its cells may have
// been joined all the same.
func (p *Progress) Advance(from, to, head uint64) bool {
	if from > p.Cursor && !mutant.On("cursor over a gap") {
		return false
	}
	p.Cursor = max(p.Cursor, to)
	p.Owed = max(p.Owed, head)
	if p.Cursor >= p.Owed || mutant.On("coverage from cursor") {
		p.Covered = p.Cursor
	}
	return true
}
