package node

import (
	"meshd/crdt"
	"meshd/internal/mutant"
)

// Who writes with Batch.AckHub is answered when a hub of the region has it on disk, too: the loss of this node's disk
// loses nothing of it. What says so are the hub's marks, which name committed frames only: it covers this node's live
// incarnation up to the seq of the commit. A duplicate was counted under some incarnation before, so all of them must be
// covered. What a hub itself is asked to count is on a hub's disk once it is on its own.

// maxHubWaits bounds the batches that wait for a hub: at 200 bytes each 2 MB, and more than a door has requests.
const maxHubWaits = 10_000

// hubWait is an answer that waits for a hub.
type hubWait struct {
	reply Reply
	until int64
	needs []need
}

// need is how far a hub has to cover an origin.
type need struct {
	origin crdt.Origin
	seq    uint64
}

// hubWaits are in the order in which they began.
type hubWaits struct {
	list   []hubWait
	asked  int  // batches that will wait, but are not on disk yet
	urgent bool // some began in this step: their cells go at once
}

// admits counts a batch that wants a hub's word, or refuses it.
func (w *hubWaits) admits(b *Batch) bool {
	if b.AckHub == 0 {
		return true
	}
	if len(w.list)+w.asked >= maxHubWaits {
		return false
	}
	w.asked++
	return true
}

// refused takes back what admits counted.
func (w *hubWaits) refused(b *Batch) {
	if b.AckHub > 0 {
		w.asked--
	}
}

// reply gives the answers of a commit that is on disk. For those that asked for it they wait for a hub.
func (c *Core) reply(p *pending) {
	for _, r := range p.replies {
		if r.ackHub > 0 {
			c.hubWaits.asked--
		}
		if r.ackHub == 0 || c.hub != nil || r.Result.Accepted+r.Result.Duplicates == 0 {
			c.out.Replies = append(c.out.Replies, r)
			continue
		}
		w := hubWait{reply: r, until: c.now + r.ackHub}
		for _, m := range c.mine {
			if m == c.live || r.Result.Duplicates > 0 {
				w.needs = append(w.needs, need{m.Origin, m.Progress[crdt.StreamLifetime].Cursor})
			}
		}
		c.hubWaits.list, c.hubWaits.urgent = append(c.hubWaits.list, w), true
	}
}

// settleHubWaits answers those whose cells a hub has, and those whose time is over.
func (c *Core) settleHubWaits() {
	kept := c.hubWaits.list[:0]
	for _, w := range c.hubWaits.list {
		switch {
		case c.confirmed(w.needs):
			c.Counts.HubAcks++
		case c.now >= w.until:
			c.Counts.HubAcksLate++
			w.reply.Result.Err = ErrUnconfirmed
		default:
			kept = append(kept, w)
			continue
		}
		c.out.Replies = append(c.out.Replies, w.reply)
	}
	clear(c.hubWaits.list[len(kept):])
	c.hubWaits.list = kept
}

// confirmed reports whether one hub of the region has all that is needed.
func (c *Core) confirmed(needs []need) bool {
	for _, s := range c.order {
		if s.peer.Role != RoleHub || s.peer.Region != c.cfg.Region {
			continue
		}
		all := true
		for _, n := range needs {
			sent := mutant.On("hub's word for what was sent") && s.streams[n.origin] != nil && s.streams[n.origin].sent >= n.seq
			all = all && (s.marks[n.origin].Covered >= n.seq || sent)
		}
		if all {
			return true
		}
	}
	return false
}

// giveUp answers all that wait for a hub: the process ends. What they asked for is on this node's disk.
func (c *Core) giveUp(out *Output) {
	for _, w := range c.hubWaits.list {
		w.reply.Result.Err = ErrUnconfirmed
		out.Replies = append(out.Replies, w.reply)
	}
	c.Counts.HubAcksLate += uint64(len(c.hubWaits.list))
	c.hubWaits.list = nil
}

// nextHubWait returns when the first of them is over, at the latest; 0 if none waits.
func (c *Core) nextHubWait() (at int64) {
	for i := range c.hubWaits.list {
		if u := c.hubWaits.list[i].until; at == 0 || u < at {
			at = u
		}
	}
	return at
}
