package cluster

import (
	"net"
	"slices"
	"testing"
)

// ten is a layout like the demo's.
var ten = Layout{Regions: []string{"east", "west"}, Hubs: 2, Edges: 3, MeshPort: 18946, StatsDPort: 18125}

func TestPlan(t *testing.T) {
	nodes := ten.plan(portStep)
	if len(nodes) != 10 {
		t.Fatalf("%d nodes, want 10", len(nodes))
	}
	want := Node{Name: "west-edge-1", Region: "west", Role: "edge", Mesh: "127.0.0.1:19053", HTTP: "127.0.0.1:19053", StatsD: "127.0.0.1:18232"}
	if nodes[7] != want {
		t.Errorf("node 7 is %+v, want %+v", nodes[7], want)
	}
}

func TestBlocksNeverMeet(t *testing.T) {
	used := make(map[string]string)
	for try := range portTries {
		for _, n := range ten.plan(try * portStep) {
			beside := n.Beside("copy")
			for _, addr := range []string{n.Mesh, n.StatsD, beside.Mesh, beside.StatsD} {
				if other, ok := used[addr]; ok {
					t.Fatalf("block %d: %s of %s is %s too", try, addr, n.Name, other)
				}
				used[addr] = n.Name
			}
		}
	}
}

func TestBusyPortMovesTheBlock(t *testing.T) {
	first, claim, err := ten.FreePlan()
	if err != nil {
		t.Fatal(err)
	}
	claimed, other, err := ten.FreePlan()
	if err != nil {
		t.Fatal(err)
	}
	if claimed[0] == first[0] {
		t.Error("a block that is claimed was planned again")
	}
	claim.Close()
	other.Close()
	l, err := net.Listen("tcp", first[3].HTTP)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	second, claim, err := ten.FreePlan()
	if err != nil {
		t.Fatal(err)
	}
	defer claim.Close()
	if slices.ContainsFunc(second, func(n Node) bool { return n.HTTP == first[3].HTTP }) {
		t.Errorf("the busy port %s is used again", first[3].HTTP)
	}
}

func TestCuts(t *testing.T) {
	nodes := ten.plan(0)
	for _, tc := range []struct {
		name string
		cut  []string
		heal []string
		node string
		want []string // names that node loses
	}{
		{name: "nothing", node: "east-hub-1"},
		{name: "a region loses the other", cut: []string{"east"}, node: "east-edge-2", want: []string{"west-hub-1", "west-hub-2", "west-edge-1", "west-edge-2", "west-edge-3"}},
		{name: "and is lost by it", cut: []string{"east"}, node: "west-hub-1", want: []string{"east-hub-1", "east-hub-2", "east-edge-1", "east-edge-2", "east-edge-3"}},
		{name: "a node loses all", cut: []string{"west-edge-1"}, node: "west-edge-1", want: []string{"east-hub-1", "east-hub-2", "east-edge-1", "east-edge-2", "east-edge-3", "west-hub-1", "west-hub-2", "west-edge-2", "west-edge-3"}},
		{name: "and is lost by all", cut: []string{"west-edge-1"}, node: "west-edge-2", want: []string{"west-edge-1"}},
		{name: "healed", cut: []string{"east", "west-edge-1"}, heal: []string{"east"}, node: "east-hub-1", want: []string{"west-edge-1"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := newCuts()
			for _, name := range tc.cut {
				if !c.set(nodes, name, true) {
					t.Fatalf("no %s", name)
				}
			}
			for _, name := range tc.heal {
				c.set(nodes, name, false)
			}
			var got []string
			node := nodes[Find(nodes, tc.node)[0]]
			for _, peer := range c.blocked(nodes, node) {
				got = append(got, nodes[slices.IndexFunc(nodes, func(n Node) bool { return n.Mesh == peer.String() })].Name)
			}
			if !slices.Equal(got, tc.want) {
				t.Errorf("%s loses %v, want %v", tc.node, got, tc.want)
			}
		})
	}
	if newCuts().set(nodes, "north", true) {
		t.Error("a region that does not exist was cut")
	}
}
