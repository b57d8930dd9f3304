package history

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"strings"

	"meshd/crdt"
)

// Spans returns the spans that may hold a window which is still kept, the newest first. Some may be empty.
func (s *Store) Spans() (out []Span) {
	type reach struct{ first, last int64 }
	widths := map[int64]reach{}
	now := s.cfg.Now()
	s.eachSeries(func(e *seriesEntry) {
		keep := s.keep.of(e.series.Name)
		for _, p := range e.pairs {
			for i := range p.tiers {
				first, last := p.tiers[i].reach()
				if first = max(first, floor(keep.horizon(p.tiers[i].width(), now), spanMillis(p.tiers[i].width()))); first > last {
					continue
				}
				r, known := widths[p.tiers[i].width()]
				if !known {
					r = reach{first, last}
				}
				widths[p.tiers[i].width()] = reach{min(first, r.first), max(last, r.last)}
			}
		}
	})
	for width, r := range widths { // in any order: they are sorted below
		for at := r.first; at <= r.last; at += spanMillis(width) {
			out = append(out, Span{Width: width, Start: at})
		}
	}
	slices.SortFunc(out, Span.Compare)
	return out
}

// Compare orders spans as they are handed on: those that end last first, of these the widest windows.
func (sp Span) Compare(o Span) int {
	return cmp.Or(cmp.Compare(o.End(), sp.End()), cmp.Compare(o.Width, sp.Width))
}

// reach returns the first and the last span of a tier, in chunks or over them; last < first if there is none.
func (t *tier) reach() (first, last int64) {
	first, last = math.MaxInt64, math.MinInt64
	if t.hasChunks() {
		first, last = t.first(), t.last()
	}
	for o := range t.overlays {
		first, last = min(first, o.span), max(last, o.span)
	}
	return first, last
}

// begin returns the start of the first span, behind all times if there is none.
func (t *tier) begin() int64 {
	first, _ := t.reach()
	return first
}

// eachSeries calls f for every series, under the lock, which it lets go now and then.
func (s *Store) eachSeries(f func(*seriesEntry)) {
	for low := 0; ; low += matchBlock {
		s.mu.RLock()
		ids := s.tables.byID
		high := min(low+matchBlock, len(ids))
		for id := low; id < high; id++ {
			if ids[id] != nil {
				f(ids[id])
			}
		}
		s.mu.RUnlock()
		if high >= len(ids) {
			return
		}
	}
}

// pageSeries series are looked up in one go for Pieces. Each page costs a walk over the tables, 0.2 s of a million series.
const pageSeries = 2048

// Pieces yields what the history holds of a span, whole pieces in the order of their places, from behind one. With nodes, those of
// single nodes are among them. It ends early with the error of yield, as it is, or that of ctx. A piece is valid during the call and
// must not be changed.
func (s *Store) Pieces(ctx context.Context, sp Span, nodes bool, after Place, yield func(*Piece) error) error {
	if err := sp.Check(); err != nil {
		return err
	}
	r := reader{store: s}
	for {
		page := s.page(sp, after.Series)
		for _, e := range page {
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := r.pieces(sp, e.entry, nodes, func(p *Piece) error {
				if at := PlaceOf(p); e.key == after.Series && at.Owner <= after.Owner {
					return nil
				}
				return yield(p)
			}); err != nil {
				return err
			}
			if e.key > after.Series {
				after = Place{Series: e.key, Owner: lastOwner}
			}
		}
		if len(page) < pageSeries {
			return nil
		}
	}
}

// lastOwner is behind all owners.
const lastOwner = "\xff"

// keyed is a series beside its key.
type keyed struct {
	key   string
	entry *seriesEntry
}

// page returns the first series from a key on that may have windows in a span, in the order of their keys.
func (s *Store) page(sp Span, from string) []keyed {
	var page []keyed
	var key []byte
	behind := "" // once there are enough, what is as far is left for the next page
	byKey := func(a, b keyed) int { return strings.Compare(a.key, b.key) }
	s.eachSeries(func(e *seriesEntry) {
		if !slices.ContainsFunc(e.pairs, func(p *pair) bool { return p.mayHave(sp) }) {
			return
		}
		if key = e.series.AppendKey(key[:0]); string(key) < from || behind != "" && string(key) > behind {
			return
		}
		if page = append(page, keyed{string(key), e}); len(page) == 2*pageSeries { // keep the lower half
			slices.SortFunc(page, byKey)
			page = page[:pageSeries]
			behind = page[pageSeries-1].key
		}
	})
	slices.SortFunc(page, byKey)
	return page[:min(len(page), pageSeries)]
}

// mayHave reports whether a pair may have windows in a span.
func (p *pair) mayHave(sp Span) bool {
	for i := range p.tiers {
		if t := &p.tiers[i]; t.width() == sp.Width {
			for o := range t.overlays {
				if o.span == sp.Start {
					return true
				}
			}
			return t.first() <= sp.Start && sp.Start <= t.last()
		}
	}
	return false
}

// pieces yields the pieces of one series in a span, in the order of their owners.
func (r *reader) pieces(sp Span, e *seriesEntry, nodes bool, yield func(*Piece) error) error {
	s := r.store
	type owned struct {
		pair  *pair
		owner string
	}
	var pairs []owned
	s.mu.RLock()
	for _, p := range e.pairs {
		if p.mayHave(sp) && (nodes || p.owner.origin.Class != crdt.ClassNode) {
			pairs = append(pairs, owned{p, string(ownerBytes(p.owner.origin))})
		}
	}
	from := max(sp.Start, s.keep.of(e.series.Name).horizon(sp.Width, s.cfg.Now()))
	s.mu.RUnlock()
	slices.SortFunc(pairs, func(a, b owned) int { return strings.Compare(a.owner, b.owner) })
	for _, p := range pairs {
		points, err := r.span(p.pair, sp, from)
		if err != nil {
			return fmt.Errorf("history: read %s of %s: %w", e.series, p.pair.owner.origin, err)
		}
		if len(points) == 0 {
			continue
		}
		if err := yield(&Piece{Series: e.series, From: p.pair.owner.origin, Points: points}); err != nil {
			return err
		}
	}
	return nil
}

// span returns the windows of a pair in a span that begin at or after from. They are valid until the next call.
func (r *reader) span(p *pair, sp Span, from int64) ([]Point, error) {
	r.dec.reset()
	tiers := r.store.tiersOf(p, from, sp.End())
	for i := range tiers {
		if tiers[i].width == sp.Width {
			points, err := r.tier(p, &tiers[i], r.buf[:0], from, sp.End())
			if err == nil {
				r.buf = points
			}
			return points, err
		}
	}
	return nil, nil
}

// Keeping returns how long windows are kept here.
func (s *Store) Keeping() Keeping {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.keep.keeping()
}
