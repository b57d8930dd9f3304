package crdt

import (
	"bytes"
	"testing"
)

// fuzzState demands of whatever bytes: no panic, memory bounded by the input, one form per value, and a value that
// can be joined, cut and combined.
func fuzzState(f *testing.F, k Kind) {
	f.Add([]byte{})
	f.Add(NewState(k).AppendBinary(nil))
	for _, v := range goldens(f) {
		if v.Kind == k && v.X != nil {
			f.Add(v.AppendBinary(nil))
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		x, err := ParseState(k, b, 3)
		if err != nil {
			return
		}
		// A dot takes at least 2 bytes on the wire and 96 in memory, a run 4 and as much.
		if size := x.Size(); size > 128+48*len(b) {
			t.Fatalf("%d bytes of memory from %d bytes", size, len(b))
		}
		if again := x.AppendBinary(nil); !bytes.Equal(again, b) {
			t.Fatalf("%x is written %x", b, again)
		}
		v, sum, copied := Value{Kind: k, X: x}, Bottom(k), Bottom(k)
		stamp := uint64(3)
		if k == KindGauge {
			stamp = 0 // the seq in the bytes
		}
		if _, err := copied.Join(&v, stamp, &sum, 4); err != nil {
			t.Fatalf("join: %v", err)
		}
		if bytesOf(&copied) != string(b) {
			t.Fatalf("%x joined with bottom is %x", b, bytesOf(&copied))
		}
		whole := x.Restrict(x)
		if whole != nil && !bytes.Equal(whole.AppendBinary(nil), b) {
			t.Fatalf("%x restricted to itself is %x", b, whole.AppendBinary(nil))
		}
		if d, tag := copied.X.Delta(2, 3); k != KindGauge && (d != nil) != (whole != nil) || d != nil && tag != 3 {
			t.Fatalf("delta %v tagged %d of a value stamped 3", d, tag)
		}
	})
}

func FuzzParseGauge(f *testing.F)    { fuzzState(f, KindGauge) }
func FuzzParseRollup(f *testing.F)   { fuzzState(f, KindRollup) }
func FuzzParseSet(f *testing.F)      { fuzzState(f, KindSet) }
func FuzzParseObserved(f *testing.F) { fuzzState(f, KindObserved) }

func FuzzParseHistograms(f *testing.F) { fuzzState(f, KindHistogram) }

func FuzzParseFixed(f *testing.F) {
	for _, s := range []string{"0", "1.5", "-1", "1e-15", "1208925819614629174706175.999999999999996", "1e400", ".", "0.1e+3"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		v, err := ParseFixed(s)
		if err != nil {
			if !v.IsZero() {
				t.Fatalf("%q: %v and %v", s, v, err)
			}
			return
		}
		if again, err := ParseFixed(v.String()); err != nil || again != v {
			t.Fatalf("%q is %v, which is read as %v, %v", s, v, again, err)
		}
	})
}

func FuzzParseCompact(f *testing.F) {
	f.Add([]byte{0x7f})
	f.Add([]byte{0xf8, 0x80, 0x01, 0x80})
	f.Add([]byte{0xf6, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10})
	f.Fuzz(func(t *testing.T, b []byte) {
		v, n, err := ParseCompact(b)
		if err == nil && !bytes.Equal(v.AppendCompact(nil), b[:n]) {
			t.Fatalf("%x is %v, which is written %x", b[:n], v, v.AppendCompact(nil))
		}
	})
}
