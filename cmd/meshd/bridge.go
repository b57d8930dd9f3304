package main

import (
	"errors"
	"fmt"
	"time"

	"meshd/buffer"
	"meshd/crdt"
	"meshd/gossip"
	"meshd/node"
)

// bridge joins the transport and the node, which do not know each other: to the node it is the transport, to the
// transport it is the handler. Both ends are set before either runs.
type bridge struct {
	node   *node.Node
	gossip *gossip.Gossip
}

// Send implements node.Transport.
func (b *bridge) Send(peer uint64, bulk bool, msg []byte) bool { return b.gossip.Send(peer, bulk, msg) }

// Disconnect implements node.Transport.
func (b *bridge) Disconnect(peer uint64, reason string) { b.gossip.Disconnect(peer, reason) }

// Link implements node.Transport.
func (b *bridge) Link(peer uint64) (rtt, offset time.Duration, addr string) {
	p, _ := b.gossip.Peer(peer)
	return p.RTT, p.WallOffset, p.Addr
}

// PeerUp implements gossip.Handler.
func (b *bridge) PeerUp(p gossip.Peer) {
	b.node.PeerUp(p.ID, node.PeerInfo{Region: p.Region, Node: p.Node, Role: node.Role(p.Role), Inc: crdt.Incarnation(p.Inc)})
}

// PeerDown implements gossip.Handler.
func (b *bridge) PeerDown(id uint64, _ error) { b.node.PeerDown(id) }

// Message implements gossip.Handler.
func (b *bridge) Message(id uint64, msg []byte) { b.node.Message(id, msg) }

// Members implements gossip.Handler. Whoever wants to know asks the transport.
func (b *bridge) Members([]gossip.Member) {}

// disk is a store as the node sees it.
type disk struct{ *buffer.Store }

// Commit implements node.Store.
func (d disk) Commit(ops []node.Op) error {
	converted := make([]buffer.Op, len(ops))
	for i, op := range ops {
		converted[i] = buffer.Op(op)
	}
	err := d.Store.Commit(converted)
	if errors.Is(err, buffer.ErrFull) {
		return fmt.Errorf("%w (%w)", node.ErrFull, err)
	}
	return err
}

// Free implements node.Store.
func (d disk) Free() (free, reserve, used uint64) {
	free, reserve = d.Store.Free()
	return free, reserve, d.Size()
}
