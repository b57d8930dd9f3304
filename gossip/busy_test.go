package gossip

import (
	"testing"
	"testing/synctest"
	"time"

	"meshd/gossip/memnet"
)

// A hub that a thousand edges dial at once answers each late. Who gives up on an answer that comes loses the hub what it
// did for it, and dials again: so it would go on.
func TestAHubThatAnswersLateIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMesh(t)
		defer m.stop()
		m.net.SetDefault(memnet.Link{Delay: 600 * time.Millisecond}) // each of the two answers within dial, both not
		h := m.start(m.config("eu-h1"))
		e := m.start(m.config("eu-e1", h.addr))
		m.until("session", 20*time.Second, func() bool { return len(h.up()) == 1 && len(e.up()) == 1 })
		if n := e.metric(t, "dial_failures_total"); n != 0 {
			t.Errorf("%v attempts failed at a hub that answers", n)
		}
		h.stop()
		began := time.Now()
		m.until("failures", 30*time.Second, func() bool { return e.metric(t, "dial_failures_total") >= 4 })
		if took := time.Since(began); took > 20*time.Second {
			t.Errorf("4 attempts at a hub that is silent took %s", took)
		}
	})
}
