package crdt

import (
	"errors"
	"math"
	"testing"

	"pgregory.net/rapid"
)

// A value of one kind never meets one of another, whatever a peer sends.
func TestKindsDoNotMix(t *testing.T) {
	alien := func(k Kind) []*Value {
		other := KindCounter
		if k == KindCounter {
			other = KindUpDown
		}
		forged := &Value{Kind: k, X: new(Set)}
		if k == KindSet {
			forged.X = new(Unique)
		}
		return []*Value{{Kind: other}, {}, forged}
	}
	for _, s := range subjects {
		for i, o := range alien(s.kind) {
			own, good := Bottom(s.kind), Bottom(s.kind)
			if s.kind > KindUpDown {
				own.X, good.X = NewState(s.kind), NewState(s.kind)
			}
			before := bytesOf(&own)
			_, errJoin := own.Join(o, 1, nil, 0)
			_, errSum := own.Join(&good, 1, o, 1)
			_, errNext := own.Next(o)
			for op, err := range map[string]error{
				"join": errJoin, "join with sum": errSum, "next": errNext, "grow": own.Grow(o), "combine": own.Combine(o),
				"excess of": own.AddExcess(o, &good), "excess over": own.AddExcess(&good, o),
			} {
				if !errors.Is(err, ErrKind) {
					t.Errorf("%s %s with stranger %d: %v, want ErrKind", s.kind, op, i, err)
				}
			}
			if bytesOf(&own) != before {
				t.Errorf("%s was changed by stranger %d", s.kind, i)
			}
		}
	}
}

func TestBottomIsNeutral(t *testing.T) {
	forEachKind(t, nil, func(t *rapid.T, s *subject) {
		v, bottom := s.drawValue(t, "v"), Bottom(s.kind)
		want := bytesOf(v)
		got := joined(t, &bottom, v)
		if bytesOf(got) != want {
			t.Fatalf("bottom joined with %x is %x", want, bytesOf(got))
		}
		if mustJoin(t, v, &bottom, 5) || bytesOf(v) != want {
			t.Fatalf("joining bottom changed %x to %x", want, bytesOf(v))
		}
		if err := v.Combine(&bottom); err != nil || bytesOf(v) != want {
			t.Fatalf("combining bottom changed %x to %x, %v", want, bytesOf(v), err)
		}
		if v.Remove(&bottom); bytesOf(v) != want {
			t.Fatalf("removing bottom changed %x to %x", want, bytesOf(v))
		}
		empty := Bottom(s.kind)
		if s.kind > KindUpDown {
			empty.X = NewState(s.kind)
		}
		if bytesOf(&empty) != bytesOf(&bottom) {
			t.Fatalf("an empty state and none differ: %x and %x", bytesOf(&empty), bytesOf(&bottom))
		}
	})
}

// An accumulator leads to the value that its increments would have led to one by one. (What they lead to is in the
// tests of gauges and sets, whose increments are not values.)
func TestGrowCollectsIncrements(t *testing.T) {
	plain := func(s *subject) bool { return s.kind != KindGauge && s.kind != KindSet && s.kind != KindRollup }
	forEachKind(t, plain, func(t *rapid.T, s *subject) {
		w := newWriter(s, 0)
		w.write(t)
		single, acc := w.cell.Clone(), Bottom(s.kind)
		for range rapid.IntRange(1, 4).Draw(t, "increments") {
			inc := s.drawInc(t, w.inc)
			d, err := single.Next(inc)
			if err != nil {
				t.Fatalf("next: %v", err)
			}
			mustJoin(t, &single, &d, 9)
			if err := acc.Grow(inc); err != nil {
				t.Fatalf("grow: %v", err)
			}
		}
		d, err := w.cell.Next(&acc)
		if err != nil {
			t.Fatalf("next: %v", err)
		}
		if mustJoin(t, &w.cell, &d, 9); bytesOf(&w.cell) != bytesOf(&single) {
			t.Fatalf("in one commit %x, in several %x", bytesOf(&w.cell), bytesOf(&single))
		}
	})
}

func TestAmountLimits(t *testing.T) {
	one := Fixed{Lo: 1}
	top := Fixed{Hi: math.MaxUint64, Lo: math.MaxUint64}
	for _, row := range []struct {
		name      string
		have, inc Value
		ok        bool
	}{
		{"exactly full", Value{P: MaxCell.Sub(one)}, Value{P: one}, true},
		{"P above", Value{P: MaxCell}, Value{P: one}, false},
		{"N above", Value{N: MaxCell}, Value{N: one}, false},
		{"beyond 2^80", Value{P: MaxCell}, Value{P: top}, false},
	} {
		row.have.Kind, row.inc.Kind = KindUpDown, KindUpDown
		if _, err := row.have.Next(&row.inc); (err == nil) != row.ok || err != nil && !errors.Is(err, ErrLimit) {
			t.Errorf("next, %s: %v", row.name, err)
		}
		before := row.have
		if err := row.have.Grow(&row.inc); (err == nil) != row.ok || err != nil && row.have != before {
			t.Errorf("grow, %s: %v, left %v", row.name, err, row.have)
		}
	}
	for name, v := range map[string]Value{"P": {Kind: KindUpDown, P: one}, "N": {Kind: KindUpDown, N: one}} {
		full := Value{Kind: KindUpDown, P: top, N: top}
		if err := full.Combine(&v); !errors.Is(err, ErrLimit) || full.P != top || full.N != top {
			t.Errorf("combining %s with a full total: %v, left %v", name, err, full)
		}
		cell := Bottom(KindUpDown)
		if _, err := cell.Join(&v, 1, &full, 1); !errors.Is(err, ErrLimit) || cell != Bottom(KindUpDown) || full.P != top || full.N != top {
			t.Errorf("joining %s with a full sum: %v, left %v", name, err, cell)
		}
	}
}

func TestUnknownKindsHaveNoBytes(t *testing.T) {
	for _, k := range []Kind{0, KindCounter, KindUpDown, 10} {
		if x, err := ParseState(k, nil, 0); !errors.Is(err, ErrBytes) {
			t.Errorf("ParseState of %s = %v, %v, want ErrBytes", k, x, err)
		}
	}
	unknown := Value{Kind: 10, P: FixedFromUint(1)}
	if b := unknown.AppendBinary(nil); len(b) != 0 {
		t.Errorf("bytes %x of kind 10", b)
	}
	if _, err := ParseValue(10, nil, 0); !errors.Is(err, ErrBytes) {
		t.Errorf("ParseValue of kind 10: %v, want ErrBytes", err)
	}
}

func TestSizeCoversTheParts(t *testing.T) {
	forEachKind(t, func(s *subject) bool { return s.inc != nil }, func(t *rapid.T, s *subject) {
		v := s.drawValue(t, "v")
		if v.X == nil {
			return
		}
		if size, least := v.X.Size(), len(v.AppendBinary(nil)); size < least/2 || NewState(s.kind).Size() > max(size, 256) {
			t.Fatalf("size %d for %d bytes", size, least)
		}
	})
}

func TestCounterJoinDoesNotAllocate(t *testing.T) {
	cell, sum, inc := Bottom(KindCounter), Bottom(KindCounter), Value{Kind: KindCounter, P: FixedFromUint(1)}
	d, acc := inc, Bottom(KindCounter)
	if n := testing.AllocsPerRun(100, func() {
		d.P, _ = d.P.Add(inc.P)
		if rose, err := cell.Join(&d, 1, &sum, 1); err != nil || !rose {
			t.Fatalf("join: %v, %v", rose, err)
		}
		if next, err := cell.Next(&inc); err != nil || !cell.P.Less(next.P) {
			t.Fatalf("next: %v, %v", next, err)
		}
		if err := acc.Grow(&inc); err != nil {
			t.Fatalf("grow: %v", err)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
