package history

import (
	"fmt"
	"slices"

	"meshd/crdt"
)

// Cells returns what the origin itself published in each of keys: a bottom of kind 0 where that is nothing. The values are the
// caller's.
func (s *Store) Cells(from crdt.Origin, keys []Key) ([]crdt.Value, error) {
	from = ownerOf(from)
	return s.combine(keys, func(o crdt.Origin) bool { return o == from })
}

// Sums returns the sum over all incarnations of all nodes in each of keys, in the order of their origins: floats add up the same
// everywhere. A bottom of kind 0 is nothing. The values are the caller's.
func (s *Store) Sums(keys []Key) ([]crdt.Value, error) {
	return s.combine(keys, func(o crdt.Origin) bool { return o.Class == crdt.ClassNode })
}

func (s *Store) combine(keys []Key, wanted func(crdt.Origin) bool) ([]crdt.Value, error) {
	out := make([]crdt.Value, len(keys))
	r := reader{store: s}
	for i, k := range keys {
		s.mu.RLock()
		r.pairs = r.pairs[:0]
		if e := s.tables.find(k.Series); e != nil {
			for _, p := range e.pairs {
				if wanted(p.owner.origin) {
					r.pairs = append(r.pairs, p)
				}
			}
		}
		s.mu.RUnlock()
		slices.SortFunc(r.pairs, func(a, b *pair) int { return a.owner.origin.Compare(b.owner.origin) })
		for _, p := range r.pairs {
			if err := r.addWindow(&out[i], p, k.Window); err != nil {
				return nil, fmt.Errorf("history: read %s of %s: %w", k.Series, p.owner.origin, err)
			}
		}
	}
	return out, nil
}

// addWindow adds what a pair has in a window.
func (r *reader) addWindow(sum *crdt.Value, p *pair, w crdt.Window) error {
	r.dec.reset()
	tiers := r.store.tiersOf(p, w.Start, w.Start+1)
	for i := range tiers {
		if tiers[i].width != w.Width {
			continue
		}
		points, err := r.tier(p, &tiers[i], r.buf[:0], w.Start, w.Start+1)
		if err != nil {
			return err
		}
		for j := range points {
			if sum.Kind == 0 {
				*sum = points[j].Value.Clone()
			} else if err := sum.Combine(&points[j].Value); err != nil {
				return err
			}
		}
	}
	return nil
}
