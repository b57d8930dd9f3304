package short

import (
	"encoding/binary"
	"fmt"
	"strings"

	"meshd/crdt"
)

// The parts of the four series: each only rises, and each is judged on its own. A sample of the distribution is 0, 1 or
// -1, so that sums are whole and each sign has one bucket. Of the distinct things there are eight, a bit for each.
const (
	partCounter = iota
	partP
	partN
	partZeros
	partSumP
	partSumN
	partPositive
	partNegative
	partSeen
	numParts
)

// amounts are the parts of all series at one origin, or added up over some; of all time, or in one window.
type amounts [numParts]uint32

// series are what is counted: one of each kind that is added over origins.
var series = [...]*crdt.Series{
	{Name: "c", Kind: crdt.KindCounter},
	{Name: "u", Kind: crdt.KindUpDown},
	{Name: "d", Kind: crdt.KindDistribution},
	{Name: "q", Kind: crdt.KindUnique},
}

// indexOf returns the number of a series by its name, -1 if nobody here counts it.
func indexOf(name string) int {
	for i, s := range series {
		if s.Name == name {
			return i
		}
	}
	return -1
}

func (a *amounts) add(b *amounts) {
	for i := range partSeen {
		a[i] += b[i]
	}
	a[partSeen] |= b[partSeen]
}

func (a *amounts) raise(b *amounts) {
	for i := range partSeen {
		a[i] = max(a[i], b[i])
	}
	a[partSeen] |= b[partSeen]
}

// within reports whether no part of a exceeds that of b.
func (a *amounts) within(b *amounts) bool {
	for i := range partSeen {
		if a[i] > b[i] {
			return false
		}
	}
	return a[partSeen]&^b[partSeen] == 0
}

// String shows a as c=1 u=+2-0 d=0/3/0 q=10000000 with the zeros, positive and negative samples of the distribution; its sums only
// where they differ from the samples.
func (a *amounts) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "c=%d u=+%d-%d d=%d/%d/%d", a[partCounter], a[partP], a[partN], a[partZeros], a[partPositive], a[partNegative])
	if a[partSumP] != a[partPositive] || a[partSumN] != a[partNegative] {
		fmt.Fprintf(&b, "(sums %d %d)", a[partSumP], a[partSumN])
	}
	fmt.Fprintf(&b, " q=%08b", a[partSeen])
	return b.String()
}

// set writes the parts of v, a value of the series numbered at, and reports whether v counts only what can be written here.
func (a *amounts) set(at int, v *crdt.Value) bool {
	switch series[at].Kind {
	case crdt.KindCounter:
		a[partCounter] = whole(v.P)
	case crdt.KindUpDown:
		a[partP], a[partN] = whole(v.P), whole(v.N)
	case crdt.KindUnique:
		u, ok := v.X.(*crdt.Unique)
		if !ok {
			return v.X == nil
		}
		seen, ok := thingsIn(u)
		a[partSeen] = seen
		return ok
	default:
		d, ok := v.X.(*crdt.Distribution)
		if !ok {
			return v.X == nil
		}
		a[partZeros] = uint32(d.Zeros())
		a[partSumP], a[partSumN] = whole(d.Sum().P), whole(d.Sum().N)
		if d.Count() > d.Zeros() {
			h := d.Exponential()
			a[partPositive], a[partNegative] = single(h.Positive), single(h.Negative)
		}
		return uint64(a[partZeros]+a[partPositive]+a[partNegative]) == d.Count()
	}
	return true
}

// numThings is how many distinct things there are. Each sets one register of its own, with rank 1.
const numThings = 8

// thingsIn returns which things were seen, read from the canonical bytes (crdt/unique_bytes.go); false if one of them is none of ours.
func thingsIn(u *crdt.Unique) (seen uint32, ok bool) {
	var buf [2 + 2*numThings]byte
	b := u.AppendBinary(buf[:0])
	if b[0] != 0 || b[1] > numThings {
		return 0, false
	}
	at := -1
	for b = b[2:]; len(b) > 0; {
		x, n := binary.Uvarint(b)
		if at += int(x>>6) + 1; n <= 0 || x&0x3f != 1 || at >= numThings {
			return 0, false
		}
		seen |= 1 << at
		b = b[n:]
	}
	return seen, true
}

// valueOf returns the parts of the series numbered at as a value; of kind 0 if there are none.
func valueOf(at int, a *amounts) crdt.Value {
	v := crdt.Value{Kind: series[at].Kind}
	any := false
	switch v.Kind {
	case crdt.KindCounter:
		v.P = crdt.FixedFromUint(uint64(a[partCounter]))
		any = a[partCounter] > 0
	case crdt.KindUpDown:
		v.P, v.N = crdt.FixedFromUint(uint64(a[partP])), crdt.FixedFromUint(uint64(a[partN]))
		any = a[partP]+a[partN] > 0
	case crdt.KindUnique:
		u := new(crdt.Unique)
		for i := range uint64(numThings) {
			if a[partSeen]>>i&1 == 1 {
				u.InsertHash(i<<50 | 1<<49)
			}
		}
		v.X, any = u, a[partSeen] > 0
	default:
		d := new(crdt.Distribution)
		for i, n := range [...]uint32{a[partNegative], a[partZeros], a[partPositive]} {
			if n > 0 {
				any = true
				_ = d.Observe(float64(i-1), uint64(n)) // three small numbers
			}
		}
		v.X = d
	}
	if !any {
		return crdt.Value{}
	}
	return v
}

// whole returns the part of f before the point; all amounts here are whole.
func whole(f crdt.Fixed) uint32 { return uint32(f.Hi<<16 | f.Lo>>48) }

// single returns the count of the bucket that the sample 1 belongs to.
func single(b crdt.ExponentialBuckets) (n uint32) {
	for i, c := range b.Counts {
		if int(b.Offset)+i == -1 {
			n = uint32(c)
		}
	}
	return n
}

// increment returns n more of one part of a series, for the core and for the oracle.
func increment(at, part int, n uint32) (crdt.Value, amounts) {
	v, a := crdt.Value{Kind: series[at].Kind}, amounts{}
	switch amount := crdt.FixedFromUint(uint64(n)); {
	case v.Kind == crdt.KindCounter:
		v.P, a[partCounter] = amount, n
	case v.Kind == crdt.KindUpDown && part%2 == 0:
		v.P, a[partP] = amount, n
	case v.Kind == crdt.KindUpDown:
		v.N, a[partN] = amount, n
	case v.Kind == crdt.KindUnique:
		a[partSeen] = 1 << ((n + uint32(part)*3) % numThings)
		v = valueOf(at, &a)
	default:
		d := &crdt.Distribution{}
		sample := float64(part%3 - 1)
		if err := d.Observe(sample, uint64(n)); err != nil {
			panic(err) // three small numbers
		}
		v.X = d
		switch part % 3 {
		case 0:
			a[partSumN], a[partNegative] = n, n
		case 1:
			a[partZeros] = n
		case 2:
			a[partSumP], a[partPositive] = n, n
		}
	}
	return v, a
}
