package gossip

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

// Everything starts at once, as after a power failure: every hub meets every hub, every edge has its homes.
func TestManyNodesStartingAtOnceForm(t *testing.T) {
	hubsPerRegion, edgesPerRegion, regions := 2, 2, []string{"eu", "us", "ap"}
	if slow {
		hubsPerRegion, edgesPerRegion = 3, 6
	}
	synctest.Test(t, func(t *testing.T) {
		m := newMesh(t)
		defer m.stop()
		join := []string{"10.0.0.1:8946", "10.0.0.2:8946"}
		hubs, edges := 0, 0
		for i := range max(hubsPerRegion, edgesPerRegion) {
			for _, region := range regions {
				if i < hubsPerRegion {
					m.start(m.config(fmt.Sprintf("%s-h%d", region, i), join...))
					hubs++
				}
				if i < edgesPerRegion {
					m.start(m.config(fmt.Sprintf("%s-e%d", region, i), join...))
					edges++
				}
			}
		}
		took := m.until("all sessions", 10*time.Second, func() bool {
			for _, n := range m.nodes {
				hubSessions := 0
				for _, p := range n.Peers() {
					if p.Role == Hub {
						hubSessions++
					}
				}
				if (n.cfg.Role == Hub && hubSessions != hubs-1) || (n.cfg.Role == Edge && hubSessions < 2) {
					return false
				}
			}
			return true
		})
		t.Logf("%d hubs and %d edges formed in %v", hubs, edges, took)
	})
}
