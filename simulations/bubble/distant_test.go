package bubble

import (
	"crypto/rand"
	"sync"
	"testing"
	"time"

	"meshd/crdt"
	"meshd/node"
)

// distant is a hub of another region of which only the core is real: what it says reaches the hubs of a region without a
// network, which costs their edges nothing.
type distant struct {
	t      *testing.T
	region string
	inc    crdt.Incarnation

	mu    sync.Mutex
	core  *node.Core
	peers sync.Map       // *process by session, which has the same number at both ends
	sends chan node.Send // on their way, far fewer than it takes
}

// firstDistant is the first session of a distant hub, far above those of the transport.
const firstDistant = 1 << 40

// crossing is the transport of a hub that distant ones reach.
type crossing struct {
	node.Transport
	m *mesh
}

func (c crossing) Send(peer uint64, bulk bool, msg []byte) bool {
	if d := c.m.distantOf(peer); d != nil {
		d.step(node.Received{ID: peer, Msg: decoded(d.t, msg)})
		return true
	}
	return c.Transport.Send(peer, bulk, msg)
}

func (c crossing) Room(peer uint64, bulk bool) node.Room {
	if c.m.distantOf(peer) != nil {
		return node.Room{Peer: 1 << 30, All: 1 << 30, Empty: true}
	}
	return c.Transport.Room(peer, bulk)
}

// distantOf returns the distant hub that a session is with, or nil.
func (m *mesh) distantOf(session uint64) *distant {
	d, _ := m.distant.Load(session)
	found, _ := d.(*distant)
	return found
}

func decoded(t *testing.T, msg []byte) node.Decoded {
	d, err := node.Decode(msg)
	if err != nil {
		t.Error(err)
	}
	return d
}

// newDistant starts a hub of a region with sessions with some machines.
func (m *mesh) newDistant(region string, flush time.Duration) *distant {
	d := &distant{t: m.t, region: region, inc: node.NewIncarnation(), sends: make(chan node.Send, 1<<14)}
	cfg := node.CoreConfig{Region: region, Node: region + "-h1", Role: node.RoleHub, Inc: d.inc, Flush: flush.Milliseconds()}
	_, _ = rand.Read(cfg.Nonce[:])
	var err error
	if d.core, err = node.NewCore(cfg); err != nil {
		m.t.Fatal(err)
	}
	go func() { // the other end may wait for this one
		for s := range d.sends {
			if p, ok := d.peers.Load(s.Peer); ok {
				p.(*process).node.Message(s.Peer, s.Msg)
			}
		}
	}()
	m.distants = append(m.distants, d)
	return d
}

// end stops what newDistant started, once the machines it met have stopped.
func (d *distant) end() { close(d.sends) }

// meet makes a session with a machine that runs.
func (d *distant) meet(h *machine) {
	m := h.m
	id := firstDistant + m.sessions.Add(1)
	m.distant.Store(id, d)
	p := h.proc.Load()
	d.peers.Store(id, p)
	p.node.PeerUp(id, node.PeerInfo{Region: d.region, Node: d.region + "-h1", Role: node.RoleHub, Inc: d.inc})
	d.step(node.PeerUp{ID: id, Peer: node.PeerInfo{Region: h.region, Node: h.name, Role: node.RoleHub, Inc: p.inc}})
}

// step runs an event and what follows from it; its disk writes at once.
func (d *distant) step(in node.Event) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for in != nil {
		var out node.Output
		now := time.Now().UnixMilli()
		d.core.Step(node.Time{Mono: now, Wall: now}, in, &out)
		for _, s := range out.Sends {
			d.sends <- s
		}
		in = nil
		if out.Persist != nil {
			in = node.Persisted{Token: out.Persist.Token}
		}
	}
}
