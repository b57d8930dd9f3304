package node

import (
	"meshd/internal/mutant"
)

// Archiving. Somebody copies the log and the publications of a hub into a durable log elsewhere, when that can be had. The core
// waits for him with deleting, as long as what waits is bounded, and for nothing else: CoreConfig.ArchiveBytes.

// keepUnarchivedMs is how long publications wait for the archive at most: a week without it is noticed.
const keepUnarchivedMs = 7 * keepFramesMs

// ArchivePosition is up to where a node's disk was archived.
type ArchivePosition struct {
	LSN uint64 // record of the log
	Tag uint64 // publication
}

// Archived tells the core how far the archive came. It is never told less than before.
type Archived struct{ ArchivePosition }

func (Archived) event() {}

// ArchiveStatus says how far the archive is behind the disk. All zero: nothing is archived, or all is.
type ArchiveStatus struct {
	On      bool
	Records uint64 // of the log that wait
	Bytes   int64  // in them
	AgeMs   int64  // how long ago everything was archived
}

// held is what only the archive needs of the log.
type held struct {
	most    int64 // bytes that may wait for it; 0: nothing is archived
	at      ArchivePosition
	since   int64  // when everything was archived last, or the start
	settled uint64 // records up to here are counted in bytes until they are deleted
	bytes   int64
	waiting int64  // bytes of the records on disk that are not archived
	lost    uint64 // records deleted that were not archived
}

// came notes a record that is on disk.
func (h *held) came(lsn uint64, bytes int, now int64) {
	if h.at.LSN+1 == lsn && !mutant.On("log behind since it was last written") {
		h.since = now // until now it had everything
	}
	if h.most != 0 && lsn > h.at.LSN {
		h.waiting += int64(bytes)
	}
}

// settle counts the records before need, which recovery does without.
func (d *diskLog) settle(need uint64) {
	if d.held.most == 0 {
		return
	}
	for d.held.settled = max(d.held.settled, d.trimmed); d.held.settled+1 < need; {
		d.held.settled++
		d.held.bytes += int64(d.bytes[d.held.settled])
	}
}

// waitsForArchive reports whether a record that recovery does without has to stay, with so many bytes already going.
func (d *diskLog) waitsForArchive(lsn uint64, going int64) bool {
	h := &d.held
	return h.most != 0 && lsn > h.at.LSN && h.bytes-going <= h.most && !mutant.On("trimmed before archived")
}

// gone notes that a record is deleted.
func (h *held) gone(lsn uint64, bytes int) {
	if h.most == 0 {
		return
	}
	if lsn <= h.settled {
		h.bytes -= int64(bytes)
	}
	if lsn > h.at.LSN {
		h.lost++
		h.waiting -= int64(bytes)
	}
}

func (c *Core) archived(in Archived) {
	h := &c.disk.held
	if h.most != 0 && !mutant.On("archived records wait on") {
		for lsn := max(h.at.LSN, c.disk.trimmed) + 1; lsn <= min(in.LSN, c.disk.lsn); lsn++ {
			h.waiting -= int64(c.disk.bytes[lsn])
		}
	}
	h.at.LSN, h.at.Tag = max(h.at.LSN, in.LSN), max(h.at.Tag, in.Tag)
	if h.at.LSN >= c.disk.lsn {
		h.since = c.now
	}
}

// archiveWants reports whether a publication, stored at some time, still waits for the archive.
func (c *Core) archiveWants(tag uint64, stored int64) bool {
	h := &c.disk.held
	return h.most != 0 && tag > h.at.Tag && stored+keepUnarchivedMs > c.wall && !mutant.On("publications trimmed before archived")
}

// ArchiveStatus returns how far the archive is behind.
func (c *Core) ArchiveStatus() ArchiveStatus {
	h := &c.disk.held
	st := ArchiveStatus{On: h.most != 0}
	if !st.On || h.at.LSN >= c.disk.lsn {
		return st
	}
	st.Records, st.Bytes, st.AgeMs = c.disk.lsn-max(h.at.LSN, c.disk.trimmed), h.waiting, c.now-h.since
	return st
}
