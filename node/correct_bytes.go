package node

import (
	"encoding/binary"
	"errors"
	"fmt"

	"meshd/crdt"
	"meshd/internal/wire"
)

// differencesOrigin stands for whoever differences come from: the node that takes them writes them as its own.
var differencesOrigin = crdt.Origin{Class: crdt.ClassNode, Region: "r", Node: "n"}

// second is the width that windows of differences are said to have: the least that nodes keep. They count by where it begins.
const second = 1000

// AppendDifferences returns differences of a correction, of which no two are of one series, side and window, as a frame of windows behind its length.
func AppendDifferences(id string, ds []Difference) ([]byte, error) {
	f := wire.Frame{Origin: differencesOrigin, Stream: crdt.StreamWindow, To: 1, Head: 1}
	refs := map[string]uint32{}
	var key []byte
	for i := range ds {
		d := &ds[i]
		s := d.Series.Beside(crdt.Side{ID: id, Minus: d.Minus, Node: d.Node})
		key = s.AppendKey(key[:0])
		ref, ok := refs[string(key)]
		if !ok {
			ref = uint32(len(f.Defs))
			refs[string(key)] = ref
			f.Defs = append(f.Defs, wire.Def{Ref: ref, Seq: 1, Series: *s})
		}
		f.Cells = append(f.Cells, wire.Cell{Ref: ref, Seq: 1, Window: crdt.WindowAt(d.Start, second), Value: d.Value})
	}
	raw, err := wire.AppendFrame(nil, &f)
	if err != nil {
		return nil, fmt.Errorf("node: differences: %w", err)
	}
	return append(binary.AppendUvarint(nil, uint64(len(raw))), raw...), nil
}

// ParseDifferences reads any number of what AppendDifferences returned for a correction, one behind the other, in another order.
func ParseDifferences(b []byte, id string) (ds []Difference, err error) {
	for len(b) > 0 {
		n, k := binary.Uvarint(b)
		if k <= 0 || n > uint64(len(b)-k) {
			return nil, errors.New("differences are cut short: the body is frames of windows, each behind its length")
		}
		f, err := wire.ParseFrame(b[k : k+int(n)])
		if err != nil {
			return nil, err
		}
		b = b[k+int(n):]
		defs := map[uint32]*Difference{}
		for i := range f.Defs {
			base, side, ok := f.Defs[i].Series.Side()
			if !ok || side.ID != id {
				return nil, fmt.Errorf("%s is no difference of correction %s", &f.Defs[i].Series, id)
			}
			defs[f.Defs[i].Ref] = &Difference{Node: side.Node, Minus: side.Minus, Series: base}
		}
		for i := range f.Cells {
			c := &f.Cells[i]
			d := defs[c.Ref]
			if d == nil || c.Window == (crdt.Window{}) || c.Value.Kind != d.Series.Kind {
				return nil, errors.New("a difference of no series, no window, or another kind")
			}
			one := *d
			one.Start, one.Value = c.Window.Start, c.Value
			ds = append(ds, one)
		}
	}
	return ds, nil
}
