package bridge

import (
	"cmp"
	"context"
	"log/slog"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"meshd/crdt"
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
		if p.Role == gossip.Hub && (p.Region == region || region == "") {
			hubs = append(hubs, ask.Hub{Session: p.ID, Region: p.Region, Node: p.Node, RTT: p.RTT})
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
	// Takeover, of a hub, is to run: it makes the history whole.
	Takeover *ask.Takeover
}

// QuestionsConfig says who asks or answers. All fields but Logger are required.
type QuestionsConfig struct {
	Role       gossip.Role
	Self       history.Owner
	Inc        crdt.Incarnation // of the process
	History    history.Source   // what a hub answers from
	Store      *history.Store   // what it hands on, and takes over into
	Node       *node.Node
	Now        func() time.Time // wall clock
	Registerer prometheus.Registerer
	Logger     *slog.Logger // nil is silent
}

// Questions makes the end of questions that a node of a role has: it asks by b, or answers.
func (b *Bridge) Questions(cfg QuestionsConfig) (Questions, error) {
	counts, err := ask.NewMetrics(cfg.Registerer)
	if err != nil {
		return Questions{}, err
	}
	if cfg.Role != gossip.Hub {
		return Questions{Asker: ask.NewAsker(ask.AskerConfig{Self: cfg.Self, Peers: b, Metrics: counts})}, nil
	}
	whole, err := ask.NewTakeover(ask.TakeoverConfig{
		Self: cfg.Self, Inc: cfg.Inc, Peers: b, History: cfg.Store, Gaps: cfg.Node.WindowGaps, Now: cfg.Now, Metrics: counts, Logger: cfg.Logger,
	})
	if err != nil {
		return Questions{}, err
	}
	a := ask.NewAnswerer(ask.AnswererConfig{
		Node: cfg.Self.Node, History: cfg.History, Coverage: cfg.Node.Coverage, Totals: cfg.Node.Totals, Pieces: cfg.Store, Whole: whole, Metrics: counts,
		Correct: func(ctx context.Context, src history.Source) (history.Source, error) {
			l, err := cfg.Node.Corrections(ctx)
			return history.Correct(src, l.Counts), err
		},
	})
	return Questions{Takeover: whole, Asked: func(ctx context.Context, p gossip.Peer, question []byte, answer func([]byte) error) error {
		return a.Answer(ctx, p.Region+"/"+p.Node, question, answer)
	}}, nil
}
