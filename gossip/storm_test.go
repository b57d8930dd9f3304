package gossip

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

// The certificates of 200 edges end in one second, as after one run of a script a year before. What they dial is bounded
// by the pauses of refusedPause, the hub serves the others, and who is renewed is back at once.
func TestEdgesWithExpiredCertificatesDoNotStorm(t *testing.T) {
	edges := 20
	if slow {
		edges = 200
	}
	synctest.Test(t, func(t *testing.T) {
		m := newMesh(t)
		defer m.stop()
		ca := newAuthority(t)
		h, _ := m.startWith(ca, 0, "eu-h1")
		good, _ := m.startWith(ca, 0, "eu-good", h.addr)
		valid := 2 * time.Minute
		ends := time.Now().Add(valid)
		files := make([]*papers, edges)
		for i := range edges {
			_, files[i] = m.startWith(ca, valid, fmt.Sprint("eu-e", i), h.addr)
		}
		m.until("all sessions", 30*time.Second, func() bool { return len(h.up()) == edges+1 })
		time.Sleep(time.Until(ends))
		m.until("end of the sessions", 2*guardEvery, func() bool { return len(h.up()) == 1 })
		refusals := func() float64 { return h.metric(t, "refusals_total", "certificate") }
		rate := func(d time.Duration) float64 {
			before := refusals()
			time.Sleep(d)
			return (refusals() - before) / d.Seconds()
		}
		first := rate(10 * time.Second)
		time.Sleep(2 * time.Minute)
		settled := rate(time.Minute)
		// Once a minute each in the mean, by the book or by the join address.
		if all := float64(edges); first > 2.5*all/10 || settled > 2*all/60 || settled == 0 {
			t.Errorf("%.1f attempts a second at first, %.1f settled, of %d edges", first, settled, edges)
		}
		t.Logf("%d edges: %.1f attempts a second in the first ten, %.1f settled", edges, first, settled)
		if !good.Send(good.id("eu-h1"), false, []byte("ping still here")) {
			t.Fatal("the session of an edge that is well is gone")
		}
		m.until("answer to an edge that is well", time.Second, func() bool { return good.received("eu-h1", "pong still here") })
		renewed := m.nodes["eu-e7"]
		files[7].renew(0)
		took := m.until("the renewed edge's session", 5*time.Second, func() bool { return len(renewed.up()) == 1 })
		t.Logf("an edge is back %v after its renewal", took)
	})
}
