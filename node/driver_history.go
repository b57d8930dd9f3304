package node

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"meshd/crdt"
)

// History is where published windows are kept, as the driver needs it. *history.Store satisfies it through a small
// adapter. Its methods are safe for concurrent use.
type History interface {
	// Apply takes what a frame that is on disk says. Tags ascend; values are absolute, so repeats are harmless. It is called
	// on the core's goroutine. What it keeps of cells nobody modifies.
	Apply(tag uint64, owner crdt.Origin, cells []PublishedCell) error
	// Full reports whether Apply would have to write much before it returns: nothing is counted meanwhile. It is asked before
	// windows are published, which then wait where they are.
	Full() bool
	// Folded returns up to which tag everything that was applied survives the end of the process.
	Folded() uint64
	// Cells returns what an origin itself published of each window, Sums the sum over all node origins, in the order of
	// origins. Both know what was applied before. A value of kind 0 is nothing. Errors: of the disk.
	Cells(from crdt.Origin, keys []WindowKey) ([]crdt.Value, error)
	Sums(keys []WindowKey) ([]crdt.Value, error)
}

// withHistory makes the core keep windows if there is somebody to keep them.
func (cfg *Config) withHistory() {
	if cfg.History == nil {
		cfg.Core.Window = 0
		return
	}
	cfg.Core.Window = cmp.Or(cfg.Core.Window, crdt.FineMillis)
}

// replayHistory tells the history again what it kept in memory only when the process before this one ended.
func (n *Node) replayHistory() error {
	if n.cfg.History == nil {
		return nil
	}
	folded := n.cfg.History.Folded()
	n.core.storedUpTo(folded)
	var failed error
	err := n.core.ReadPublished(n.cfg.Store, folded, func(p Published) {
		failed = cmp.Or(failed, n.cfg.History.Apply(p.Tag, p.Owner, p.Cells))
	})
	if err = errors.Join(err, failed); err != nil {
		return fmt.Errorf("node: tell the history what was published: %w", err)
	}
	return nil
}

// WindowGaps returns how many publications of others this process was told are gone, so that only histories have them.
func (n *Node) WindowGaps(ctx context.Context) (gaps uint64, err error) {
	err = n.ask(ctx, func(Time) { gaps = n.core.Counts.WindowGaps })
	return gaps, err
}

// storedUpTo says that tags up to one were given.
func (c *Core) storedUpTo(tag uint64) {
	if c.win != nil {
		c.win.tag = max(c.win.tag, tag)
	}
}

// publish tells the history what is on disk now. What it refuses is on disk still, and is told again at the next start.
func (n *Node) publish(ps []Published) {
	for i := range ps {
		if err := n.cfg.History.Apply(ps[i].Tag, ps[i].Owner, ps[i].Cells); err != nil {
			n.cfg.Logger.Error("the history refuses windows that were published", "owner", ps[i].Owner, "err", err)
		}
	}
}

// reads returns what the core wants to be read, to be done on the loader's goroutine. They are few: one for late events,
// one for totals, and one for each stream that is sent from disk.
func (n *Node) reads(out *Output) (jobs []func() Event) {
	for _, o := range out.Loads {
		jobs = append(jobs, func() Event { return n.load(o) })
	}
	for _, want := range out.WindowReads {
		jobs = append(jobs, func() Event {
			in := WindowsRead{ID: want.ID}
			if want.From == (crdt.Origin{}) {
				in.Values, in.Err = n.cfg.History.Sums(want.Keys)
			} else {
				in.Values, in.Err = n.cfg.History.Cells(want.From, want.Keys)
			}
			return in
		})
	}
	for _, want := range out.FrameReads {
		jobs = append(jobs, func() Event { return ReadFrames(n.cfg.Store, want) })
	}
	for _, want := range out.OldFrames {
		jobs = append(jobs, func() Event {
			in := ReadOldFrames(n.cfg.Store, want)
			in.Folded = n.cfg.History.Folded()
			return in
		})
	}
	return jobs
}
