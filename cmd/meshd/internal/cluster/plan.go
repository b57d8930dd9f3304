package cluster

import (
	"fmt"
	"io"
	"net"
	"strconv"
)

// A layout whose ports are busy moves all of them up by portStep. Layouts begin at ports that differ by more than their
// nodes in the last two digits, so that moved blocks never meet.
const (
	portStep  = 100
	portTries = 20
	// besideStep moves the ports of a node that is added beside the plan: plans have fewer nodes than that.
	besideStep = portStep / 2
	// claimStep is where the port of a block is, behind its first, that says whose the block is.
	claimStep = besideStep - 1
)

// Node is one node of a cluster.
type Node struct {
	Name   string `json:"name"`         // unique in the cluster
	As     string `json:"as,omitempty"` // the name that the mesh knows it by, if it is not Name: copies share one
	Region string `json:"region"`
	Role   string `json:"role"`
	Mesh   string `json:"mesh"`   // UDP host:port
	HTTP   string `json:"http"`   // TCP host:port
	StatsD string `json:"statsd"` // UDP host:port
}

func (n *Node) runsAs() string {
	if n.As != "" {
		return n.As
	}
	return n.Name
}

// Beside returns a node that runs as n does, under a name and ports of its own.
func (n Node) Beside(name string) Node {
	n.As, n.Name = n.runsAs(), name
	for _, addr := range []*string{&n.Mesh, &n.HTTP, &n.StatsD} {
		_, port, _ := net.SplitHostPort(*addr) // our own
		p, _ := strconv.Atoi(port)
		*addr = local(p + besideStep)
	}
	return n
}

// Layout says how many nodes there are and from which ports on.
type Layout struct {
	Regions     []string
	Hubs, Edges int // of each region, together less than 49 in all regions
	MeshPort    int // first port of the mesh over UDP and, with the same number, of HTTP over TCP
	StatsDPort  int // first port of StatsD
}

// plan lists the nodes with their ports moved up by shift: region by region, hubs before edges.
func (l *Layout) plan(shift int) []Node {
	var nodes []Node
	for _, region := range l.Regions {
		for _, g := range []struct {
			role  string
			count int
		}{{"hub", l.Hubs}, {"edge", l.Edges}} {
			for k := range g.count {
				i := len(nodes) + shift
				nodes = append(nodes, Node{
					Name:   fmt.Sprintf("%s-%s-%d", region, g.role, k+1),
					Region: region,
					Role:   g.role,
					Mesh:   local(l.MeshPort + i),
					HTTP:   local(l.MeshPort + i),
					StatsD: local(l.StatsDPort + i),
				})
			}
		}
	}
	return nodes
}

func local(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

// FreePlan returns the first plan whose ports are all free at this moment, and a claim on them. While that is not closed no
// other plan is made of them, nor are they probed: a probe holds a port for a moment, and a node that starts in that moment
// would find it busy.
func (l *Layout) FreePlan() (nodes []Node, claim io.Closer, err error) {
	var busy error
	for try := range portTries {
		shift := try * portStep
		claim, err := net.Listen("tcp", local(l.MeshPort+shift+claimStep))
		if err != nil {
			busy = err
			continue
		}
		nodes := l.plan(shift)
		if busy = probe(nodes); busy == nil {
			return nodes, claim, nil
		}
		claim.Close()
	}
	return nil, nil, fmt.Errorf("no free block of ports among %d from %d and %d on: %w", portTries, l.MeshPort, l.StatsDPort, busy)
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

// Find returns the indices of the node or of the region's nodes with this name; none means there is no such name.
func Find(nodes []Node, name string) []int {
	var at []int
	for i, n := range nodes {
		if n.Name == name || n.Region == name {
			at = append(at, i)
		}
	}
	return at
}
