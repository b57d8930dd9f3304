package crdt

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// run is one life of a source outside the mesh, from its start; 0 is an unknown start.
type run struct {
	source string
	start  int64
}

func (r run) compare(o run) int {
	return cmp.Or(strings.Compare(r.source, o.source), cmp.Compare(r.start, o.start))
}

// reading is what was seen of one run: a lattice of its own. Readings are never changed in place.
type reading[R any] interface {
	// join returns the least upper bound with o, and whether it is above the receiver.
	join(o R) (out R, above bool)
}

// runSet holds a reading for each run, sorted by source and start. Most sets have one or two: a slice takes a fifth
// of what a map would.
type runSet[R reading[R]] []runEntry[R]

type runEntry[R any] struct {
	run
	stamp uint64
	value R
}

func (s runSet[R]) find(k run) (int, bool) {
	return slices.BinarySearchFunc(s, k, func(e runEntry[R], k run) int { return e.compare(k) })
}

// put joins r into the reading of k. It is for increments: nothing is stamped.
func (s *runSet[R]) put(k run, r R, limit int) error {
	i, held := s.find(k)
	if held {
		(*s)[i].value, _ = (*s)[i].value.join(r)
		return nil
	}
	if len(*s) >= limit {
		return errManyRuns(limit)
	}
	*s = slices.Insert(*s, i, runEntry[R]{run: k, value: r})
	return nil
}

func errManyRuns(limit int) error { return fmt.Errorf("crdt: %w: %d runs of sources", ErrLimit, limit) }

// missing counts the runs of in that s does not have.
func (s runSet[R]) missing(in runSet[R]) int {
	n := 0
	for i := range in {
		if _, held := s.find(in[i].run); !held {
			n++
		}
	}
	return n
}

// fits reports whether s with the runs of in has at most limit. It searches only where it may not have.
func (s runSet[R]) fits(in runSet[R], limit int) bool {
	return len(s)+len(in) <= limit || len(s)+s.missing(in) <= limit
}

// join is State.Join. ErrLimit: nothing was changed.
func (s *runSet[R]) join(in runSet[R], stamp uint64, sum *runSet[R], sumStamp uint64, limit int) (bool, error) {
	if !s.fits(in, limit) || sum != nil && !sum.fits(in, limit) {
		return false, errManyRuns(limit)
	}
	rose := s.raise(in, stamp)
	if sum != nil {
		sum.raise(in, sumStamp)
	}
	return rose, nil
}

// raise joins in. What it holds is raised in place, and all that is new is merged in at once.
func (s *runSet[R]) raise(in runSet[R], stamp uint64) (rose bool) {
	if len(*s) == 0 { // as of every cell and increment that begins
		*s = slices.Clone(in)
		for i := range *s {
			(*s)[i].stamp = stamp
		}
		return len(in) > 0
	}
	var fresh runSet[R]
	for i := range in {
		at, held := s.find(in[i].run)
		if !held {
			fresh = append(fresh, runEntry[R]{run: in[i].run, stamp: stamp, value: in[i].value})
			continue
		}
		e := &(*s)[at]
		if next, above := e.value.join(in[i].value); above {
			e.value, e.stamp, rose = next, max(e.stamp, stamp), true
		}
	}
	if len(fresh) == 0 {
		return rose
	}
	merged := make(runSet[R], 0, len(*s)+len(fresh))
	for _, e := range *s {
		for len(fresh) > 0 && fresh[0].compare(e.run) < 0 {
			merged, fresh = append(merged, fresh[0]), fresh[1:]
		}
		merged = append(merged, e)
	}
	*s = append(merged, fresh...)
	return true
}

// next is State.Next: the runs of the increment in that are above what s holds.
func (s runSet[R]) next(in runSet[R], limit int) (runSet[R], error) {
	if !s.fits(in, limit) {
		return nil, errManyRuns(limit)
	}
	var out runSet[R]
	for i := range in {
		next, above := in[i].value, true
		if at, held := s.find(in[i].run); held {
			next, above = s[at].value.join(in[i].value)
		}
		if above {
			out = append(out, runEntry[R]{run: in[i].run, value: next})
		}
	}
	return out, nil
}

// delta is State.Delta.
func (s runSet[R]) delta(from, to uint64) (out runSet[R], tag uint64) {
	for i := range s {
		if s[i].stamp > from && s[i].stamp <= to {
			out = append(out, s[i])
			tag = max(tag, s[i].stamp)
		}
	}
	return out, tag
}

// restrict returns the runs that d has.
func (s runSet[R]) restrict(d runSet[R]) (out runSet[R]) {
	for i := range s {
		if _, has := d.find(s[i].run); has {
			out = append(out, s[i])
		}
	}
	return out
}

// sources calls f for the runs of each source.
func (s runSet[R]) sources(f func(runs runSet[R])) {
	for len(s) > 0 {
		n := 1
		for n < len(s) && s[n].source == s[0].source {
			n++
		}
		f(s[:n])
		s = s[n:]
	}
}
