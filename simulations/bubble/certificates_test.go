package bubble

import (
	"slices"
	"testing"
	"time"
)

// securedSeven is sevenNodes with certificates.
func securedSeven(m *mesh) {
	m.secure()
	sevenNodes(m)
}

// alone reports whether nobody but the machine itself believes in a session with it.
func (m *mesh) alone(stolen *machine) bool {
	for _, h := range m.running() {
		if h != stolen && slices.Contains(h.peers(), stolen.name) {
			return false
		}
	}
	return true
}

// A store box is stolen, then a hub. Whoever revokes tells one hub of another region, and within seconds nobody talks to the
// thief. With a new certificate the node is back, and nothing it counted meanwhile is lost.
func TestStolenNodeIsShutOutEverywhereAndANewCertificateLetsItIn(t *testing.T) {
	for _, name := range []string{"eu-e1", "eu-h2"} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, m *mesh) {
				securedSeven(m)
				stop := m.load(200*time.Millisecond, m.all()...)
				defer stop()
				time.Sleep(time.Second)
				stolen := m.machines[name]
				m.revoke(stolen, m.machines["us-h1"])
				shut := m.until("end of the stolen node's sessions", 3*time.Second, func() bool { return m.alone(stolen) })
				for range 5 {
					time.Sleep(time.Second)
					if !m.alone(stolen) {
						t.Fatal("somebody lets the stolen node in")
					}
				}
				m.machines["eu-h1"].restart() // it still knows
				time.Sleep(5 * time.Second)
				if !m.alone(stolen) {
					t.Fatal("a hub that restarted lets the stolen node in")
				}
				stolen.issue(0)
				back := m.until("new sessions", 2*time.Minute, m.formed)
				stop()
				t.Logf("shut out after %v, back %v after the new certificate, exact after %v more", shut, back, m.exact(3*time.Second))
				if stolen.status().Incarnation != stolen.proc.Load().inc.String() {
					t.Error("the node was restarted")
				}
				m.whole(t)
			})
		})
	}
}

// never runs do while it watches that no session is missing.
func (m *mesh) never(what string, do func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		do()
	}()
	for {
		select {
		case <-done:
			return
		case <-time.After(50 * time.Millisecond):
			if !m.formed() {
				m.explain()
				m.t.Errorf("a session is missing while %s", what)
				<-done
				return
			}
		}
	}
}

// Every node's certificate is replaced in the first half of its short life. Its sessions are made anew within half of what
// is left, and when the old certificates end nobody notices.
func TestCertificatesAreReplacedUnderLoadWithoutLosingASession(t *testing.T) {
	bubble(t, func(t *testing.T, m *mesh) {
		m.valid = time.Minute
		end := time.Now().Add(m.valid)
		securedSeven(m)
		stop := m.load(500*time.Millisecond, m.all()...)
		defer stop()
		m.never("certificates are replaced", func() {
			for _, h := range m.all() {
				h.issue(0)
				time.Sleep(time.Second)
			}
			time.Sleep(time.Until(end) + 5*time.Second)
		})
		renewed := 0.0
		for _, h := range m.all() {
			renewed += h.metric("meshd_gossip_sessions_renewed_total")
		}
		if renewed < 7 || renewed > 4*7 {
			t.Errorf("%v renewals of 7 sessions", renewed)
		}
		stop()
		t.Logf("%v renewals, exact %v after the last write", renewed, m.exact(3*time.Second))
		m.whole(t)
	})
}

func TestAuthorityIsReplacedUnderLoadWithoutLosingASession(t *testing.T) {
	bubble(t, func(t *testing.T, m *mesh) {
		m.valid = time.Minute
		end := time.Now().Add(m.valid)
		securedSeven(m)
		before, after := m.authority, m.newAuthority()
		stop := m.load(500*time.Millisecond, m.all()...)
		defer stop()
		m.never("the authority is replaced", func() {
			for _, h := range m.all() {
				h.trust(before, after)
			}
			time.Sleep(2 * time.Second)
			m.authority = after
			for _, h := range m.all() {
				h.issue(0)
			}
			time.Sleep(time.Until(end) - 10*time.Second) // half of what the old ones had left
			for _, h := range m.all() {
				h.trust(after)
			}
			time.Sleep(3 * time.Second)
		})
		m.start("eu-e2") // knows the new authority only
		m.until("its sessions", 10*time.Second, m.formed)
		stop()
		t.Logf("exact %v after the last write", m.exact(3*time.Second))
		m.whole(t)
	})
}

func TestNodeWithAnExpiredCertificateCountsOnAndIsBackWhenItIsRenewed(t *testing.T) {
	bubble(t, func(t *testing.T, m *mesh) {
		m.secure()
		m.start("eu-h1", "eu-h2", "us-h1", "us-e1")
		m.valid = 20 * time.Second
		m.start("eu-e1")
		m.until("all sessions", 15*time.Second, m.formed)
		edge := m.machines["eu-e1"]
		stop := m.load(250*time.Millisecond, m.all()...)
		defer stop()
		time.Sleep(15 * time.Second)
		if !m.formed() {
			t.Fatal("a session is missing before the end")
		}
		m.until("end of its sessions", 8*time.Second, func() bool { return m.alone(edge) })
		edge.mustCount()
		edge.restart() // a reboot of a box that nobody renewed
		edge.mustCount()
		time.Sleep(15 * time.Second)
		edge.issue(0)
		back := m.until("new sessions", 5*time.Second, m.formed)
		stop()
		t.Logf("back %v after the renewal, exact %v after the last write", back, m.exact(3*time.Second))
		m.whole(t)
	})
}
