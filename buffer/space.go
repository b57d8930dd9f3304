package buffer

import (
	"fmt"
	"io/fs"
	"path/filepath"
	"sync"
	"time"
)

const (
	// A measurement is trusted for recheckEvery, or until recheckBytes were written by us: what anyone else can write
	// to a disk in 100 ms (100 MB at 1 GB/s) is less than the default reserve.
	recheckEvery = 100 * time.Millisecond
	recheckBytes = 1 << 20

	// writeFactor is disk taken per byte committed until compaction has settled: log, L0 table, and one rewrite.
	writeFactor = 3
)

// reserveFor is the free space to keep on a disk of total bytes.
func reserveFor(configured, total uint64, t tuning) uint64 {
	r := configured
	if r == 0 {
		r = min(max(256<<20, total/50), total/10)
	}
	return max(r, t.workspace())
}

// spaceGuard decides whether a batch may still be written.
type spaceGuard struct {
	dir     string
	reserve uint64
	measure func(dir string) (free, total uint64, err error)

	mu      sync.Mutex
	free    uint64 // as measured
	written uint64 // estimated disk bytes taken since
	at      time.Time
}

func (g *spaceGuard) init(cfg Config, dir string, t tuning) error {
	free, total, err := cfg.FreeSpace(dir)
	if err != nil {
		return fmt.Errorf("measure free space: %w", err)
	}
	g.dir, g.measure, g.reserve = dir, cfg.FreeSpace, reserveFor(cfg.ReserveBytes, total, t)
	g.free, g.at = free, time.Now()
	return nil
}

// admit books n bytes, or returns ErrFull if they would cut into the reserve. Deletions are always admitted: they
// are how space comes back, and the reserve holds their tombstones.
func (g *spaceGuard) admit(n int, deletesOnly bool) error {
	need := uint64(n) * writeFactor
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.written+need > recheckBytes || time.Since(g.at) > recheckEvery || g.left() < g.reserve+need {
		free, _, err := g.measure(g.dir)
		if err != nil {
			return fmt.Errorf("buffer: measure free space: %w", err)
		}
		g.free, g.written, g.at = free, 0, time.Now()
	}
	if g.left() < g.reserve+need && !deletesOnly {
		return ErrFull
	}
	g.written += need
	return nil
}

func (g *spaceGuard) left() uint64 { return g.free - min(g.free, g.written) }

func (g *spaceGuard) estimate() uint64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.left()
}

// occupied adds up the blocks of all files under dir: logs are sparse, so their length says little.
func occupied(dir string) uint64 {
	var sum uint64
	_ = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return nil // a file that compaction deleted meanwhile
		}
		if info, err := d.Info(); err == nil {
			sum += blockBytes(info)
		}
		return nil
	})
	return sum
}
