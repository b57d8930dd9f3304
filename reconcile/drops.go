package reconcile

import (
	"slices"
	"strings"

	"meshd/crdt"
	"meshd/internal/mutant"
	"meshd/internal/wire"
)

// ownMetrics is how names of the node's own series begin: they are never dropped, since coverage reads them.
const ownMetrics = "meshd."

// matches reports whether a drop is about a series.
func matches(d *wire.Drop, s *crdt.Series) bool {
	if strings.HasPrefix(s.Name, ownMetrics) || !glob(d.Metric, s.Name) {
		return false
	}
	lacks := Lacks(s) // a sum contains what is dropped, and cannot go on without it
	for _, l := range d.Labels {
		if !slices.Contains(lacks, l.Name) && !glob(l.Value, s.Get(l.Name)) {
			return false
		}
	}
	return true
}

// glob reports whether all of s is matched by a pattern in which * is any run of bytes and ? any one.
func glob(pattern, s string) bool {
	star, from := -1, 0 // where the last * was, and what it ends at now
	p, i := 0, 0
	for i < len(s) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, from = p, i
			p++
		case p < len(pattern) && (pattern[p] == '?' || pattern[p] == s[i]):
			p++
			i++
		case star >= 0:
			from++
			p, i = star+1, from
		default:
			return false
		}
	}
	return strings.Trim(pattern[p:], "*") == ""
}

// Dropped reports whether a series is of a generation that some drop is above.
func Dropped(drops []wire.Drop, s *crdt.Series) bool {
	for i := range drops {
		if drops[i].Gen > s.Gen && matches(&drops[i], s) {
			return true
		}
	}
	return false
}

// Drops returns all that is dropped, in the order in which it was heard of. It is shared and must not be changed.
func (c *Catalog) Drops() []wire.Drop { return slices.Clip(c.drops) }

// Drop raises the generation of the series that d matches and returns those that are gone by it.
func (c *Catalog) Drop(d wire.Drop) (gone []SeriesID) {
	c.drops = append(c.drops, d)
	clear(c.next)
	for id, s := range c.each {
		if !c.gone[id] && s.Gen < d.Gen && matches(&d, s) {
			c.gone[id] = true
			gone = append(gone, id)
		}
	}
	return gone
}

// generation returns the lowest generation of a series that is not dropped.
func (c *Catalog) generation(s *crdt.Series) (gen uint32) {
	for i := range c.drops {
		if c.drops[i].Gen > gen && matches(&c.drops[i], s) {
			gen = c.drops[i].Gen
		}
	}
	return gen
}

// Gone reports whether a series was dropped: its cells are refused.
func (c *Catalog) Gone(id SeriesID) bool { return c.gone[id] && !mutant.On("late cells undo a drop") }

// Writable returns the series that what is counted on s goes to: s itself, or its generation since the last drop.
func (c *Catalog) Writable(s *crdt.Series) *crdt.Series {
	if len(c.drops) == 0 {
		return s
	}
	c.key = s.AppendKey(c.key[:0])
	if out := c.next[string(c.key)]; out != nil {
		return out
	}
	out := s
	if gen := c.generation(s); gen > s.Gen {
		raised := *s
		raised.Gen = gen
		out = &raised
	}
	if len(c.next) < MaxSeries {
		c.next[string(c.key)] = out
	}
	return out
}

// Purge removes the cells of series that are gone and returns how many there were. Their definitions stay: what the
// origin sends goes on to use its numbers.
func (r *Replica) Purge() (n int) {
	for ref := range r.cells {
		c := &r.cells[ref]
		if c.linked && r.cat.gone[r.series[ref]] {
			r.unlink(uint32(ref))
			c.v = crdt.Bottom(c.v.Kind)
			n++
		}
	}
	return n
}

// Purge removes the cells of dropped series and returns how many of single origins there were.
func (g *Region) Purge() (n int) {
	for _, r := range g.raw {
		n += r.Purge()
	}
	g.Total.Purge()
	for id := range g.gauges {
		if g.cat.gone[id] {
			delete(g.gauges, id)
		}
	}
	return n
}

// Purge removes the cells of dropped series from all entries and views.
func (e *Entries) Purge() {
	for _, r := range e.all {
		r.Purge()
	}
	for _, v := range e.views {
		v.Purge()
	}
}

// Purge removes the cells of dropped series.
func (v *Views) Purge() {
	for _, d := range v.joined {
		d.Purge()
	}
}

// Purge removes the cells of dropped series, and what of them is the edge's own.
func (s *Slots) Purge() {
	for _, sl := range s.all {
		sl.Total.Purge()
		for _, m := range sl.yours {
			for id := range m {
				if s.cat.gone[id] {
					delete(m, id)
				}
			}
		}
	}
}

// Purge removes the cells of dropped series.
func (f *Floor) Purge() { f.Cells.Purge() }
