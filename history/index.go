package history

import (
	"context"
	"slices"

	"meshd/crdt"
)

// index finds series by name and by label. Lists hold ids, ascending; a series that went stays in them until the index is made
// anew. 4 bytes a label of a series, and 100 for each value that differs.
//
// All of its slices are only ever appended to, so that a reader may go on with what it took under the Store's lock.
type index struct {
	names  postings
	labels map[string]*postings
	order  []string // the names of labels, as they came
}

// postings are the values of one label, and which series have each.
type postings struct {
	ids    map[string][]uint32
	values []string // as they came
}

func (p *postings) add(value string, id uint32) {
	if p.ids == nil {
		p.ids = make(map[string][]uint32)
	}
	list, known := p.ids[value]
	if !known {
		p.values = append(p.values, value)
	}
	p.ids[value] = append(list, id)
}

func (x *index) add(e *seriesEntry) {
	if x.labels == nil {
		x.labels = make(map[string]*postings)
	}
	x.names.add(e.series.Name, e.id)
	for _, l := range e.series.Labels {
		p := x.labels[l.Name]
		if p == nil {
			p = new(postings)
			x.labels[l.Name] = p
			x.order = append(x.order, l.Name)
		}
		p.add(l.Value, e.id)
	}
}

// of returns the postings of a label, of names for "", nil if no series has it.
func (x *index) of(label string) *postings {
	if label == "" {
		return &x.names
	}
	return x.labels[label]
}

// candidates returns ids of series among which are all of the selection: those of the names, of the labels that pass a test, or of
// the rarest label with one value, whatever are fewest. With all, they are those of all series. The caller holds no lock.
func (s *Store) candidates(ctx context.Context, sel *Selection) (ids []uint32, all bool, err error) {
	all = true
	for _, l := range sel.Equal {
		if l.Value == "" {
			continue // who does not have it is in no list
		}
		found, _ := s.lists(l.Name, []string{l.Value})
		if len(found) == 0 {
			return nil, false, nil
		}
		if all || len(found[0]) < len(ids) {
			ids, all = found[0], false
		}
	}
	tests := sel.Where
	if sel.Names != nil {
		tests = append(slices.Clip(tests), LabelTest{Test: sel.Names})
	}
	for _, t := range tests {
		found, n, err := s.passing(ctx, t)
		if err != nil {
			return nil, false, err
		}
		if !all && n >= len(ids) {
			continue
		}
		if all = false; len(found) == 1 {
			ids = found[0]
		} else {
			ids = slices.Concat(found...)
		}
	}
	return ids, all, nil
}

// passing returns the lists of the values of a label that pass a test, and how many ids they hold together. Tests run without
// the lock: a million of them take longer than a cell may wait.
func (s *Store) passing(ctx context.Context, t LabelTest) (found [][]uint32, n int, err error) {
	var passed []string
	for i, v := range s.valuesOf(t.Name) {
		if i%matchBlock == 0 && ctx.Err() != nil {
			return nil, 0, ctx.Err()
		}
		if t.Test(v) {
			passed = append(passed, v)
		}
	}
	for block := range slices.Chunk(passed, matchBlock) {
		more, k := s.lists(t.Name, block)
		found, n = append(found, more...), n+k
	}
	return found, n, nil
}

// valuesOf returns the values of a label.
func (s *Store) valuesOf(label string) []string {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if p := s.tables.index.of(label); p != nil {
		return p.values
	}
	return nil
}

// lists returns the ids behind some values of a label, and how many they are. A value that went since is left out.
func (s *Store) lists(label string, values []string) (out [][]uint32, n int) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	p := s.tables.index.of(label)
	if p == nil {
		return nil, 0
	}
	for _, v := range values {
		if ids := p.ids[v]; len(ids) > 0 {
			out, n = append(out, ids), n+len(ids)
		}
	}
	return out, n
}

// Values implements Searcher.
func (s *Store) Values(ctx context.Context, label string, f func(string) error) error {
	for block := range slices.Chunk(s.valuesOf(label), matchBlock) {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		for _, v := range s.inUse(label, block) {
			if err := f(v); err != nil {
				return err
			}
		}
	}
	return ctx.Err()
}

// Labels implements Searcher.
func (s *Store) Labels(ctx context.Context, f func(string) error) error {
	s.mu.RLock()
	names := s.tables.index.order
	s.mu.RUnlock()
	for _, name := range names {
		used := false
		for block := range slices.Chunk(s.valuesOf(name), matchBlock) {
			if used = len(s.inUse(name, block)) > 0; used || ctx.Err() != nil {
				break
			}
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if used {
			if err := f(name); err != nil {
				return err
			}
		}
	}
	return nil
}

// inUse returns those of values that a series of a region has.
func (s *Store) inUse(label string, values []string) (out []string) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	p := s.tables.index.of(label)
	if p == nil {
		return nil
	}
	for _, v := range values {
		if slices.ContainsFunc(p.ids[v], func(id uint32) bool { return ofRegions(s.tables.byID[id]) }) {
			out = append(out, v)
		}
	}
	return out
}

// ofRegions reports whether a region's total is among the owners of a series; nil is one that went.
func ofRegions(e *seriesEntry) bool {
	return e != nil && slices.ContainsFunc(e.pairs, func(p *pair) bool { return p.owner.origin.Class == crdt.ClassRegion })
}
