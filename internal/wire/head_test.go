package wire

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestParseHead: of what a frame is about it reads the same as ParseFrame, and damage anywhere is found.
func TestParseHead(t *testing.T) {
	for name, f := range map[string]*Frame{"small": smallFrame(), "counters": edgeFrame(), "empty": {Origin: smallFrame().Origin, From: 3, To: 9, Head: 12}} {
		t.Run(name, func(t *testing.T) {
			b, err := AppendFrame(nil, f)
			if err != nil {
				t.Fatal(err)
			}
			want, err := ParseFrame(b)
			if err != nil {
				t.Fatal(err)
			}
			want.Defs, want.Cells = nil, nil
			got, err := ParseHead(b)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(want, got); d != "" {
				t.Error(d)
			}
			for i := range b {
				b[i] ^= 1
				if _, err := ParseHead(b); err == nil {
					t.Errorf("byte %d is damaged, and it is a frame", i)
				}
				b[i] ^= 1
			}
		})
	}
}

func BenchmarkParseHead(b *testing.B) {
	raw, err := AppendFrame(nil, edgeFrame())
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ParseHead(raw); err != nil {
			b.Fatal(err)
		}
	}
}
