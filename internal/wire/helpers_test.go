package wire

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"reflect"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"meshd/crdt"
)

// same compares values by kind and canonical bytes, and takes nil and empty lists as equal.
var same = cmp.Options{
	cmp.Transformer("canonical", func(v crdt.Value) string { return fmt.Sprintf("%v %x", v.Kind, v.AppendBinary(nil)) }),
	cmpopts.EquateEmpty(),
}

// wantError fails the test unless err wraps want and no other error of this package.
func wantError(t *testing.T, err, want error) {
	t.Helper()
	for _, e := range []error{ErrMalformed, ErrLimit, ErrInvalid, ErrVersion, ErrReserved} {
		if got := errors.Is(err, e); got != errors.Is(want, e) {
			t.Errorf("error %v: wraps %q: %v, want only %q", err, e, got, want)
		}
	}
}

// stored returns the value that a cell of inc's kind holds after inc was written with seq.
func stored(t interface{ Fatal(...any) }, inc crdt.Value, seq uint64) crdt.Value {
	v := crdt.Bottom(inc.Kind)
	d, err := v.Next(&inc)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := v.Join(&d, seq, nil, 0); err != nil {
		t.Fatal(err)
	}
	return v
}

// drawName draws a name of a node or region.
func drawName(t *rapid.T, label string) string {
	return rapid.StringMatching(`[a-zA-Z0-9_.-]{1,63}`).Draw(t, label)
}

func drawID(t *rapid.T) (id [16]byte) {
	copy(id[:], rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "id"))
	return id
}

// randomID returns the i-th of a sequence of incarnations that looks random.
func randomID(i int) (id [16]byte) {
	sum := sha256.Sum256([]byte{byte(i), byte(i >> 8)})
	copy(id[:], sum[:])
	return id
}

func drawOrigin(t *rapid.T) crdt.Origin {
	return crdt.Origin{
		Class:  crdt.Class(rapid.IntRange(1, 3).Draw(t, "class")),
		Region: drawName(t, "region"), Node: drawName(t, "node"), Inc: drawID(t),
	}
}

// drawAmount draws amounts of all sizes, whole and broken, up to MaxSample.
func drawAmount(t *rapid.T) crdt.Fixed {
	switch rapid.IntRange(0, 3).Draw(t, "size") {
	case 0:
		return crdt.FixedFromUint(rapid.Uint64Range(0, 1000).Draw(t, "small"))
	case 1:
		return crdt.FixedFromUint(rapid.Uint64Range(0, 1<<63).Draw(t, "large"))
	case 2:
		return crdt.Fixed{Lo: rapid.Uint64().Draw(t, "fraction")}
	}
	return crdt.Fixed{Hi: rapid.Uint64Range(0, crdt.MaxSample.Hi-1).Draw(t, "hi"), Lo: rapid.Uint64().Draw(t, "lo")}
}

// drawInc draws an increment of kind k that is not bottom.
func drawInc(t *rapid.T, k crdt.Kind) crdt.Value {
	float := rapid.Float64Range(-1e15, 1e15)
	ms := rapid.Int64Range(1, 1<<42)
	switch k {
	case crdt.KindCounter:
		return crdt.Value{Kind: k, P: drawAmount(t)}
	case crdt.KindUpDown:
		return crdt.Value{Kind: k, P: drawAmount(t), N: drawAmount(t)}
	case crdt.KindGauge:
		return crdt.Value{Kind: k, X: &crdt.Gauge{Time: crdt.HLCFrom(ms.Draw(t, "time"), 3), Value: float.Draw(t, "value")}}
	case crdt.KindRollup:
		r := &crdt.Rollup{Stamp: crdt.HLCFrom(ms.Draw(t, "stamp"), 1), Expected: 7}
		r.AddGauge(&crdt.Gauge{Time: crdt.HLCFrom(ms.Draw(t, "time"), 0), Value: float.Draw(t, "value")})
		return crdt.Value{Kind: k, X: r}
	case crdt.KindDistribution:
		d := new(crdt.Distribution)
		for _, v := range rapid.SliceOfN(float, 1, 20).Draw(t, "samples") {
			if err := d.Observe(v, 1); err != nil {
				t.Fatal(err)
			}
		}
		return crdt.Value{Kind: k, X: d}
	case crdt.KindUnique:
		u := new(crdt.Unique)
		for _, h := range rapid.SliceOfN(rapid.Uint64(), 1, 50).Draw(t, "hashes") {
			u.InsertHash(h)
		}
		return crdt.Value{Kind: k, X: u}
	case crdt.KindSet:
		return crdt.Value{Kind: k, X: &crdt.Set{Inc: drawID(t), Adds: rapid.SliceOfNDistinct(rapid.StringN(1, 8, 20), 1, 5, rapid.ID[string]).Draw(t, "adds")}}
	case crdt.KindObserved:
		o := new(crdt.Observed)
		if err := o.Put(crdt.Sample{Source: drawName(t, "source"), Start: ms.Draw(t, "start"), Time: ms.Draw(t, "time"), Value: drawAmount(t)}); err != nil {
			t.Fatal(err)
		}
		return crdt.Value{Kind: k, X: o}
	case crdt.KindHistogram:
		h, d := new(crdt.Histograms), new(crdt.Distribution)
		for _, v := range rapid.SliceOfN(rapid.Float64Range(-1e3, 1e3), 0, 20).Draw(t, "samples") {
			if err := d.Observe(v, 1); err != nil {
				t.Fatal(err)
			}
		}
		if err := h.Put(drawName(t, "source"), ms.Draw(t, "start"), d); err != nil {
			t.Fatal(err)
		}
		return crdt.Value{Kind: k, X: h}
	}
	t.Fatalf("no increment of %v", k)
	return crdt.Value{}
}

var nodeKinds = []crdt.Kind{
	crdt.KindCounter, crdt.KindUpDown, crdt.KindGauge, crdt.KindDistribution,
	crdt.KindUnique, crdt.KindSet, crdt.KindObserved, crdt.KindHistogram,
}

func drawSeries(t *rapid.T) crdt.Series {
	s := crdt.Series{
		Name: rapid.StringN(1, 20, crdt.MaxMetricBytes).Draw(t, "metric"),
		Kind: rapid.SampledFrom(nodeKinds).Draw(t, "kind"),
		Gen:  rapid.Uint32().Draw(t, "gen"),
	}
	for range rapid.IntRange(0, 4).Draw(t, "labels") {
		s.Labels = append(s.Labels, crdt.Label{Name: rapid.StringN(1, 5, 20).Draw(t, "name"), Value: rapid.StringN(0, 20, 80).Draw(t, "value")})
	}
	s.Labels = crdt.SortLabels(s.Labels)
	return s
}

// drawFrame draws a frame of any class and stream, with cells of all kinds that fit, in no order.
func drawFrame(t *rapid.T) *Frame {
	f := &Frame{Origin: drawOrigin(t), Stream: crdt.Stream(rapid.IntRange(0, 1).Draw(t, "stream"))}
	f.From = rapid.Uint64Range(0, 1<<40).Draw(t, "from")
	f.To = f.From + rapid.Uint64Range(0, 1000).Draw(t, "to")
	f.Head = f.To + rapid.Uint64Range(1, 1<<20).Draw(t, "head")
	if f.Stream == crdt.StreamWindow && f.Origin.Class == crdt.ClassNode && rapid.Bool().Draw(t, "about") {
		f.Of = crdt.Incarnation(drawID(t))
		f.Of[0] = ^f.Origin.Inc[0]
	}
	seqs := rapid.OneOf(rapid.Just(f.Head), rapid.Uint64Range(1, f.Head))
	refs := rapid.SliceOfNDistinct(rapid.Uint32Range(0, MaxRef), 0, 300, rapid.ID[uint32]).Draw(t, "refs")
	for i, ref := range refs {
		if i < 3 {
			f.Defs = append(f.Defs, Def{Ref: ref, Seq: seqs.Draw(t, "seq"), Series: drawSeries(t)})
		}
		kind := rapid.SampledFrom(nodeKinds).Draw(t, "kind")
		if i > 20 { // enough of the costly kinds
			kind = crdt.KindCounter
		}
		kind = kind.CellKind(f.Origin.Class)
		c := Cell{Ref: ref, Seq: seqs.Draw(t, "seq")}
		if f.Stream == crdt.StreamWindow && i%3 > 0 {
			c.Window.Width = rapid.SampledFrom([]int64{1000, 10_000, 60_000, 3_600_000}).Draw(t, "width")
			c.Window.Start = c.Window.Width * rapid.Int64Range(0, maxWindowStart*1000/c.Window.Width).Draw(t, "start")
			if kind = kind.WindowKind(); kind == crdt.KindSet {
				kind = crdt.KindCounter
			}
		}
		c.Value = stored(t, drawInc(t, kind), c.Seq)
		f.Cells = append(f.Cells, c)
	}
	return f
}

// forge returns the bytes of f, right or wrong.
func forge(f *Frame) []byte {
	f.Sort()
	body, _ := f.appendBody(nil)
	return seal(nil, body, 0)
}

// checkMessage sends m through its bytes and back.
func checkMessage(t interface {
	Helper()
	Fatalf(string, ...any)
	Fatal(...any)
}, m Message,
) {
	t.Helper()
	const before = "bytes of the caller"
	b, err := AppendMessage([]byte(before), m)
	if err != nil {
		t.Fatal(err)
	}
	if string(b[:len(before)]) != before {
		t.Fatalf("AppendMessage changed what was there: %q", b[:len(before)])
	}
	b = b[len(before):]
	got, err := ParseMessage(b)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(m, got, same); diff != "" {
		t.Fatalf("message changed on its way (-sent +received):\n%s", diff)
	}
}

// checkLongest is checkMessage for long messages without cells, where a readable difference would take too long.
func checkLongest(t *testing.T, m Message) {
	t.Helper()
	b, err := AppendMessage(nil, m)
	if err != nil {
		t.Fatal(err)
	}
	if b[0]&typeCompressed == 0 {
		t.Errorf("%T travels uncompressed", m)
	}
	if got, err := ParseMessage(b); err != nil || !reflect.DeepEqual(m, got) {
		t.Errorf("%T changed on its way: %v", m, err)
	}
}
