package node

import (
	"meshd/crdt"
	"meshd/internal/mutant"
	"meshd/internal/wire"
	"meshd/reconcile"
)

func heads(r *reconcile.Replica) (h [crdt.NumStreams]uint64) {
	for s := range h {
		h[s] = r.Progress[s].Cursor
	}
	return h
}

// vouched returns how far a hub vouches for one of its earlier incarnations: to the end, or not at all for one that came back in
// part, from siblings, after the disk that had it was lost or put back. What such a part was promised to become may be gone
// with that disk, then nobody will ever cover it, and a sibling that waits for it would miss this node for good.
func vouched(p crdt.Progress) uint64 {
	if p.Covered < p.Cursor && !mutant.On("parts are vouched for") {
		return 0
	}
	return p.Cursor
}

// ownHeads names this node's incarnations with how far they are here, those in memory after the cold ones and the live
// one last. A hub names its earlier ones too: a sibling that lacks some of one must not call this node complete.
func (c *Core) ownHeads() (out []wire.Head) {
	if c.hub == nil {
		for _, r := range c.mine {
			out = append(out, wire.Head{Inc: r.Origin.Inc, Head: heads(r)})
		}
		return out
	}
	if mutant.On("hub names its live incarnation only") {
		return []wire.Head{{Inc: c.own.Inc, Head: heads(c.live)}}
	}
	for o, p := range c.hub.cold.index.all(c.cfg.Region) {
		if o.Node == c.cfg.Node {
			out = append(out, wire.Head{Inc: o.Inc, Head: [crdt.NumStreams]uint64{vouched(p[crdt.StreamLifetime])}})
		}
	}
	for _, r := range c.hub.region.Replicas() {
		if r.Origin.Node == c.cfg.Node && r != c.live {
			h := heads(r)
			h[crdt.StreamLifetime] = vouched(r.Progress[crdt.StreamLifetime])
			out = append(out, wire.Head{Inc: r.Origin.Inc, Head: h})
		}
	}
	return append(out, wire.Head{Inc: c.own.Inc, Head: heads(c.live)})
}

// peerOrigin is the node origin of one of the peer's incarnations.
func (c *Core) peerOrigin(s *session, inc crdt.Incarnation) crdt.Origin {
	return crdt.Origin{Class: crdt.ClassNode, Region: s.peer.Region, Node: s.peer.Node, Inc: inc}
}
