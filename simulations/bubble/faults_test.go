package bubble

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"meshd/crdt"
	"meshd/gossip"
	"meshd/node"
)

func TestSlowReaderFillsItsQueueAndHoldsUpNobody(t *testing.T) {
	const queue = 64 << 10
	bubble(t, func(t *testing.T, m *mesh) {
		hub := m.newMachine("eu-h1")
		hub.change = func(c *gossip.Config) { c.PeerQueueBytes = queue }
		m.start("eu-h1", "eu-e1", "eu-e2")
		m.until("all sessions", 15*time.Second, m.formed)
		slow, other := m.machines["eu-e1"], m.machines["eu-e2"]
		m.count()
		m.exact(3 * time.Second)
		deaf := link
		deaf.Cut = true
		m.net.SetLink(hub.addr, slow.addr, deaf) // to the hub, a reader that takes nothing in
		rng := rand.New(rand.NewPCG(1, 2))
		for range 40 { // soon more than fits into QUIC's window and the queue
			_ = other.proc.Load().submit(t.Context(), manyPages(rng))
			time.Sleep(80 * time.Millisecond)
			if queued := hub.metric("meshd_gossip_send_queue_bytes"); queued > 2*queue {
				t.Fatalf("%.0f bytes wait for the slow reader, its queue takes %d", queued, queue)
			}
		}
		if refused := hub.metric("meshd_gossip_send_refused_total"); refused != 0 {
			t.Errorf("%.0f messages were made that the queue did not take", refused)
		}
		if waits := hub.metric("meshd_core_room_waits_total"); waits == 0 {
			t.Error("the queue was never full: this tests nothing")
		}
		m.until("totals of the others", 500*time.Millisecond, func() bool {
			return m.ledger.differs(hub.read()) == "" && m.ledger.differs(other.read()) == ""
		})
		m.net.SetLink(hub.addr, slow.addr, link)
		t.Logf("exact %v after the reader reads again", m.exact(5*time.Second))
		m.whole(t)
	})
}

func TestStuckReaderKeepsItsSessionAndHoldsUpNobody(t *testing.T) {
	bubble(t, func(t *testing.T, m *mesh) {
		m.start("eu-h1", "eu-e1", "eu-e2")
		m.until("all sessions", 15*time.Second, m.formed)
		m.count()
		m.exact(3 * time.Second)
		hub, stuck, other := m.machines["eu-h1"], m.machines["eu-e1"], m.machines["eu-e2"]
		release := stuck.proc.Load().block()
		defer release()
		rng := rand.New(rand.NewPCG(1, 2))
		for range 30 { // longer than frames stay unacknowledged before they are sent again
			_ = other.proc.Load().submit(t.Context(), manyPages(rng))
			time.Sleep(500 * time.Millisecond)
			if m.ledger.differs(hub.read()) != "" || m.ledger.differs(other.read()) != "" {
				t.Fatal("the others are held up")
			}
		}
		if !slices.Contains(hub.peers(), "eu-e1") {
			t.Error("the stuck reader lost its session")
		}
		release()
		t.Logf("exact %v after the reader reads again", m.exact(3*time.Second))
		m.whole(t)
	})
}

func TestShutdownAnswersEverySubmitAndLosesNothingAcked(t *testing.T) {
	bubble(t, func(t *testing.T, m *mesh) {
		m.start("eu-h1", "eu-e1")
		m.until("all sessions", 15*time.Second, m.formed)
		for _, name := range []string{"eu-e1", "eu-h1"} {
			h := m.machines[name]
			p := h.proc.Load()
			var clients sync.WaitGroup
			for range 300 { // more than the node's queue of calls holds
				clients.Go(func() {
					for p.submit(context.Background(), p.everyKind) == nil { // no patience: an answer must come
						time.Sleep(10 * time.Millisecond)
					}
				})
			}
			time.Sleep(100 * time.Millisecond)
			p.stopNode() // the doors are still open
			clients.Wait()
			h.stop()
			if m.ledger.refused == 0 {
				t.Error("every batch was accepted: the test shows nothing")
			}
			h.start()
			h.read()
		}
		m.exact(10 * time.Second)
		m.whole(t)
	})
}

func TestFullDiskRefusesWritesAndRecovers(t *testing.T) {
	bubble(t, func(t *testing.T, m *mesh) {
		sevenNodes(m)
		m.count()
		m.exact(3 * time.Second)
		edge, hub := m.machines["eu-e1"], m.machines["eu-h1"]
		edge.full.Store(true)
		hub.full.Store(true)
		time.Sleep(time.Second)
		for _, h := range []*machine{edge, hub} {
			if err := h.proc.Load().count(); !errors.Is(err, node.ErrFull) {
				t.Errorf("count at %s with a full disk: %v", h.name, err)
			}
		}
		others := slices.DeleteFunc(m.all(), func(h *machine) bool { return h == edge || h == hub })
		stop := m.load(100*time.Millisecond, others...)
		defer stop()
		time.Sleep(5 * time.Second)
		edge.read()
		hub.read()
		edge.full.Store(false)
		hub.full.Store(false)
		edge.mustCount()
		stop()
		t.Logf("exact %v after there was room", m.exact(15*time.Second)) // frames are sent again after 10 s
		m.whole(t)
	})
}

func TestRegionWithoutHubsCountsOnAndLosesNothing(t *testing.T) {
	bubble(t, func(t *testing.T, m *mesh) {
		sevenNodes(m)
		stop := m.load(100*time.Millisecond, m.machines["eu-e1"], m.machines["us-e1"])
		defer stop()
		time.Sleep(time.Second)
		for _, hub := range []string{"eu-h1", "eu-h2"} {
			m.machines[hub].kill()
		}
		time.Sleep(5 * time.Second)
		m.start("eu-h1", "eu-h2")
		m.until("all sessions", 10*time.Second, m.formed)
		stop()
		t.Logf("exact %v after the last write", m.exact(3*time.Second))
		m.whole(t)
	})
}

func TestWipedHubAndRestoredEdgeAreFilledAgain(t *testing.T) {
	bubble(t, func(t *testing.T, m *mesh) {
		sevenNodes(m)
		m.count()
		m.exact(3 * time.Second)
		edge, hub := m.machines["eu-e1"], m.machines["eu-h2"]
		backup := edge.copyDisk()
		stop := m.load(100*time.Millisecond, m.all()...)
		time.Sleep(2 * time.Second)
		stop()
		m.exact(3 * time.Second)
		edge.stop()
		hub.stop()
		edge.dir, hub.dir = backup, t.TempDir()
		// What they acknowledged themselves and lost with their disks they must learn from others before they can answer it.
		m.ledger.forgive("eu-e1", "eu-h2")
		m.start("eu-e1", "eu-h2")
		m.until("all sessions", 15*time.Second, m.formed)
		m.count()
		t.Logf("exact after %v", m.exact(10*time.Second))
		m.whole(t)
	})
}

func TestCopiedDiskRunsTwiceAndCountsOnce(t *testing.T) {
	bubble(t, func(t *testing.T, m *mesh) {
		sevenNodes(m)
		m.count()
		m.exact(3 * time.Second)
		edge := m.machines["eu-e1"]
		clone := &machine{m: m, name: edge.name, region: edge.region, addr: "10.1.0.1:8946", dir: edge.copyDisk(), client: "clone of eu-e1"}
		m.machines["zz-clone"] = clone
		clone.start()
		stop := m.load(100*time.Millisecond, m.all()...)
		time.Sleep(3 * time.Second)
		edge.restart()
		time.Sleep(time.Second)
		stop()
		t.Logf("exact %v after the last write", m.exact(10*time.Second))
		m.whole(t)
	})
}

func TestFlappingLinksBetweenRegionsLoseNothing(t *testing.T) {
	bubble(t, func(t *testing.T, m *mesh) {
		sevenNodes(m)
		stop := m.load(200*time.Millisecond, m.all()...)
		defer stop()
		rng := rand.New(rand.NewPCG(3, 4))
		for range 5 {
			one := link
			one.Cut = true
			m.net.SetLink(m.machines["eu-h1"].addr, m.machines["us-h1"].addr, one) // this way only
			m.net.Cut(m.at("eu-h2"), m.at("us-h1", "eu-e1"))
			time.Sleep(time.Duration(rng.Int64N(int64(3 * time.Second))))
			m.net.SetLink(m.machines["eu-h1"].addr, m.machines["us-h1"].addr, link)
			m.net.Heal(m.at("eu-h2"), m.at("us-h1", "eu-e1"))
			time.Sleep(time.Duration(rng.Int64N(int64(time.Second))))
		}
		m.until("all sessions", 35*time.Second, m.formed)
		stop()
		t.Logf("exact %v after the last write", m.exact(3*time.Second))
		m.whole(t)
	})
}

// manyPages is a batch of 1,000 counters with amounts that do not compress: some 12 KiB.
func manyPages(rng *rand.Rand) func(uint64) []node.Item {
	return func(uint64) (items []node.Item) {
		for i := range 1000 {
			s := &crdt.Series{Name: fmt.Sprint("page ", i), Kind: crdt.KindCounter}
			items = append(items, node.Item{Series: s, Inc: crdt.Value{Kind: s.Kind, P: crdt.FixedFromUint(rng.Uint64N(1 << 50))}})
		}
		return items
	}
}

// The larger ones, for which -short has no time.

func TestRegionCutOffForMinutesCatchesUp(t *testing.T) {
	if testing.Short() {
		t.Skip("virtual minutes")
	}
	bubble(t, func(t *testing.T, m *mesh) {
		sevenNodes(m)
		m.net.Cut(m.at("eu-*"), m.at("us-*"))
		for range 60 {
			m.count()
			time.Sleep(2 * time.Second)
		}
		m.net.Heal(m.at("eu-*"), m.at("us-*"))
		t.Logf("exact %v after the cut", m.exact(3*time.Second))
		m.until("all sessions", 3*time.Second, m.formed)
		m.whole(t)
	})
}

func TestThirtyNodesFormAndAgree(t *testing.T) {
	if testing.Short() {
		t.Skip("many nodes")
	}
	bubble(t, func(t *testing.T, m *mesh) {
		regions := []string{"ap", "eu", "us"}
		for _, kind := range []struct {
			name string
			n    int
		}{{"h", 2}, {"e", 8}} {
			for i := range kind.n {
				for _, region := range regions {
					m.start(fmt.Sprint(region, "-", kind.name, i+1))
				}
			}
		}
		formed := m.until("all sessions", 30*time.Second, m.formed)
		for range 3 {
			m.count()
		}
		t.Logf("formed after %v, exact %v after the last write", formed, m.exact(3*time.Second))
		m.machines["eu-h1"].kill()
		m.count()
		t.Logf("exact %v after a hub was lost", m.exact(5*time.Second))
		m.whole(t)
	})
}
