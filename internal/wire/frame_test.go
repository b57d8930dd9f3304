package wire

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"meshd/crdt"
)

// smallFrame is a frame with two definitions and cells of three kinds.
func smallFrame() *Frame {
	return &Frame{
		Origin: crdt.Origin{Class: crdt.ClassNode, Region: "eu", Node: "n1", Inc: crdt.Incarnation{0xa1, 0xb2}},
		From:   6, To: 7, Head: 7,
		Defs: []Def{
			{Ref: 0, Seq: 7, Series: crdt.Series{Name: "http.requests", Kind: crdt.KindCounter, Labels: []crdt.Label{{Name: "code", Value: "200"}}}},
			{Ref: 2, Seq: 7, Series: crdt.Series{Name: "queue", Kind: crdt.KindUpDown}},
		},
		Cells: []Cell{
			{Ref: 0, Seq: 7, Value: crdt.Value{Kind: crdt.KindCounter, P: crdt.FixedFromUint(1500)}},
			{Ref: 1, Seq: 7, Value: crdt.Value{Kind: crdt.KindCounter, P: crdt.Fixed{Hi: 0, Lo: 5 << 46}}}, // 1.25
			{Ref: 2, Seq: 7, Value: crdt.Value{Kind: crdt.KindUpDown, P: crdt.FixedFromUint(9), N: crdt.FixedFromUint(4)}},
		},
	}
}

func TestFrameRoundTrip(t *testing.T) {
	var p Parser // one for all, so that what an earlier frame leaves behind would show
	rapid.Check(t, func(t *rapid.T) {
		f := drawFrame(t)
		b, err := AppendFrame([]byte("before"), f)
		if err != nil {
			t.Fatal(err)
		}
		b = b[len("before"):]
		got, err := p.Parse(b)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(f, got, same); diff != "" {
			t.Fatalf("frame changed on its way (-sent +received):\n%s", diff)
		}
		for i := range got.Cells {
			c := &got.Cells[i]
			if _, tag, ok := c.Value.Delta(c.Seq-1, c.Seq, c.Seq); !ok || tag != c.Seq {
				t.Fatalf("parts of %v cell %d have the stamp %d, want %d", c.Value.Kind, i, tag, c.Seq)
			}
		}
		again, err := AppendFrame(nil, got)
		if err != nil || !slices.Equal(again, b) {
			t.Fatalf("bytes changed when appended again (%v):\n%x\n%x", err, b, again)
		}
	})
}

func TestFrameRefused(t *testing.T) {
	counter := func(p crdt.Fixed) crdt.Value { return crdt.Value{Kind: crdt.KindCounter, P: p} }
	tests := []struct {
		name string
		edit func(f *Frame)
		want error
	}{
		{"class", func(f *Frame) { f.Origin.Class = 4 }, ErrInvalid},
		{"region name", func(f *Frame) { f.Origin.Region = "a/b" }, ErrInvalid},
		{"empty node name", func(f *Frame) { f.Origin.Node = "" }, ErrInvalid},
		{"stream", func(f *Frame) { f.Stream = 2 }, ErrInvalid},
		{"from after to", func(f *Frame) { f.From = 8 }, ErrInvalid},
		{"to after head", func(f *Frame) { f.To = 8 }, ErrInvalid},
		{"cell after head", func(f *Frame) { f.Cells[0].Seq = 8 }, ErrInvalid},
		{"cell without seq", func(f *Frame) { f.Cells[0].Seq = 0 }, ErrInvalid},
		{"definition after head", func(f *Frame) { f.Defs[0].Seq = 8 }, ErrInvalid},
		{"definition without seq", func(f *Frame) { f.Defs[0].Seq = 0 }, ErrInvalid},
		{"definition twice", func(f *Frame) { f.Defs[1].Ref = 0 }, ErrInvalid},
		{"definition of a rollup", func(f *Frame) { f.Defs[1].Series.Kind = crdt.KindRollup }, ErrInvalid},
		{"labels out of order", func(f *Frame) {
			f.Defs[0].Series.Labels = []crdt.Label{{Name: "b"}, {Name: "a"}}
		}, ErrInvalid},
		{"cell twice", func(f *Frame) { f.Cells[1].Ref = 0 }, ErrInvalid},
		{"cell twice under two kinds", func(f *Frame) { f.Cells[2].Ref = 0 }, ErrInvalid},
		{"ref", func(f *Frame) { f.Cells[1].Ref = MaxRef + 1 }, ErrInvalid},
		{"definition ref", func(f *Frame) { f.Defs[1].Ref = MaxRef + 1 }, ErrInvalid},
		{"window in the lifetime stream", func(f *Frame) { f.Cells[0].Window.Width = 10_000 }, ErrInvalid},
		{"window not aligned", func(f *Frame) {
			f.Stream, f.Cells[0].Window = 1, crdt.Window{Start: 5_000, Width: 10_000}
		}, ErrInvalid},
		{"window before the epoch", func(f *Frame) {
			f.Stream, f.Cells[0].Window = 1, crdt.Window{Start: -10_000, Width: 10_000}
		}, ErrInvalid},
		{"window in the year 20000", func(f *Frame) {
			f.Stream, f.Cells[0].Window = 1, crdt.Window{Start: 570_000_000_000_000, Width: 10_000}
		}, ErrInvalid},
		{"window of two days", func(f *Frame) { f.Stream, f.Cells[0].Window.Width = 1, 2*86_400_000 }, ErrInvalid},
		{"counter above its bound", func(f *Frame) {
			f.Cells[0].Value = counter(crdt.Fixed{Hi: crdt.MaxCell.Hi, Lo: crdt.MaxCell.Lo + 1})
		}, ErrInvalid},
		{"gauge of a region", func(f *Frame) {
			f.Origin.Class = crdt.ClassRegion
			f.Cells[2].Value = crdt.Value{Kind: crdt.KindGauge, X: new(crdt.Gauge)}
		}, ErrInvalid},
		{"rollup of a node", func(f *Frame) {
			f.Cells[2].Value = crdt.Value{Kind: crdt.KindRollup, X: new(crdt.Rollup)}
		}, ErrInvalid},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			f := smallFrame()
			test.edit(f)
			b, err := AppendFrame([]byte("x"), f)
			wantError(t, err, test.want)
			if string(b) != "x" {
				t.Errorf("a refused frame left %q behind", b)
			}
			_, err = ParseFrame(forge(f))
			wantError(t, err, test.want)
		})
	}
}

// TestFrameLimits holds what only the sender can get wrong, or only in memory.
func TestFrameLimits(t *testing.T) {
	f := smallFrame()
	f.Cells[2].Value = crdt.Value{Kind: crdt.KindSet} // no state
	_, err := AppendFrame(nil, f)
	wantError(t, err, ErrInvalid)

	f = smallFrame()
	for ref := range uint32(MaxFrameCells + 1) {
		f.Cells = append(f.Cells, Cell{Ref: 10 + ref, Seq: 1, Value: crdt.Bottom(crdt.KindCounter)})
	}
	_, err = AppendFrame(nil, f)
	wantError(t, err, ErrLimit)
	_, err = ParseFrame(forge(f))
	wantError(t, err, ErrLimit)

	f = smallFrame()
	f.Defs = nil
	for ref := range uint32(5000) { // 5 MB of label values
		labels := []crdt.Label{{Name: "l", Value: strings.Repeat(fmt.Sprint(ref), 1000)[:1000]}}
		f.Defs = append(f.Defs, Def{Ref: ref, Seq: 7, Series: crdt.Series{Name: "m", Kind: crdt.KindSet, Labels: labels}})
	}
	_, err = AppendFrame(nil, f)
	wantError(t, err, ErrLimit)
	_, err = ParseFrame(make([]byte, MaxFrameBytes+1))
	wantError(t, err, ErrLimit)
}

// TestFrameDense holds that a frame of equal, adjacent counters, the most cells for its bytes, is not compressed
// beyond what a receiver accepts.
func TestFrameDense(t *testing.T) {
	f := smallFrame()
	f.Defs, f.Cells = nil, nil
	for ref := range uint32(MaxFrameCells) {
		f.Cells = append(f.Cells, Cell{Ref: ref, Seq: 7, Value: crdt.Bottom(crdt.KindCounter)})
	}
	b, err := AppendFrame(nil, f)
	if err != nil {
		t.Fatal(err)
	}
	g, err := ParseFrame(b)
	if err != nil {
		t.Fatal(err)
	}
	if len(g.Cells) != len(f.Cells) {
		t.Errorf("%d cells arrived, %d were sent", len(g.Cells), len(f.Cells))
	}
}

// TestFrameDamaged holds that no damaged byte and no cut goes unnoticed.
func TestFrameDamaged(t *testing.T) {
	b, err := AppendFrame(nil, smallFrame())
	if err != nil {
		t.Fatal(err)
	}
	for i := range b {
		bad := slices.Clone(b)
		bad[i] ^= 0x10
		want := ErrMalformed
		if i == 0 {
			want = ErrVersion
		}
		_, err := ParseFrame(bad)
		wantError(t, err, want)
		_, err = ParseFrame(b[:i])
		wantError(t, err, ErrMalformed)
	}
	_, err = ParseFrame(append(b, 0))
	wantError(t, err, ErrMalformed)
}

// resum replaces the checksum.
func resum(b []byte) []byte {
	n := len(b) - checksumBytes
	return binary.LittleEndian.AppendUint32(slices.Clone(b[:n]), crc32.Checksum(b[:n], castagnoli))
}

// TestFrameDamagedWithChecksum holds that damage that a checksum covers gives an error or a frame, never a panic.
func TestFrameDamagedWithChecksum(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b, err := AppendFrame(nil, drawFrame(t))
		if err != nil {
			t.Fatal(err)
		}
		for range 5 {
			b[rapid.IntRange(1, len(b)-1).Draw(t, "at")] = rapid.Byte().Draw(t, "byte")
		}
		checkFrameBytes(t, resum(b))
	})
}

// checkFrameBytes demands of any bytes that they are refused or give a frame that survives its own bytes.
func checkFrameBytes(t interface{ Fatalf(string, ...any) }, b []byte) {
	f, err := ParseFrame(b)
	if err != nil {
		return
	}
	out, err := AppendFrame(nil, f)
	if err != nil {
		t.Fatalf("a parsed frame is refused: %v", err)
	}
	g, err := ParseFrame(out)
	if err != nil {
		t.Fatalf("a parsed frame, appended, is refused: %v", err)
	}
	if diff := cmp.Diff(f, g, same); diff != "" {
		t.Fatalf("a parsed frame changed (-first +second):\n%s", diff)
	}
	if again, err := AppendFrame(nil, g); err != nil || !slices.Equal(again, out) {
		t.Fatalf("bytes are not canonical (%v):\n%x\n%x", err, out, again)
	}
}
