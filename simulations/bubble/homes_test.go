package bubble

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

// A hub that comes and goes under load costs no write, and after a few rounds its edges rely on it no more.
func TestHubThatComesAndGoesMovesItsEdgesFewTimes(t *testing.T) {
	bubble(t, func(t *testing.T, m *mesh) {
		m.start("eu-h1", "eu-h2", "eu-h3")
		for i := range 3 {
			m.start(fmt.Sprint("eu-e", i))
		}
		m.until("all sessions", 30*time.Second, m.formed)
		time.Sleep(35 * time.Second) // all hubs are known, homes are settled
		edges := slices.DeleteFunc(m.all(), func(h *machine) bool { return h.hub })
		flapping := m.machines[edges[0].peers()[0]]
		stop := m.load(500*time.Millisecond, slices.DeleteFunc(m.all(), func(h *machine) bool { return h == flapping })...)
		defer stop()
		moves := func() (n float64) {
			for _, e := range edges {
				n += e.metric("meshd_gossip_home_moves_total")
			}
			return n
		}
		before := moves()
		for range 4 {
			flapping.kill()
			m.until("two other homes", 3*time.Second, func() bool {
				for _, e := range edges {
					if p := e.peers(); len(p) != 2 || slices.Contains(p, flapping.name) {
						return false
					}
				}
				return true
			})
			time.Sleep(8 * time.Second)
			flapping.start()
			time.Sleep(12 * time.Second)
		}
		flapped := moves() - before
		if flapped > float64(len(edges)) {
			t.Errorf("%v sessions of %d edges given up while the hub flapped", flapped, len(edges))
		}
		stop()
		t.Logf("%v sessions given up, exact %v after the last write", flapped, m.exact(10*time.Second))
		m.whole(t)
	})
}
