package bubble

import (
	"bytes"
	"slices"
	"testing"
	"time"
)

// sevenNodes starts two regions with two hubs and one edge, and one hub and two edges.
func sevenNodes(m *mesh) {
	m.start("eu-h1", "eu-h2", "us-h1", "eu-e1", "us-e1", "us-e2")
	m.until("all sessions", 15*time.Second, m.formed)
}

// formed reports whether every hub has a session with every other, and every edge with two hubs of its region or all,
// perhaps with one more that it is about to give up.
func (m *mesh) formed() bool {
	hubs := map[string]int{}
	for _, h := range m.running() {
		if h.hub {
			hubs[h.region]++
			hubs[""]++
		}
	}
	for _, h := range m.running() {
		want, have := min(2, hubs[h.region]), 0
		if h.hub {
			want = hubs[""] - 1
		}
		for _, p := range h.peers() {
			if m.machines[p].hub {
				have++
			}
		}
		if have < want || h.hub && have > want {
			return false
		}
	}
	return true
}

func TestMeshFormsAndAgreesOnTotalsOfAllKinds(t *testing.T) {
	bubble(t, func(t *testing.T, m *mesh) {
		sevenNodes(m)
		agrees(t, m)
	})
}

func TestMeshWithCertificatesFormsAndAgrees(t *testing.T) {
	bubble(t, func(t *testing.T, m *mesh) {
		m.secure()
		sevenNodes(m)
		agrees(t, m)
	})
}

// agrees counts everywhere and looks at every kind at every node.
func agrees(t *testing.T, m *mesh) {
	for range 5 {
		m.count()
	}
	took := m.exact(3 * time.Second)
	t.Logf("exact everywhere after %v", took)
	articles := []string{"article 0", "article 1", "article 2", "article 3", "article 4"}
	for _, h := range m.running() {
		articles = append(articles, h.name)
	}
	last := 0.0 // the gauges of the last round: the numbers of its batches
	for i := range m.running() {
		last += float64(int(m.ledger.n) - i)
	}
	m.until("sets and gauges everywhere", 3*time.Second, func() bool {
		for _, h := range m.running() {
			if n, sum := h.gauges("temperature"); !slices.Equal(h.elements("articles"), articles) || n != len(m.running()) || sum != last {
				return false
			}
		}
		return true
	})
	m.same()
	if warnings := m.log.String(); warnings != "" {
		t.Errorf("a healthy mesh warns:\n%s", warnings)
	}
}

func TestBothSidesOfACutCountOnAndAgreeAfterIt(t *testing.T) {
	bubble(t, func(t *testing.T, m *mesh) {
		sevenNodes(m)
		stop := m.load(100*time.Millisecond, m.all()...)
		defer stop()
		time.Sleep(time.Second)
		m.net.Cut(m.at("eu-*"), m.at("us-*"))
		// Whoever dialed a session ends it within 3 s. The other end takes 5 s, quic-go's least.
		m.until("regions apart as the dialers see it", 3*time.Second, func() bool {
			return !slices.Contains(m.machines["eu-h1"].peers(), "us-h1") && !slices.Contains(m.machines["eu-h2"].peers(), "us-h1")
		})
		m.until("regions apart", 4*time.Second, func() bool { return len(m.machines["us-h1"].peers()) == 2 })
		us := m.machines["us-e1"]
		before := us.read()
		time.Sleep(time.Second)
		if after := us.read(); contains(before.totals()["orders"], after.totals()["orders"]) {
			t.Error("us-e1 sees nothing of what its region counts while it is cut off")
		}
		m.net.Heal(m.at("eu-*"), m.at("us-*"))
		took := m.until("all sessions", 3*time.Second, m.formed)
		stop()
		t.Logf("sessions after %v, exact %v after the last write", took, m.exact(time.Second))
		m.whole(t)
	})
}

func TestEdgeCutOffForAMinuteIsExactSoonAfter(t *testing.T) {
	bubble(t, func(t *testing.T, m *mesh) {
		sevenNodes(m)
		m.count()
		e := m.machines["eu-e1"]
		m.net.Cut([]string{e.addr}, m.hubs(""))
		for range 60 {
			m.count()
			time.Sleep(time.Second)
		}
		if p := e.peers(); len(p) > 0 {
			t.Errorf("cut off, with sessions to %v", p)
		}
		m.net.Heal([]string{e.addr}, m.hubs(""))
		// One attempt at a handshake may be under way and fail after 2 s, the pause is up to 2 s, and the state moves.
		t.Logf("exact after %v", m.exact(5*time.Second))
		m.whole(t)
	})
}

func TestEdgeFailsOverFromALostHubAndNothingAckedIsLost(t *testing.T) {
	bubble(t, func(t *testing.T, m *mesh) {
		m.start("eu-h1", "eu-h2", "eu-h3", "eu-e1", "eu-e2", "us-h1")
		m.until("all sessions", 15*time.Second, m.formed)
		time.Sleep(10 * time.Second)
		e := m.machines["eu-e1"]
		lost := m.machines[e.peers()[0]]
		// What the lost hub acknowledged itself in its last 100 ms is on its disk only, until it comes back.
		others := slices.DeleteFunc(m.all(), func(h *machine) bool { return h == lost })
		stop := m.load(50*time.Millisecond, others...)
		defer stop()
		time.Sleep(time.Second)
		lost.kill()
		failed := m.until("two other homes", 3*time.Second, func() bool {
			p := e.peers()
			return len(p) == 2 && !slices.Contains(p, lost.name)
		})
		stop()
		t.Logf("failed over after %v, everything acked everywhere %v after the last write", failed, m.exact(3*time.Second))
		lost.start()
		t.Logf("exact on the hub that came back after %v", m.exact(10*time.Second))
		m.whole(t)
	})
}

func TestEveryNodeRestartsInTurnUnderLoad(t *testing.T) {
	bubble(t, func(t *testing.T, m *mesh) {
		sevenNodes(m)
		stop := m.load(100*time.Millisecond, m.all()...)
		defer stop()
		for _, h := range m.all() {
			time.Sleep(500 * time.Millisecond)
			h.restart()
			h.tryRead() // before it heard anything: what it acknowledged itself
		}
		m.until("all sessions", 15*time.Second, m.formed)
		stop()
		t.Logf("exact %v after the last write", m.exact(3*time.Second))
		m.whole(t)
	})
}

func TestEveryNodeIsKilledInTurnUnderLoad(t *testing.T) {
	bubble(t, func(t *testing.T, m *mesh) {
		sevenNodes(m)
		stop := m.load(50*time.Millisecond, m.all()...)
		defer stop()
		for _, h := range m.all() {
			time.Sleep(500 * time.Millisecond)
			h.mustCount()
			h.kill() // right after an ack
			h.start()
			h.read()
			p := h.proc.Load()
			p.disk.last.Store(true)
			_ = p.count() // written, but the client never hears of it
			h.kill()
			h.start()
			h.read()
		}
		m.until("all sessions", 15*time.Second, m.formed)
		stop()
		t.Logf("settled %v after the last write, %d outcomes unknown", m.exact(3*time.Second), m.ledger.unknown())
		if n := m.ledger.unknown(); n < len(m.all()) {
			t.Errorf("%d outcomes unknown: a process did not die between its disk and its answer", n)
		}
		m.same()
	})
}

func TestTwoSecondsOfLossLoseNothing(t *testing.T) {
	bubble(t, func(t *testing.T, m *mesh) {
		sevenNodes(m)
		lossy := link
		lossy.Loss = 0.05
		m.net.SetDefault(lossy)
		stop := m.load(50*time.Millisecond, m.all()...)
		defer stop()
		time.Sleep(2 * time.Second)
		m.net.SetDefault(link)
		stop()
		took := m.exact(time.Second)
		t.Logf("exact %v after the loss", took)
		if m.net.Stats().Lost == 0 {
			t.Error("nothing was lost: the test shows nothing")
		}
		m.whole(t)
	})
}

// whole checks that the clients were told of everything they wrote, so that exact meant equality.
func (m *mesh) whole(t *testing.T) {
	t.Helper()
	if n := m.ledger.unknown(); n > 0 {
		t.Errorf("%d outcomes unknown: totals were only compared to bounds", n)
	}
	m.same()
}

// same waits until all nodes answer the same bytes for everything (I1).
func (m *mesh) same() {
	m.t.Helper()
	m.until("equal bytes everywhere", 3*time.Second, func() bool {
		var first []byte
		for i, h := range m.running() {
			b := h.bytes()
			if i == 0 {
				first = b
			}
			if !bytes.Equal(first, b) {
				return false
			}
		}
		return true
	})
}
