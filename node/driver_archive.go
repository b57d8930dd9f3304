package node

import (
	"context"
	"time"
)

// settleEvery is how often a replay looks whether the totals of windows are published: they are so once a second.
const settleEvery = 50 * time.Millisecond

// Archived tells the node how far its disk was archived, see CoreConfig.ArchiveBytes.
func (n *Node) Archived(at ArchivePosition) { n.deliver(Archived{at}) }

// EventsTaken tells the node that raw events up to a piece are in a log elsewhere, see CoreConfig.EventBytes.
func (n *Node) EventsTaken(upTo uint64) { n.deliver(EventsTaken{upTo}) }

// LogEnd returns the number of the last record of the log that is on disk.
func (n *Node) LogEnd(ctx context.Context) (lsn uint64, err error) {
	err = n.ask(ctx, func(Time) { lsn = n.core.disk.lsn })
	return lsn, err
}

// Replay joins messages that an archive holds, see Replay, and returns when they are on disk. At most some MiB at a time: they
// are in memory at once.
func (n *Node) Replay(ctx context.Context, msgs []Decoded) Result {
	return n.request(ctx, func(id uint64) Event { return Replay{ID: id, Msgs: msgs} })
}

// Settle returns when the region's totals of all windows that were replayed are on disk.
func (n *Node) Settle(ctx context.Context) error {
	t := time.NewTicker(settleEvery)
	defer t.Stop()
	for {
		done := false
		if err := n.ask(ctx, func(Time) { done = n.core.TotalsSettled() }); err != nil || done {
			return err
		}
		select {
		case <-t.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
