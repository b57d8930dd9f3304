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
