package node

import (
	"errors"
	"fmt"
	"slices"

	"meshd/crdt"
	"meshd/internal/mutant"
	"meshd/reconcile"
)

// An origin whose frames cannot be right is quarantined: its frames are refused, everything else goes on. Its cells
// stay as they are in the totals, its node is not complete and so becomes missing in coverage.
//
// It ends by itself. A new process of the node counts under another incarnation, of which nothing is refused. What
// only contradicts what is held was refused before it changed anything: after probation the next frame is judged anew.
// A frame that made a join panic may have left half of itself behind: its origin is refused until this process is
// started again and reads its cells from disk.

const (
	// maxQuarantined bounds the origins under quarantine that are remembered by name; beyond it frames of any origin
	// that fails are still refused one by one.
	maxQuarantined = 10_000
	// probation is how long a quarantine lasts, in milliseconds: a frame that is refused again costs one frame in that
	// time, a writer that was repaired waits no longer.
	probation = 600_000
)

// errPanicked is wrapped by the refusal of a frame whose join panicked.
var errPanicked = errors.New("join panicked")

// quarantine is why an origin is refused.
type quarantine struct {
	reason       string
	since, until int64 // of the core; until 0: until this process ends
	frames       uint64
}

// refuses counts and refuses a frame of an origin that is under quarantine.
func (c *Core) refuses(o crdt.Origin) bool {
	q := c.quarantined[o]
	if q == nil {
		return false
	}
	if q.until != 0 && c.now >= q.until && !mutant.On("quarantine for ever") {
		delete(c.quarantined, o)
		return false
	}
	q.frames++
	c.Counts.Quarantined++
	return true
}

// suspect refuses an origin from now on if err says that its frames contradict themselves or broke a join. Other errors, such as
// a full table, are counted: the frame comes again.
func (c *Core) suspect(o crdt.Origin, err error) {
	broken := errors.Is(err, errPanicked)
	switch {
	case err == nil:
	case (broken || errors.Is(err, reconcile.ErrFrame)) && len(c.quarantined) < maxQuarantined:
		q := &quarantine{reason: err.Error(), since: c.now, until: c.now + probation, frames: 1}
		if broken {
			q.until = 0
		}
		c.quarantined[o] = q
		c.Counts.Quarantined++
	default:
		c.Counts.FramesDropped++
	}
}

// contained runs a join of what a peer sent. A panic in it is a fault of ours that this frame brought out; it must not
// take the process down, which would read the frame from its log again and fail for ever.
func (c *Core) contained(join func() error) (err error) {
	if mutant.On("panics escape") {
		return join()
	}
	defer func() {
		if p := recover(); p != nil {
			c.Counts.Panics++
			err = fmt.Errorf("node: %w: %v", errPanicked, p)
		}
	}()
	return join()
}

// QuarantinedOrigin is an origin whose frames are refused.
type QuarantinedOrigin struct {
	Origin  crdt.Origin
	Reason  string
	SinceMs int64  // Unix time in milliseconds
	UntilMs int64  // when its next frame is judged anew; 0: when this process is started again
	Frames  uint64 // refused
}

// Quarantine lists the origins that are refused, in their order.
func (c *Core) Quarantine() []QuarantinedOrigin {
	out := make([]QuarantinedOrigin, 0, len(c.quarantined))
	for o, q := range c.quarantined {
		out = append(out, QuarantinedOrigin{o, q.reason, c.toWall(q.since), c.toWall(q.until), q.frames})
	}
	slices.SortFunc(out, func(a, b QuarantinedOrigin) int { return a.Origin.Compare(b.Origin) })
	return out
}
