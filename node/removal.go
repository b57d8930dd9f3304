package node

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"

	"meshd/internal/mutant"
	"meshd/internal/wire"
)

// ErrRemove is wrapped by every refusal to remove a node.
var ErrRemove = errors.New("node not removed")

// RemoveNode asks to stop expecting a node: coverage does not count it any more. What it counted stays. The answer is a
// Reply with the same ID, once that is on disk here; from here it spreads to all hubs.
type RemoveNode struct {
	ID           uint64
	Region, Node string
}

func (RemoveNode) event() {}

// removals is which nodes operators removed, at hubs only. A record has a turn: odd ones remove, and a hub that hears a
// removed node takes the next, even one. The highest turn counts, wherever records meet.
type removals struct {
	turns   map[process]uint64
	waiting []waitingRemoval // for the disk
	retry   int64
}

type waitingRemoval struct {
	wire.Removal
	id uint64 // of the RemoveNode; 0: nobody waits
}

// removed reports whether a node was removed and not heard since.
func (c *Core) removed(p process) bool { return c.hub.removals.turns[p]%2 == 1 }

func (c *Core) removeNode(in RemoveNode) {
	if err := c.mayRemove(in); err != nil {
		c.out.Replies = append(c.out.Replies, Reply{ID: in.ID, Result: Result{Err: err}})
		return
	}
	c.removal(process{in.Region, in.Node}, true, in.ID)
}

func (c *Core) mayRemove(in RemoveNode) error {
	if c.hub == nil {
		return fmt.Errorf("%w: this node is an edge: ask a hub", ErrRemove)
	}
	for _, s := range c.order {
		if s.peer.Region == in.Region && s.peer.Node == in.Node {
			return fmt.Errorf("%w: it is connected to this hub: stop it first", ErrRemove)
		}
	}
	p := process{in.Region, in.Node}
	switch {
	case p == process{c.cfg.Region, c.cfg.Node}:
		return fmt.Errorf("%w: it is the node that you ask", ErrRemove)
	case in.Region == c.cfg.Region && !c.hub.watch.Expects(in.Node):
		return fmt.Errorf("%w: region %s has no node of that name that is expected", ErrRemove, in.Region)
	case c.hub.removals.turns[p] == 0 && len(c.hub.removals.turns) >= wire.MaxRemovals:
		return fmt.Errorf("%w: %d nodes are removed already", ErrRemove, wire.MaxRemovals)
	}
	return nil
}

// removal lets the next turn of a node wait for the disk, unless it is removed, or not, as wanted.
func (c *Core) removal(p process, gone bool, id uint64) {
	turn := c.hub.removals.turns[p]
	if c.removed(p) != gone {
		turn++
	} else if turn == 0 {
		return
	}
	c.hub.removals.waiting = append(c.hub.removals.waiting, waitingRemoval{wire.Removal{Region: p.region, Node: p.node, Turn: turn}, id})
}

// isBack is told that a node of the region has a session here: it is expected again, for good.
func (c *Core) isBack(p process) {
	if c.removed(p) && !mutant.On("removed for ever") {
		c.removal(p, false, 0)
	}
}

// gotRemovals takes records from another hub.
func (c *Core) gotRemovals(s *session, m *wire.Removals) {
	if c.hub == nil || s.peer.Role != RoleHub {
		c.Counts.Refused++
		return
	}
	r := &c.hub.removals
	for _, n := range m.Nodes {
		p := process{n.Region, n.Node}
		if n.Turn > r.turns[p] && len(r.waiting) < wire.MaxRemovals && (r.turns[p] != 0 || len(r.turns) < wire.MaxRemovals) {
			r.waiting = append(r.waiting, waitingRemoval{n, 0})
		}
	}
}

// startRemovals writes the records that wait. It reports whether there were any.
func (c *Core) startRemovals() bool {
	if c.hub == nil || len(c.hub.removals.waiting) == 0 || c.now < c.hub.removals.retry {
		return false
	}
	r := &c.hub.removals
	done := r.waiting
	r.waiting, r.retry = nil, 0
	var ops []Op
	var replies []Reply
	for _, n := range done {
		ops = append(ops, Op{Key: removalKey(n.Region, n.Node), Value: encodeMessage(&wire.Removals{Nodes: []wire.Removal{n.Removal}})})
		if n.id != 0 {
			replies = append(replies, Reply{ID: n.id})
		}
	}
	c.persistCheckpoint(ops, func() {
		news := &wire.Removals{}
		for _, n := range done {
			if c.takeRemoval(&n.Removal) {
				news.Nodes = append(news.Nodes, n.Removal)
			}
		}
		c.out.Replies = append(c.out.Replies, replies...)
		for _, s := range c.order {
			if len(news.Nodes) > 0 && s.peer.Role == RoleHub {
				c.send(s, news)
			}
		}
	})
	c.pending.replies = replies // that it failed, should it: who asked tries again
	c.pending.failed = func() {
		for _, n := range done {
			if n.id == 0 {
				r.waiting = append(r.waiting, n)
			}
		}
		r.retry = c.now + c.cfg.Retry
	}
	return true
}

func removalKey(region, node string) []byte { return []byte(prefixRemoval + region + "/" + node) }

// takeRemoval makes a record count that is on disk. A node that has a session here, and this one, is back at once.
func (c *Core) takeRemoval(n *wire.Removal) bool {
	p := process{n.Region, n.Node}
	r := &c.hub.removals
	if n.Turn <= r.turns[p] {
		return false
	}
	r.turns[p] = n.Turn
	if n.Region != c.cfg.Region {
		return true
	}
	c.hub.watch.Remove(n.Node, c.removed(p))
	c.hub.region.NodeChanged(n.Node)
	if c.running()[p] != nil {
		c.isBack(p)
	}
	return true
}

// tellRemovals tells a hub all records: a session begins.
func (c *Core) tellRemovals(s *session) {
	if c.hub == nil || s.peer.Role != RoleHub || len(c.hub.removals.turns) == 0 {
		return
	}
	m := &wire.Removals{}
	for p, turn := range c.hub.removals.turns {
		m.Nodes = append(m.Nodes, wire.Removal{Region: p.region, Node: p.node, Turn: turn})
	}
	slices.SortFunc(m.Nodes, func(a, b wire.Removal) int {
		return cmp.Or(cmp.Compare(a.Region, b.Region), cmp.Compare(a.Node, b.Node))
	})
	c.send(s, m)
}

// removals reads which nodes were removed.
func (rec *recovery) removals() error {
	if rec.c.hub == nil {
		return nil
	}
	return rec.r.Scan([]byte(prefixRemoval), func(_, value []byte) error {
		m, err := wire.ParseMessage(value)
		if err != nil {
			return err
		}
		if m, ok := m.(*wire.Removals); ok {
			for i := range m.Nodes {
				rec.c.takeRemoval(&m.Nodes[i])
			}
		}
		return nil
	})
}

// Removed returns the nodes that are removed, in order: region/node.
func (c *Core) Removed() (out []string) {
	if c.hub == nil {
		return nil
	}
	for p := range maps.Keys(c.hub.removals.turns) {
		if c.removed(p) {
			out = append(out, p.region+"/"+p.node)
		}
	}
	slices.Sort(out)
	return out
}
