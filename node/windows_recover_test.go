package node

import (
	"testing"

	"meshd/crdt"
)

// TestWindowsArePublishedOnce: what was open at a checkpoint and published since is not open again after a restart, whatever of the
// log is left then. It would enter the minute and the hour a second time. All of them are over at once here, so that nothing
// else is open.
func TestWindowsArePublishedOnce(t *testing.T) {
	w := newWindowWorld(t, 3)
	w.cfg.LogBytes = 100 // any commit makes a checkpoint, and a publication none
	w.start("hub", "east", RoleHub)
	edge := w.start("edge", "east", RoleEdge)
	w.run(crdt.HourMillis - w.now%crdt.HourMillis - 5000)
	at := w.now
	w.count("edge", "clicks", 7, Token{})
	w.run(20_000)
	w.step(edge, Submit{ID: 1000, Batch: &Batch{Items: []Item{{ // with this late event the record that tells of the publication goes
		Series: &crdt.Series{Name: "clicks", Kind: crdt.KindCounter}, At: at - 20_000,
		Inc: crdt.Value{Kind: crdt.KindCounter, P: crdt.FixedFromUint(1)},
	}}}})
	for lsn := edge.core.disk.lsn; edge.core.disk.lsn == lsn; {
		w.run(1)
	}
	for range 2 {
		w.kill("edge")
		w.start("edge", "east", RoleEdge)
		w.run(20_000)
	}
	for width, want := range map[int64]string{crdt.FineMillis: "7", crdt.MinuteMillis: "8", crdt.HourMillis: "8"} {
		if got := w.procs["hub"].past.region("east", "clicks", crdt.WindowAt(at, width)); got != want {
			t.Errorf("the hub has %s in a window of %d ms, want %s", got, width, want)
		}
	}
	for k := range edge.disk {
		if k[:2] == prefixOpenWindows {
			t.Errorf("%q is on disk", k)
		}
	}
}

// TestWhatAHubLeftOpenIsPublishedBeforeItGoesCold: a full disk keeps a hub from publishing what its process before left open, for longer
// than that process stays in memory. After one more restart it is still there.
func TestWhatAHubLeftOpenIsPublishedBeforeItGoesCold(t *testing.T) {
	w := newWindowWorld(t, 4)
	w.cfg.ColdAfter, w.cfg.LogBytes = 1000, 1
	w.full = map[string]bool{}
	hub := w.start("hub", "east", RoleHub)
	w.run(1000)
	at := w.now
	w.count("hub", "clicks", 7, Token{})
	w.run(500)
	w.kill("hub")
	w.full["hub"] = true
	w.start("hub", "east", RoleHub)
	w.run(500)
	w.full["hub"] = false
	w.run(5000)
	w.kill("hub")
	w.start("hub", "east", RoleHub)
	w.run(20_000)
	if got := hub.past.region("east", "clicks", crdt.WindowAt(at, crdt.FineMillis)); got != "7" {
		t.Errorf("the hub has %s in the window, want 7", got)
	}
}
