package crdt

import (
	"errors"
	"fmt"

	"meshd/internal/mutant"
)

// Value is the lattice value of one cell, or a delta of one: the absolute values of some of its parts. The zero
// Value of a kind is bottom. Counters and updowns, which are most cells, live in P and N without a pointer; all
// other kinds live in X (nil is bottom).
//
// A value moves in three ways. Its writer computes Next, the absolute values of the parts that an increment
// changes. Replicas, the writer's own included, Join such deltas. Readers Combine copies of different origins.
type Value struct {
	Kind Kind
	P, N Fixed
	X    State
}

// State is the lattice value of a kind that has parts of its own: buckets, registers, dots, samples. Each part
// carries a stamp, the seq with which it last rose at this replica, so that Delta can pick what a peer lacks.
// Stamps are bookkeeping: they take no part in equality, canonical bytes or joins.
//
// All arguments of type State are of the receiver's own type; Value checks that before it calls.
type State interface {
	// Join raises the parts of the receiver to those of d and stamps each part that rose with max(its stamp, stamp).
	// If sum is not nil, the rises are added to it too (additive kinds) or d is joined into it (the others), stamped
	// sumStamp. It keeps no reference to d. ErrLimit: nothing was changed.
	Join(d State, stamp uint64, sum State, sumStamp uint64) (rose bool, err error)
	// Next returns, as a delta, the absolute values that the parts named by the increment inc take when the writer
	// applies it, or nil if it says nothing new. The receiver is unchanged. ErrLimit, ErrRange.
	Next(inc State) (State, error)
	// Delta returns the parts with a stamp in (from, to] and the highest such stamp; nil if there are none.
	Delta(from, to uint64) (d State, tag uint64)
	// Stamps calls f for the stamp and the approximate encoded size in bytes of every part with a stamp > from.
	Stamps(from uint64, f func(stamp uint64, size int))
	// Restrict returns the receiver's values of those parts that d has; nil if none.
	Restrict(d State) State
	// Combine adds another origin's copy: sums for additive parts, joins for the others.
	Combine(o State) error
	// AddExcess combines what own has beyond part: max(0, own-part) for additive parts, a join with own for the
	// others. part may be nil (bottom).
	AddExcess(own, part State) error
	// Remove subtracts the additive parts of o, which must be contained; other parts stay.
	Remove(o State)
	// Clone returns a deep copy, stamps included.
	Clone() State
	// AppendBinary appends the canonical bytes: equal exactly when the states are equal.
	AppendBinary(dst []byte) []byte
	// Size returns the approximate bytes of memory held.
	Size() int
}

// Errors of values. Callers branch on them to count refusals by reason.
var (
	ErrLimit = errors.New("limit reached")
	ErrRange = errors.New("out of range")
	ErrKind  = errors.New("kinds differ")
	ErrBytes = errors.New("malformed bytes")
)

// Bottom returns the least value of kind k.
func Bottom(k Kind) Value { return Value{Kind: k} }

// NewState returns an empty state of kind k, or nil if the kind has none.
func NewState(k Kind) State {
	switch k {
	case KindGauge:
		return new(Gauge)
	case KindRollup:
		return new(Rollup)
	case KindDistribution:
		return new(Distribution)
	case KindUnique:
		return new(Unique)
	case KindSet:
		return new(Set)
	case KindObserved:
		return new(Observed)
	case KindHistogram:
		return new(Histograms)
	case KindCounter, KindUpDown:
	}
	return nil
}

// kindOf returns the kind whose state x is, or 0.
func kindOf(x State) Kind {
	switch x.(type) {
	case *Gauge:
		return KindGauge
	case *Rollup:
		return KindRollup
	case *Distribution:
		return KindDistribution
	case *Unique:
		return KindUnique
	case *Set:
		return KindSet
	case *Observed:
		return KindObserved
	case *Histograms:
		return KindHistogram
	}
	return 0
}

// check reports why o cannot be joined to v, so that states may assume arguments of their own type.
func (v *Value) check(o *Value) error {
	if v.Kind != o.Kind {
		return fmt.Errorf("crdt: %w: %s and %s", ErrKind, v.Kind, o.Kind)
	}
	if o.X != nil && kindOf(o.X) != o.Kind {
		return fmt.Errorf("crdt: %w: %s with a state of %T", ErrKind, o.Kind, o.X)
	}
	return nil
}

// Join raises v to the least upper bound of v and d. If sum is not nil, what v gained is added to sum, which must
// be of the same kind: a running total over origins stays exact without ever being recomputed. stamp and sumStamp
// go to the parts that rose. It reports whether anything rose.
func (v *Value) Join(d *Value, stamp uint64, sum *Value, sumStamp uint64) (bool, error) {
	if err := v.check(d); err != nil {
		return false, err
	}
	if sum != nil {
		if err := v.check(sum); err != nil {
			return false, err
		}
	}
	if d.X == nil && v.X == nil {
		return v.joinAmounts(d, sum)
	}
	if d.X == nil {
		return false, nil
	}
	if v.X == nil {
		v.X = NewState(v.Kind)
	}
	if sum == nil {
		return v.X.Join(d.X, stamp, nil, 0)
	}
	if sum.X == nil {
		sum.X = NewState(v.Kind)
	}
	return v.X.Join(d.X, stamp, sum.X, sumStamp)
}

func (v *Value) joinAmounts(d, sum *Value) (bool, error) {
	p, n := v.P.Max(d.P), v.N.Max(d.N)
	if mutant.On("join adds") {
		p, _ = v.P.Add(d.P)
	}
	if mutant.On("join skips N") && !v.N.IsZero() {
		n = v.N
	}
	if p == v.P && n == v.N {
		return false, nil
	}
	if sum != nil {
		sp, ok1 := sum.P.Add(p.Sub(v.P))
		sn, ok2 := sum.N.Add(n.Sub(v.N))
		if !ok1 || !ok2 {
			return false, fmt.Errorf("crdt: %w: total of 2^80", ErrLimit)
		}
		sum.P, sum.N = rounded(sp), rounded(sn)
	}
	v.P, v.N = p, n
	return true, nil
}

// Next returns the absolute values of the parts that inc changes, as its writer would store them. v is unchanged:
// a commit that fails leaves no trace.
func (v *Value) Next(inc *Value) (Value, error) {
	if err := v.check(inc); err != nil {
		return Value{}, err
	}
	out := Value{Kind: v.Kind}
	if inc.X != nil {
		x := v.X
		if x == nil {
			x = NewState(v.Kind)
		}
		var err error
		out.X, err = x.Next(inc.X)
		return out, err
	}
	var ok1, ok2 bool
	out.P, ok1 = v.P.Add(inc.P)
	out.N, ok2 = v.N.Add(inc.N)
	if !ok1 || !ok2 || MaxCell.Less(out.P) || MaxCell.Less(out.N) {
		return Value{}, fmt.Errorf("crdt: %w: a cell holds at most 2^64", ErrLimit)
	}
	return out, nil
}

// accumulator is a state whose increments are not values of it, so that one increment after another is not computed
// as the next value of a cell is. ErrLimit, ErrRange: nothing was changed.
type accumulator interface{ accumulate(inc State) error }

// Grow adds the increment inc to the increment v in place: applying v is then as applying both in turn. It is for
// accumulators that collect increments before a commit; cells move by Next and Join only.
func (v *Value) Grow(inc *Value) error {
	if _, ok := inc.X.(accumulator); ok {
		if err := v.check(inc); err != nil {
			return err
		}
		if v.X != nil {
			return v.X.(accumulator).accumulate(inc.X)
		}
		if _, err := NewState(v.Kind).Next(inc.X); err != nil {
			return err
		}
		v.X = inc.X.Clone()
		return nil
	}
	d, err := v.Next(inc)
	if err != nil {
		return err
	}
	if inc.X == nil {
		v.P, v.N = d.P, d.N
		return nil
	}
	if x, ok := d.X.(*Observed); ok && v.X == nil {
		v.X = x // made by Next, and nobody else's
		return nil
	}
	_, err = v.Join(&d, 0, nil, 0)
	return err
}

// Delta returns the parts of v that changed in (from, to], given seq, the seq of v's last change, and the tag: the
// highest stamp among them. Values without parts are returned whole.
func (v *Value) Delta(from, to, seq uint64) (d Value, tag uint64, ok bool) {
	if v.X == nil {
		return *v, seq, seq > from && seq <= to
	}
	x, tag := v.X.Delta(from, to)
	return Value{Kind: v.Kind, X: x}, tag, x != nil
}

// Restrict returns the values of those parts of v that d has.
func (v *Value) Restrict(d *Value) Value {
	out := Value{Kind: v.Kind, P: v.P, N: v.N}
	if v.X != nil && d.X != nil {
		out.X = v.X.Restrict(d.X)
	}
	return out
}

// Combine adds the copy of another origin: sums for additive kinds, joins for the others.
func (v *Value) Combine(o *Value) error {
	if err := v.check(o); err != nil {
		return err
	}
	if o.X != nil {
		if v.X == nil {
			v.X = NewState(v.Kind)
		}
		return v.X.Combine(o.X)
	}
	var ok1, ok2 bool
	p, ok1 := v.P.Add(o.P)
	n, ok2 := v.N.Add(o.N)
	if !ok1 || !ok2 {
		return fmt.Errorf("crdt: %w: total of 2^80", ErrLimit)
	}
	v.P, v.N = p, n
	return nil
}

// AddExcess combines into v what own holds beyond part: what a node wrote and a total does not contain yet.
func (v *Value) AddExcess(own, part *Value) error {
	if err := v.check(own); err != nil {
		return err
	}
	if err := v.check(part); err != nil {
		return err
	}
	if own.X != nil {
		if v.X == nil {
			v.X = NewState(v.Kind)
		}
		return v.X.AddExcess(own.X, part.X)
	}
	return v.Combine(&Value{Kind: v.Kind, P: own.P.Sub(part.P), N: own.N.Sub(part.N)})
}

// Remove subtracts the additive parts of o, which v must contain; other parts stay.
func (v *Value) Remove(o *Value) {
	v.P, v.N = v.P.Sub(o.P), v.N.Sub(o.N)
	if v.X != nil && o.X != nil {
		v.X.Remove(o.X)
	}
}

// Clone returns a deep copy.
func (v *Value) Clone() Value {
	out := *v
	if v.X != nil {
		out.X = v.X.Clone()
	}
	return out
}

// AppendBinary appends the canonical bytes of v without its kind: equal exactly when two values of a kind are equal.
func (v *Value) AppendBinary(dst []byte) []byte {
	if v.X != nil {
		return v.X.AppendBinary(dst)
	}
	switch v.Kind {
	case KindCounter:
		return v.P.AppendBinary(dst)
	case KindUpDown:
		return v.N.AppendBinary(v.P.AppendBinary(dst))
	case KindGauge, KindRollup, KindDistribution, KindUnique, KindSet, KindObserved, KindHistogram:
		return NewState(v.Kind).AppendBinary(dst)
	}
	return dst
}

// ParseValue reads the canonical bytes of a value: the inverse of AppendBinary. It refuses what ParseState refuses.
func ParseValue(k Kind, b []byte, stamp uint64) (Value, error) {
	out := Value{Kind: k}
	switch k {
	case KindCounter, KindUpDown:
		r := byteReader{b: b}
		out.P = Fixed{Hi: r.uint64(), Lo: r.uint64()}
		if k == KindUpDown {
			out.N = Fixed{Hi: r.uint64(), Lo: r.uint64()}
		}
		return out, r.done(k)
	case KindGauge, KindRollup, KindDistribution, KindUnique, KindSet, KindObserved, KindHistogram:
	}
	var err error
	out.X, err = ParseState(k, b, stamp)
	return out, err
}

// ParseState reads the canonical bytes of a state. It refuses bytes that are not canonical, trailing bytes and
// anything beyond the kind's limits; what it allocates is bounded by len(b). Parts are stamped with stamp.
func ParseState(k Kind, b []byte, stamp uint64) (State, error) {
	switch k {
	case KindGauge:
		return parseGauge(b, stamp)
	case KindRollup:
		return parseRollup(b, stamp)
	case KindDistribution:
		return parseDistribution(b, stamp)
	case KindUnique:
		return parseUnique(b, stamp)
	case KindSet:
		return parseSet(b, stamp)
	case KindObserved:
		return parseObserved(b, stamp)
	case KindHistogram:
		return parseHistograms(b, stamp)
	case KindCounter, KindUpDown:
	}
	return nil, fmt.Errorf("crdt: %w: kind %s has no state", ErrBytes, k)
}
