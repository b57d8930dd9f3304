package crdt

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
)

// Limits of sets. Removed dots count: they are what keeps a late copy from bringing an element back.
const (
	MaxSetDots      = 10_000      // written by one origin to one cell: about 1 MB with short elements
	MaxJoinedDots   = 10 * 10_000 // held in a union over origins
	MaxElementBytes = 256
)

// Dot names one addition of an element: the incarnation that added it and that incarnation's number for it.
type Dot struct {
	Inc Incarnation
	N   uint64 // from 1
}

// Compare orders dots by incarnation and number.
func (d Dot) Compare(e Dot) int {
	return cmp.Or(cmp.Compare(string(d.Inc[:]), string(e.Inc[:])), cmp.Compare(d.N, e.N))
}

// Set is an observed-remove set (Shapiro et al., INRIA RR-7506): an element is in the set while one of its dots is
// not removed. A removal concerns the dots that its writer had seen, so an addition that it had not seen survives it.
//
// As an increment a Set names what to do: first remove the elements Removes and the dots of a Removal, then add
// the elements Adds with new dots of Inc, the incarnation that writes. In a cell these three are empty.
type Set struct {
	Inc     Incarnation
	Adds    []string
	Removes []string

	dots map[Dot]addition
}

// addition is what became of a dot. It rises from present to removed; a removed one has no element.
type addition struct {
	elem    string
	removed bool
	stamp   uint64
}

// above reports whether a is above b in the order of one dot's states. Two elements for one dot, which no honest
// writer makes, are ordered to keep joins commutative.
func (a addition) above(b addition) bool {
	if a.removed != b.removed {
		return a.removed
	}
	return a.elem > b.elem
}

// Elements returns the elements that are in the set, sorted.
func (s *Set) Elements() []string {
	in := make(map[string]struct{}, len(s.dots))
	for _, a := range s.dots {
		if !a.removed {
			in[a.elem] = struct{}{}
		}
	}
	return slices.Sorted(maps.Keys(in))
}

// Dots returns the number of dots held, removed ones included.
func (s *Set) Dots() int { return len(s.dots) }

// Removal returns an increment that removes the dots of elems which are visible in s. A writer that removes what
// other origins added takes it from the union over origins; its Removes concern the dots in its own cell only.
func (s *Set) Removal(elems ...string) *Set {
	out := new(Set)
	for d, a := range s.dots {
		if !a.removed && slices.Contains(elems, a.elem) {
			out.put(d, addition{removed: true})
		}
	}
	return out
}

func (s *Set) put(d Dot, a addition) {
	if s.dots == nil {
		s.dots = make(map[Dot]addition)
	}
	s.dots[d] = a
}

// missing counts the dots of d that s does not have.
func (s *Set) missing(d *Set) int {
	n := 0
	for dot := range d.dots {
		if _, ok := s.dots[dot]; !ok {
			n++
		}
	}
	return n
}

// Join implements State.
func (s *Set) Join(d State, stamp uint64, sum State, sumStamp uint64) (bool, error) {
	in := d.(*Set)
	total, _ := sum.(*Set)
	if len(s.dots)+s.missing(in) > MaxJoinedDots || total != nil && len(total.dots)+total.missing(in) > MaxJoinedDots {
		return false, fmt.Errorf("crdt: %w: %d dots in a set", ErrLimit, MaxJoinedDots)
	}
	rose := s.raise(in, stamp)
	if total != nil {
		total.raise(in, sumStamp)
	}
	return rose, nil
}

func (s *Set) raise(in *Set, stamp uint64) (rose bool) {
	for dot, a := range in.dots {
		old, held := s.dots[dot]
		if held && !a.above(old) {
			continue
		}
		a.stamp = max(old.stamp, stamp)
		s.put(dot, a)
		rose = true
	}
	return rose
}

// Next implements State. An element that the cell has, and keeps, takes no new dot. Next looks at every dot once,
// however many elements the increment names.
func (s *Set) Next(inc State) (State, error) {
	in := inc.(*Set)
	out := new(Set)
	for d, a := range in.dots {
		if a.removed && !s.dots[d].removed {
			out.put(d, addition{removed: true})
		}
	}
	remove := make(map[string]struct{}, len(in.Removes))
	for _, e := range in.Removes {
		remove[e] = struct{}{}
	}
	present := make(map[string]struct{}, len(in.Adds))
	var last uint64
	for d, a := range s.dots {
		if d.Inc == in.Inc {
			last = max(last, d.N)
		}
		if a.removed {
			continue
		}
		if _, ok := remove[a.elem]; ok {
			out.put(d, addition{removed: true})
		} else if !out.dots[d].removed {
			present[a.elem] = struct{}{}
		}
	}
	for _, e := range in.Adds {
		if len(e) > MaxElementBytes {
			return nil, fmt.Errorf("crdt: %w: set element of %d bytes, want at most %d", ErrLimit, len(e), MaxElementBytes)
		}
		if _, ok := present[e]; ok {
			continue
		}
		present[e] = struct{}{}
		last++
		out.put(Dot{Inc: in.Inc, N: last}, addition{elem: e})
	}
	if len(s.dots)+s.missing(out) > MaxSetDots {
		return nil, fmt.Errorf("crdt: %w: %d dots in a set", ErrLimit, MaxSetDots)
	}
	return out, nil
}

// accumulate appends the increment inc to the increment s.
func (s *Set) accumulate(inc State) error {
	in := inc.(*Set)
	if len(s.Adds)+len(in.Adds) > MaxSetDots || len(s.Removes)+len(in.Removes) > MaxSetDots ||
		len(s.dots)+s.missing(in) > MaxSetDots {
		return fmt.Errorf("crdt: %w: %d changes of a set in one commit", ErrLimit, MaxSetDots)
	}
	removed := make(map[string]struct{}, len(in.Removes))
	for _, e := range in.Removes {
		removed[e] = struct{}{}
	}
	s.Adds = slices.DeleteFunc(s.Adds, func(e string) bool { _, ok := removed[e]; return ok })
	s.Adds = sortedUnion(s.Adds, in.Adds)
	s.Removes = sortedUnion(s.Removes, in.Removes)
	s.raise(in, 0)
	s.Inc = in.Inc
	return nil
}

func sortedUnion(a, b []string) []string {
	a = append(a, b...)
	slices.Sort(a)
	return slices.Compact(a)
}

// pick returns the dots that keep keeps, or nil.
func (s *Set) pick(keep func(Dot, addition) bool) State {
	out := new(Set)
	for d, a := range s.dots {
		if keep(d, a) {
			out.put(d, a)
		}
	}
	if len(out.dots) == 0 {
		return nil
	}
	return out
}

// Delta implements State.
func (s *Set) Delta(from, to uint64) (State, uint64) {
	var tag uint64
	d := s.pick(func(_ Dot, a addition) bool {
		if a.stamp <= from || a.stamp > to {
			return false
		}
		tag = max(tag, a.stamp)
		return true
	})
	return d, tag
}

// Stamps implements State. Calls are in no particular order.
func (s *Set) Stamps(from uint64, f func(stamp uint64, size int)) {
	for _, a := range s.dots {
		if a.stamp > from {
			f(a.stamp, 4+len(a.elem))
		}
	}
}

// Restrict implements State.
func (s *Set) Restrict(d State) State {
	in := d.(*Set)
	return s.pick(func(dot Dot, _ addition) bool { _, ok := in.dots[dot]; return ok })
}

// Combine implements State: the union.
func (s *Set) Combine(o State) error {
	_, err := s.Join(o, 0, nil, 0)
	return err
}

// AddExcess implements State.
func (s *Set) AddExcess(own, _ State) error { return s.Combine(own) }

// Remove implements State: a set has no additive part.
func (s *Set) Remove(State) {}

// Clone implements State.
func (s *Set) Clone() State {
	return &Set{Inc: s.Inc, Adds: slices.Clone(s.Adds), Removes: slices.Clone(s.Removes), dots: maps.Clone(s.dots)}
}

// Size implements State.
func (s *Set) Size() int {
	n := 128
	for _, a := range s.dots {
		n += 96 + len(a.elem)
	}
	return n
}
