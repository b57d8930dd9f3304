package bench

import (
	"fmt"
	"math/rand/v2"
	"sync/atomic"

	"meshd/cmd/meshd/internal/cluster"
)

// batch is one request: events that are always sent together, to the same node.
type batch struct {
	id     int
	node   cluster.Node
	events int
	sum    int64 // of the events' values
	tokens bool  // the node knows it again
	body   []byte
	begun  atomic.Bool // sent at least once
}

const (
	// maxValue bounds the value of one event. Large distinct values make a partial sum tell what is missing.
	maxValue = 1_000_000
	// shops is how many series the events of a metric are spread over.
	shops = 10
	// sourceEvents is how many events share a numbered source: nodes remember 4,096 below a source's highest number, and
	// batches of a source come in any order.
	sourceEvents = 4000
)

// batcher makes batches for a metric.
type batcher struct {
	metric string
	nodes  []cluster.Node // each batch goes to one, in turn
	tokens bool           // half of the batches carry idempotency keys, half sources with numbers
	random *rand.Rand
	made   int
	seq    map[int]uint64 // last number, by source
	filled map[string]int // source in use, by node
}

func newBatcher(metric string, nodes []cluster.Node, tokens bool, seed uint64) *batcher {
	return &batcher{
		metric: metric, nodes: nodes, tokens: tokens, random: rand.New(rand.NewPCG(seed, 8946)),
		seq: make(map[int]uint64), filled: make(map[string]int),
	}
}

// next makes a batch of n events for the next node.
func (b *batcher) next(n int) *batch {
	out := &batch{id: b.made, node: b.nodes[b.made%len(b.nodes)], events: n, tokens: b.tokens}
	b.made++
	numbered := b.tokens && (out.id/len(b.nodes))%2 == 1
	source := 0
	if numbered {
		source = b.source(out, n)
	}
	for i := range n {
		value := 1 + b.random.Int64N(maxValue)
		out.sum += value
		out.body = fmt.Appendf(out.body, `{"event":%q,"value":%d,"labels":{"shop":"%d"}`, b.metric, value, b.random.IntN(shops))
		switch {
		case numbered:
			b.seq[source]++
			out.body = fmt.Appendf(out.body, `,"source":"%s-%d","seq":%d`, b.metric, source, b.seq[source])
		case b.tokens:
			out.body = fmt.Appendf(out.body, `,"idempotency_key":"%s-%d-%d"`, b.metric, out.id, i)
		}
		out.body = append(out.body, "}\n"...)
	}
	return out
}

// source returns the source that has room for n more events of the batch's node: one is never used at two nodes, which
// would not know each other's tokens.
func (b *batcher) source(of *batch, n int) int {
	s, ok := b.filled[of.node.Name]
	if !ok || b.seq[s]+uint64(n) > sourceEvents {
		s = of.id
		b.filled[of.node.Name] = s
	}
	return s
}

// batches makes as many as n events take, the last one perhaps smaller.
func (b *batcher) batches(n, size int) (out []*batch, sum int64) {
	for n > 0 {
		next := b.next(min(n, size))
		n -= next.events
		sum += next.sum
		out = append(out, next)
	}
	return out, sum
}
