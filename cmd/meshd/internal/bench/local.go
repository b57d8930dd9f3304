package bench

import (
	"context"
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
}

// localEnd is where messages for a session go.
type localEnd struct {
	to *localCore
	id uint64
}

// pass lets virtual time pass, with a session between any two nodes.
func (l *local) pass(ctx context.Context, span time.Duration) error {
	l.now = max(l.now, localStart)
	for i, a := range l.cores {
		for _, b := range l.cores[i+1:] {
			l.connect(a, b)
		}
	}
	for end := l.now + span.Milliseconds(); l.now < end; l.now += 50 {
		for _, c := range l.cores {
			l.step(c, node.Tick{})
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
	if out.Persist != nil {
		l.step(c, node.Persisted{Token: out.Persist.Token})
	}
	for _, s := range out.Sends {
		l.queue = append(l.queue, localMessage{c.peers[s.Peer], s.Msg})
	}
}
