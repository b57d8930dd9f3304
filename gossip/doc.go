// Package gossip moves bytes between the nodes of a mesh over one UDP socket. It owns that socket, the QUIC sessions on
// it, the choice of whom to dial, back-off, and Serf's membership, whose packets share the socket (docs/adr/0002).
//
// It carries messages and knows nothing of what is in them: a message is bytes, at most MaxMessage of them. Within one
// session, messages of one class (bulk or not) arrive in the order they were sent, each exactly once, until the session
// ends. Nothing is promised across sessions, nor between the two classes: whoever sends must be able to start over, and
// the CRDT above can.
//
// The caller (node's driver) builds a Config with a Handler, calls New, then Run. Send and the read accessors may be
// called from any goroutine; Handler methods say on which goroutine they are called.
package gossip
