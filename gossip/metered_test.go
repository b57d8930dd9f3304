package gossip

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// TestAMeteredEdgeSaysLittleWhenNothingHappens: it still knows all hubs, and moves to another one when a home is gone.
func TestAMeteredEdgeSaysLittleWhenNothingHappens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMesh(t)
		defer m.stop()
		m.start(m.config("eu-h1"))
		m.start(m.config("eu-h2", m.addrs("eu-h1")...))
		m.start(m.config("eu-h3", m.addrs("eu-h1")...))
		var meter Meter
		cfg := m.config("eu-e1", m.addrs("eu-h1")...)
		cfg.Link, cfg.Meter = Metered, &meter
		e := m.start(cfg)
		m.until("homes", time.Minute, func() bool { return len(e.up()) == 2 })
		m.until("knows three hubs", 10*time.Minute, func() bool { return len(e.alive()) == 3 })
		time.Sleep(10 * time.Minute)
		before, _ := meter.Payload()
		for range 30 {
			time.Sleep(time.Minute)
			if len(e.alive()) != 3 {
				t.Fatalf("it knows the hubs %v", e.alive())
			}
		}
		after, _ := meter.Payload()
		t.Logf("%d bytes in half an hour", after-before)
		if n := after - before; n > 25_000 {
			t.Errorf("%d bytes in half an hour", n)
		}
		lost := e.up()[0]
		m.net.Cut(m.addrs(lost), []string{e.addr})
		m.until("failover from "+lost, 2*time.Minute, func() bool { return len(e.up()) == 2 && !slices.Contains(e.up(), lost) })
	})
}
