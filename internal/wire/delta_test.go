package wire

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"meshd/crdt"
)

func drawDelta(t *rapid.T) *Delta {
	return &Delta{
		Back: rapid.Uint32Range(0, MaxBack).Draw(t, "back"), Gains: rapid.SliceOfN(rapid.Byte(), 0, 100).Draw(t, "gains"),
		Sum: rapid.Uint32().Draw(t, "sum"),
	}
}

// gainsOf tells a frame by one that had one of its cells before.
func gainsOf(f *Frame) []byte {
	f.Sort()
	base := *f
	base.From, base.To, base.Head, base.Defs = 0, f.From, f.From, nil
	base.Cells = []Cell{{Ref: f.Cells[0].Ref, Seq: 1, Value: crdt.Value{Kind: crdt.KindCounter, P: crdt.FixedFromUint(1000)}}}
	gains, ok := NewBase(&base, nil).AppendGains(nil, f)
	if !ok {
		panic("wire: the small frame cannot be told")
	}
	return gains
}

func TestDeltaRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) { checkMessage(t, drawDelta(t)) })
	for _, m := range []Message{&Delta{Back: MaxBack + 1}, &Push{Back: MaxBack + 1}, &Delta{Gains: make([]byte, MaxFrameBytes+1)}} {
		if _, err := AppendMessage(nil, m); !errors.Is(err, ErrLimit) {
			t.Errorf("%T beyond a limit: %v", m, err)
		}
	}
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

// partsFor draws what of the amounts of a frame is an edge's own.
func partsFor(t *rapid.T, f *Frame, at map[uint32]uint64) []Yours {
	y := Yours{Inc: crdt.Incarnation{9}}
	for i := range f.Cells {
		c := &f.Cells[i]
		if rapid.Bool().Draw(t, "has a pair") {
			at[c.Ref] += rapid.Uint64Max(1000).Draw(t, "own")
			v := crdt.Value{Kind: c.Value.Kind, P: crdt.FixedFromUint(at[c.Ref])}
			y.Cells = append(y.Cells, YoursCell{Index: uint32(i), Value: v})
		}
	}
	return []Yours{y, {Inc: crdt.Incarnation{8}, Whole: true}}
}

func TestAFrameToldByTheOneBefore(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		amount := rapid.Uint64Max(1 << 40)
		was := rapid.MapOfN(rapid.Uint32Max(20), amount, 0, 20).Draw(t, "before")
		now := map[uint32]uint64{}
		for ref, n := range rapid.MapOfN(rapid.Uint32Max(20), amount, 0, 20).Draw(t, "gains") {
			now[ref] = was[ref] + n
		}
		base, f, own := amountsOf(7, was), amountsOf(8, now), map[uint32]uint64{}
		f.From = rapid.Uint64Range(0, 8).Draw(t, "from") // resumed, or beyond a gap
		b := NewBase(base, partsFor(t, base, own))
		yours := partsFor(t, f, own)
		gains, ok := b.AppendGains(nil, f)
		if !ok {
			for ref := range now {
				if _, ok := was[ref]; ok {
					t.Fatalf("%d is in both, and nothing is told by it", ref)
				}
			}
			return
		}
		gained, ok := b.PairsSince(f, yours)
		if !ok {
			t.Fatal("pairs that rose are not told by those before")
		}
		got, err := b.ParseGains(gains)
		if err != nil {
			t.Fatal(err)
		}
		pairs, err := b.PairsAtop(got, gained)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(f, got, same); diff != "" {
			t.Fatalf("(-want +got):\n%s", diff)
		}
		if diff := cmp.Diff(yours, pairs, cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("pairs (-want +got):\n%s", diff)
		}
		if f.Sum(yours) != got.Sum(pairs) {
			t.Fatal("the same has another sum")
		}
	})
}

func TestWhatIsToldKeepsDefinitionsAndOtherKinds(t *testing.T) {
	f := smallFrame()
	f.Sort()
	base := *f
	base.From, base.To, base.Head, base.Defs = 0, f.From, f.From, nil
	base.Cells = []Cell{f.Cells[0]}
	base.Cells[0].Seq = 1
	b := NewBase(&base, nil)
	gains, ok := b.AppendGains(nil, f)
	if !ok {
		t.Fatal("it cannot be told")
	}
	got, err := b.ParseGains(gains)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(f, got, same); diff != "" || got.Sum(nil) != f.Sum(nil) {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestASumIsOfAllThatIsSaid: whatever differs, so does the sum.
func TestASumIsOfAllThatIsSaid(t *testing.T) {
	of := func(change func(f *Frame, y []Yours)) uint32 {
		f, y := smallFrame(), []Yours{{Inc: crdt.Incarnation{1}, Cells: []YoursCell{{Value: crdt.Value{Kind: crdt.KindCounter}}}}}
		f.Sort()
		change(f, y)
		return f.Sum(y)
	}
	seen := map[uint32]string{}
	for name, change := range map[string]func(f *Frame, y []Yours){
		"nothing": func(*Frame, []Yours) {},
		"class":   func(f *Frame, _ []Yours) { f.Origin.Class++ }, "region": func(f *Frame, _ []Yours) { f.Origin.Region += "x" },
		"node": func(f *Frame, _ []Yours) { f.Origin.Node += "x" }, "incarnation": func(f *Frame, _ []Yours) { f.Origin.Inc[15]++ },
		"from": func(f *Frame, _ []Yours) { f.From-- }, "to": func(f *Frame, _ []Yours) { f.To++ }, "head": func(f *Frame, _ []Yours) { f.Head++ },
		"ref of a definition": func(f *Frame, _ []Yours) { f.Defs[0].Ref += 9 }, "seq of a definition": func(f *Frame, _ []Yours) { f.Defs[0].Seq += 9 },
		"series": func(f *Frame, _ []Yours) { f.Defs[0].Series.Name += "x" }, "ref": func(f *Frame, _ []Yours) { f.Cells[0].Ref += 9 },
		"seq": func(f *Frame, _ []Yours) { f.Cells[0].Seq += 9 }, "kind": func(f *Frame, _ []Yours) { f.Cells[0].Value.Kind = crdt.KindSet },
		"amount": func(f *Frame, _ []Yours) { f.Cells[0].Value.P.Lo++ }, "other amount": func(f *Frame, _ []Yours) { f.Cells[0].Value.N.Hi++ },
		"whose pairs": func(_ *Frame, y []Yours) { y[0].Inc[0]++ }, "whole": func(_ *Frame, y []Yours) { y[0].Whole = true },
		"which pair": func(_ *Frame, y []Yours) { y[0].Cells[0].Index++ }, "pair": func(_ *Frame, y []Yours) { y[0].Cells[0].Value.P.Lo++ },
		"no pairs": func(_ *Frame, y []Yours) { y[0].Cells = nil },
	} {
		sum := of(change)
		if seen[sum] != "" {
			t.Errorf("%s: the same sum as %s", name, seen[sum])
		}
		seen[sum] = name
	}
}

func TestAFrameToldByAnotherOneHasAnotherSum(t *testing.T) {
	f := amountsOf(8, map[uint32]uint64{1: 100, 2: 200})
	b := NewBase(amountsOf(7, map[uint32]uint64{1: 90, 2: 150}), nil)
	gains, ok := b.AppendGains(nil, f)
	if !ok {
		t.Fatal("it cannot be told")
	}
	elsewhere := amountsOf(7, map[uint32]uint64{1: 90, 2: 150})
	elsewhere.Origin.Region = "eu"
	for name, by := range map[string]*Frame{
		"other amounts": amountsOf(7, map[uint32]uint64{1: 90, 2: 151}), "fewer cells": amountsOf(7, map[uint32]uint64{1: 90}),
		"another region": elsewhere, "an older one": amountsOf(6, map[uint32]uint64{1: 90, 2: 150}),
	} {
		got, err := NewBase(by, nil).ParseGains(gains)
		if err == nil && got.Sum(nil) == f.Sum(nil) {
			t.Errorf("%s: taken for what was meant", name)
		}
	}
	over := NewBase(amountsOf(7, map[uint32]uint64{1: 1<<64 - 1}), nil)
	if _, err := over.ParseGains(gains); !errors.Is(err, ErrInvalid) {
		t.Errorf("an amount that overflows: %v", err)
	}
	if _, ok := b.AppendGains(nil, amountsOf(8, map[uint32]uint64{1: 80})); ok {
		t.Error("an amount that fell is told as a gain")
	}
	pair := func(n uint64) []Yours {
		return []Yours{{Cells: []YoursCell{{Index: 0, Value: crdt.Value{Kind: f.Cells[0].Value.Kind, P: crdt.FixedFromUint(n)}}}}}
	}
	b.Yours = pair(7)
	if _, ok := b.PairsSince(f, pair(6)); ok {
		t.Error("a pair that fell is told as a gain")
	}
	for name, y := range map[string]YoursCell{"of no cell": {Index: 99, Value: f.Cells[0].Value}, "of another kind": {Value: crdt.Value{Kind: crdt.KindUnique}}} {
		if _, err := b.PairsAtop(f, []Yours{{Cells: []YoursCell{y}}}); !errors.Is(err, ErrInvalid) {
			t.Errorf("a pair %s: %v", name, err)
		}
	}
}

func TestWhatIsNobodysBase(t *testing.T) {
	long, window := amountsOf(7, nil), amountsOf(7, nil)
	long.Cells, window.Stream = make([]Cell, MaxBaseCells+1), crdt.StreamWindow
	if NewBase(long, nil) != nil || NewBase(window, nil) != nil {
		t.Error("a long frame or a publication is kept")
	}
	if b := NewBase(amountsOf(7, nil), []Yours{{Cells: make([]YoursCell, MaxBaseCells+1)}}); b == nil || b.Yours != nil {
		t.Error("more pairs are kept than cells")
	}
	if _, ok := NewBase(amountsOf(7, map[uint32]uint64{1: 1}), nil).AppendGains(nil, long); ok {
		t.Error("a long frame is told")
	}
}

func FuzzParseGains(f *testing.F) {
	base := NewBase(amountsOf(7, map[uint32]uint64{1: 90, 2: 150, 3: 7}), nil)
	for _, of := range []map[uint32]uint64{{1: 100, 2: 200}, {1: 90, 9: 4}, {3: 8}} {
		gains, _ := base.AppendGains(nil, amountsOf(8, of))
		f.Add(gains)
	}
	small := smallFrame()
	small.Origin = base.Frame.Origin
	small.Cells = append(small.Cells[:0:0], base.Frame.Cells...)
	small.Sort()
	gains, _ := base.AppendGains(nil, small)
	f.Add(gains)
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := base.ParseGains(b)
		if err != nil {
			return
		}
		if _, err := AppendFrame(nil, got); err != nil {
			t.Fatalf("what was put together does not travel: %v", err)
		}
		again, ok := base.AppendGains(nil, got)
		if !ok {
			return // it has no cell of the base's
		}
		back, err := base.ParseGains(again)
		if err != nil || back.Sum(nil) != got.Sum(nil) {
			t.Fatalf("told again it is another frame: %v", err)
		}
	})
}
