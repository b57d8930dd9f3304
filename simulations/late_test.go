package simulations

import (
	"testing"

	"meshd/internal/wire"
)

// TestEveryMessageWithATimeIsDated: what a node measures a peer's clock by, the oracle does, too.
func TestEveryMessageWithATimeIsDated(t *testing.T) {
	for _, m := range []wire.Message{&wire.Hello{}, &wire.Heartbeat{}, &wire.Coverage{}, &wire.Heard{}} {
		if !isDated(m) {
			t.Errorf("%T is not dated", m)
		}
	}
	if isDated(&wire.Marks{}) {
		t.Error("marks say no time")
	}
}

// TestErrorsOfWhenItWasSaidCount has a hub date a node's word 1.9 s late, and a reader the hub's 1.5 s late: what is said of
// second 13.4 was said at second 10.
func TestErrorsOfWhenItWasSaidCount(t *testing.T) {
	hub, reader := &machine{region: 0}, &machine{region: 1}
	hub.late = make(lateBuckets, 20)
	reader.late = make(lateBuckets, 20)
	hub.late[10], reader.late[13] = 1_900_000, 1_500_000
	w := &World{hubs: []*machine{hub}, now: 14_000_000}
	if got := w.slack(reader, 0, 13_400_000); got < 2*1_900_000+1_500_000 {
		t.Errorf("slack %d µs", got)
	}
	if got := w.slack(reader, 0, 19_000_000); got > 100_000 {
		t.Errorf("slack %d µs long after", got)
	}
}
