package cluster

import "net/netip"

// cuts says which nodes and regions are cut off.
type cuts struct {
	nodes, regions map[string]bool
}

func newCuts() cuts { return cuts{nodes: make(map[string]bool), regions: make(map[string]bool)} }

// set cuts or heals one node or region by its name, and reports whether there is one.
func (c cuts) set(nodes []Node, name string, cut bool) bool {
	for _, n := range nodes {
		var of map[string]bool
		switch name {
		case n.Name:
			of = c.nodes
		case n.Region:
			of = c.regions
		default:
			continue
		}
		if cut {
			of[name] = true
		} else {
			delete(of, name)
		}
		return true
	}
	return false
}

// blocked lists the peers that node loses: a cut node loses all, a cut region and the others lose each other.
func (c cuts) blocked(nodes []Node, node Node) []netip.AddrPort {
	peers := make([]netip.AddrPort, 0, len(nodes))
	for _, p := range nodes {
		apart := c.nodes[p.Name] || c.nodes[node.Name] ||
			p.Region != node.Region && (c.regions[p.Region] || c.regions[node.Region])
		if p.Name != node.Name && apart {
			peers = append(peers, netip.MustParseAddrPort(p.Mesh))
		}
	}
	return peers
}
