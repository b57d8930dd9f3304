package node

import (
	"errors"
	"slices"

	"meshd/crdt"
	"meshd/internal/mutant"
	"meshd/internal/wire"
)

// Replay gives a hub what an archive holds: messages as a hub of its own region would bring them, in any order and any number
// of times. The answer is a Reply with the same ID, once all of it is on disk and joined; its error says that some of it
// is not, and has to come again. Result.Accepted is the number of frames.
type Replay struct {
	ID   uint64
	Msgs []Decoded
}

func (Replay) event() {}

// ErrReplay is wrapped by every answer that not all of a Replay is here.
var ErrReplay = errors.New("not replayed")

// replays are the answers that are owed.
type replays struct {
	from    map[string]*session // sessions that nobody has: what is replayed has no sender to talk to; records of nodes come in parts, by node
	waiting []replaying
}

// source returns whom a message comes from, as far as its taker cares.
func (r *replays) source(region, of string) *session {
	if r.from == nil {
		r.from = map[string]*session{}
	}
	if r.from[of] == nil {
		r.from[of] = &session{peer: PeerInfo{Region: region, Role: RoleHub}}
	}
	return r.from[of]
}

type replaying struct {
	id     uint64
	frames int
	lost   uint64 // replayLosses when it came
	ahead  uint64 // Counters.ReplayedAhead then
}

// replayLosses counts what makes a replay incomplete.
func (c *Core) replayLosses() uint64 {
	return c.Counts.FramesDropped + c.Counts.CommitFailed + c.Counts.Refused
}

// replay takes messages. Frames wait for the disk as those of peers do, under session 0.
func (c *Core) replay(in Replay) {
	answer := func(err error) { c.out.Replies = append(c.out.Replies, Reply{ID: in.ID, Result: Result{Err: err}}) }
	switch {
	case c.hub == nil:
		answer(errors.Join(ErrReplay, errors.New("this node is an edge: its hubs hold its cells")))
		return
	case c.win != nil && c.win.totals.full():
		answer(ErrBusy)
		return
	}
	hub := c.replays.source(c.cfg.Region, "")
	r := replaying{id: in.ID, lost: c.replayLosses(), ahead: c.Counts.ReplayedAhead}
	for i := range in.Msgs {
		switch m := in.Msgs[i].Msg.(type) {
		case *wire.FrameMsg:
			c.replayFrame(in.Msgs[i].Frame, m.Raw)
			r.frames++
		case *wire.Drops:
			c.gotDrops(hub, m)
		case *wire.Corrections:
			c.gotCorrections(hub, m)
		case *wire.Removals:
			c.gotRemovals(hub, m)
		case *wire.MeshConfig:
			c.gotConfig(hub, m)
		case *wire.Forgotten:
			c.gotForgotten(c.replays.source(c.cfg.Region, m.Node), m)
		default:
			c.Counts.ReplaySkipped++
		}
	}
	c.replays.waiting = append(c.replays.waiting, r)
}

// replayFrame takes one frame, if it is for a hub of this region.
func (c *Core) replayFrame(f *wire.Frame, raw []byte) {
	o := f.Origin
	c.Counts.ReplayedFrames++
	switch {
	case o.Class == crdt.ClassView, o.Class == crdt.ClassNode && o.Region != c.cfg.Region, o.Inc.SameProcess(c.cfg.Inc), c.refuses(o):
		c.Counts.ReplaySkipped++
		return
	case f.Stream == crdt.StreamWindow:
		if c.win == nil || checkWindows(f) != nil {
			c.Counts.ReplaySkipped++
			return
		}
		c.enqueue(queuedFrame{frame: f, raw: raw})
		return
	case o.Class == crdt.ClassNode && c.isForgotten(o) && !mutant.On("forgotten comes back from a log"):
		c.Counts.ForgottenFrames++
		return
	case c.heldWhole(f):
		return
	}
	q := queuedFrame{frame: f, raw: raw}
	if _, cold := c.hub.cold.index.progress(o); cold {
		c.thaw(o, &q)
		return
	}
	c.enqueue(q)
}

// settleReplays answers replays of which nothing waits any more.
func (c *Core) settleReplays() {
	if len(c.replays.waiting) == 0 || c.replaysWait() {
		return
	}
	for _, r := range c.replays.waiting {
		res := Result{Accepted: r.frames, Ahead: int(c.Counts.ReplayedAhead - r.ahead)}
		if mutant.On("frames beyond a gap not told") {
			res.Ahead = 0
		}
		if c.replayLosses() != r.lost {
			res.Err = ErrReplay
		}
		c.out.Replies = append(c.out.Replies, Reply{ID: r.id, Result: res})
	}
	c.replays.waiting = nil
}

// replaysWait reports whether something of a replay may be on its way to the disk.
func (c *Core) replaysWait() bool {
	ofReplay := func(q queuedFrame) bool { return q.from == 0 }
	if p := c.pending; p != nil && (slices.ContainsFunc(p.frames, ofReplay) || p.win != nil || p.after != nil || p.config != nil) {
		return true
	}
	if slices.ContainsFunc(c.queue.frames, ofReplay) || c.config.next != nil || len(c.drops.waiting)+len(c.corrections.waiting)+len(c.hub.removals.waiting) > 0 {
		return true
	}
	for _, w := range c.hub.cold.waiting { // in any order: it is a question
		if slices.ContainsFunc(w, ofReplay) {
			return true
		}
	}
	for _, n := range c.hub.forget.nodes {
		if n.take != nil {
			return true
		}
	}
	return false
}

// TotalsSettled reports whether the region's totals of all windows that came are published.
func (c *Core) TotalsSettled() bool {
	return c.win == nil || c.hub == nil || len(c.win.totals.touched) == 0 && c.win.totals.round == nil && c.pending == nil
}
