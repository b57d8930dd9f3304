package crdt

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"math"
)

// Rollup describes a gauge over the live origins of one region. A hub writes it whole, and it is read whole: of two
// copies the higher Stamp wins, and nothing is taken from the other.
//
// Sums are floats: they are deterministic for one order of origins, which writers keep sorted. A sum beyond the
// largest float64 stays there.
type Rollup struct {
	Stamp     HLC     // when the hub wrote it
	Count     uint32  // origins that Sum, Min and Max are over
	Expected  uint32  // origins that should have had a value
	Sum       float64 // with Min, Max, Last and LastValue: 0 if Count is 0
	Min, Max  float64
	Last      HLC // the newest write among the origins
	LastValue float64

	stamp uint64
}

// RollupOf describes gs, which are in the order of their origins. The caller sets Stamp and Expected.
func RollupOf(gs []*Gauge) *Rollup {
	r := new(Rollup)
	for _, g := range gs {
		r.AddGauge(g)
	}
	return r
}

// AddGauge adds the value of one more origin.
func (r *Rollup) AddGauge(g *Gauge) {
	r.add(&Rollup{Count: 1, Sum: g.Value, Min: g.Value, Max: g.Value, Last: g.Time, LastValue: g.Value})
}

// add adds the origins of o, which are others than the receiver's.
func (r *Rollup) add(o *Rollup) {
	r.Expected = addUint32(r.Expected, o.Expected)
	if o.Count == 0 {
		return
	}
	if r.Count == 0 {
		r.Min, r.Max, r.Last, r.LastValue = o.Min, o.Max, o.Last, o.LastValue
	}
	r.Count = addUint32(r.Count, o.Count)
	r.Sum = min(max(r.Sum+o.Sum, -math.MaxFloat64), math.MaxFloat64)
	r.Min, r.Max = min(r.Min, o.Min), max(r.Max, o.Max)
	newer := Gauge{Time: o.Last, Value: o.LastValue}
	if newer.compareTime(&Gauge{Time: r.Last, Value: r.LastValue}) > 0 {
		r.Last, r.LastValue = o.Last, o.LastValue
	}
}

func addUint32(a, b uint32) uint32 { return uint32(min(uint64(a)+uint64(b), math.MaxUint32)) }

// compare orders rollups by Stamp; the rest makes the order total.
func (r *Rollup) compare(o *Rollup) int {
	return cmp.Or(cmp.Compare(r.Stamp, o.Stamp), cmp.Compare(r.Count, o.Count), cmp.Compare(r.Expected, o.Expected),
		cmp.Compare(floatBits(r.Sum), floatBits(o.Sum)), cmp.Compare(floatBits(r.Min), floatBits(o.Min)),
		cmp.Compare(floatBits(r.Max), floatBits(o.Max)), cmp.Compare(r.Last, o.Last),
		cmp.Compare(floatBits(r.LastValue), floatBits(o.LastValue)))
}

// Join implements State. sum takes the copy with the higher Stamp, as the receiver does: a description that is
// replaced whole has no running sum over origins.
func (r *Rollup) Join(d State, stamp uint64, sum State, sumStamp uint64) (bool, error) {
	in := d.(*Rollup)
	if !r.take(in, stamp) {
		return false, nil
	}
	if s, ok := sum.(*Rollup); ok {
		s.take(in, sumStamp)
	}
	return true, nil
}

func (r *Rollup) take(in *Rollup, stamp uint64) bool {
	if in.compare(r) <= 0 {
		return false
	}
	stamp = max(stamp, r.stamp)
	*r = *in
	r.stamp = stamp
	return true
}

// Next implements State: the increment is the new description. Its Stamp is moved after the receiver's if the
// hub's clock went back.
func (r *Rollup) Next(inc State) (State, error) {
	out := *inc.(*Rollup)
	out.stamp = 0
	if r.compare(new(Rollup)) > 0 {
		out.Stamp = max(out.Stamp, r.Stamp.next())
	}
	if !isFinite(out.Sum) || !isFinite(out.Min) || !isFinite(out.Max) || !isFinite(out.LastValue) {
		return nil, fmt.Errorf("crdt: %w: rollup of values that are not finite", ErrRange)
	}
	return &out, nil
}

// Delta implements State.
func (r *Rollup) Delta(from, to uint64) (State, uint64) {
	if r.stamp <= from || r.stamp > to {
		return nil, 0
	}
	return r.Clone(), r.stamp
}

// Stamps implements State.
func (r *Rollup) Stamps(from uint64, f func(stamp uint64, size int)) {
	if r.stamp > from {
		f(r.stamp, 40)
	}
}

// Restrict implements State.
func (r *Rollup) Restrict(d State) State {
	if bottom := new(Rollup); r.compare(bottom) == 0 || d.(*Rollup).compare(bottom) == 0 {
		return nil
	}
	return r.Clone()
}

// Combine implements State: the origins of both. The result's Stamp is the newer one.
func (r *Rollup) Combine(o State) error {
	in := o.(*Rollup)
	r.add(in)
	r.Stamp = max(r.Stamp, in.Stamp)
	return nil
}

// AddExcess implements State: the copy with the higher Stamp, because two descriptions may be of the same origins.
func (r *Rollup) AddExcess(own, _ State) error {
	r.take(own.(*Rollup), 0)
	return nil
}

// Remove implements State: what was folded into extremes cannot be taken out again.
func (r *Rollup) Remove(State) {}

// Clone implements State.
func (r *Rollup) Clone() State {
	out := *r
	return &out
}

// AppendBinary implements State: 8 bytes each of Stamp and Last, big endian, Count and Expected as uvarints, then
// Sum, Min, Max and LastValue, each as the uvarint of its IEEE 754 bits in reversed byte order.
func (r *Rollup) AppendBinary(dst []byte) []byte {
	dst = binary.BigEndian.AppendUint64(dst, uint64(r.Stamp))
	dst = binary.BigEndian.AppendUint64(dst, uint64(r.Last))
	dst = binary.AppendUvarint(dst, uint64(r.Count))
	dst = binary.AppendUvarint(dst, uint64(r.Expected))
	for _, f := range [...]float64{r.Sum, r.Min, r.Max, r.LastValue} {
		dst = appendFloat(dst, f+0)
	}
	return dst
}

// Size implements State.
func (r *Rollup) Size() int { return 72 }

func parseRollup(b []byte, stamp uint64) (State, error) {
	d := &byteReader{b: b}
	r := &Rollup{
		Stamp: HLC(d.uint64()), Last: HLC(d.uint64()), Count: d.uint32(), Expected: d.uint32(),
		Sum: readFloat(d), Min: readFloat(d), Max: readFloat(d), LastValue: readFloat(d), stamp: stamp,
	}
	if err := d.done(KindRollup); err != nil {
		return nil, err
	}
	return r, nil
}
