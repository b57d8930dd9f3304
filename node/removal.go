package node

import (
	"errors"
	"fmt"
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

// newRemovals returns which nodes operators removed, at hubs only. A record has a turn: odd ones remove, and a hub that hears a
// removed node takes the next, even one. The highest turn counts.
func (c *Core) newRemovals() *register[wire.Removal] {
	return newRegister(orders[wire.Removal]{
		most:    wire.MaxRemovals,
		prefix:  prefixRemoval,
		about:   func(n *wire.Removal) string { return process{n.Region, n.Node}.removal() },
		number:  func(n *wire.Removal) uint64 { return n.Turn },
		disk:    func(p string) []byte { return []byte(prefixRemoval + p) },
		message: func(ns []wire.Removal) wire.Message { return &wire.Removals{Nodes: ns} },
		records: func(m wire.Message) []wire.Removal {
			if m, ok := m.(*wire.Removals); ok {
				return m.Nodes
			}
			return nil
		},
		count: c.countRemoval,
	})
}

// removal is what a record says that it is about. Names have no slash.
func (p process) removal() string { return p.region + "/" + p.node }

// removed reports whether a node was removed and not heard since.
func (c *Core) removed(p process) bool { return c.hub.removals.highest(p.removal())%2 == 1 }

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
	case !c.hub.removals.room(p.removal()):
		return fmt.Errorf("%w: %d nodes are removed already", ErrRemove, wire.MaxRemovals)
	}
	return nil
}

// removal lets the next turn of a node wait for the disk, unless it is removed, or not, as wanted.
func (c *Core) removal(p process, gone bool, id uint64) {
	turn := c.hub.removals.highest(p.removal())
	if c.removed(p) != gone {
		turn++
	} else if turn == 0 {
		return
	}
	c.hub.removals.order(wire.Removal{Region: p.region, Node: p.node, Turn: turn}, id)
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
	c.hub.removals.got(m)
}

// countRemoval makes a record count that is on disk. A node that has a session here, and this one, is back at once.
func (c *Core) countRemoval(n wire.Removal) {
	if n.Region != c.cfg.Region {
		return
	}
	p := process{n.Region, n.Node}
	c.hub.watch.Remove(n.Node, c.removed(p))
	c.hub.region.NodeChanged(n.Node)
	if c.running()[p] != nil {
		c.isBack(p)
	}
}

// Removed returns the nodes that are removed, in order: region/node.
func (c *Core) Removed() (out []string) {
	if c.hub == nil {
		return nil
	}
	for about, n := range c.hub.removals.all {
		if n.Turn%2 == 1 {
			out = append(out, about)
		}
	}
	slices.Sort(out)
	return out
}
