package wire

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"meshd/crdt"
)

func drawDelta(t *rapid.T) *Delta {
	return &Delta{Frame: rapid.SliceOfN(rapid.Byte(), 0, 100).Draw(t, "frame"), Sum: rapid.Uint32().Draw(t, "sum")}
}

func TestDeltaRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) { checkMessage(t, drawDelta(t)) })
}

// amountsOf returns a frame of counters and updowns with the given amounts, by ref.
func amountsOf(seq uint64, of map[uint32]uint64) *Frame {
	f := &Frame{Origin: crdt.Origin{Class: crdt.ClassView, Region: "us", Node: "hub", Inc: crdt.Incarnation{1}}, From: seq - 1, To: seq, Head: seq}
	for ref, n := range of {
		v := crdt.Value{Kind: crdt.KindCounter, P: crdt.Fixed{Hi: n, Lo: n << 40}}
		if ref%3 == 0 {
			v.Kind, v.N = crdt.KindUpDown, crdt.FixedFromUint(n/2)
		}
		f.Cells = append(f.Cells, Cell{Ref: ref, Seq: seq, Value: v})
	}
	f.Sort()
	return f
}

func TestAFrameToldByTheOneBefore(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		amount := rapid.Uint64Max(1 << 40)
		was := rapid.MapOfN(rapid.Uint32Max(20), amount, 0, 20).Draw(t, "before")
		now := map[uint32]uint64{}
		for ref, n := range rapid.MapOfN(rapid.Uint32Max(20), amount, 0, 20).Draw(t, "gains") {
			now[ref] = was[ref] + n
		}
		base, f := amountsOf(7, was), amountsOf(8, now)
		d := f.Since(base)
		if d == nil {
			for ref := range now {
				if _, ok := was[ref]; ok {
					t.Fatalf("%d is in both, and nothing is told by it", ref)
				}
			}
			return
		}
		raw, err := AppendFrame(nil, d)
		if err != nil {
			t.Fatal(err)
		}
		got, err := ParseFrame(raw)
		if err != nil {
			t.Fatal(err)
		}
		if err := got.Atop(base, f.Sum()); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(f, got, same); diff != "" {
			t.Fatalf("(-want +got):\n%s", diff)
		}
	})
}

func TestAFrameToldByAnotherOneIsRefused(t *testing.T) {
	f, base := amountsOf(8, map[uint32]uint64{1: 100, 2: 200}), amountsOf(7, map[uint32]uint64{1: 90, 2: 150})
	for name, by := range map[string]*Frame{
		"none": nil, "other amounts": amountsOf(7, map[uint32]uint64{1: 90, 2: 151}), "fewer cells": amountsOf(7, map[uint32]uint64{1: 90}),
	} {
		if err := f.Since(base).Atop(by, f.Sum()); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	over := amountsOf(7, map[uint32]uint64{1: 1 << 63})
	if err := amountsOf(8, map[uint32]uint64{1: 1 << 63}).Atop(over, 0); !errors.Is(err, ErrInvalid) {
		t.Errorf("an amount that overflows: %v", err)
	}
	if amountsOf(8, map[uint32]uint64{1: 80}).Since(base) != nil {
		t.Error("an amount that fell is told as a gain")
	}
}
