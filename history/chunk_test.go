package history

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"testing"

	"meshd/crdt"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// chunkKinds are the kinds that a window may have.
var chunkKinds = []crdt.Kind{
	crdt.KindCounter, crdt.KindUpDown, crdt.KindRollup, crdt.KindDistribution, crdt.KindUnique, crdt.KindSet, crdt.KindObserved, crdt.KindHistogram,
}

func drawFixed(t *rapid.T) crdt.Fixed {
	switch rapid.IntRange(0, 3).Draw(t, "amount") {
	case 0:
		return crdt.FixedFromUint(uint64(rapid.IntRange(0, 3).Draw(t, "small")))
	case 1:
		return crdt.FixedFromUint(rapid.Uint64Range(0, 1<<40).Draw(t, "whole"))
	}
	f, err := crdt.FixedFromFloat(rapid.Float64Range(0, 1e6).Draw(t, "any"))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func drawFloat(t *rapid.T) float64 {
	return rapid.OneOf(rapid.Float64Range(-1e9, 1e9), rapid.Map(rapid.IntRange(-1000, 1000), func(i int) float64 { return float64(i) / 10 })).Draw(t, "float")
}

// drawValue draws a value of a window that begins at start.
func drawValue(t *rapid.T, k crdt.Kind, start int64) crdt.Value {
	v := crdt.Value{Kind: k}
	switch k { //nolint:exhaustive // see chunkKinds
	case crdt.KindCounter:
		v.P = drawFixed(t)
	case crdt.KindUpDown:
		v.P, v.N = drawFixed(t), drawFixed(t)
	case crdt.KindRollup:
		r := new(crdt.Rollup)
		for range rapid.IntRange(0, 3).Draw(t, "samples") {
			r.AddGauge(&crdt.Gauge{Time: crdt.HLCFrom(start+rapid.Int64Range(-50, 9999).Draw(t, "at"), 0), Value: drawFloat(t)})
		}
		if r.Stamp = crdt.HLC(r.Count); rapid.IntRange(0, 9).Draw(t, "stamped") == 0 {
			r.Stamp = r.Last + crdt.HLC(rapid.IntRange(0, 1<<20).Draw(t, "later"))
		}
		v.X = r
	case crdt.KindDistribution:
		d := new(crdt.Distribution)
		for range rapid.IntRange(0, 5).Draw(t, "samples") {
			if err := d.Observe(drawFloat(t), uint64(rapid.IntRange(1, 3).Draw(t, "weight"))); err != nil {
				t.Fatal(err)
			}
		}
		v.X = d
	case crdt.KindUnique:
		u := new(crdt.Unique)
		for range rapid.IntRange(0, 5).Draw(t, "elements") {
			u.InsertHash(rapid.Uint64().Draw(t, "element"))
		}
		v.X = u
	case crdt.KindSet:
		adds := rapid.SliceOfNDistinct(rapid.StringN(1, 3, 8), 1, 3, rapid.ID).Draw(t, "elements")
		x, err := new(crdt.Set).Next(&crdt.Set{Inc: crdt.Incarnation{1}, Adds: adds})
		if err != nil {
			t.Fatal(err)
		}
		v.X = x
	case crdt.KindObserved:
		o := new(crdt.Observed)
		for range rapid.IntRange(0, 3).Draw(t, "samples") {
			s := crdt.Sample{
				Source: rapid.SampledFrom([]string{"", "a", "b:9100"}).Draw(t, "source"), Start: rapid.Int64Range(-1, 1).Draw(t, "start"),
				Time: start + rapid.Int64Range(-5, 9999).Draw(t, "time"), Value: drawFixed(t),
			}
			if err := o.Put(s); err != nil {
				t.Fatal(err)
			}
		}
		v.X = o
	case crdt.KindHistogram:
		h := new(crdt.Histograms)
		d := new(crdt.Distribution)
		if err := errors.Join(d.Observe(drawFloat(t), 1), h.Put("a", start, d)); err != nil {
			t.Fatal(err)
		}
		v.X = h
	}
	if k != crdt.KindCounter && k != crdt.KindUpDown && rapid.IntRange(0, 9).Draw(t, "bottom") == 0 {
		v.X = nil
	}
	return v
}

func drawPoints(t *rapid.T, k crdt.Kind, base, width int64) []Point {
	n := rapid.IntRange(1, 40).Draw(t, "n")
	points, start := make([]Point, n), base
	for i := range points {
		if rapid.IntRange(0, 4).Draw(t, "gap?") == 0 {
			start += width * rapid.Int64Range(0, 20).Draw(t, "gap")
		}
		points[i] = Point{Window: crdt.Window{Start: start, Width: width}, Value: drawValue(t, k, start)}
		start += width
	}
	return points
}

// plain is what points say, in a form that compares.
func plain(points []Point) []string {
	out := make([]string, 0, len(points))
	for _, p := range points {
		out = append(out, fmt.Sprintf("%d+%d %s %x", p.Window.Start, p.Window.Width, p.Value.Kind, p.Value.AppendBinary(nil)))
	}
	return out
}

func TestChunksComeBack(t *testing.T) {
	for _, k := range chunkKinds {
		t.Run(k.String(), func(t *testing.T) {
			var e encoder
			var d decoder
			rapid.Check(t, func(t *rapid.T) {
				const base, width = 1_700_000_000_000, 10_000
				points := drawPoints(t, k, base, width)
				b := e.appendChunk(nil, base, points)
				if again := e.appendChunk(nil, base, points); !bytes.Equal(b, again) {
					t.Fatal("the same points took other bytes")
				}
				d.reset()
				got, err := d.points(nil, b, base, width, math.MinInt64, math.MaxInt64)
				if diff := cmp.Diff(plain(points), plain(got)); diff != "" || err != nil {
					t.Fatalf("%v\n%s", err, diff)
				}
				low := rapid.IntRange(0, len(points)-1).Draw(t, "low")
				high := rapid.IntRange(low, len(points)-1).Draw(t, "high")
				got, err = d.points(nil, b, base, width, points[low].Window.Start, points[high].Window.Start)
				if diff := cmp.Diff(plain(points[low:high]), plain(got)); diff != "" || err != nil {
					t.Fatalf("part of it: %v\n%s", err, diff)
				}
			})
		})
	}
}

func goldenPoints(k crdt.Kind) []Point {
	points := make([]Point, 0, 4)
	for _, i := range []int64{0, 1, 2, 7} {
		p := Point{Window: crdt.Window{Start: 10_000 * i, Width: 10_000}, Value: crdt.Value{Kind: k}}
		amount := crdt.FixedFromUint(uint64(100 + i))
		d := new(crdt.Distribution)
		_ = d.Observe(float64(i), 1)
		_ = d.Observe(2, 3)
		switch k { //nolint:exhaustive // see chunkKinds
		case crdt.KindCounter:
			p.Value.P = amount
		case crdt.KindUpDown:
			p.Value.P, p.Value.N = amount, crdt.FixedFromUint(1)
		case crdt.KindRollup:
			r := crdt.RollupOf([]*crdt.Gauge{{Time: crdt.HLCFrom(10_000*i+5, 0), Value: 20.5 + float64(i)}})
			r.Stamp = 1
			p.Value.X = r
		case crdt.KindDistribution:
			p.Value.X = d
		case crdt.KindUnique:
			u := new(crdt.Unique)
			u.InsertHash(uint64(i) << 50)
			p.Value.X = u
		case crdt.KindSet:
			p.Value.X = new(crdt.Set)
		case crdt.KindObserved:
			o := new(crdt.Observed)
			_ = o.Put(crdt.Sample{Source: "a:9100", Start: 1, Time: 10_000*i + 7, Value: amount})
			p.Value.X = o
		case crdt.KindHistogram:
			h := new(crdt.Histograms)
			_ = h.Put("a:9100", 1, d)
			p.Value.X = h
		}
		points = append(points, p)
	}
	return points
}

// Golden bytes: what is on a disk must stay readable. Rows are only ever added.
func TestChunksGolden(t *testing.T) {
	for _, row := range []struct {
		kind crdt.Kind
		want string
	}{
		{crdt.KindCounter, "0101000402140400010214020001013005c80104220a"},
		{crdt.KindUpDown, "0102000402140400010214020001013005c80104220a30000200"},
		{crdt.KindRollup, "01080004021404000102140200010100020000000001150a9a0304220a000000008080280000000000000000000000"},
		{crdt.KindDistribution, "0104000402140400010214020001010400010130050c04220a0000000000020000040002a400000000140504010800000003031404feff0f0600d4020402010a04000119040202e202"},
		{crdt.KindUnique, "0105010402140400010214020001010406010c000001330001730001b3010001f303"},
		{crdt.KindObserved, "01070004021404000102140200010101000c0000613a39313030000200000200000000000e003005c80104220a"},
		{crdt.KindHistogram, "0109010402140400010214020001010422032a084728b52ffd204ff5010034030106613a3931303002093b0106004000017e030c3a07bfe00340000201013f072a084000017e040b3a0d40c03800027e0373010310045478eed48a30"},
	} {
		t.Run(row.kind.String(), func(t *testing.T) {
			var e encoder
			points := goldenPoints(row.kind)
			if got := hex.EncodeToString(e.appendChunk(nil, 0, points)); got != row.want {
				t.Errorf("got %s, want %s", got, row.want)
			}
			b, err := hex.DecodeString(row.want)
			if err != nil {
				t.Fatal(err)
			}
			var d decoder
			got, err := d.points(nil, b, 0, 10_000, 0, math.MaxInt64)
			if diff := cmp.Diff(plain(points), plain(got)); diff != "" || err != nil {
				t.Errorf("%v\n%s", err, diff)
			}
		})
	}
}

func TestDamagedChunksAreRefused(t *testing.T) {
	for _, k := range chunkKinds {
		var e encoder
		whole := e.appendChunk(nil, 0, goldenPoints(k))
		for cut := range whole {
			var d decoder
			if _, err := d.points(nil, whole[:cut], 0, 10_000, 0, math.MaxInt64); !errors.Is(err, errChunk) {
				t.Fatalf("%d of the %d bytes of a chunk of %s: %v", cut, len(whole), k, err)
			}
		}
		var d decoder
		if _, err := d.points(nil, append(whole, 0), 0, 10_000, 0, math.MaxInt64); !errors.Is(err, errChunk) {
			t.Fatalf("a byte behind a chunk of %s: %v", k, err)
		}
	}
}

func FuzzChunk(f *testing.F) {
	var e encoder
	for _, k := range chunkKinds {
		f.Add(e.appendChunk(nil, 0, goldenPoints(k)))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var d decoder
		points, err := d.points(nil, b, 0, 10_000, 0, math.MaxInt64)
		if err != nil {
			return
		}
		var e encoder
		again, err := new(decoder).points(nil, e.appendChunk(nil, 0, points), 0, 10_000, 0, math.MaxInt64)
		if diff := cmp.Diff(plain(points), plain(again)); diff != "" || err != nil {
			t.Fatalf("what was read does not come back: %v\n%s", err, diff)
		}
	})
}
