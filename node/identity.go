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
			out = append(out, wire.Head{Inc: o.Inc, Head: [crdt.NumStreams]uint64{p[crdt.StreamLifetime].Cursor}})
		}
	}
	for _, r := range c.hub.region.Replicas() {
		if r.Origin.Node == c.cfg.Node && r != c.live {
			out = append(out, wire.Head{Inc: r.Origin.Inc, Head: heads(r)})
		}
	}
	return append(out, wire.Head{Inc: c.own.Inc, Head: heads(c.live)})
}

// peerOrigin is the node origin of one of the peer's incarnations.
func (c *Core) peerOrigin(s *session, inc crdt.Incarnation) crdt.Origin {
	return crdt.Origin{Class: crdt.ClassNode, Region: s.peer.Region, Node: s.peer.Node, Inc: inc}
}
