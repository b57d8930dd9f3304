package gossip

import (
	"cmp"
	"encoding/hex"
)

// identity is one process: two sessions with equal identities lead to the same process.
type identity struct {
	region, node string
	inc, nonce   [16]byte
}

func identityOf(p *preface) identity { return identity{p.Region, p.Node, p.Inc, p.Nonce} }

// before orders nodes by region and name: of two hubs, the one before dials.
func (i identity) before(region, node string) bool {
	return cmp.Or(cmp.Compare(i.region, region), cmp.Compare(i.node, node)) < 0
}

// wins decides between two sessions with one peer, dialed from either side at the same time: both ends keep the one
// that the smaller identity dialed.
func (i identity) wins(peer identity) bool {
	return cmp.Or(cmp.Compare(i.region, peer.region), cmp.Compare(i.node, peer.node),
		cmp.Compare(string(i.nonce[:]), string(peer.nonce[:]))) < 0
}

// member is the process' name in Serf. The incarnation is part of it, because Serf shuts the minority of two holders of
// one name down; so is the nonce, for a virtual machine resumed twice has one incarnation in two processes.
func (i identity) member() string {
	return i.node + "~" + hex.EncodeToString(i.inc[:8]) + "~" + hex.EncodeToString(i.nonce[:4])
}
