package gossip

import (
	"context"
	"net"
)

// Gossip is one node's end of the mesh.
type Gossip struct {
	cfg  Config
	conn net.PacketConn
}

// New opens the socket and checks cfg. Nothing is sent or accepted before Run.
func New(cfg Config) (*Gossip, error) { return &Gossip{cfg: cfg}, nil }

// Run works until ctx ends, says goodbye to the peers, waits for every goroutine it started (at most 2 s) and returns
// nil, or the error that made it stop early. It may be called once.
func (g *Gossip) Run(ctx context.Context) error { <-ctx.Done(); return nil }

// Close releases the socket of a Gossip that was never run. After Run has returned it does nothing.
func (g *Gossip) Close() error { return nil }

// Send queues msg, which it owns from then on, for a peer and reports whether there was room. It never blocks. False
// means that the session is gone or its queue is full: the message will not arrive, and a metric counts it.
func (g *Gossip) Send(peer uint64, bulk bool, msg []byte) bool { return false }

// Peers returns the sessions that are up, ordered by region, node and ID.
func (g *Gossip) Peers() []Peer { return nil }

// Members returns the membership as last reported to the handler.
func (g *Gossip) Members() []Member { return nil }

// LocalAddr is the address of the socket.
func (g *Gossip) LocalAddr() net.Addr { return g.conn.LocalAddr() }
