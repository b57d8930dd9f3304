package gossip

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// pair starts a hub and an edge with a session.
func pair(t *testing.T, change func(*Config)) (m *mesh, h, e *node) {
	m = newMesh(t)
	hc := m.config("eu-h1")
	change(&hc)
	h = m.start(hc)
	ec := m.config("eu-e1", h.addr)
	change(&ec)
	e = m.start(ec)
	m.until("session", 10*time.Second, func() bool { return len(h.up()) == 1 && len(e.up()) == 1 })
	return m, h, e
}

func TestBulkConnection(t *testing.T) {
	for _, from := range []string{"edge", "hub"} {
		t.Run("from the "+from, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m, h, e := pair(t, func(*Config) {})
				defer m.stop()
				a, b := e, h
				if from == "hub" {
					a, b = h, e
				}
				const frames, size = 40, 256 << 10
				for i := range frames {
					msg := bytes.Repeat([]byte{byte(i)}, size)
					m.until("room", 10*time.Second, func() bool { return a.Send(a.id(b.cfg.Node), true, msg) })
				}
				a.Send(a.id(b.cfg.Node), false, []byte("passes by"))
				m.until("small message", time.Second, func() bool { return b.received(a.cfg.Node, "passes by") })
				m.until("bulk", time.Minute, func() bool {
					b.mu.Lock()
					defer b.mu.Unlock()
					return b.bytes[a.cfg.Node] >= frames*size
				})
				if n := b.metric(t, "messages_received_total", classBulk); n != frames {
					t.Errorf("%v bulk messages, want %d", n, frames)
				}
				// The same connection serves the other direction, and a session without bulk survives its silence.
				time.Sleep(5 * time.Minute)
				b.Send(b.id(a.cfg.Node), true, []byte("back"))
				m.until("answer", time.Second, func() bool { return a.received(b.cfg.Node, "back") })
				if len(h.ended())+len(e.ended()) > 0 {
					t.Errorf("sessions ended: %v %v", h.ended(), e.ended())
				}
			})
		})
	}
}

func TestLongestMessagePassesAndLongerIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, h, e := pair(t, func(*Config) {})
		defer m.stop()
		id := e.id("eu-h1")
		if e.Send(id, false, make([]byte, MaxMessage+1)) || e.Send(id, false, nil) {
			t.Error("took a message that is too long, or empty")
		}
		if !e.Send(id, false, make([]byte, MaxMessage)) {
			t.Fatal("refused the longest message on an empty queue")
		}
		m.until("message", time.Minute, func() bool {
			h.mu.Lock()
			defer h.mu.Unlock()
			return h.bytes["eu-e1"] == MaxMessage
		})
		e.sessionByID(id).normal.push(make([]byte, MaxMessage+1)) // a peer without manners
		m.until("session ends", time.Minute, func() bool { return h.metric(t, "refusals_total", "message_too_long") == 1 })
	})
}

func TestFullQueueRefusesAndCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const limit = 64 << 10
		m, h, e := pair(t, func(c *Config) { c.PeerQueueBytes = limit })
		defer m.stop()
		block := make(chan struct{})
		h.mu.Lock()
		h.block = block
		h.mu.Unlock()
		id, sent := e.id("eu-h1"), 0
		// Flow control stops the writer after the receiver's windows, then the queue fills.
		m.until("refusal", time.Minute, func() bool {
			for range 64 {
				if !e.Send(id, false, make([]byte, 16<<10)) {
					return true
				}
				sent += 16 << 10
			}
			return false
		})
		if n := e.metric(t, "send_refused_total", classNormal); n != 1 {
			t.Errorf("%v refusals counted, want 1", n)
		}
		if q := e.metric(t, "send_queue_bytes"); q > limit || q == 0 {
			t.Errorf("%v bytes in the queue, limit %d", q, limit)
		}
		close(block)
		m.until("everything that was accepted", time.Minute, func() bool {
			h.mu.Lock()
			defer h.mu.Unlock()
			return h.bytes["eu-e1"] == sent
		})
		if e.Send(12345, false, []byte("x")) {
			t.Error("sent to a session that never was")
		}
	})
}

func TestBlockedHandlerHoldsUpItsPeerOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, h, e := pair(t, func(*Config) {})
		defer m.stop()
		other := m.start(m.config("eu-e2", h.addr))
		m.until("second session", 10*time.Second, func() bool { return len(other.up()) == 1 })
		block := make(chan struct{})
		h.mu.Lock()
		h.block = block
		h.mu.Unlock()
		e.Send(e.id("eu-h1"), false, []byte("stuck"))
		time.Sleep(time.Second)
		h.mu.Lock()
		h.block = nil
		h.mu.Unlock()
		other.Send(other.id("eu-h1"), false, []byte("ping other"))
		m.until("the other's answer", time.Second, func() bool { return other.received("eu-h1", "pong other") })
		if h.received("eu-e1", "stuck") {
			t.Error("the blocked call returned")
		}
		close(block)
	})
}

func TestNewSessionOfSameProcessClosesTheOld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, h, e := pair(t, func(*Config) {})
		defer m.stop()
		old := h.id("eu-e1")
		target := hub{Region: "eu", Node: "eu-h1", Addr: h.addr}
		e.spawn(func() { e.dialHub(t.Context(), target) })
		m.until("replacement", time.Second, func() bool { return h.id("eu-e1") > old && len(h.up()) == 1 && len(e.up()) == 1 })
		if len(h.ended()) != 1 || len(e.ended()) != 1 || !strings.Contains(e.ended()[0].Error(), errReplaced.Error()) {
			t.Errorf("ended: %v and %v, want the old session once on each side", h.ended(), e.ended())
		}
	})
}

// The side that accepted a session leaves the old one to its dialer, which ends it when it has the new one: whatever takes
// which way, the dialer always has one.
func TestReplacedSessionIsEndedByItsDialer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, h, e := pair(t, func(*Config) {})
		defer m.stop()
		for range 10 {
			e.spawn(func() { e.dialHub(t.Context(), hub{Region: "eu", Node: "eu-h1", Addr: h.addr}) })
			time.Sleep(time.Second)
		}
		for _, err := range e.ended() {
			if !errors.Is(err, errReplaced) {
				t.Errorf("the dialer's old session ended: %v", err)
			}
		}
		if len(e.ended()) != 10 || len(h.ended()) != 10 || len(h.up()) != 1 || len(e.up()) != 1 {
			t.Errorf("%d and %d sessions ended, %v and %v are left", len(e.ended()), len(h.ended()), e.up(), h.up())
		}
	})
}

// Short streams end on both sides: maxStreams bounds those that are open, not those of a session's life.
func TestShortStreamsAreNotUsedUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, _, e := pair(t, func(*Config) {})
		defer m.stop()
		s := e.allSessions()[0]
		for i := range 5 * maxStreams {
			if _, err := e.askSession(t.Context(), s); err != nil {
				t.Fatalf("after %d: %v", i, err)
			}
		}
	})
}

func TestDisconnectedPeerComesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, h, e := pair(t, func(*Config) {})
		defer m.stop()
		old := h.id("eu-e1")
		if p, ok := h.Peer(old); !ok || p.Node != "eu-e1" || p.Dialed {
			t.Errorf("peer %+v, %v", p, ok)
		}
		h.Disconnect(old, "quarantined")
		m.until("new session", 3*time.Second, func() bool { return h.id("eu-e1") > old && len(e.up()) == 1 })
		if len(e.ended()) != 1 || !strings.Contains(e.ended()[0].Error(), "quarantined") {
			t.Errorf("ended: %v, want the reason", e.ended())
		}
		if _, ok := h.Peer(old); ok {
			t.Error("the old session is still there")
		}
	})
}

func TestCopiedDiskMayConnectTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, h, e := pair(t, func(*Config) {})
		defer m.stop()
		twin := m.config("eu-e1", h.addr)
		twin.Inc = e.cfg.Inc
		m.start(twin)
		m.until("both sessions", 10*time.Second, func() bool { return len(h.up()) == 2 })
		time.Sleep(time.Minute)
		if len(h.up()) != 2 || len(h.ended()) > 0 {
			t.Errorf("peers %v, ended %v: want two that live in peace", h.up(), h.ended())
		}
	})
}

func TestStopTakesLessThanTwoSecondsAndPeersKnowAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMesh(t)
		defer m.stop()
		sevenNodes(m)
		start := time.Now()
		m.nodes["eu-h1"].stop()
		if took := time.Since(start); took >= 2*time.Second {
			t.Errorf("took %v", took)
		}
		synctest.Wait()
		time.Sleep(50 * time.Millisecond)
		for _, name := range []string{"eu-h2", "us-h1", "eu-e1", "eu-e2"} {
			if slices.Contains(m.nodes[name].up(), "eu-h1") {
				t.Errorf("%s still has a session", name)
			}
		}
		for _, member := range m.nodes["us-h1"].Gossip.Members() {
			if member.Node == "eu-h1" && member.Status != Left {
				t.Errorf("member is %s, want left", member.Status)
			}
		}
	})
}

func TestReachableEdgeIsAMember(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMesh(t)
		defer m.stop()
		m.start(m.config("eu-h1"))
		m.start(m.config("eu-h2", m.addrs("eu-h1")...))
		cfg := m.config("eu-e1", m.addrs("eu-h1")...)
		cfg.Reachable = true
		m.start(cfg)
		all := []string{"eu-e1", "eu-h1", "eu-h2"}
		m.until("membership", 30*time.Second, func() bool {
			return slices.Equal(m.nodes["eu-h1"].alive(), all) && slices.Equal(m.nodes["eu-h2"].alive(), all) &&
				slices.Equal(m.nodes["eu-e1"].alive(), all)
		})
		time.Sleep(2 * time.Minute)
		if got := m.nodes["eu-h2"].alive(); !slices.Equal(got, all) {
			t.Errorf("alive after two minutes: %v", got)
		}
	})
}

func TestOverRealUDP(t *testing.T) {
	m := newMesh(t)
	m.start(m.local("eu-h1"))
	m.start(m.local("eu-h2", m.addrs("eu-h1")...))
	e := m.start(m.local("eu-e1", m.addrs("eu-h2")...))
	defer func() {
		for _, n := range m.nodes {
			n.stop()
		}
	}()
	deadline := time.After(20 * time.Second)
	ready := func() bool {
		if !slices.Equal(e.up(), []string{"eu-h1", "eu-h2"}) {
			return false
		}
		for i, p := range e.Peers() {
			if !e.received(p.Node, "pong hello") {
				e.Send(p.ID, i == 0, []byte("ping hello"))
				return false
			}
		}
		return len(m.nodes["eu-h1"].alive()) == 2
	}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !ready() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("no session: %v", e.up())
		}
	}
}

func (m *mesh) local(name string, join ...string) Config {
	cfg := m.config(name, join...)
	cfg.Insecure, cfg.Listen = false, "127.0.0.1:0"
	return cfg
}

func TestSocketErrorsNameTheFlag(t *testing.T) {
	busy, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = busy.Close() }()
	for want, listen := range map[string]string{
		"is in use by another process: choose another --listen": busy.LocalAddr().String(),
		"--insecure":      "0.0.0.0:0",
		"--listen nobody": "nobody",
	} {
		cfg := Config{
			Mesh: "m", Region: "r", Node: "n", Role: Hub, Nonce: [16]byte{1}, Listen: listen,
			Handler: newRecorder(), Logger: slog.New(slog.DiscardHandler),
		}
		if g, err := New(cfg); err == nil || !bytes.Contains([]byte(err.Error()), []byte(want)) {
			t.Errorf("listen %s: error %v, want %q", listen, err, want)
			if g != nil {
				_ = g.Close()
			}
		}
	}
}

func TestCloseWithoutRunFreesTheAddress(t *testing.T) {
	m := newMesh(t)
	for range 2 {
		conn, err := m.net.Listen("10.0.0.1:1")
		if err != nil {
			t.Fatal(err)
		}
		cfg := m.config("eu-h1")
		cfg.Conn, cfg.Handler = conn, newRecorder()
		g, err := New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(g.Close(), g.Close()); err != nil {
			t.Fatal(fmt.Errorf("close: %w", err))
		}
	}
}
