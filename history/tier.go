package history

import (
	"cmp"
	"slices"
)

// tier is the windows of one width of a pair. Its times are whole seconds, in 32 bits: a node has millions of tiers.
type tier struct {
	over *overlay // the first; ascending by span

	seconds uint32    // width
	chunks  [2]uint32 // first and last span that may have a chunk; last < first: none has
	until   uint32    // no window that begins later is in a chunk
}

var noChunks = [2]uint32{1, 0}

func toSeconds(ms int64) uint32 { return uint32(min(ms, maxStart) / minWidth) }

func (t *tier) width() int64    { return int64(t.seconds) * minWidth }
func (t *tier) first() int64    { return int64(t.chunks[0]) * minWidth }
func (t *tier) last() int64     { return int64(t.chunks[1]) * minWidth }
func (t *tier) newest() int64   { return int64(t.until) * minWidth }
func (t *tier) hasChunks() bool { return t.chunks[0] <= t.chunks[1] }

// setChunks says which spans may have a chunk.
func (t *tier) setChunks(first, last int64) { t.chunks = [2]uint32{toSeconds(first), toSeconds(last)} }

// reached says that a window that begins at a time may be in a chunk.
func (t *tier) reached(start int64) { t.until = max(t.until, toSeconds(start)) }

func (p *pair) tier(width int64) *tier {
	i, held := slices.BinarySearchFunc(p.tiers, width, func(t tier, width int64) int { return cmp.Compare(t.width(), width) })
	if !held {
		p.tiers = slices.Insert(p.tiers, i, tier{seconds: toSeconds(width), chunks: noChunks})
	}
	return &p.tiers[i]
}

// add joins a cell into the overlay of its span and returns by how many bytes it grew, and the overlay if it is new.
func (t *tier) add(c *codec, cell *Cell) (grown int64, fresh *overlay, err error) {
	at := place{width: t.width(), span: floor(cell.Window.Start, spanMillis(t.width()))}
	link := &t.over
	for *link != nil && (*link).span < at.span {
		link = &(*link).next
	}
	if *link == nil || (*link).span > at.span {
		fresh = &overlay{place: at, next: *link}
		*link = fresh
		grown = overlayBytes
	}
	more, err := (*link).now.add(c, at, Point{Window: cell.Window, Value: cell.Value})
	return grown + more, fresh, err
}

// drop removes an overlay that is empty.
func (t *tier) drop(o *overlay) {
	for link := &t.over; *link != nil; link = &(*link).next {
		if *link == o {
			*link = o.next
			return
		}
	}
}

// overlays yields them in order.
func (t *tier) overlays(yield func(*overlay) bool) {
	for o := t.over; o != nil; o = o.next {
		if !yield(o) {
			return
		}
	}
}

// blockEntries of a kind share an allocation: a collector looks at each object. What they share lives as long as one of them: series
// of one time come and go together.
const blockEntries = 64

// blocks are rows of the tables that are not used yet.
type blocks struct {
	entries []seriesEntry
	pairs   []pair
	tiers   []tier
	refs    []*pair
}

func (b *blocks) entry() *seriesEntry { return &take(&b.entries, 1)[0] }

func (b *blocks) pair(e *seriesEntry, o *ownerEntry) *pair {
	p := &take(&b.pairs, 1)[0]
	*p = pair{series: e, owner: o, tiers: take(&b.tiers, usualTiers)[:0]}
	return p
}

// owners returns room for the pairs of a series.
func (b *blocks) owners() []*pair { return take(&b.refs, usualOwners)[:0] }

// take returns n of a block, with no room behind them, and begins a new block if need be.
func take[T any](block *[]T, n int) []T {
	if len(*block) < n {
		*block = make([]T, n*blockEntries)
	}
	out := (*block)[:n:n]
	*block = (*block)[n:]
	return out
}
