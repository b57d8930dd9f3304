//go:build slow && linux

package replay_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"meshd/replay"
	"meshd/replay/replaytest"
)

func TestRealKafkaConforms(t *testing.T) {
	b := replaytest.NewBroker(t, "..")
	b.Start(t)
	c := &clock{time.Now().Add(-time.Hour).Truncate(time.Second)}
	n := 0
	topics := map[string]string{}
	replaytest.Run(t, replaytest.Engine{
		Open: func(t *testing.T) replay.Log {
			if topics[t.Name()] == "" {
				n++
				topics[t.Name()] = fmt.Sprint("conform-", n)
			}
			return openKafka(t, replay.KafkaConfig{Brokers: []string{b.Addr}, Topic: topics[t.Name()], Mesh: "m", Partitions: 3, Replicas: 1, Now: c.time})
		},
		Advance: c.advance,
	})
}

// A writer that keeps trying loses nothing when the broker is killed again and again.
func TestRealKafkaKilledWhileAppending(t *testing.T) {
	b := replaytest.NewBroker(t, "..")
	b.Start(t)
	k := openKafka(t, replay.KafkaConfig{Brokers: []string{b.Addr}, Topic: "t", Mesh: "m", Partitions: 2, Replicas: 1})
	acked := make(chan int)
	go func() {
		defer close(acked)
		for n := range 60 {
			for {
				ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
				_, err := k.Append(ctx, []replay.Record{frame(n)})
				cancel()
				if err == nil || errors.Is(err, replay.ErrClosed) {
					break
				}
			}
			acked <- n
		}
	}()
	for n := range acked {
		if n%30 == 10 {
			b.Kill()
			b.Start(t)
		}
	}
	got, err := read(t, k, nil)
	if err != nil {
		t.Fatal(err)
	}
	for n := range 60 {
		if !slices.Contains(got, n) {
			t.Errorf("record %d was acknowledged and is missing", n)
		}
	}
}
