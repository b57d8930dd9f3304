package node

import (
	"testing"

	"pgregory.net/rapid"
)

// waitingByWalk is what ArchiveStatus counts as it goes: records, and bytes in them, that are on disk and not archived.
func waitingByWalk(d *diskLog) (records uint64, bytes int64) {
	for lsn, n := range d.bytes {
		if lsn > d.held.at.LSN {
			records, bytes = records+1, bytes+int64(n)
		}
	}
	return records, bytes
}

// TestWhatWaitsForTheArchiveIsCounted: whatever is written, archived, deleted in time or for lack of room, and read again at a start.
func TestWhatWaitsForTheArchiveIsCounted(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := newWindowWorld(t, 3)
		w.cfg = CoreConfig{LogBytes: 300, ArchiveBytes: rapid.Int64Range(200, 3000).Draw(rt, "backlog")}
		p := w.start("hub", "east", RoleHub)
		w.run(1000)
		for range rapid.IntRange(1, 40).Draw(rt, "steps") {
			switch rapid.IntRange(0, 5).Draw(rt, "step") {
			case 0, 1, 2:
				for range rapid.IntRange(1, 8).Draw(rt, "commits") {
					w.count("hub", "clicks", 1, Token{})
					w.run(200)
				}
			case 3:
				at := ArchivePosition{LSN: rapid.Uint64Range(0, p.core.disk.lsn).Draw(rt, "archived")}
				w.step(p, Archived{at})
			case 4:
				w.run(2000)
			case 5:
				w.kill("hub")
				p = w.start("hub", "east", RoleHub)
			}
			st := p.core.ArchiveStatus()
			records, bytes := waitingByWalk(&p.core.disk)
			if st.Records != records || st.Bytes != bytes {
				rt.Fatalf("%d records and %d bytes are said to wait, %d and %d do", st.Records, st.Bytes, records, bytes)
			}
		}
	})
}

// TestAnArchiveIsBehindSinceSomethingCame: however long nothing was written before, and however late after the machine's start the node began.
func TestAnArchiveIsBehindSinceSomethingCame(t *testing.T) {
	w := newWindowWorld(t, 3)
	w.cfg = CoreConfig{ArchiveBytes: 1 << 20}
	w.run(3600_000)
	p := w.start("hub", "east", RoleHub)
	behind := func(when string, least, most int64) {
		t.Helper()
		if st := p.core.ArchiveStatus(); st.Records == 0 || st.AgeMs < least || st.AgeMs > most {
			t.Errorf("%s %d records wait since %d ms, want some and %d to %d ms", when, st.Records, st.AgeMs, least, most)
		}
	}
	w.count("hub", "clicks", 1, Token{})
	w.run(2000)
	behind("after a start", 900, 2000)
	w.step(p, Archived{ArchivePosition{LSN: p.core.disk.lsn}})
	if st := p.core.ArchiveStatus(); st.Records != 0 || st.AgeMs != 0 {
		t.Errorf("all is archived, and %+v", st)
	}
	at := p.core.disk.lsn
	w.run(3600_000)
	if p.core.disk.lsn != at {
		t.Fatalf("%d records came by themselves", p.core.disk.lsn-at)
	}
	w.count("hub", "clicks", 1, Token{})
	w.run(2000)
	behind("after an hour in which nothing was written", 900, 2000)
	w.kill("hub")
	w.run(3600_000)
	p = w.start("hub", "east", RoleHub)
	behind("after another start", 0, 1000)
}
