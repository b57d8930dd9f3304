package demo

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
)

// First ports of a demo's three blocks. A demo whose blocks are busy moves all of them up by portStep: the last two
// digits differ, so moved blocks never meet.
const (
	firstMeshPort   = 18946 // UDP of the mesh and, over TCP, HTTP: as the default port of a node
	firstStatsDPort = 18125
	portStep        = 100
	portTries       = 20
)

// Node is one node of the demo.
type Node struct {
	Name   string `json:"name"`
	Region string `json:"region"`
	Role   string `json:"role"`
	Mesh   string `json:"mesh"`   // UDP host:port
	HTTP   string `json:"http"`   // TCP host:port
	StatsD string `json:"statsd"` // UDP host:port
}

// regions are the two halves of the demo.
var regions = [...]string{"east", "west"}

// plan lists the ten nodes with their ports moved up by shift: east before west, hubs before edges.
func plan(shift int) []Node {
	var nodes []Node
	for _, region := range regions {
		for _, g := range []struct {
			role  string
			count int
		}{{"hub", 2}, {"edge", 3}} {
			for k := range g.count {
				i := len(nodes) + shift
				nodes = append(nodes, Node{
					Name:   fmt.Sprintf("%s-%s-%d", region, g.role, k+1),
					Region: region,
					Role:   g.role,
					Mesh:   local(firstMeshPort + i),
					HTTP:   local(firstMeshPort + i),
					StatsD: local(firstStatsDPort + i),
				})
			}
		}
	}
	return nodes
}

func local(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

// freePlan returns the first plan whose ports are all free at this moment.
func freePlan() ([]Node, error) {
	var busy error
	for try := range portTries {
		nodes := plan(try * portStep)
		if busy = probe(nodes); busy == nil {
			return nodes, nil
		}
	}
	return nil, fmt.Errorf("no %d free blocks of ports from %d and %d on: %w", portTries, firstMeshPort, firstStatsDPort, busy)
}

// probe opens and closes every port of the nodes.
func probe(nodes []Node) error {
	for _, n := range nodes {
		for _, udp := range []string{n.Mesh, n.StatsD} {
			c, err := net.ListenPacket("udp", udp)
			if err != nil {
				return err
			}
			c.Close()
		}
		l, err := net.Listen("tcp", n.HTTP)
		if err != nil {
			return err
		}
		l.Close()
	}
	return nil
}

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

// find returns the indices of the node or of the region's nodes with this name; none means there is no such name.
func find(nodes []Node, name string) []int {
	var at []int
	for i, n := range nodes {
		if n.Name == name || n.Region == name {
			at = append(at, i)
		}
	}
	return at
}
