package report

import (
	"bytes"
	"encoding/hex"
	"errors"
	"testing"

	"meshd/crdt"
	"meshd/internal/wire"
)

func counterItem(name string, n uint64) Item {
	return Item{
		Series: &crdt.Series{Name: name, Kind: crdt.KindCounter, Labels: []crdt.Label{{Name: "path", Value: "/"}}},
		Inc:    crdt.Value{Kind: crdt.KindCounter, P: crdt.FixedFromUint(n)},
	}
}

// sample has an item of every kind, in an order in which they do not travel.
func sample(t testing.TB) *Report {
	d, u := new(crdt.Distribution), new(crdt.Unique)
	if err := d.Observe(1.5, 3); err != nil {
		t.Fatal(err)
	}
	u.InsertHash(42)
	of := func(k crdt.Kind, x crdt.State) Item {
		return Item{&crdt.Series{Name: k.String(), Kind: k}, crdt.Value{Kind: k, X: x}}
	}
	return &Report{Session: [16]byte{1, 2}, Prev: 6, Seq: 7, Items: []Item{
		of(crdt.KindUnique, u), of(crdt.KindDistribution, d), of(crdt.KindGauge, &crdt.Gauge{Time: 1, Value: -2}),
		{&crdt.Series{Name: "level", Kind: crdt.KindUpDown}, crdt.Value{Kind: crdt.KindUpDown, N: crdt.FixedFromUint(9)}},
		counterItem("clicks", 5),
	}}
}

func TestWhatIsParsedIsWhatWasAppended(t *testing.T) {
	in := sample(t)
	b, err := Append(nil, in)
	if err != nil {
		t.Fatal(err)
	}
	out, err := Parse(b)
	if err != nil {
		t.Fatal(err)
	}
	if out.Session != in.Session || out.Prev != in.Prev || out.Seq != in.Seq || len(out.Items) != len(in.Items) {
		t.Fatalf("%+v, want %+v", out, in)
	}
	for i, it := range in.Items {
		got := out.Items[i]
		if got.Series.String() != it.Series.String() || !bytes.Equal(got.Inc.AppendBinary(nil), it.Inc.AppendBinary(nil)) {
			t.Errorf("item %d: %s, want %s", i, got.Series, it.Series)
		}
	}
}

// TestBytesOfAReport holds what processes that linked an older client send.
func TestBytesOfAReport(t *testing.T) {
	b, err := Append(nil, &Report{Session: [16]byte{15: 1}, Prev: 1, Seq: 2, Items: []Item{counterItem("clicks", 5)}})
	if err != nil {
		t.Fatal(err)
	}
	if got := hex.EncodeToString(b); got != goldenReport {
		t.Errorf("bytes\n%s, want\n%s", got, goldenReport)
	}
}

const goldenReport = "01009e01a6636c69656e74a6636c69656e74c4100000000000000000000000000000000100010100c4150100000510010006636c69636b73" +
	"0470617468012fc4050101010101c400c40100c4020000c40403050000e3f2434c"

func TestReportsThatAreNone(t *testing.T) {
	origin := crdt.Origin{Class: crdt.ClassNode, Region: name, Node: name}
	def := func(ref uint32, s crdt.Series) wire.Def { return wire.Def{Ref: ref, Seq: 2, Series: s} }
	cell := func(ref uint32, v crdt.Value) wire.Cell { return wire.Cell{Ref: ref, Seq: 2, Value: v} }
	clicks := crdt.Series{Name: "clicks", Kind: crdt.KindCounter}
	one := crdt.Value{Kind: crdt.KindCounter, P: crdt.FixedFromUint(1)}
	for why, f := range map[string]*wire.Frame{
		"of a node":         {Origin: crdt.Origin{Class: crdt.ClassNode, Region: "eu", Node: "a"}, To: 2, Head: 2},
		"of windows":        {Origin: origin, Stream: crdt.StreamWindow, To: 2, Head: 2},
		"not after another": {Origin: origin, From: 2, To: 2, Head: 2},
		"head beyond":       {Origin: origin, To: 2, Head: 3},
		"no definition":     {Origin: origin, To: 2, Head: 2, Cells: []wire.Cell{cell(0, one)}},
		"no cell":           {Origin: origin, To: 2, Head: 2, Defs: []wire.Def{def(0, clicks)}},
		"another number":    {Origin: origin, To: 2, Head: 2, Defs: []wire.Def{def(1, clicks)}, Cells: []wire.Cell{cell(1, one)}},
		"another kind":      {Origin: origin, To: 2, Head: 2, Defs: []wire.Def{def(0, crdt.Series{Name: "x", Kind: crdt.KindUpDown})}, Cells: []wire.Cell{cell(0, one)}},
		"a generation":      {Origin: origin, To: 2, Head: 2, Defs: []wire.Def{def(0, crdt.Series{Name: "x", Kind: crdt.KindCounter, Gen: 1})}, Cells: []wire.Cell{cell(0, one)}},
		"a kind of nodes": {
			Origin: origin, To: 2, Head: 2, Defs: []wire.Def{def(0, crdt.Series{Name: "x", Kind: crdt.KindSet})},
			Cells: []wire.Cell{cell(0, crdt.Value{Kind: crdt.KindSet, X: new(crdt.Set)})},
		},
	} {
		b, err := wire.AppendFrame(nil, f)
		if err != nil {
			t.Fatalf("%s: %v", why, err)
		}
		if _, err := Parse(b); !errors.Is(err, ErrReport) {
			t.Errorf("%s: %v, want ErrReport", why, err)
		}
	}
	if _, err := Parse([]byte("{}")); !errors.Is(err, ErrReport) {
		t.Errorf("%v, want ErrReport", err)
	}
	if _, err := Append(nil, &Report{Seq: 1, Items: make([]Item, MaxItems+1)}); !errors.Is(err, ErrReport) {
		t.Errorf("%v, want ErrReport", err)
	}
}

func FuzzParse(f *testing.F) {
	b, err := Append(nil, sample(f))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := Parse(b)
		if err != nil {
			return
		}
		again, err := Append(nil, r)
		if err != nil {
			t.Fatalf("parsed and not appended: %v", err)
		}
		if back, err := Parse(again); err != nil || len(back.Items) != len(r.Items) {
			t.Fatalf("%v, %+v", err, back)
		}
	})
}
