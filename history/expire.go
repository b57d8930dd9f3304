package history

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"meshd/internal/mutant"
)

// expireBatch chunks are deleted by one commit: 40 KB.
const expireBatch = 1000

// errStop ends a walk over keys early.
var errStop = errors.New("stop")

// Expire drops what is older than it is kept: chunks, then series and owners without any. pause is called between commits, so
// that those of clients are not kept waiting; it may end the pass with an error.
//
// Chunks lie in the order of time, so that a pass reads the keys of what expired and no more, and writes a deletion for each:
// what shares the disk with them is never written again. (Entries with a time to live would stay: nothing is ever written
// among the keys of a day that is over, and so the disk never looks at them again.)
func (s *Store) Expire(ctx context.Context, pause func() error) error {
	s.folding.Lock()
	defer s.folding.Unlock()
	now := s.cfg.Now()
	s.mu.RLock()
	keep := s.keep
	s.mu.RUnlock()
	for width := int64(0); ; {
		next, err := s.nextWidth(width + 1)
		if err == nil && next == 0 {
			break
		}
		if width = next; err == nil {
			err = s.expireWidth(ctx, keep, width, now, pause)
		}
		if err != nil {
			return fmt.Errorf("history: expire: %w", err)
		}
	}
	if err := s.prune(keep, now, pause); err != nil {
		return fmt.Errorf("history: expire: %w", err)
	}
	return nil
}

// nextWidth returns the first width from low on that has chunks on disk, 0 if there is none.
func (s *Store) nextWidth(low int64) (width int64, err error) {
	err = s.cfg.KV.Keys(prefixChunk, spanKey(low, 0), func(key []byte) error {
		k, err := parseChunkKey(key)
		if err != nil {
			return err
		}
		width = k.width
		return errStop
	})
	if errors.Is(err, errStop) {
		err = nil
	}
	return width, err
}

func (s *Store) expireWidth(ctx context.Context, keep retentions, width int64, now time.Time, pause func() error) error {
	prefix := ChunkPrefix(time.Duration(width) * time.Millisecond)
	limit, length := keep.shortest(width, now), spanMillis(width)
	for from := prefix; from != nil; {
		var ops []Op
		next := []byte(nil)
		err := s.cfg.KV.Keys(prefix, from, func(key []byte) error {
			k, err := parseChunkKey(key)
			if err != nil {
				return err
			}
			if k.span+length > limit {
				return errStop
			}
			if len(ops) == expireBatch {
				next = slices.Clone(key)
				return errStop
			}
			if s.expired(keep, k, now) {
				ops = append(ops, Op{Key: slices.Clone(key), Delete: true})
			}
			return ctx.Err()
		})
		if err != nil && !errors.Is(err, errStop) {
			return err
		}
		if len(ops) > 0 {
			if err := s.cfg.KV.Commit(ops); err != nil {
				return err
			}
			s.met.expired.Add(float64(len(ops)))
		}
		if from = next; from != nil {
			if err := pause(); err != nil {
				return err
			}
		}
	}
	return nil
}

// expired reports whether all windows of a chunk are older than its series is kept, or the series is gone.
func (s *Store) expired(keep retentions, k chunkKey, now time.Time) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if int(k.series) >= len(s.tables.byID) || s.tables.byID[k.series] == nil {
		return true
	}
	return k.span+spanMillis(k.width) <= keep.of(s.tables.byID[k.series].series.Name).horizon(k.width, now)
}

// prune drops the pairs that have nothing left, then series and owners without any, and notes of the others where they begin now.
func (s *Store) prune(keep retentions, now time.Time, pause func() error) error {
	var ops []Op
	var ended error
	gone := 0
	for low := 0; ; low += matchBlock {
		s.mu.Lock()
		t := &s.tables
		high := min(low+matchBlock, len(t.byID))
		for id := low; id < high; id++ {
			if e := t.byID[id]; e != nil && t.pruneSeries(e, keep, now, &ops) {
				gone++
			}
		}
		done := high >= len(t.byID)
		s.mu.Unlock()
		for len(ops) > 0 && (done || len(ops) >= expireBatch) {
			n := min(len(ops), expireBatch)
			if err := s.cfg.KV.Commit(ops[:n]); err != nil {
				return err
			}
			if ops = ops[n:]; ended == nil && (len(ops) > 0 || !done) {
				ended = pause() // what memory has dropped already is deleted all the same
			}
		}
		if done {
			break
		}
	}
	s.met.seriesGone.Add(float64(gone))
	s.reindex()
	return ended
}

// pruneSeries appends the deletions of what is gone of e and reports whether all is.
func (t *tables) pruneSeries(e *seriesEntry, keep retentions, now time.Time, ops *[]Op) bool {
	kept := keep.of(e.series.Name)
	e.pairs = slices.DeleteFunc(slices.Clone(e.pairs), func(p *pair) bool {
		for i := range p.tiers {
			tr := &p.tiers[i]
			if tr.over != nil || tr.hasChunks() && tr.last()+spanMillis(tr.width()) > kept.horizon(tr.width(), now) {
				if p.begin(kept, now) {
					*ops = append(*ops, Op{Key: idKey(prefixPair, e.id, p.owner.id), Value: p.appendRecord(nil)})
				}
				return false
			}
		}
		*ops = append(*ops, Op{Key: idKey(prefixPair, e.id, p.owner.id), Delete: true})
		if p.owner.pairs--; p.owner.pairs == 0 {
			*ops = append(*ops, Op{Key: idKey(prefixOwner, p.owner.id), Delete: true})
			delete(t.owners, p.owner.origin)
			t.ownerID[p.owner.id] = nil
		}
		return true
	})
	if len(e.pairs) > 0 {
		return false
	}
	*ops = append(*ops, Op{Key: idKey(prefixSeries, e.id), Delete: true})
	t.series.Remove(e.series)
	t.byID[e.id] = nil
	t.gone++
	return true
}

// begin notes with which span each width of a pair begins, now that those before expired: before it wider windows answer, also when
// narrow ones are to be kept for longer from now on. It reports whether the disk has to be told.
func (p *pair) begin(kept Retention, now time.Time) (changed bool) {
	for i := range p.tiers {
		t := &p.tiers[i]
		if first := floor(kept.horizon(t.width(), now), spanMillis(t.width())); t.hasChunks() && first > t.first() && !mutant.On("expired spans forgotten") {
			t.setChunks(first, t.last())
			changed = true
		}
	}
	return changed && p.stored
}

// reindex makes the index anew once a quarter of what is in it is gone. What comes meanwhile is added at the end.
func (s *Store) reindex() {
	s.mu.RLock()
	entries := slices.Clone(s.tables.byID)
	needed := s.tables.gone > 1024 && s.tables.gone > s.tables.known()/3
	s.mu.RUnlock()
	if !needed {
		return
	}
	var fresh index
	for _, e := range entries {
		if e != nil {
			fresh.add(e)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.tables.byID[len(entries):] {
		if e != nil {
			fresh.add(e)
		}
	}
	s.tables.index, s.tables.gone = fresh, 0
}
