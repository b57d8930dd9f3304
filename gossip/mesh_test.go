package gossip

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// sevenNodes starts 3 hubs and 4 edges in 2 regions; edges know one node each, one of them only another edge.
func sevenNodes(m *mesh) {
	m.start(m.config("eu-h1"))
	m.start(m.config("eu-h2", m.addrs("eu-h1")...))
	m.start(m.config("us-h1", m.addrs("eu-h2")...))
	m.start(m.config("eu-e1", m.addrs("us-h1")...))
	m.start(m.config("eu-e2", m.addrs("eu-e1")...))
	m.start(m.config("us-e1", m.addrs("eu-h1")...))
	m.start(m.config("us-e2", m.addrs("eu-e2")...))
	m.until("all sessions", 10*time.Second, func() bool { return m.formed() })
}

func (m *mesh) formed() bool {
	want := map[string][]string{
		"eu-h1": {"eu-e1", "eu-e2", "eu-h2", "us-h1"}, "eu-h2": {"eu-e1", "eu-e2", "eu-h1", "us-h1"},
		"us-h1": {"eu-h1", "eu-h2", "us-e1", "us-e2"},
		"eu-e1": {"eu-h1", "eu-h2"}, "eu-e2": {"eu-h1", "eu-h2"}, "us-e1": {"us-h1"}, "us-e2": {"us-h1"},
	}
	for name, peers := range want {
		if !slices.Equal(slices.Compact(m.nodes[name].up()), peers) { // a session and its successor may be up together
			return false
		}
	}
	return true
}

func TestMeshFormsFromAnyJoinAndCarriesMessagesBothWays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMesh(t)
		defer m.stop()
		sevenNodes(m)
		hubs := []string{"eu-h1", "eu-h2", "us-h1"}
		m.until("membership", 20*time.Second, func() bool {
			for _, h := range hubs {
				if !slices.Equal(m.nodes[h].alive(), hubs) {
					return false
				}
			}
			return slices.Contains(m.nodes["us-e2"].alive(), "us-h1")
		})
		for name, n := range m.nodes {
			for _, peer := range n.up() {
				if !n.Send(n.id(peer), false, []byte("ping "+name)) {
					t.Errorf("%s cannot send to %s", name, peer)
				}
			}
		}
		m.until("answers", time.Second, func() bool {
			for name, n := range m.nodes {
				for _, peer := range n.up() {
					if !n.received(peer, "pong "+name) || !m.nodes[peer].received(name, "ping "+name) {
						return false
					}
				}
			}
			return true
		})
		e := m.nodes["eu-e1"].Peers()[0]
		if e.RTT < 10*time.Millisecond || e.RTT > 30*time.Millisecond || e.WallOffset.Abs() > 5*time.Millisecond || !e.Dialed {
			t.Errorf("peer %+v: want the links' 10 ms and equal clocks", e)
		}
	})
}

func TestEdgeFailsOverAndComesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMesh(t)
		defer m.stop()
		m.start(m.config("eu-h1"))
		m.start(m.config("eu-h2", m.addrs("eu-h1")...))
		m.start(m.config("eu-h3", m.addrs("eu-h1")...))
		e := m.start(m.config("eu-e1", m.addrs("eu-h1")...))
		m.until("homes", 15*time.Second, func() bool { return len(e.up()) == 2 })
		m.until("knows three hubs", time.Minute, func() bool { return len(e.alive()) == 3 })
		time.Sleep(3 * homeSettle) // all three known, the two first in the edge's ranking stay
		homes := e.up()
		for _, lost := range homes {
			m.net.Cut(m.addrs(lost), []string{e.addr})
			took := m.until("failover from "+lost, 3*time.Second, func() bool {
				return len(e.up()) == 2 && !slices.Contains(e.up(), lost)
			})
			t.Logf("failover took %v", took)
			m.net.Heal(m.addrs(lost), []string{e.addr})
			m.until("return to "+lost, homeSettle+minStay+10*time.Second, func() bool { return slices.Equal(e.up(), homes) })
		}
	})
}

func TestCutAndHealedSessionsComeBackWithin3Seconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMesh(t)
		defer m.stop()
		sevenNodes(m)
		eu, us := m.addrs("eu-h1", "eu-h2", "eu-e1", "eu-e2"), m.addrs("us-h1", "us-e1", "us-e2")
		inEU := func() bool { return slices.Equal(m.nodes["us-e1"].up(), []string{"us-h1"}) }
		m.net.Cut(eu, us)
		m.net.Cut(m.addrs("us-h1"), m.addrs("us-e1"))
		m.until("regions apart", 10*time.Second, func() bool {
			return !slices.Contains(m.nodes["us-h1"].up(), "eu-h1") && !inEU()
		})
		time.Sleep(time.Minute)
		m.net.Heal(m.addrs("us-h1"), m.addrs("us-e1"))
		took := m.until("the edge's session", 3*time.Second, inEU)
		t.Logf("edge came back after %v", took)
		m.net.Heal(eu, us)
		m.until("all sessions", 35*time.Second, m.formed) // regions may pause up to 30 s between attempts
		hubs := []string{"eu-h1", "eu-h2", "us-h1"}
		m.until("membership", 60*time.Second, func() bool { return slices.Equal(m.nodes["us-h1"].alive(), hubs) })
	})
}

func TestShortCutBetweenRegionsHealsWithin3Seconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMesh(t)
		defer m.stop()
		sevenNodes(m)
		eu, us := m.addrs("eu-h1", "eu-h2"), m.addrs("us-h1")
		m.net.Cut(eu, us)
		m.until("regions apart", 10*time.Second, func() bool { return !slices.Contains(m.nodes["us-h1"].up(), "eu-h1") })
		m.net.Heal(eu, us)
		m.until("all sessions", 3*time.Second, m.formed)
	})
}

func TestHubWaitsForItsJoinAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMesh(t)
		defer m.stop()
		late := "10.0.0.2:8946"
		h1 := m.start(m.config("eu-h1", late))
		time.Sleep(10 * time.Minute)
		h2 := m.start(m.config("eu-h2"))
		if h2.addr != late {
			t.Fatalf("second node is at %s", h2.addr)
		}
		m.until("session", 10*time.Second, func() bool { return slices.Equal(h1.up(), []string{"eu-h2"}) })
	})
}

func TestSessionsSurviveLossAndJitter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMesh(t)
		defer m.stop()
		sevenNodes(m)
		link := lossy
		m.net.SetDefault(link)
		e := m.nodes["eu-e1"]
		id := e.id("eu-h1")
		for range 100 {
			if !e.Send(id, false, []byte("ping again")) {
				t.Fatal("session is gone")
			}
			time.Sleep(100 * time.Millisecond)
		}
		m.until("every answer", 10*time.Second, func() bool {
			e.mu.Lock()
			defer e.mu.Unlock()
			return len(e.got["eu-h1"]) == 100
		})
		if m.net.Stats().Lost == 0 {
			t.Error("nothing was lost: the test shows nothing")
		}
	})
}
