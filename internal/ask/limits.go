package ask

import (
	"time"

	"meshd/internal/wire"
)

// Limits of one node's questions and answers.
const (
	// running answers are made at once: as many as queries run on a node, which take as much memory.
	running = 8
	// waiting questions may wait for their turn, each a goroutine and 50 KB of buffers; perPeer bounds those of one peer, running
	// ones included, to what one node's queries can ask at once.
	waiting = 64
	perPeer = 8

	// maxBytes of an answer, before they are packed: 30 million windows of numbers. maxCurves is what a query may make of them;
	// maxSeries is what a search may find.
	maxBytes  = 64 << 20
	maxCurves = 100_000
	maxSeries = 1_000_000

	// partBytes is what a part of an answer aims for: 20 ms of a 100 Mbit/s link.
	partBytes = wire.TargetFrameBytes

	// within is how long an answer may take at most: as long as a query.
	within = 30 * time.Second
	// stall is how long nothing may come while an answer is read: a hub reads a million series in less.
	stall = 5 * time.Second
	// firstWithin is how long hubs have to say that they are there, and 8 round trips more: a connection and a stream are made.
	firstWithin = 2 * time.Second
	// hedgeAfter is how long the first hub is waited for before the next one is asked too, and 4 round trips more.
	hedgeAfter = 300 * time.Millisecond
)
