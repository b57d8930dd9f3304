package history

import (
	"fmt"
	"math"
	"slices"
	"time"

	"meshd/internal/mutant"
)

// reader reads curves one after the other; what it read is valid until the next one.
type reader struct {
	store *Store
	sel   *Selection
	now   time.Time
	dec   decoder
	keep  Retention
	pairs []*pair
	tiers [][]held // beside pairs
	buf   []Point

	// narrow[c] is where windows of class c end for all incarnations of a node, because one of them goes on in narrower ones.
	narrow [classes]int64
}

// Classes of widths: those of a second to a minute, of a minute to an hour, and the others.
const classes = 3

func classOf(width int64) int {
	switch {
	case width < time.Minute.Milliseconds():
		return 0
	case width < time.Hour.Milliseconds():
		return 1
	}
	return 2
}

// series yields the curves of one series, owner by owner.
func (r *reader) series(e *seriesEntry, yield func(*Curve) error) error {
	s := r.store
	s.mu.RLock()
	r.pairs = r.pairs[:0]
	for _, p := range e.pairs {
		if r.sel.owns(p) {
			r.pairs = append(r.pairs, p)
		}
	}
	r.keep = s.keep.of(e.series.Name)
	s.mu.RUnlock()
	if len(r.pairs) > 1 {
		slices.SortFunc(r.pairs, func(a, b *pair) int { return a.owner.origin.Compare(b.owner.origin) })
	}
	for rest := r.pairs; len(rest) > 0; {
		owner := Owner{Region: rest[0].owner.origin.Region, Node: rest[0].owner.origin.Node}
		n := 1
		for n < len(rest) && rest[n].owner.origin.Region == owner.Region && rest[n].owner.origin.Node == owner.Node {
			n++
		}
		points, err := r.owner(rest[:n])
		if err != nil {
			return fmt.Errorf("history: read %s of %s/%s: %w", e.series, owner.Region, owner.Node, err)
		}
		rest = rest[n:]
		if len(points) == 0 {
			continue
		}
		if err := yield(&Curve{Owner: owner, Series: e.series, Points: points}); err != nil {
			return err
		}
	}
	return nil
}

// owner returns the points of one owner: of one pair nearly always, else the sum over incarnations.
func (r *reader) owner(pairs []*pair) ([]Point, error) {
	r.tiers = r.tiers[:0]
	for _, p := range pairs {
		r.tiers = append(r.tiers, r.store.tiersOf(p, r.sel.From, r.sel.To))
	}
	for c := range r.narrow {
		r.narrow[c] = math.MaxInt64
	}
	for {
		r.dec.reset()
		lists := make([][]Point, 0, 1)
		for i, p := range pairs {
			points, err := r.pair(p, r.tiers[i], r.buf[:0])
			if err != nil {
				return nil, err
			}
			if r.buf = points; len(pairs) > 1 {
				points = slices.Clone(points)
			}
			lists = append(lists, points)
		}
		if len(lists) > 1 && !mutant.On("wide and narrow windows added") && r.narrower(lists) {
			continue
		}
		points := lists[0]
		for _, more := range lists[1:] {
			var err error
			if points, err = combinePoints(points, more); err != nil {
				return nil, err
			}
		}
		return points, nil
	}
}

// narrower lowers narrow where one incarnation goes on in narrower windows before another's wide ones end: added up, the
// two would overlap. It reports whether there was such a place; then all have to be read again, at most once a class.
func (r *reader) narrower(lists [][]Point) bool {
	for class, unit := range [classes]int64{1: time.Minute.Milliseconds(), 2: time.Hour.Milliseconds()} {
		first, last := int64(math.MaxInt64), int64(math.MinInt64)
		for _, points := range lists {
			for i := range points {
				switch w := points[i].Window; {
				case classOf(w.Width) == class:
					last = max(last, w.Start)
				case classOf(w.Width) < class:
					first = min(first, floor(w.Start, unit))
				}
			}
		}
		if first <= last && first < r.narrow[class] {
			r.narrow[class] = first
			return true
		}
	}
	return false
}

// pair appends the points of one pair: as wide as is of use, wider where they are older than what is kept, narrower behind
// the last wide one, which is published when it has ended.
func (r *reader) pair(p *pair, tiers []held, points []Point) ([]Point, error) {
	if len(tiers) == 0 {
		return points, nil
	}
	fine := fineTiers(tiers)
	all := tiers
	tiers = tiers[fine-1:] // the first stands for all of the fine ones
	for i := range all[:fine] {
		tiers[0].begin = min(tiers[0].begin, all[i].begin)
	}
	best := 0
	for best+1 < len(tiers) && tiers[best+1].width <= r.sel.Width {
		best++
	}
	from := r.sel.From
	for i := len(tiers) - 1; i >= 0; i-- {
		to := r.sel.To
		switch {
		case i > best:
			to = min(to, ceil(max(r.keep.horizon(tiers[i-1].width, r.now), tiers[i-1].begin), tiers[i].width))
		case i > 0:
			to = min(to, r.narrow[classOf(tiers[i].width)])
		}
		var err error
		if start := max(from, r.keep.horizon(tiers[i].width, r.now)); i > 0 || fine == 1 {
			points, err = r.tier(p, &tiers[i], points, start, to)
		} else {
			points, err = r.fine(p, all[:fine], points, start, to)
		}
		if err != nil {
			return nil, err
		}
		if i > best {
			from = max(from, to)
		} else {
			from = behind(points, from)
		}
	}
	return points, nil
}

// fineTiers returns how many of tiers, of which there is one at least, are fine ones, 1 if none is. A process writes one fine width,
// but not each the same: what differs was counted by others, or before a restart.
func fineTiers(tiers []held) int {
	n := 0
	for n < len(tiers) && classOf(tiers[n].width) == 0 && !mutant.On("fine widths one for another") {
		n++
	}
	return max(n, 1)
}

// fine appends the points of several fine widths that begin in [from, to), which is behind all of points. They may overlap: none of
// them contains what another one counts.
func (r *reader) fine(p *pair, tiers []held, points []Point, from, to int64) ([]Point, error) {
	var merged []Point
	for i := range tiers {
		of, err := r.tier(p, &tiers[i], nil, from, to)
		if err != nil {
			return nil, err
		}
		if merged, err = combinePoints(merged, of); err != nil {
			return nil, err
		}
	}
	return append(points, merged...), nil
}

// behind returns where the last of points ends, or from if that is later.
func behind(points []Point, from int64) int64 {
	if n := len(points); n > 0 {
		return max(from, points[n-1].Window.Start+points[n-1].Window.Width)
	}
	return from
}

// held is what one width of a pair has: the spans on disk, and a copy of what lies over them.
type held struct {
	width       int64
	first, last int64
	newest      int64
	begin       int64 // of the first span that anything is held of: before it narrow windows are gone, or never were
	over        []heldRun
}

type heldRun struct {
	place
	run
}

// tiersOf returns what the pair holds that may begin in [from, to). It is taken before any chunk is read: what is folded in
// between is then in both, and joined.
func (s *Store) tiersOf(p *pair, from, to int64) []held {
	s.mu.RLock()
	defer s.mu.RUnlock()
	out := make([]held, len(p.tiers))
	for i := range p.tiers {
		t := &p.tiers[i]
		out[i] = held{width: t.width(), first: t.first(), last: t.last(), newest: t.newest(), begin: t.begin()}
		for o := range t.overlays {
			if o.span >= to || o.span+spanMillis(t.width()) <= from {
				continue
			}
			for _, run := range [...]*run{o.fold, &o.now} {
				if run == nil {
					continue
				}
				if c := run.copy(from, to); !c.empty() {
					out[i].over = append(out[i].over, heldRun{place: o.place, run: c})
				}
			}
		}
	}
	return out
}

// tier appends the points of one width that begin in [from, to), which is behind all of points.
func (r *reader) tier(p *pair, t *held, points []Point, from, to int64) ([]Point, error) {
	if from >= to {
		return points, nil
	}
	length := spanMillis(t.width)
	low, high := max(floor(from, length), t.first), min(to-1, t.last)
	over := t.over
	for span := low; span <= high || len(over) > 0; span += length {
		if len(over) > 0 && (span > high || over[0].span < span) {
			span = over[0].span
		}
		start := len(points)
		of := points[start:]
		if span >= t.first && span <= t.last && max(span, from) <= t.newest {
			var err error
			key := chunkKey{width: t.width, span: span, series: p.series.id, owner: p.owner.id}
			// What is joined needs all fields: they tell copies apart.
			r.dec.newest = r.sel != nil && r.sel.Newest && (len(over) == 0 || over[0].span != span)
			if points, err = readSpan(r.store.cfg.KV, &r.dec, points, key, from, to); err != nil {
				return nil, err
			}
			of, r.dec.newest = points[start:], false
		}
		joined := false
		for ; len(over) > 0 && over[0].span == span; over = over[1:] {
			var err error
			if of, err = over[0].join(&r.dec, of, over[0].place, from, to); err != nil {
				return nil, err
			}
			joined = true
		}
		switch {
		case joined && start == 0:
			points = of
		case joined:
			points = append(points[:start:start], of...)
		}
	}
	return points, nil
}

// combinePoints adds the points of another incarnation.
func combinePoints(points, more []Point) ([]Point, error) {
	if len(more) == 0 {
		return points, nil
	}
	if len(points) == 0 {
		return more, nil
	}
	out := make([]Point, 0, len(points)+len(more))
	for len(points) > 0 && len(more) > 0 {
		switch a, b := &points[0], &more[0]; {
		case a.Window == b.Window:
			v := a.Value.Clone()
			if err := v.Combine(&b.Value); err != nil {
				return nil, err
			}
			out, points, more = append(out, Point{Window: a.Window, Value: v}), points[1:], more[1:]
		case a.Window.Start < b.Window.Start:
			out, points = append(out, *a), points[1:]
		default:
			out, more = append(out, *b), more[1:]
		}
	}
	return append(append(out, points...), more...), nil
}
