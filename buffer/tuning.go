package buffer

import (
	"log/slog"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"
)

const (
	defaultMemory = 64 << 20
	minMemory     = 32 << 20
	maxMemory     = 2 << 30

	maxThreshold = 1 << 20 // Badger's upper limit for values beside their keys
)

// tuning is what the memory budget decides.
type tuning struct {
	memTable int64 // bytes of one memtable and of its log
	level    int64 // bytes of the first level below L0
	table    int64 // bytes of one table file
}

// tune derives all sizes from the process' memory budget m (64 MiB by default).
//
// Badger keeps up to 2 memtables filling or being flushed, each an arena of 1.3 x memTable on the heap and a mapped log
// of up to memTable, plus about 4 x table while it compacts: near 9 x memTable, twice that on the heap before the
// collector runs. memTable = m/64 (1 MiB) therefore stays below a third of the budget. It makes a transaction of 15% of
// it, 153 KiB: about a hundred usual commits; a full frame of 256 KiB takes the journal. (A memtable of 2 MiB would
// spare it that and cost 15 MiB.)
func tune(m int64) tuning {
	if m <= 0 {
		m = defaultMemory
	}
	mt := min(max(m, minMemory), maxMemory) / 64
	return tuning{memTable: mt, level: 4 * mt, table: mt}
}

// workspace is the disk that flushes and one compaction may take at once: the logs and tables of all memtables, and a
// second copy of the level that is compacted into.
func (t tuning) workspace() uint64 {
	return uint64(8*t.memTable + 2*t.level)
}

func (t tuning) options(path string, logger *slog.Logger) (badger.Options, *badgerLog) {
	log := &badgerLog{to: logger}
	o := badger.DefaultOptions(path).
		WithLogger(log).
		WithSyncWrites(true).
		WithMetricsEnabled(false).
		WithBypassLockGuard(true).  // dirlock's lock covers it; Badger's stays held while a child process is being forked
		WithDetectConflicts(false). // commits are blind, or alone under Store.commits
		WithNumVersionsToKeep(1).
		WithMemTableSize(t.memTable).
		WithNumMemtables(2).
		WithBaseTableSize(t.table).
		WithBaseLevelSize(t.level).
		WithNumLevelZeroTables(2).
		WithNumLevelZeroTablesStall(8).
		WithNumCompactors(2).
		WithNumGoroutines(1).
		WithCompression(options.None). // frames are dense already; blocks are read from the map, so no cache is needed
		WithBlockCacheSize(0).
		WithIndexCacheSize(0).
		WithValueThreshold(t.batch()). // every value stays beside its key: the value log is never used,
		WithValueLogFileSize(1 << 20). // and its one empty file is mapped with 2 MiB
		WithChecksumVerificationMode(options.OnBlockRead)
	return o, log
}

// batch is Badger's transaction limit in bytes (15% of a memtable), cut to the largest value threshold it allows.
func (t tuning) batch() int64 {
	return min(15*t.memTable/100, maxThreshold)
}

// limits are what fits one Badger transaction.
type limits struct {
	bytes int // of all entries together
	count int // entries
	value int // bytes of one value that is stored whole
}

const (
	// nodeBytes is not less than Badger's skiplist node, by which it divides the batch size to limit the entries.
	nodeBytes = 128
	// entryBytes is not less than what Badger counts for an entry beyond its key and value.
	entryBytes = 32
	// slackBytes leaves room for the entry that ends a transaction and for the longest key beside a whole value, once
	// in the entry and once in its journal record.
	slackBytes = 3*MaxKeyBytes + 4<<10
)

func (t tuning) limits() limits {
	b := int(t.batch())
	return limits{bytes: b - 4<<10, count: b/nodeBytes - 2, value: b - slackBytes}
}
