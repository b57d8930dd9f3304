package gossip

import "fmt"

// Disconnect ends the session of a peer, if it is up. The sides dial again by the rules of plan. The peer reads reason
// in its log.
func (g *Gossip) Disconnect(peer uint64, reason string) {
	if s := g.sessionByID(peer); s != nil {
		s.end(fmt.Errorf("ended by the caller: %s", reason))
	}
}

// Peer returns the session of a peer as it is now, and whether it is up.
func (g *Gossip) Peer(id uint64) (Peer, bool) {
	s := g.sessionByID(id)
	if s == nil {
		return Peer{}, false
	}
	return s.peer(), true
}
