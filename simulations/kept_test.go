package simulations

import (
	"encoding/binary"
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"meshd/crdt"
	"meshd/internal/wire"
	"meshd/node"
)

// TestTheIndexOfADiskHoldsWhatItsBytesSay compares the index with a reading of the whole disk, after writes of log records
// and checkpoints, deletions, definitions that come late, and copies.
func TestTheIndexOfADiskHoldsWhatItsBytesSay(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		series := []*crdt.Series{{Name: "a", Kind: crdt.KindCounter}, {Name: "b", Kind: crdt.KindCounter}}
		tr, d := newTruth(series, 1), newDisk()
		key := rapid.Custom(func(t *rapid.T) []byte {
			return fmt.Appendf(nil, "%s%d", rapid.SampledFrom([]string{"l/", "o/", "s/"}).Draw(t, "prefix"), rapid.IntRange(0, 3).Draw(t, "key"))
		})
		for range rapid.IntRange(1, 30).Draw(t, "writes") {
			var ops []node.Op
			used := map[string]bool{}
			for range rapid.IntRange(1, 3).Draw(t, "ops") {
				op := node.Op{Key: key.Draw(t, "key"), Delete: rapid.IntRange(0, 2).Draw(t, "delete") == 0}
				if used[string(op.Key)] {
					continue
				}
				used[string(op.Key)] = true
				if !op.Delete {
					op.Value = drawRecord(t, series, string(op.Key[:2]))
				}
				ops = append(ops, op)
			}
			d.write(ops, reachesOf(nil, ops))
			switch rapid.IntRange(0, 3).Draw(t, "then") {
			case 0:
				d = d.copy()
			case 1:
				whole := held{}
				tr.gather(whole, d)
				for inc := range byte(3) {
					inc := crdt.Incarnation{inc}
					if got, want := tr.holds(d, inc), whole[inc]; !same(got, want) {
						t.Fatalf("the index says %v of %s, the disk %v", got, inc.Short(), want)
					}
				}
			}
		}
	})
}

// same compares what a disk holds of a process: nothing at all is as good as zeros.
func same(a, b []amounts) bool {
	for i := range max(len(a), len(b)) {
		var x, y amounts
		if a != nil {
			x = a[i]
		}
		if b != nil {
			y = b[i]
		}
		if x != y {
			return false
		}
	}
	return true
}

// drawRecord returns a log record of some frames, or a checkpoint of one.
func drawRecord(t *rapid.T, series []*crdt.Series, prefix string) (out []byte) {
	n := 1
	if prefix == "l/" {
		n = rapid.IntRange(1, 3).Draw(t, "frames")
	}
	for range n {
		f := &wire.Frame{
			Origin: crdt.Origin{
				Class: rapid.SampledFrom([]crdt.Class{crdt.ClassNode, crdt.ClassNode, crdt.ClassRegion}).Draw(t, "class"), Region: "r", Node: "n",
				Inc: crdt.Incarnation{rapid.ByteRange(0, 2).Draw(t, "inc")},
			},
			To: 100, Head: 100,
		}
		for ref := range uint32(len(series)) {
			if rapid.Bool().Draw(t, "def") {
				f.Defs = append(f.Defs, wire.Def{Ref: ref, Seq: 1, Series: *series[ref]})
			}
			if rapid.Bool().Draw(t, "cell") {
				v := crdt.Bottom(crdt.KindCounter)
				v.P = crdt.FixedFromUint(rapid.Uint64Range(1, 9).Draw(t, "value"))
				f.Cells = append(f.Cells, wire.Cell{Ref: ref, Seq: 1, Value: v})
			}
		}
		raw, err := wire.AppendFrame(nil, f)
		if err != nil {
			t.Fatal(err)
		}
		if prefix == "l/" {
			out = binary.AppendUvarint(out, uint64(len(raw)))
		}
		out = append(out, raw...)
	}
	return out
}
