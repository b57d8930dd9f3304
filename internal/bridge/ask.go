package bridge

import (
	"cmp"
	"context"
	"slices"

	"github.com/prometheus/client_golang/prometheus"

	"meshd/gossip"
	"meshd/history"
	"meshd/internal/ask"
	"meshd/node"
)

var _ ask.Peers = (*Bridge)(nil)

// Hubs implements ask.Peers.
func (b *Bridge) Hubs(region string) []ask.Hub {
	var hubs []ask.Hub
	for _, p := range b.Gossip.Peers() {
		if p.Role == gossip.Hub && p.Region == region {
			hubs = append(hubs, ask.Hub{Session: p.ID, Node: p.Node, RTT: p.RTT})
		}
	}
	slices.SortStableFunc(hubs, func(x, y ask.Hub) int { return cmp.Compare(x.RTT, y.RTT) })
	return hubs
}

// Ask implements ask.Peers.
func (b *Bridge) Ask(ctx context.Context, session uint64, question []byte, take func([]byte) error) error {
	return b.Gossip.Ask(ctx, session, question, take)
}

// Questions are the two ends of questions between nodes, of which a node has one.
type Questions struct {
	Asker *ask.Asker // of an edge; nil: it holds what others would ask for
	// Asked answers for a hub, as gossip.Config has it; nil: nobody is answered.
	Asked func(ctx context.Context, p gossip.Peer, question []byte, answer func([]byte) error) error
}

// Questions makes the end of questions that a node of a role has: it asks by b, or answers from h and what n knows.
func (b *Bridge) Questions(role gossip.Role, self history.Owner, h history.Source, n *node.Node, r prometheus.Registerer) (Questions, error) {
	counts, err := ask.NewMetrics(r)
	if err != nil {
		return Questions{}, err
	}
	if role != gossip.Hub {
		return Questions{Asker: ask.NewAsker(ask.AskerConfig{Self: self, Peers: b, Metrics: counts})}, nil
	}
	a := ask.NewAnswerer(ask.AnswererConfig{Node: self.Node, History: h, Coverage: n.Coverage, Totals: n.Totals, Metrics: counts})
	return Questions{Asked: func(ctx context.Context, p gossip.Peer, question []byte, answer func([]byte) error) error {
		return a.Answer(ctx, p.Region+"/"+p.Node, question, answer)
	}}, nil
}
