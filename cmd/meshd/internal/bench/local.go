package bench

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"meshd/node"
)

// localStart is when virtual time begins, in milliseconds.
const localStart = 1_800_000_000_000

// local runs cores in this process, in virtual time, over links without delay and disks that only say yes.
type local struct {
	cores []*localCore
	now   int64
	ids   uint64
	queue []localMessage
}

// localMessage is one under way.
type localMessage struct {
	to  localEnd
	raw []byte
}

// localCore is one node of a local mesh.
type localCore struct {
	core     *node.Core
	info     node.PeerInfo
	peers    map[uint64]localEnd
	received int64 // bytes
	loads    int
	wake     int64 // when it wants a tick
}

// localEnd is where messages for a session go.
type localEnd struct {
	to *localCore
	id uint64
}

// pass lets virtual time pass, with a session between any two nodes of which one is a hub.
func (l *local) pass(ctx context.Context, span time.Duration) error {
	l.now = max(l.now, localStart)
	for i, a := range l.cores {
		for _, b := range l.cores[i+1:] {
			if a.info.Role == node.RoleHub || b.info.Role == node.RoleHub {
				l.connect(a, b)
			}
		}
	}
	for end := l.now + span.Milliseconds(); l.now < end; l.now += 50 {
		for _, c := range l.cores {
			if c.wake <= l.now {
				l.step(c, node.Tick{})
			}
		}
		if err := l.deliver(); err != nil {
			return err
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return nil
}

func (l *local) connect(a, b *localCore) {
	for _, e := range a.peers {
		if e.to == b {
			return
		}
	}
	for _, c := range []*localCore{a, b} {
		if c.peers == nil {
			c.peers = map[uint64]localEnd{}
		}
	}
	l.ids += 2
	a.peers[l.ids], b.peers[l.ids+1] = localEnd{b, l.ids + 1}, localEnd{a, l.ids}
	id := l.ids
	l.step(a, node.PeerUp{ID: id, Peer: b.info})
	l.step(b, node.PeerUp{ID: id + 1, Peer: a.info})
}

// deliver brings everything that is under way, and what that causes.
func (l *local) deliver() error {
	for len(l.queue) > 0 {
		m := l.queue[0]
		l.queue = l.queue[1:]
		d, err := node.Decode(m.raw)
		if err != nil {
			return err
		}
		m.to.to.received += int64(len(m.raw))
		l.step(m.to.to, node.Received{ID: m.to.id, Msg: d})
	}
	return nil
}

// step gives an event to a node and takes what it sends.
func (l *local) step(c *localCore, in node.Event) {
	var out node.Output
	c.core.Step(node.Time{Mono: l.now, Wall: l.now}, in, &out)
	c.loads += len(out.Loads)
	c.wake = out.Wake
	if out.Persist != nil {
		l.step(c, node.Persisted{Token: out.Persist.Token})
	}
	for _, s := range out.Sends {
		l.queue = append(l.queue, localMessage{c.peers[s.Peer], s.Msg})
	}
}

// addTo adds the ith node of a region, a hub or an edge, with an empty disk.
func (l *local) addTo(region string, i int, hub bool, random *rand.Rand) error {
	cfg := node.CoreConfig{Region: region, Node: fmt.Sprintf("node-%d", i), Role: node.RoleEdge, Flush: 1000}
	if hub {
		cfg.Role = node.RoleHub
	}
	for j := range cfg.Inc {
		cfg.Inc[j], cfg.Nonce[j] = byte(random.Uint32()), byte(random.Uint32())
	}
	core, err := node.NewCore(cfg)
	if err != nil {
		return err
	}
	l.cores = append(l.cores, &localCore{core: core, info: node.PeerInfo{Region: region, Node: cfg.Node, Role: cfg.Role, Inc: cfg.Inc}})
	return nil
}
