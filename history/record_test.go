package history

import (
	"encoding/hex"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"meshd/crdt"
)

// seriesOf returns a series whose windows are of kind k.
func seriesOf(k crdt.Kind) *crdt.Series {
	s := &crdt.Series{Name: "m", Kind: k, Labels: []crdt.Label{{Name: "shop", Value: "7"}}}
	if k == crdt.KindRollup {
		s.Kind = crdt.KindGauge
	}
	return s
}

// longCurve has windows of ten seconds over two days, then one of an hour.
func longCurve() *Curve {
	c := &Curve{Owner: Owner{Region: "eu", Node: "n1"}, Series: seriesOf(crdt.KindCounter)}
	for i := range int64(2 * 8640) {
		c.Points = append(c.Points, Point{
			Window: crdt.Window{Start: 20*day.Milliseconds() + 10_000*i, Width: 10_000}, Value: crdt.Value{Kind: crdt.KindCounter, P: crdt.FixedFromUint(uint64(i % 7))},
		})
	}
	c.Points = append(c.Points, Point{Window: crdt.Window{Start: 22 * day.Milliseconds(), Width: 3_600_000}, Value: crdt.Value{Kind: crdt.KindCounter, P: crdt.FixedFromUint(9)}})
	return c
}

// parts writes a curve in parts of about limit bytes.
func parts(t testing.TB, c *Curve, limit int) [][]byte {
	var out [][]byte
	var w CurveWriter
	rest, err := w.Append(nil, c, limit, func(b []byte) ([]byte, error) {
		out = append(out, b)
		return nil, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(rest) > 0 {
		out = append(out, rest)
	}
	return out
}

func TestCurvesTravel(t *testing.T) {
	curves := []*Curve{longCurve()}
	for _, k := range chunkKinds {
		if k != crdt.KindSet {
			curves = append(curves, &Curve{Owner: Owner{Region: "eu"}, Series: seriesOf(k), Points: goldenPoints(k)})
		}
	}
	for _, limit := range []int{1, 1000, 1 << 20} {
		var r CurveReader
		for _, want := range curves {
			n := 0
			for _, part := range parts(t, want, limit) {
				if n != 0 {
					t.Fatalf("%s ends before its last part", want.Series)
				}
				if err := r.Read(part, func(got *Curve) error {
					n++
					if diff := cmp.Diff(plain(want.Points), plain(got.Points)); diff != "" || got.Owner != want.Owner || got.Series.String() != want.Series.String() {
						t.Errorf("%s of %v came as %s of %v:\n%s", want.Series, want.Owner, got.Series, got.Owner, diff)
					}
					return nil
				}); err != nil {
					t.Fatal(err)
				}
			}
			if n != 1 || !r.Done() {
				t.Fatalf("%s came %d times, done: %v", want.Series, n, r.Done())
			}
		}
	}
}

// Golden bytes: nodes of adjacent versions read each other's curves.
func TestCurvesGolden(t *testing.T) {
	const want = "0b0100016d0473686f700137" + "026575" + "026e31" + "00" + "0a" + "00" + "16" + "0101000402140400010214020001013005c80104220a"
	c := &Curve{Owner: Owner{Region: "eu", Node: "n1"}, Series: seriesOf(crdt.KindCounter), Points: goldenPoints(crdt.KindCounter)}
	got := hex.EncodeToString(parts(t, c, 1<<20)[0])
	if got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestHostileCurvesAreRefused(t *testing.T) {
	whole := parts(t, longCurve(), 1)
	other := parts(t, &Curve{Owner: Owner{Region: "us"}, Series: seriesOf(crdt.KindCounter), Points: goldenPoints(crdt.KindCounter)}, 1)
	for name, in := range map[string][][]byte{
		"cut":                  {whole[0][:len(whole[0])-1]},
		"the same again":       {whole[0], whole[0]},
		"backwards":            {whole[1], whole[0]},
		"of others in between": {whole[0], other[0]},
		"windows of another kind": {func() []byte {
			b := append([]byte{}, other[0]...)
			b[1] = byte(crdt.KindUpDown)
			return b
		}()},
	} {
		t.Run(name, func(t *testing.T) {
			var r CurveReader
			var err error
			for _, b := range in {
				if err == nil {
					err = r.Read(b, func(*Curve) error { return nil })
				}
			}
			if !errors.Is(err, errChunk) {
				t.Errorf("%v, want a refusal", err)
			}
		})
	}
}

func TestSeriesTravel(t *testing.T) {
	var b []byte
	want := []*crdt.Series{seriesOf(crdt.KindCounter), seriesOf(crdt.KindGauge)}
	for _, s := range want {
		b = AppendSeries(b, s)
	}
	var got []*crdt.Series
	if err := ReadSeries(b, func(s *crdt.Series) error { got = append(got, s); return nil }); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if err := ReadSeries(b[:len(b)-1], func(*crdt.Series) error { return nil }); !errors.Is(err, errChunk) {
		t.Errorf("cut: %v", err)
	}
}

func FuzzCurves(f *testing.F) {
	for _, k := range chunkKinds {
		for _, b := range parts(f, &Curve{Owner: Owner{Region: "eu"}, Series: seriesOf(k), Points: goldenPoints(k)}, 1<<20) {
			f.Add(b)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var r CurveReader
		_ = r.Read(b, func(c *Curve) error {
			var again CurveReader
			for _, part := range parts(t, c, 1<<20) {
				if err := again.Read(part, func(got *Curve) error {
					if diff := cmp.Diff(plain(c.Points), plain(got.Points)); diff != "" {
						t.Fatalf("what was read does not come back:\n%s", diff)
					}
					return nil
				}); err != nil {
					t.Fatalf("what was read is refused: %v", err)
				}
			}
			return nil
		})
		_ = ReadSeries(b, func(*crdt.Series) error { return nil })
	})
}
