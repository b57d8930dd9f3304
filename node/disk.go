package node

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"

	"meshd/crdt"
	"meshd/internal/mutant"
	"meshd/internal/wire"
	"meshd/reconcile"
)

// What is on disk, by key prefix. Values are versioned by the formats inside them.
//
//	l/ lsn (8 bytes)          log record of one commit: frames, each behind its length
//	p/ class inc              progress of an origin at its last checkpoint; says whether it is cold
//	o/ class inc part (4)     its cells then, as frames that move no cursor
//	k/ hash of series (16)    sum of a series over the cold origins, as a frame of one cell
//	r/ region / node          removal of a node by an operator, or its return
//	f/ node                   which incarnations of a node are forgotten; the sums of their cells are under o/
//	z/ node                   which are frozen
//	d/ hash of matcher (16)   drop of series by an operator
//	x/ id                     correction of what was counted; y/ id: it counts here
//	w/ n/ v/ q/               windows: see windows_disk.go
//	s/ source                 sequence window of a client source
//	a/ chain (16)             the last batch of a client's session, with the hour; expires by itself
//	c/                        the mesh's configuration
//	e/ number (8)             raw events that wait to be copied elsewhere, see events.go
//	b/                        what an edge's line may still carry
//	t/ hash of key (16)       idempotency key, with the hour it was used; expires by itself
const (
	prefixLog      = "l/"
	prefixProgress = "p/"
	prefixCells    = "o/"
	prefixCold     = "k/"
	prefixRemoval  = "r/"
	prefixDrop     = "d/"
	prefixForgot   = "f/"
	prefixFrozen   = "z/"
	prefixSource   = "s/"
	prefixKey      = "t/"
	prefixChain    = "a/"
	prefixConfig   = "c/"
	prefixBudget   = "b/"

	prefixCorrection   = "x/"
	prefixCorrectionOn = "y/"
)

// maxTrim bounds the deletions that ride on one commit.
const maxTrim = 2000

// snapshotBytes is how much of an origin one value holds: stores like small values.
const snapshotBytes = 64 << 10

// checkpointBytes is how much of a checkpoint one persist writes: commits wait for it about 20 ms.
const checkpointBytes = 512 << 10

func logKey(lsn uint64) []byte { return binary.BigEndian.AppendUint64([]byte(prefixLog), lsn) }

func sourceKey(source string) []byte { return append([]byte(prefixSource), source...) }

func originKey(prefix string, o crdt.Origin) []byte {
	return append(append([]byte(prefix), byte(o.Class)), o.Inc[:]...)
}

func cellsKey(o crdt.Origin, part int) []byte {
	return binary.BigEndian.AppendUint32(originKey(prefixCells, o), uint32(part))
}

// diskLog knows which part of the log is still needed: the records that hold changes of an origin since its last
// checkpoint.
type diskLog struct {
	token   uint64
	lsn     uint64 // of the last committed record
	trimmed uint64 // records up to here are deleted
	leaving uint64 // and up to here, once what is being written is on disk
	bytes   map[uint64]int
	total   int64 // bytes of the records in bytes
	first   map[*reconcile.Replica]uint64
	parts   map[crdt.Origin]int // values that the cells of an origin take at its last checkpoint; not of cold ones

	openFirst uint64 // the oldest record that is needed for this process' open windows; 0: none
	leftFirst uint64 // the same for what earlier processes left
	openParts int    // values that the last checkpoint of open windows takes,
	openOf    crdt.Origin

	held held
}

func (d *diskLog) init() {
	d.bytes, d.first, d.parts = map[uint64]int{}, map[*reconcile.Replica]uint64{}, map[crdt.Origin]int{}
}

func (d *diskLog) nextToken() uint64 {
	d.token++
	return d.token
}

func (d *diskLog) committed(lsn uint64, bytes int, now int64) {
	d.lsn = lsn
	d.bytes[lsn] = bytes
	d.total += int64(bytes)
	d.held.came(lsn, bytes, now)
}

// dirty records that the record lsn holds a change of r.
func (d *diskLog) dirty(r *reconcile.Replica, lsn uint64) {
	if _, ok := d.first[r]; !ok {
		d.first[r] = lsn
	}
}

// needed returns the oldest record that is still needed.
func (d *diskLog) needed() uint64 {
	need := d.lsn + 1
	if mutant.On("log trimmed early") {
		return need
	}
	for _, lsn := range d.first {
		need = min(need, lsn)
	}
	for _, lsn := range []uint64{d.openFirst, d.leftFirst} {
		if lsn != 0 {
			need = min(need, lsn)
		}
	}
	return need
}

// trim appends the deletion of records that are not needed any more. Should the persist fail, the next one deletes them: a
// record may only go together with all before it. One that stayed would open windows again at recovery, whose publication
// a later record told of.
func (d *diskLog) trim(ops []Op) []Op {
	need := d.needed()
	d.settle(need)
	d.leaving = d.trimmed
	going := int64(0)
	for n := 0; d.leaving+1 < need && n < maxTrim && !d.waitsForArchive(d.leaving+1, going); n++ {
		d.leaving++
		going += int64(d.bytes[d.leaving])
		ops = append(ops, Op{Key: logKey(d.leaving), Delete: true})
	}
	if mutant.On("records left in the log") {
		d.trimDone()
	}
	return ops
}

// trimDone notes that the records which trim named last are deleted.
func (d *diskLog) trimDone() {
	for d.trimmed < d.leaving {
		d.trimmed++
		d.total -= int64(d.bytes[d.trimmed])
		d.held.gone(d.trimmed, d.bytes[d.trimmed])
		delete(d.bytes, d.trimmed)
	}
}

// startCheckpoint writes the origins whose changes are oldest in the log, when the log is large enough, so that its
// old end can go. It runs only while no commit waits. Each origin's snapshot and progress go in one persist.
func (c *Core) startCheckpoint() {
	if c.startCooling() || c.startDropping() || c.disk.total-c.disk.held.bytes < c.cfg.LogBytes || c.startOpenCheckpoint() {
		return
	}
	order := slices.SortedFunc(maps.Keys(c.disk.first), func(a, b *reconcile.Replica) int {
		return cmp.Or(cmp.Compare(c.disk.first[a], c.disk.first[b]), a.Origin.Compare(b.Origin))
	})
	var ops []Op
	var done []*reconcile.Replica
	size, next := 0, sums{}
	for _, r := range order {
		if size >= checkpointBytes {
			break
		}
		cold := c.coldOnDisk(r)
		if cold && c.hub.cold.add(r, next) != nil {
			c.Counts.Rejected++
			continue
		}
		ops, size = c.disk.snapshotOps(ops, r, cold, size)
		done = append(done, r)
	}
	if c.hub != nil {
		ops = c.hub.cold.ops(ops, next)
	}
	if next := c.disk.trimmed + 1; len(done) == 0 && (next >= c.disk.needed() || c.disk.waitsForArchive(next, 0)) {
		return
	}
	c.persistCheckpoint(ops, func() {
		for _, r := range done {
			delete(c.disk.first, r)
			if c.coldOnDisk(r) {
				c.hub.cold.thawed[r.Origin] = cellsOf(r)
			}
		}
		if c.hub != nil {
			c.hub.cold.commit(next)
		}
		c.Counts.Checkpoints++
	})
}

// dropCells appends the deletion of the cells of an origin at its last checkpoint.
func (d *diskLog) dropCells(ops []Op, o crdt.Origin) []Op {
	for part := range d.parts[o] {
		ops = append(ops, Op{Key: cellsKey(o, part), Delete: true})
	}
	return ops
}

// coldOnDisk reports whether r is in memory but, on disk, among the cold origins and in their sums.
func (c *Core) coldOnDisk(r *reconcile.Replica) bool {
	return c.hub != nil && c.hub.cold.thawed[r.Origin] != nil
}

// persistCheckpoint starts a persist that is no commit. No commit runs beside it, so what was read stays true.
func (c *Core) persistCheckpoint(ops []Op, after func()) {
	c.pending = &pending{token: c.disk.nextToken(), after: after}
	c.out.Persist = &Persist{Token: c.pending.token, Ops: c.raw.trim(c.disk.trim(ops))}
}

// snapshotOps appends the writes that hold all of r and nothing of checkpoints before, and adds their bytes to size. What r takes may have become
// less, and cells may have come from one part into another.
func (d *diskLog) snapshotOps(ops []Op, r *reconcile.Replica, cold bool, size int) ([]Op, int) {
	part := 0
	err := r.Snapshot(snapshotBytes, func(f *wire.Frame) error {
		raw, err := wire.AppendFrame(nil, f)
		if err != nil {
			return err
		}
		ops = append(ops, Op{Key: cellsKey(r.Origin, part), Value: raw})
		size += len(raw)
		part++
		return nil
	})
	if err != nil {
		panic(fmt.Sprintf("node: snapshot of %s does not encode: %v", r.Origin, err))
	}
	d.parts[r.Origin] = max(d.parts[r.Origin], part) // until the next start: should this persist fail, the next one deletes
	if !mutant.On("old parts of a checkpoint stay") {
		for old := part; old < d.parts[r.Origin]; old++ {
			ops = append(ops, Op{Key: cellsKey(r.Origin, old), Delete: true})
		}
	}
	rec, err := wire.AppendStoredProgress(nil, &wire.StoredProgress{Origin: r.Origin, Progress: r.Progress, Cold: cold, AtMs: r.Changed})
	if err != nil {
		panic(fmt.Sprintf("node: progress of %s does not encode: %v", r.Origin, err))
	}
	ops = append(ops, Op{Key: originKey(prefixProgress, r.Origin), Value: rec})
	return ops, size + len(rec)
}
