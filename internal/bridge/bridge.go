package bridge

import (
	"time"

	"meshd/crdt"
	"meshd/gossip"
	"meshd/node"
)

// Bridge joins the transport and the node: to the node it is the transport, to the transport it is the handler. Both
// ends are set before either runs.
type Bridge struct {
	Node   *node.Node
	Gossip *gossip.Gossip
}

var (
	_ node.Transport = (*Bridge)(nil)
	_ gossip.Handler = (*Bridge)(nil)
)

// Send implements node.Transport.
func (b *Bridge) Send(peer uint64, bulk bool, msg []byte) bool { return b.Gossip.Send(peer, bulk, msg) }

// Room implements node.Transport.
func (b *Bridge) Room(peer uint64, bulk bool) node.Room {
	r := b.Gossip.Room(peer, bulk)
	return node.Room{Peer: r.Peer, All: r.All, Empty: r.Empty}
}

// Disconnect implements node.Transport.
func (b *Bridge) Disconnect(peer uint64, reason string) { b.Gossip.Disconnect(peer, reason) }

// Link implements node.Transport.
func (b *Bridge) Link(peer uint64) (rtt, offset time.Duration, addr string) {
	p, _ := b.Gossip.Peer(peer)
	return p.RTT, p.WallOffset, p.Addr
}

// PeerUp implements gossip.Handler.
func (b *Bridge) PeerUp(p gossip.Peer) {
	b.Node.PeerUp(p.ID, node.PeerInfo{Region: p.Region, Node: p.Node, Role: node.Role(p.Role), Inc: crdt.Incarnation(p.Inc), RTT: p.RTT.Milliseconds()})
}

// PeerDown implements gossip.Handler.
func (b *Bridge) PeerDown(id uint64, _ error) { b.Node.PeerDown(id) }

// Message implements gossip.Handler.
func (b *Bridge) Message(id uint64, msg []byte) { b.Node.Message(id, msg) }

// Members implements gossip.Handler. Whoever wants to know asks the transport.
func (b *Bridge) Members([]gossip.Member) {}
