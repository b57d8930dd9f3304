package history

import (
	"hash/fnv"
	"time"

	"meshd/internal/mutant"
)

// changes remembers which windows changed, and when, so that who kept an answer can tell whether it is one still. Time is a
// count of changes. A window is remembered by the minute and by the hour in which it begins, and by its metric's name, of which only
// nameBuckets are told apart; what is not remembered any more changed at floor. So a change may be taken for one of another
// window, and none is ever overlooked.
type changes struct {
	now           uint64
	floor         uint64 // what is neither in recent nor in older changed then, or before
	recent, older map[changeKey]uint64
	recentBegan   uint64
	last          [2]changeKey // marked at now: cells of one series follow each other
	lastAt        uint64
}

// changeKey is a minute or an hour of the windows of some names.
type changeKey struct {
	unit   int64 // ms
	start  int64 // ms, a multiple of unit
	bucket uint16
}

const (
	nameBuckets = 256
	anyName     = nameBuckets // marked beside the name's own

	// maxChanges bounds each of two maps: 3 MB. Windows of 1,000 names that come as they end take 34,000 an hour, so that an answer
	// about what does not change is kept for two hours at least.
	maxChanges = 1 << 16

	changeMinute = int64(time.Minute / time.Millisecond)
	changeHour   = int64(time.Hour / time.Millisecond)
)

// nameBucket returns which names a name is remembered with.
func nameBucket(name string) uint16 {
	h := fnv.New32a()
	_, _ = h.Write([]byte(name)) // it never fails
	return uint16(h.Sum32() % nameBuckets)
}

// begin starts a change.
func (c *changes) begin() { c.now++ }

// mark says that a window of a name changes.
func (c *changes) mark(bucket uint16, start int64) {
	if mutant.On("late data leaves the cache") {
		return
	}
	for i, unit := range [...]int64{changeMinute, changeHour} {
		key := changeKey{unit: unit, start: floor(start, unit), bucket: bucket}
		if c.lastAt == c.now && c.last[i] == key {
			continue
		}
		c.last[i] = key
		c.set(key)
		key.bucket = anyName
		c.set(key)
	}
	c.lastAt = c.now
}

func (c *changes) set(key changeKey) {
	if len(c.recent) >= maxChanges {
		// What changed last while older was filled is forgotten: it changed before recent began.
		c.floor, c.older, c.recent = c.recentBegan, c.recent, nil
	}
	if c.recent == nil {
		c.recent, c.recentBegan = make(map[changeKey]uint64), c.now
	}
	c.recent[key] = c.now
}

// all says that anything may have changed.
func (c *changes) all() {
	c.now++
	c.floor, c.recent, c.older = c.now, nil, nil
}

// since reports whether a window of the bucket that begins in [from, to) may have changed after a time.
func (c *changes) since(bucket uint16, from, to int64, after uint64) bool {
	if c.floor > after {
		return true
	}
	for at := from; at < to; {
		key := changeKey{unit: changeMinute, start: floor(at, changeMinute), bucket: bucket}
		if at == floor(at, changeHour) && at+changeHour <= to {
			key.unit = changeHour
		}
		if c.recent[key] > after || c.older[key] > after {
			return true
		}
		at = key.start + key.unit
	}
	return false
}

// Mark returns a time for Unchanged: of what was applied before, all is in what is read from now on.
func (s *Store) Mark() uint64 {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.changes.now
}

// Unchanged reports whether the windows of one metric, or with "" of all, that begin in [from, to) are certainly those that they were
// at mark, and still kept in every width.
func (s *Store) Unchanged(metric string, from, to int64, mark uint64) bool {
	now := s.cfg.Now()
	bucket := uint16(anyName)
	if metric != "" {
		bucket = nameBucket(metric)
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, width := range [classes]int64{minWidth, changeMinute, changeHour} {
		if from < s.keep.shortest(width, now) {
			return false
		}
	}
	return !s.changes.since(bucket, from, to, mark)
}
