//go:build slow && linux

package main

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"testing"
	"time"

	"meshd/crdt"
	"meshd/replay/replaytest"
)

var (
	kills    = flag.Int("kills", 10, "how often a hub, its log or a replay is killed, for each kind of log")
	killSeed = flag.Uint64("killseed", 1, "seed of the moments")
	away     = flag.Duration("away", 15*time.Second, "how long the broker is away")
)

// TestKilledAtRandomMomentsNothingIsMissingOrTwice kills, at random moments under load, the hub, its broker or a replay of the log. The
// replay goes on in the same directory each time.
func TestKilledAtRandomMomentsNothingIsMissingOrTwice(t *testing.T) {
	t.Parallel()
	b := replaytest.NewBroker(t, "../..")
	b.Start(t)
	killAtRandom(t, kafkaLog(b), b)
}

// TestKilledAtRandomMomentsWithItsLogNothingIsMissingOrTwice does so with an embedded log, which is in the hub's process and dies with it.
func TestKilledAtRandomMomentsWithItsLogNothingIsMissingOrTwice(t *testing.T) {
	t.Parallel()
	killAtRandom(t, "embedded:"+filepath.Join(t.TempDir(), "log"), nil)
}

func kafkaLog(b *replaytest.Broker) string {
	return "kafka:" + b.Addr + "/durable?partitions=3&replicas=1"
}

// killAtRandom kills a hub, its log and replays of it at random moments under load. Nothing that was acknowledged is missing, and nothing counts twice,
// in totals and in windows of before: the hub, the replay that was killed and one that was not hold the same, byte by byte.
func killAtRandom(t *testing.T, log string, b *replaytest.Broker) {
	t.Helper()
	rng := rand.New(rand.NewPCG(*killSeed, 0))
	hub := newProc(t, "hub", "eu", "hub-1", "--archive="+log)
	hub.start()
	to := time.Now().UnixMilli() / crdt.MinuteMillis * crdt.MinuteMillis
	l := startLoad(t, *killSeed, 4, hub)
	dir := filepath.Join(t.TempDir(), "replayed")
	hub.archived() // a log is there before it is replayed
	victims := []string{"hub", "replay"}
	if b != nil {
		victims = append(victims, "log")
	}
	killed := map[string]int{}
	for round := range *kills {
		if round%len(victims) == 0 { // each in its turn, in any order
			rng.Shuffle(len(victims), func(i, j int) { victims[i], victims[j] = victims[j], victims[i] })
		}
		who := victims[round%len(victims)]
		killed[who]++
		r := launch(t, hub.replayArgs(log, dir)...)
		time.Sleep(time.Duration(20+rng.IntN(1500)) * time.Millisecond) // the moment
		switch who {
		case "hub":
			hub.kill()
			hub.start()
		case "log":
			b.Kill()
			b.Start(t)
		}
		if who != "replay" {
			time.Sleep(time.Duration(rng.IntN(1000)) * time.Millisecond) // it goes on, or fails with its log
		}
		_ = r.Process.Kill() // the next one goes on where it was
		_ = r.Wait()
	}
	acked := l.stop()
	t.Logf("killed: %v", killed)
	untilPublished(t, []*proc{hub}, acked, pastTo(to))
	hub.archived()
	hub.replay(log, dir)
	hub.kill()
	mustEqual(t, "the hub and its replay", hub.contents(hub.data, to), hub.contents(dir, to))
	fresh := filepath.Join(t.TempDir(), "fresh")
	hub.replay(log, fresh)
	mustEqual(t, "the hub and a replay that nobody killed", hub.contents(hub.data, to), hub.contents(fresh, to))
	if err := replaceDisk(hub.data, fresh); err != nil {
		t.Fatal(err)
	}
	hub.start()
	hub.wantTotals(acked)
}

// TestCountingNeverPausesWhileTheBrokerIsAway stops a real broker under load.
func TestCountingNeverPausesWhileTheBrokerIsAway(t *testing.T) {
	t.Parallel()
	b := replaytest.NewBroker(t, "../..")
	b.Start(t)
	log := kafkaLog(b)
	hub := newProc(t, "hub", "eu", "hub-1", "--archive="+log)
	hub.start()
	eventually(t, "the hub", func() error { _, err := hub.client.Status(t.Context()); return err })
	l := startLoad(t, 1, 4, hub)
	hub.archived()

	const parts = 5
	_, refusedBefore, before := l.mark()
	b.Kill()
	for part := range parts {
		was, _, _ := l.mark()
		time.Sleep(*away / parts) // the broker is away
		now, refused, longest := l.mark()
		if now == was || refused > refusedBefore {
			t.Errorf("part %d without a broker: %d batches acknowledged, %d refused", part, now-was, refused-refusedBefore)
		}
		t.Logf("part %d without a broker: %d batches acknowledged in %s, none for %s at most (%s before)", part, now-was, *away/parts,
			longest.Round(time.Millisecond), before.Round(time.Millisecond))
	}
	b.Start(t)
	acked := l.stop()
	hub.wantTotals(acked)
	hub.archived()
	hub.kill()
	dir := filepath.Join(t.TempDir(), "replayed")
	hub.replay(log, dir)
	mustEqual(t, fmt.Sprintf("the hub and its log after %s without a broker", *away), hub.contents(hub.data, 0), hub.contents(dir, 0))
}
