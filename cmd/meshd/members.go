package main

import (
	"context"

	"meshd/gossip"
	"meshd/node"
	"meshd/query"
)

// memberList joins what the two layers know of the mesh: the sessions of the node, with their figures, and the
// membership of the gossip, which names nodes without a session too. A node with a session is alive whatever the
// membership suspects.
func memberList(n *node.Node, g *gossip.Gossip) func(context.Context) ([]query.Member, error) {
	return func(ctx context.Context) ([]query.Member, error) {
		st, err := n.Status(ctx)
		if err != nil {
			return nil, err
		}
		type key struct{ region, node string }
		self := query.Member{Region: st.Region, Node: st.Node, Role: st.Role, State: "self", Since: query.Time{Time: st.Started}}
		self.Addr = g.LocalAddr().String()
		list := []query.Member{self}
		at := map[key]int{{st.Region, st.Node}: 0}
		for _, p := range st.Peers {
			m := query.Member{
				Region: p.Region, Node: p.Node, Role: p.Role, Addr: p.Addr, State: "unreachable",
				Since: query.Time{Time: p.Since}, RTTMs: p.RTT.Seconds() * 1000, ClockOffsetMs: p.ClockOffset.Seconds() * 1000,
			}
			if p.Up {
				m.State = "alive"
			}
			k := key{p.Region, p.Node}
			if i, known := at[k]; known {
				if p.Up && i != 0 {
					list[i] = m // a new session beside one that ended
				}
				continue
			}
			at[k] = len(list)
			list = append(list, m)
		}
		for _, m := range g.Members() {
			k := key{m.Region, m.Node}
			i, known := at[k]
			if !known {
				i = len(list)
				at[k] = i
				list = append(list, query.Member{Region: m.Region, Node: m.Node, Role: string(m.Role), Addr: m.Addr, State: string(m.Status)})
			}
			list[i].HTTP = m.HTTPAddr
			if list[i].State == "unreachable" && m.Status != gossip.Alive {
				list[i].State = string(m.Status)
			}
		}
		return list, nil
	}
}
