package history

import (
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"slices"

	"meshd/internal/mutant"
)

// ref is an overlay and whose it is.
type ref struct {
	pair    *pair
	overlay *overlay
}

func (r ref) key() chunkKey {
	return chunkKey{width: r.overlay.width, span: r.overlay.span, series: r.pair.series.id, owner: r.pair.owner.id}
}

// compare orders as the keys on disk do, so that a fold writes its chunks side by side.
func (r ref) compare(o ref) int {
	return cmp.Or(cmp.Compare(r.overlay.width, o.overlay.width), cmp.Compare(r.overlay.span, o.overlay.span),
		cmp.Compare(r.pair.series.id, o.pair.series.id), cmp.Compare(r.pair.owner.id, o.pair.owner.id))
}

// A commit of a fold takes about foldBytes and foldOps: a transaction of the smallest memory budget, so that it is written once
// and no commit of a client waits long behind it.
const (
	foldBytes = 96 << 10
	foldOps   = 400
)

// Fold moves all that was applied before it began into chunks. It can end anywhere: a commit holds whole chunks with the definitions
// they need, and what is in a chunk and is applied again is the same. Only when all are written does the mark move that
// Folded returns.
func (s *Store) Fold(ctx context.Context) error {
	s.folding.Lock()
	defer s.folding.Unlock()
	s.mu.Lock()
	refs, mark := s.dirty, s.folded
	if s.applied > 0 {
		mark = max(mark, s.applied-1) // more may come with the last tag
	}
	s.dirty = nil
	s.mu.Unlock()

	if mutant.On("mark before the chunks") {
		if err := s.setMark(mark); err != nil {
			return err
		}
	}
	slices.SortFunc(refs, ref.compare)
	for len(refs) > 0 {
		rest, err := s.foldBatch(refs)
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			s.mu.Lock()
			s.dirty = append(s.dirty, rest...)
			s.mu.Unlock()
			s.met.foldFailed()
			return fmt.Errorf("history: fold: %w", err)
		}
		refs = rest
	}
	return s.setMark(mark)
}

func (s *Store) setMark(mark uint64) error {
	if mark == s.Folded() {
		return nil
	}
	if err := s.cfg.KV.Commit([]Op{{Key: keyMark, Value: binary.BigEndian.AppendUint64(nil, mark)}}); err != nil {
		return fmt.Errorf("history: fold: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.folded = mark
	s.met.foldEnded()
	return nil
}

// foldBatch folds the first of refs, as many as one commit takes, and returns those that are left. After an error these
// are all that are not on disk.
func (s *Store) foldBatch(refs []ref) (rest []ref, err error) {
	var ops []Op
	var again []ref
	size, n, late := 0, 0, 0
	for ; n < len(refs) && size < foldBytes && len(ops) < foldOps; n++ {
		r := refs[n]
		left := s.freeze(r)
		more, newest, l, err := s.fold.foldSpan(s.cfg.KV, r.key(), r.overlay.fold)
		if err != nil {
			return refs, err
		}
		for _, op := range more {
			size += len(op.Key) + len(op.Value)
		}
		ops, late = append(ops, more...), late+l
		s.mu.Lock() // before it is on disk: a reader must look there then
		t := r.pair.tier(r.overlay.width)
		t.reached(newest)
		s.mu.Unlock()
		if left {
			again = append(again, r)
		}
	}
	done := refs[:n]
	defs, stored := s.definitions(done)
	if err := s.cfg.KV.Commit(append(defs, ops...)); err != nil {
		return refs, err
	}
	s.letGo(done, again, stored)
	s.met.folded(len(ops), size, late)
	return append(again, refs[n:]...), nil
}

// freeze sets aside what the overlay holds now, for the fold. If an earlier fold failed over what it had set aside, that goes first,
// and left is whether more is to be folded after it.
func (s *Store) freeze(r ref) (left bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	o := r.overlay
	if o.fold == nil {
		now := o.now
		o.fold, o.now = &now, run{}
	}
	t := r.pair.tier(o.width)
	if !t.hasChunks() {
		t.setChunks(o.span, o.span)
		r.pair.stored = false
	}
	if o.span < t.first() || o.span > t.last() {
		t.setChunks(min(t.first(), o.span), max(t.last(), o.span))
		r.pair.stored = false
	}
	return !o.now.empty()
}

// definitions returns the writes of what the chunks of refs refer to and the disk does not have, and what marks it as stored.
func (s *Store) definitions(refs []ref) (ops []Op, stored []*bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var last *pair
	for _, r := range refs {
		p := r.pair
		if p == last {
			continue
		}
		last = p
		if !p.owner.stored {
			ops = append(ops, Op{Key: idKey(prefixOwner, p.owner.id), Value: ownerBytes(p.owner.origin)})
			stored = append(stored, &p.owner.stored)
		}
		if !p.series.stored {
			ops = append(ops, Op{Key: idKey(prefixSeries, p.series.id), Value: p.series.series.AppendKey(nil)})
			stored = append(stored, &p.series.stored)
		}
		if !p.stored {
			ops = append(ops, Op{Key: idKey(prefixPair, p.series.id, p.owner.id), Value: p.appendRecord(nil)})
			stored = append(stored, &p.stored)
		}
	}
	return ops, stored
}

// letGo lets go of what is on disk now.
func (s *Store) letGo(done, again []ref, stored []*bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, b := range stored {
		*b = true
	}
	for _, r := range done {
		o := r.overlay
		s.overlay -= o.fold.size()
		o.fold = nil
		switch {
		case o.now.empty():
			s.overlay -= overlayBytes
			r.pair.tier(o.width).drop(o)
		case !slices.Contains(again, r):
			s.dirty = append(s.dirty, r)
		}
	}
}
