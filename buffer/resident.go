package buffer

import (
	"path/filepath"
	"time"
)

// pageOutEvery is the longest that tables stay resident after they were touched: short beside the minutes over which
// memory is judged, long enough that the few milliseconds of a round do not count.
const pageOutEvery = 5 * time.Second

// keepSmall pages tables out while the store is in use, until stop is closed. An idle store is left alone.
func (s *Store) keepSmall(stop <-chan struct{}, done chan<- struct{}) {
	defer close(done)
	dir, err := filepath.Abs(filepath.Join(s.cfg.Dir, storeDir))
	if err != nil {
		dir = storeDir // part of every table's path
	}
	tick := time.NewTicker(pageOutEvery)
	defer tick.Stop()
	idle := 0
	for {
		select {
		case <-stop:
			return
		case <-tick.C:
		}
		// One round more after the last use: a compaction may still have been running.
		if s.touched.Swap(false) {
			idle = 0
		} else {
			idle++
		}
		if idle > 1 {
			continue
		}
		if err := pageOut(dir); err != nil {
			s.cfg.Logger.Warn("buffer: tables stay in memory", "err", err)
			return
		}
	}
}
